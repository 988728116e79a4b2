/// A listening Unix stream socket: bound by ourselves, or passed by systemd.
import CLinux
import DispatchSupport
import Glibc

package final class ControlListener: Sendable {
  /// Why there is no socket: what failed, then what to do.
  package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    package let detail: String
    package let cure: String
    package var description: String { "\(detail): \(cure)" }
  }

  /// The longest socket path, in bytes. Source: unix(7), `sun_path` of 108 bytes with its NUL.
  package static let pathBytesMax = 107
  /// Every local user may connect; who it is decides what it may do.
  private static let mode: UInt32 = 0o666
  /// The kernel takes less when net.core.somaxconn says so.
  private static let backlog: Int32 = 4096

  let descriptor: Descriptor
  /// The file that goes when the server stops; nil: the socket is systemd's.
  private let path: String?

  /// Binds `path` with mode 0666. A socket file that nobody serves any more is replaced; one that is served is not.
  package init(path: String) throws(Failure) {
    guard path.utf8.count <= Self.pathBytesMax else {
      throw Failure(
        detail: "the socket path has \(path.utf8.count) bytes", cure: "choose one of at most \(Self.pathBytesMax)")
    }
    switch unsafe clinux_probe_unix(path) {
    case 1: throw Failure(detail: "another process serves \(path)", cure: "stop it, or choose another socket")
    case 0: unsafe unlink(path)
    case -ENOENT: break
    case -ENOTSOCK: throw Failure(detail: "\(path) is not a socket", cure: "remove it, or choose another socket")
    case let result:
      let error = LinuxError(operation: "look at \(path)", number: -result)
      throw Failure(detail: "\(error)", cure: "check the directory and its owner")
    }
    let result = unsafe clinux_listen_unix(path, Self.mode, Self.backlog)
    guard result >= 0 else {
      let error = LinuxError(operation: "bind \(path)", number: -result)
      throw Failure(detail: "\(error)", cure: "check that the directory exists and can be written")
    }
    descriptor = Descriptor(owning: result)
    self.path = path
  }

  /// Takes over a listening descriptor (socket activation); closed when the server stops.
  package init(adopting number: Int32) throws(Failure) {
    let result = clinux_adopt_listener(number)
    guard result >= 0 else {
      throw Failure(
        detail: "descriptor \(number) is not a listening Unix stream socket",
        cure: "check ListenStream= and Accept=no in the socket unit")
    }
    descriptor = Descriptor(owning: number)
    path = nil
  }

  /// It was made here and ends here.
  var goesWithServer: Bool { path != nil }

  /// Removes the socket file, if it was made here.
  func removeFile() {
    if let path { unsafe unlink(path) }
  }
}
