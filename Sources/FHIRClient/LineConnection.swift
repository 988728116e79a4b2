/// One connected Unix stream socket that sends and receives lines, each wait under a deadline.
import Glibc

/// Closes its descriptor when it goes.
private struct Descriptor: ~Copyable {
  let number: Int32
  init(_ number: Int32) { self.number = number }
  deinit { _ = close(number) }
}

final class LineConnection {
  /// Room for one `recv` at least, in bytes; most answers fit in one.
  private static let chunkBytes = 64 << 10

  private let descriptor: Descriptor
  private let path: String
  /// Received and not yet handed out.
  private let pending = ReceiveBuffer()

  /// - Throws: `.daemonUnreachable`, `.socketPermission`, `.timedOut` or `.unsendable`, with the path in the message.
  init(path: String, deadline: Deadline) throws(ClientError) {
    self.path = path
    var (address, length) = try Self.address(of: path)
    descriptor = Descriptor(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
    guard descriptor.number >= 0 else {
      throw ClientError(.daemonUnreachable, "no socket can be made: \(Self.words(errno))")
    }
    // unix(7): a blocking connect waits while the listener's queue is full, for SO_SNDTIMEO at most (then EAGAIN);
    // a non-blocking one would have to be tried again and again.
    let left = deadline.millisecondsLeft
    var limit = timeval(tv_sec: Int(left / 1000), tv_usec: Int(max(left % 1000, 1)) * 1000)
    _ = unsafe setsockopt(
      descriptor.number, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var rc: Int32
    repeat {
      rc = unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          unsafe connect(descriptor.number, generic, length)
        }
      }
    } while rc != 0 && errno == EINTR && deadline.millisecondsLeft > 0
    guard rc == 0 else { throw Self.connectFailure(errno, path: path) }
    _ = fcntl(descriptor.number, F_SETFL, O_NONBLOCK)
  }

  /// Whether the daemon still holds the other end and owes nothing: only then may a request go out on it.
  var isIdle: Bool {
    guard pending.count == 0 else { return false }
    var byte: UInt8 = 0
    let count = unsafe recv(descriptor.number, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
    return count < 0 && (errno == EAGAIN || errno == EINTR)
  }

  func send(_ bytes: [UInt8], deadline: Deadline) throws(ClientError) {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.send(
          descriptor.number, buffer.baseAddress! + sent, buffer.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        sent += count
      } else if errno == EAGAIN {
        try wait(for: Int16(POLLOUT), deadline: deadline, what: "takes the request")
      } else if errno != EINTR {
        // The daemon may have said why before it hung up: a line that waits to be read goes before the bare EPIPE.
        if errno == EPIPE || errno == ECONNRESET { return }
        throw lost("the request could not be sent: \(Self.words(errno))")
      }
    }
  }

  /// The next line, without its LF.
  /// - Parameter bytesMax: a longer line is a protocol violation.
  func receiveLine(bytesMax: Int, deadline: Deadline) throws(ClientError) -> [UInt8] {
    try withLine(bytesMax: bytesMax, deadline: deadline) { $0.copied }
  }

  /// Lends the next line, without its LF, where it lies.
  /// - Parameter bytesMax: a longer line is a protocol violation.
  func withLine<Result>(
    bytesMax: Int, deadline: Deadline, _ body: (Span<UInt8>) throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    var searched = 0
    while true {
      if let end = pending.lineEnd(from: searched) {
        defer { pending.consume(end + 1) }
        guard end <= bytesMax else { throw Self.tooLong(bytesMax) }
        let line = unsafe pending.bytes.bindMemory(to: UInt8.self).span
        return try body(line.extracting(..<end))
      }
      guard pending.count <= bytesMax else { throw Self.tooLong(bytesMax) }
      searched = pending.count
      guard try receiveSome(deadline: deadline) else {
        throw lost("the daemon closed the connection before it answered")
      }
    }
  }

  /// Adds what has arrived to `pending`; false when the daemon closed its end.
  private func receiveSome(deadline: Deadline) throws(ClientError) -> Bool {
    while true {
      let room = unsafe pending.room(Self.chunkBytes)
      let count = unsafe recv(descriptor.number, room.baseAddress, room.count, 0)
      let failure = errno
      if count > 0 {
        pending.advance(count)
        return true
      }
      if count == 0 { return false }
      if failure == EAGAIN {
        try wait(for: Int16(POLLIN), deadline: deadline, what: "answers")
      } else if failure != EINTR {
        throw lost("the connection to the daemon broke: \(Self.words(failure))")
      }
    }
  }

  private func wait(for events: Int16, deadline: Deadline, what: String) throws(ClientError) {
    while true {
      let left = deadline.millisecondsLeft
      guard left > 0 else {
        throw ClientError(
          .timedOut, "the daemon on \(path) did not answer in time",
          hint: "give it longer with --timeout, or see: systemctl status fhird")
      }
      var item = pollfd(fd: descriptor.number, events: events, revents: 0)
      let rc = unsafe poll(&item, 1, left)
      if rc > 0 { return }
      if rc < 0, errno != EINTR { throw lost("waiting until the daemon \(what) failed: \(Self.words(errno))") }
    }
  }

  private func lost(_ message: String) -> ClientError {
    ClientError(.connectionLost, message, hint: "see: systemctl status fhird; journalctl -u fhird")
  }

  private static func tooLong(_ bytesMax: Int) -> ClientError {
    ClientError(
      .protocolViolation, "the answer is longer than \(bytesMax >> 20) MiB",
      hint: "is it fhird that listens on this socket?")
  }

  private static func connectFailure(_ code: Int32, path: String) -> ClientError {
    let name = "the daemon is not reachable on \(path)"
    let start = "systemctl status fhird, or name another socket with FHIRD_SOCKET or --socket"
    return switch code {
    case ENOENT, ENOTDIR: ClientError(.daemonUnreachable, "\(name): there is no such socket", hint: start)
    case ECONNREFUSED: ClientError(.daemonUnreachable, "\(name): nobody listens on it", hint: start)
    case EACCES, EPERM:
      ClientError(
        .socketPermission, "\(name): \(words(code))", hint: "look at the mode of the socket and of its directories")
    case EAGAIN:
      ClientError(
        .timedOut, "the daemon on \(path) takes no more connections", hint: "try again; see: systemctl status fhird")
    default: ClientError(.daemonUnreachable, "\(name): \(words(code))", hint: start)
    }
  }

  private static func address(of path: String) throws(ClientError) -> (sockaddr_un, socklen_t) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    // unix(7): sun_path holds 108 bytes; one is for the closing NUL.
    let room = MemoryLayout.size(ofValue: address.sun_path) - 1
    guard !bytes.isEmpty, bytes.count <= room, !bytes.contains(0) else {
      throw ClientError(
        .unsendable, "not a socket path: 1 to \(room) bytes are allowed, \(bytes.count) were given",
        hint: "name a shorter path with FHIRD_SOCKET or --socket")
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return (address, socklen_t(MemoryLayout<sockaddr_un>.size))
  }

  private static func words(_ code: Int32) -> String {
    unsafe String(cString: strerror(code))
  }
}

/// Overwrites bytes that may hold a secret. Best effort: copies that Swift made elsewhere are not reached.
func wipe(_ bytes: inout [UInt8]) {
  unsafe bytes.withUnsafeMutableBytes { buffer in
    if let base = buffer.baseAddress { unsafe explicit_bzero(base, buffer.count) }
  }
  bytes.removeAll()
}

extension Span<UInt8> {
  var copied: [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }
}
