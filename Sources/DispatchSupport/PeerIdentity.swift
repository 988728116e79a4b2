/// Who connected to a Unix stream socket, by the kernel's record, and the systemd unit only where that is certain.
import CLinux
import Glibc

package struct PeerIdentity: Sendable, Hashable {
  package let uid: UInt32
  package let gid: UInt32
  /// 0 when the process lives in a pid namespace that is not visible from here.
  package let pid: Int32
  /// Primary and supplementary groups, each once.
  package let groups: [UInt32]
  /// nil: in no unit, or not certain.
  package let unit: String?

  /// Identifies the peer at the time it connected. Call it right after `accept`.
  ///
  /// A pid can be reused, so the unit counts only when the process is held by a pidfd during the lookup and still lives
  /// after it: then the pid was that process's all the time. On Linux 6.5 and later the kernel itself hands out the
  /// pidfd of the process that connected. Before that it is opened by number after `accept`, and the process found must
  /// have the uid and gid that connected. What remains there: a client that ends between its `connect` and our `accept`
  /// while a process of the same uid and gid, in another unit, takes over its pid would pass for that unit.
  ///
  /// - Parameter unitOf: the unit of a process; may read /proc, must not wait for anybody.
  /// - Throws: EMFILE and the like; the caller cannot be told apart then and must be turned away.
  package init(
    of socket: Int32, trustKernelRecord: Bool = true, unitOf: @Sendable (Int32) -> String?
  ) throws(LinuxError) {
    var peer = clinux_peer()
    unsafe try check(clinux_peer_credentials(socket, &peer), "getsockopt SO_PEERCRED")
    uid = peer.uid
    gid = peer.gid
    pid = peer.pid
    groups = try Self.groups(of: socket, primary: peer.gid)
    unit = try Self.unit(of: peer, on: socket, trustKernelRecord: trustKernelRecord, unitOf)
  }

  /// NGROUPS_MAX of Linux.
  private static let groupsMax = 65_536
  private static let groupsUsual = 64

  private static func groups(of socket: Int32, primary: UInt32) throws(LinuxError) -> [UInt32] {
    var capacity = groupsUsual
    while true {
      var groups = [UInt32](repeating: 0, count: capacity)
      let count = unsafe clinux_peer_groups(socket, &groups, capacity)
      if count == -ERANGE, capacity < groupsMax {
        capacity = groupsMax
        continue
      }
      let found = groups.prefix(Int(try check(count, "getsockopt SO_PEERGROUPS")))
      return [primary] + Set(found).subtracting([primary]).sorted()
    }
  }

  private static func unit(
    of peer: clinux_peer, on socket: Int32, trustKernelRecord: Bool, _ unitOf: @Sendable (Int32) -> String?
  ) throws(LinuxError) -> String? {
    guard peer.pid > 0 else { return nil }
    var result = trustKernelRecord ? clinux_peer_pidfd(socket) : -ENOPROTOOPT
    let kernelRecord = result != -ENOPROTOOPT
    if !kernelRecord { result = clinux_pidfd_open(peer.pid) }
    switch result {
    case -ESRCH, -EINVAL, -ENODATA, -ENOSYS: return nil  // the process is gone, or the kernel knows no pidfd
    default: break
    }
    let process = Descriptor(owning: try check(result, "pidfd of the peer"))
    if !kernelRecord, credentials(of: peer.pid) != [peer.uid, peer.gid] { return nil }
    let unit = unitOf(peer.pid)
    return try check(clinux_pidfd_ended(process.number), "poll of a pidfd") == 0 ? unit : nil
  }

  /// Effective uid and gid, which SO_PEERCRED records. Source: proc(5), `Uid` and `Gid` of /proc/PID/status.
  private static func credentials(of pid: Int32) -> [UInt32] {
    let number = unsafe open("/proc/\(pid)/status", O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { return [] }
    let file = Descriptor(owning: number)
    // `Uid` and `Gid` stand in the first few hundred bytes.
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe clinux_receive(file.number, &bytes, bytes.count)
    let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n")
    return ["Uid:", "Gid:"].compactMap { name in
      let fields = lines.first { $0.hasPrefix(name) }?.split(separator: "\t") ?? []
      return fields.count > 2 ? UInt32(fields[2]) : nil
    }
  }
}
