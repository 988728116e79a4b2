/// A gateway under test: the real server on a loopback port, a scripted daemon behind it, and a client that sends bytes.
import FakeDaemon
import Foundation
import Glibc
import Synchronization

@testable import FHIRGateway

final class Edge: Sendable {
  struct Reply {
    let raw: String
    var status: Int { Int(raw.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    var body: String { raw.range(of: "\r\n\r\n").map { String(raw[$0.upperBound...]) } ?? "" }
    /// All values of a header field.
    func values(_ name: String) -> [String] {
      let head = raw.components(separatedBy: "\r\n\r\n")[0]
      return head.components(separatedBy: "\r\n").dropFirst().compactMap { line in
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == name.lowercased() else { return nil }
        return parts[1].trimmingCharacters(in: .whitespaces)
      }
    }
    func header(_ name: String) -> String? { values(name).first }
  }

  let gateway: Gateway
  private let running: RunningGateway
  let port: Int

  /// Kept as long as the gateway asks it.
  private let daemon: FakeDaemon?

  /// - Parameter daemon: nil: nobody listens on the daemon's socket.
  init(_ daemon: FakeDaemon?, trustsProxy: Bool = false) throws {
    self.daemon = daemon
    let sink = Sink()
    gateway = Gateway(
      socketPath: daemon?.path ?? "/tmp/no-such-directory/no.sock", trustsProxy: trustsProxy,
      log: GatewayLog(level: .debug) { sink.add($0) }, now: { sink.now })
    running = try RunningGateway(
      [.address(.network(address: "127.0.0.1", port: 0))], gateway, allowsAnywhere: false)
    port = running.ports.first ?? 0
    self.sink = sink
  }

  deinit {
    running.stop()
    gateway.stop()
  }

  private let sink: Sink
  var log: String { sink.text }
  /// The gateway's clock goes on.
  func pass(seconds: Double) { sink.pass(seconds) }

  func get(_ target: String, method: String = "GET", headers: [String] = [], body: String = "") -> Reply {
    let lines = ["\(method) \(target) HTTP/1.1", "Host: localhost", "Connection: close"] + headers
    return exchange(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
  }

  /// Sends bytes and reads until the gateway closes, for ten seconds at most.
  func exchange(_ request: String) -> Reply {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let rc = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard rc == 0 else { return Reply(raw: "") }
    let bytes = Array(request.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { break }
      sent += count
    }
    var received: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      guard count > 0 else { break }
      received += chunk[..<count]
    }
    return Reply(raw: String(decoding: received, as: UTF8.self))
  }

  private final class Sink: Sendable {
    private let lines = Mutex<[String]>([])
    private let time = Mutex<Double>(1000)
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var text: String { lines.withLock { $0.joined() } }
    var now: Double { time.withLock { $0 } }
    func pass(_ seconds: Double) { time.withLock { $0 += seconds } }
  }
}

/// Runs what waits on sockets and locks on a thread of its own: Swift's threads are one for each processor, and the server
/// under test needs them.
func blocking(_ body: @escaping @Sendable () throws -> Void) async throws {
  try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
    Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
  }
}

enum Samples {
  static func status(_ progress: String, name: String = "epic", more: String = "") -> String {
    #"{"progress":"\#(progress)","connection_name":"\#(name)","connection_id":"c1","expires_at":"2026-11-24T22:00:00Z"\#(more)}"#
  }

  static func error(_ code: String, more: String = "") -> String {
    #"{"code":-32000,"message":"no","data":{"detail":"no","type":"t","code":"\#(code)"\#(more)}}"#
  }

  static let callback = "/fhir-connections/callback?state=st-4711&code=secret-code-0815"
}
