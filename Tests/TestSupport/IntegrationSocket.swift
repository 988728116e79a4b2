/// A blocking byte stream to a Unix or loopback socket in which every wait has a deadline.
import Glibc
import Synchronization

package final class TestSocket: Sendable {
  package enum Address: Sendable {
    case unix(String)
    case loopback(UInt16)
  }

  /// How long any one wait may take unless the caller says otherwise.
  package static let secondsDefault: Double = 30

  private struct State {
    var fd: Int32
    var buffer: [UInt8] = []
    var atEnd = false
  }
  private let state: Mutex<State>

  /// - Throws: `IntegrationFailure` with errno's words; never waits longer than the kernel's local connect.
  package init(_ address: Address) throws {
    let fd: Int32
    let rc: Int32
    switch address {
    case .unix(let path):
      fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      var name = sockaddr_un()
      name.sun_family = sa_family_t(AF_UNIX)
      let bytes = Array(path.utf8)
      guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else {
        throw IntegrationFailure("socket path too long: \(path)")
      }
      withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
      rc = withUnsafePointer(to: &name) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    case .loopback(let port):
      fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      var name = sockaddr_in()
      name.sin_family = sa_family_t(AF_INET)
      name.sin_port = port.bigEndian
      name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      rc = withUnsafePointer(to: &name) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    guard rc == 0 else {
      let why = String(cString: strerror(errno))
      if fd >= 0 { close(fd) }
      throw IntegrationFailure("cannot connect to \(address): \(why)")
    }
    state = Mutex(State(fd: fd))
  }

  deinit { shut() }

  package func shut() {
    state.withLock {
      if $0.fd >= 0 { close($0.fd) }
      $0.fd = -1
      $0.atEnd = true
    }
  }

  private static func wait(_ fd: Int32, for events: Int32, until deadline: Double) throws {
    while true {
      let left = deadline - monotonicSeconds()
      guard left > 0 else { throw IntegrationFailure("the peer kept silent until the deadline") }
      var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
      let n = poll(&entry, 1, Int32(min(left * 1000 + 1, 60_000)))
      if n > 0 { return }
    }
  }

  /// Writes all of it, or fails: the peer closed, or did not read for so long.
  package func write(_ bytes: [UInt8], within seconds: Double = secondsDefault) throws {
    try state.withLock { s in
      let deadline = monotonicSeconds() + seconds
      var rest = bytes[...]
      while !rest.isEmpty {
        try Self.wait(s.fd, for: POLLOUT, until: deadline)
        let n = rest.withUnsafeBytes {
          Glibc.send(s.fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        if n < 0, errno == EAGAIN || errno == EINTR { continue }
        guard n > 0 else { throw IntegrationFailure("write: \(String(cString: strerror(errno)))") }
        rest = rest.dropFirst(n)
      }
    }
  }

  /// Takes as many bytes as are ready into the buffer; false at the end of the stream.
  private static func fill(_ s: inout State, until deadline: Double) throws -> Bool {
    guard s.fd >= 0, !s.atEnd else { return false }
    try wait(s.fd, for: POLLIN, until: deadline)
    var chunk = [UInt8](repeating: 0, count: 65536)
    let n = recv(s.fd, &chunk, chunk.count, Int32(MSG_DONTWAIT))
    if n < 0, errno == EAGAIN || errno == EINTR { return true }
    guard n > 0 else {
      s.atEnd = true
      return false
    }
    s.buffer += chunk[..<n]
    return true
  }

  /// The next line without its LF; nil: the peer closed the stream.
  package func readLine(within seconds: Double = secondsDefault) throws -> String? {
    try state.withLock { s in
      let deadline = monotonicSeconds() + seconds
      var searched = 0
      while true {
        if let lf = s.buffer[searched...].firstIndex(of: 10) {
          defer { s.buffer.removeSubrange(...lf) }
          return String(decoding: s.buffer[..<lf], as: UTF8.self)
        }
        searched = s.buffer.count
        guard try Self.fill(&s, until: deadline) else { return nil }
      }
    }
  }

  /// Everything up to the end of the stream.
  package func readToEnd(within seconds: Double = secondsDefault) throws -> [UInt8] {
    try state.withLock { s in
      let deadline = monotonicSeconds() + seconds
      while try Self.fill(&s, until: deadline) {}
      defer { s.buffer = [] }
      return s.buffer
    }
  }

  /// Says that nothing more will be written; reading goes on.
  package func shutWriting() { state.withLock { _ = shutdown($0.fd, Int32(SHUT_WR)) } }
}
