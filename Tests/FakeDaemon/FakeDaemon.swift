/// A scripted daemon on a real Unix socket: it records what it is asked and answers what the test wants.
import Foundation
import Glibc

package final class FakeDaemon: @unchecked Sendable {  // everything mutable is under the lock
  package struct Request: Sendable {
    package let line: String
    package let id: Int
    package let method: String
    /// Which connection it came on, counted from 1.
    package let connection: Int

    /// A member of the parameters, written as JSON with its keys in order; nil where it is absent.
    package func parameter(_ name: String) -> String? {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let parameters = object["params"] as? [String: Any], let value = parameters[name],
        let data = try? JSONSerialization.data(
          withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes])
      else { return nil }
      return String(decoding: data, as: UTF8.self)
    }
  }

  package enum Answer: Sendable {
    /// The JSON of a result.
    case result(String)
    /// The JSON of an error object.
    case error(String)
    /// Bytes as they are; `ID` stands for the request's id.
    case raw(String)
    /// Bytes without an end of line, this many.
    case flood(Int)
    /// Nothing, until the client goes.
    case hang
    /// Closes the connection.
    case close
  }

  package let path: String
  private let directory: String
  private let listener: Int32
  private let script: @Sendable (Request) -> [Answer]
  private let lock = NSCondition()
  private var seen: [Request] = []
  private var accepted = 0
  private var closed = 0

  package convenience init(_ answers: [String: Answer]) {
    self.init { request in
      guard let answer = answers[request.method] else {
        return [.error(#"{"code":-32601,"message":"the script has no \#(request.method)"}"#)]
      }
      return [answer]
    }
  }

  /// - Parameter script: what to do about each request, in order.
  package init(script: @escaping @Sendable (Request) -> [Answer]) {
    self.script = script
    var template = Array("/tmp/fake-daemon-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { preconditionFailure("no directory for a socket: errno \(errno)") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    path = directory + "/d.sock"
    listener = Self.listening(on: path)
    let descriptor = listener
    Thread.detachNewThread { [weak self] in
      while true {
        let client = accept(descriptor, nil, nil)
        if client < 0, errno == EINTR || errno == ECONNABORTED { continue }
        guard client >= 0, let number = self?.count() else { return }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        Thread.detachNewThread { [weak self] in self?.serve(client, number) }
      }
    }
  }

  deinit {
    // shutdown wakes the thread in accept; close alone would not.
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
    unlink(path)
    rmdir(directory)
  }

  package var requests: [Request] { lock.withLock { seen } }
  package var connections: Int { lock.withLock { accepted } }

  /// Whether so many connections have been closed here before the deadline.
  package func hasClosed(_ count: Int, within seconds: Double = 60) -> Bool {
    lock.withLock {
      let deadline = Date(timeIntervalSinceNow: seconds)
      while closed < count {
        guard lock.wait(until: deadline) else { return false }
      }
      return true
    }
  }

  private func count() -> Int {
    lock.withLock {
      accepted += 1
      return accepted
    }
  }

  private static func listening(on path: String) -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let rc = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard rc == 0, listen(descriptor, 64) == 0 else { preconditionFailure("cannot listen on \(path): errno \(errno)") }
    return descriptor
  }

  private func serve(_ client: Int32, _ number: Int) {
    defer {
      close(client)
      lock.withLock {
        closed += 1
        lock.broadcast()
      }
    }
    var buffer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      while let end = buffer.firstIndex(of: 10) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(...end)
        guard answer(line, client, number) else { return }
      }
      let count = read(client, &chunk, chunk.count)
      guard count > 0 else { return }
      buffer += chunk[..<count]
    }
  }

  /// False when the connection is to be closed.
  private func answer(_ line: String, _ client: Int32, _ number: Int) -> Bool {
    let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
    let request = Request(
      line: line, id: object?["id"] as? Int ?? -1, method: object?["method"] as? String ?? "", connection: number)
    lock.withLock { seen.append(request) }
    for answer in script(request) {
      switch answer {
      case .result(let json): send(#"{"jsonrpc":"2.0","id":\#(request.id),"result":\#(json)}"# + "\n", client)
      case .error(let json): send(#"{"jsonrpc":"2.0","id":\#(request.id),"error":\#(json)}"# + "\n", client)
      case .raw(let text): send(text.replacingOccurrences(of: "ID", with: "\(request.id)"), client)
      case .flood(let bytes): send(String(repeating: "x", count: bytes), client)
      case .hang: break
      case .close: return false
      }
    }
    return true
  }

  private func send(_ text: String, _ client: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}
