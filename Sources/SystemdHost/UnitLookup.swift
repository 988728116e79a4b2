/// Which systemd unit a process belongs to, by its control group.
import CSystemd
import Glibc

package enum UnitLookup {
  /// The system unit: `backup.service`, `session-3.scope`, or `user@1000.service` for everything that a user's own
  /// systemd runs. Reads /proc/PID/cgroup, which waits for nobody. nil: in no unit, gone, or of another namespace.
  package static func unit(ofProcess pid: Int32) -> String? {
    // sd_pid_get_unit(3): 0 would be this process.
    guard pid > 0 else { return nil }
    var name: UnsafeMutablePointer<CChar>?
    guard unsafe sd_pid_get_unit(pid, &name) >= 0, let name = unsafe name else { return nil }
    defer { unsafe free(name) }
    return unsafe String(validatingCString: name)
  }
}
