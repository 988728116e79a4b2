/// The sockets that systemd opened for this service (sd_listen_fds(3)).
import CLinux
import CSystemd
import Glibc

package struct ListenSockets: Sendable, Hashable {
  /// What was passed is not what this program can use: what is wrong, then what to do.
  package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    package let detail: String
    package let cure: String
    package var description: String { "\(detail): \(cure)" }
  }

  /// `FileDescriptorName=` in the socket unit.
  package static let controlName = "control"

  /// Listening Unix stream sockets, non-blocking, closed on exec. Empty: started without a socket.
  package let control: [Int32]
  /// Names of descriptors that nobody here knows; they are closed.
  package let closed: [String]

  /// Takes all descriptors, once: the variables that announce them are gone afterwards. To be called before there are
  /// threads, as it changes the environment.
  package static func take() throws(Failure) -> ListenSockets {
    var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    let count = unsafe sd_listen_fds_with_names(1, &names)
    guard count >= 0 else {
      throw Failure(
        detail: "LISTEN_FDS and LISTEN_FDNAMES do not fit together", cure: "start the daemon by its socket unit")
    }
    defer { unsafe free(names) }
    var passed: [(name: String, descriptor: Int32)] = []
    for index in 0..<Int(count) {
      guard let name = unsafe names?[index] else { continue }
      passed.append((unsafe String(cString: name), SD_LISTEN_FDS_START + Int32(index)))
      unsafe free(name)
    }
    return try sorted(passed)
  }

  /// Owns the descriptors from here on: those that are not given back are closed.
  static func sorted(_ passed: [(name: String, descriptor: Int32)]) throws(Failure) -> ListenSockets {
    let control = passed.filter { $0.name == controlName }.map(\.descriptor)
    let unknown = passed.filter { $0.name != controlName }
    for entry in unknown { close(entry.descriptor) }
    for descriptor in control where clinux_adopt_listener(descriptor) < 0 {
      for descriptor in control { close(descriptor) }
      throw Failure(
        detail: "descriptor \(descriptor) (\(controlName)) is not a listening Unix stream socket",
        cure: "check ListenStream= and Accept=no in fhird.socket")
    }
    return ListenSockets(control: control, closed: unknown.map(\.name))
  }
}
