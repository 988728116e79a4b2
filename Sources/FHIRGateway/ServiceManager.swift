/// What systemd hands over and is told: listening sockets (sd_listen_fds(3)), readiness (sd_notify(3)).
import Glibc

enum ServiceManager {
  /// The first descriptor that is passed. Source: sd_listen_fds(3).
  private static let firstDescriptor: Int32 = 3
  /// More sockets than any unit of ours has.
  private static let descriptorsMax: Int32 = 16

  /// Takes the listening sockets, once; to be called before there are other threads, as it changes the environment.
  /// - Returns: empty where the program was started otherwise.
  static func takeSockets() throws(StartFailure) -> [Int32] {
    defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { _ = unsafe unsetenv(name) } }
    guard let pid = variable("LISTEN_PID"), pid == "\(getpid())", let text = variable("LISTEN_FDS") else { return [] }
    guard let count = Int32(text), count >= 0, count <= descriptorsMax else {
      throw StartFailure(
        "LISTEN_FDS is not a number of sockets", cure: "start the gateway by its socket unit", exitStatus: 78)
    }
    let sockets = Array(firstDescriptor..<firstDescriptor + count)
    for descriptor in sockets {
      guard option(SO_ACCEPTCONN, of: descriptor) == 1, option(SO_TYPE, of: descriptor) == Int32(SOCK_STREAM.rawValue)
      else {
        throw StartFailure(
          "descriptor \(descriptor) is not a listening stream socket",
          cure: "check ListenStream= and Accept=no in fhird-gateway.socket", exitStatus: 78)
      }
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }
    return sockets
  }

  /// Does nothing where nobody listens.
  static func notify(_ assignments: String) {
    guard let path = variable("NOTIFY_SOCKET"), path.hasPrefix("/") || path.hasPrefix("@") else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    // unix(7): an abstract name begins with a NUL and has exactly the bytes that are given.
    if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    let message = Array(assignments.utf8)
    _ = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        unsafe sendto(descriptor, message, message.count, Int32(MSG_NOSIGNAL), generic, length)
      }
    }
  }

  private static func option(_ name: Int32, of descriptor: Int32) -> Int32? {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
  }

  private static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}

/// The gateway cannot start: what is wrong, then what to do.
struct StartFailure: Error, Hashable {
  let message: String
  let cure: String
  /// EX_UNAVAILABLE or EX_CONFIG of sysexits.h: starting it again may help, or will not.
  let exitStatus: Int32
  init(_ message: String, cure: String, exitStatus: Int32) {
    self.message = message
    self.cure = cure
    self.exitStatus = exitStatus
  }
}
