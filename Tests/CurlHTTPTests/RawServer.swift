/// A TCP server on a loopback port whose every connection plays a script on a thread of its own; it keeps what it saw.
import Foundation
import Synchronization
import TestSupport

/// One request as it stood on the wire.
struct RawRequest: Sendable {
  /// Up to and with the empty line.
  var head: String
  var body: String
  /// Which connection of the server it came over, from 0.
  var connection: Int

  var lines: [String] { head.components(separatedBy: "\r\n").dropLast(2) }
  var path: String { String(head.split(separator: " ", maxSplits: 2).dropFirst().first ?? "") }
  func has(_ text: String) -> Bool { head.lowercased().contains(text.lowercased()) }
}

final class RawServer: Sendable {
  typealias Script = @Sendable (RawConnection) -> Void

  private struct State {
    var requests: [RawRequest] = []
    var descriptors: Set<Int32> = []
    var accepted = 0
    var openMax = 0
    var isStopped = false
  }

  let port: Int
  private let listener: Int32
  private let state = Mutex(State())

  init(host: String = "127.0.0.1", _ script: @escaping Script) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr(host)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listening = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, size) == 0 && listen(listener, 512) == 0 && getsockname(listener, $0, &size) == 0
      }
    }
    guard listening else { throw IntegrationFailure("no listener: \(String(cString: strerror(errno)))") }
    self.listener = listener
    port = Int(UInt16(bigEndian: address.sin_port))
    Thread.detachNewThread { [self] in acceptAll(script) }
  }

  var url: String { "http://127.0.0.1:\(port)" }
  var requests: [RawRequest] { state.withLock { $0.requests } }
  var accepted: Int { state.withLock { $0.accepted } }
  /// Connections that were open at the same time, at most.
  var openMax: Int { state.withLock { $0.openMax } }
  var open: Int { state.withLock { $0.descriptors.count } }

  /// Ends the listener and every connection; their scripts see the end of their input.
  func stop() {
    state.withLock { state in
      guard !state.isStopped else { return }
      state.isStopped = true
      shutdown(listener, Int32(SHUT_RDWR))
      for descriptor in state.descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }
  }

  private func acceptAll(_ script: @escaping Script) {
    while true {
      let descriptor = accept(listener, nil, nil)
      if descriptor < 0, errno == EINTR || errno == ECONNABORTED { continue }
      guard descriptor >= 0 else { break }
      // A child that kept it open would hide its end.
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      let number: Int? = state.withLock { state in
        guard !state.isStopped else { return nil }
        state.accepted += 1
        state.descriptors.insert(descriptor)
        state.openMax = max(state.openMax, state.descriptors.count)
        return state.accepted - 1
      }
      guard let number else {
        close(descriptor)
        continue
      }
      Thread.detachNewThread { [self] in
        script(RawConnection(descriptor: descriptor, number: number, server: self))
        state.withLock { state in
          state.descriptors.remove(descriptor)
          // Under the lock: the number may be another connection's a moment later.
          close(descriptor)
        }
      }
    }
    close(listener)
  }

  fileprivate func keep(_ request: RawRequest) { state.withLock { $0.requests.append(request) } }
}

struct RawConnection: Sendable {
  let descriptor: Int32
  let number: Int
  let server: RawServer

  /// The next request, with a body of Content-Length; nil at the end.
  func readRequest() -> RawRequest? {
    var bytes: [UInt8] = []
    // Byte by byte: nothing of the next request may be taken.
    while !bytes.suffix(4).elementsEqual([13, 10, 13, 10]) {
      guard bytes.count < 1 << 20, let byte = read(1) else { return nil }
      bytes += byte
    }
    let head = String(decoding: bytes, as: UTF8.self)
    let length = head.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
      .flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) }
    guard let body = read(length ?? 0) else { return nil }
    let request = RawRequest(head: head, body: String(decoding: body, as: UTF8.self), connection: number)
    server.keep(request)
    return request
  }

  private func read(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var got = 0
    while got < count {
      let n = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + got, count - got, 0) }
      guard n > 0 else { return nil }
      got += n
    }
    return bytes
  }

  /// Takes what is there, once something is.
  func readSome() {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    _ = recv(descriptor, &bytes, bytes.count, 0)
  }

  /// - Returns: false where nobody takes it any more.
  @discardableResult
  func write(_ text: String) -> Bool { write(Array(text.utf8)) }

  @discardableResult
  func write(_ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let n = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard n > 0 else { return false }
      rest = rest.dropFirst(n)
    }
    return true
  }

  /// The connection ends with a reset once the script returns.
  func willReset() {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
  }

  /// Waits until the other side, or `stop`, ends the connection.
  func waitForEnd() { while read(1) != nil {} }

  /// Waits for the end, `milliseconds` at most.
  /// - Returns: whether it came.
  func ended(within milliseconds: Int32) -> Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&wait, 1, milliseconds) > 0 && read(1) == nil
  }
}

extension RawServer {
  /// Answers every request, connection after connection.
  static func answering(_ reply: @escaping @Sendable (RawRequest) -> String) throws -> RawServer {
    try RawServer { connection in
      while let request = connection.readRequest() {
        guard connection.write(reply(request)) else { return }
      }
    }
  }

  static func ok(_ body: String = "{}", headers: String = "") -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)"
  }

  /// Reads one request and then does something about it.
  static func once(_ script: @escaping Script) throws -> RawServer {
    try RawServer { connection in
      guard connection.readRequest() != nil else { return }
      script(connection)
    }
  }
}
