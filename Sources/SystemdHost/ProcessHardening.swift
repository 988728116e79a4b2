/// What this process takes from itself before it holds a secret, and the descriptors it will need.
import CSystemd
import Glibc

package enum ProcessHardening {
  /// More would cost a table of many megabytes where the hard limit is "infinity".
  static let descriptorsMax: rlim_t = 1 << 20

  /// Not dumpable (no core file; memory and /proc files closed to other processes of the same user), no core file, new
  /// files for the owner alone, as many descriptors as allowed, and no death by a client that has gone.
  /// - Returns: a sentence for each thing that could not be done; the daemon can go on.
  package static func apply() -> [String] {
    var warnings: [String] = []
    func check(_ result: Int32, _ what: String) {
      guard result < 0 else { return }
      let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
      warnings.append("\(what): \(reason)")
    }

    check(csystemd_set_dumpable(0), "other processes of this user can read the daemon's memory")
    var core = rlimit(rlim_cur: 0, rlim_max: 0)
    check(unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &core), "core files are not forbidden")
    umask(0o077)
    signal(SIGPIPE, SIG_IGN)
    // Swift's backtracer would print registers and the memory behind them, and wait for itself in this sandbox.
    for crash in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGTRAP] { signal(crash, SIG_DFL) }

    var files = rlimit()
    check(unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files), "the limit of open files is not known")
    files.rlim_cur = descriptors(soft: files.rlim_cur, hard: files.rlim_max)
    check(
      unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files), "the limit of open files is not raised")
    return warnings
  }

  /// The soft limit to set; never lower than it is.
  static func descriptors(soft: rlim_t, hard: rlim_t) -> rlim_t { max(soft, min(hard, descriptorsMax)) }
}
