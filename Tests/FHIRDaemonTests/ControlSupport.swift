/// What the tests of the control server share: a server over stand-ins, and a bare client in which every wait has an end.
import ConnectionCore
import DispatchSupport
import FHIRControl
import FHIRDaemon
import Foundation
import Glibc
import SMARTProtocol
import Synchronization
import Testing

struct BootClock: ConnectionCore.Clock {
  func pause(_ span: Instant.Span) async { fatalError("this test must not wait") }
  func now() -> Instant { Instant(milliseconds: bootMilliseconds()) }
  func wall() -> Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
  var bootID: UInt64 { 7 }
}

struct SilentLog: EventLog {
  func record(_ level: LogLevel, _ message: StaticString, _ fields: KeyValuePairs<LogField, String>) {}
}

/// Answers every command with what the test says.
struct ScriptedCommands: CommandHandler {
  let answer: @Sendable (ControlCall) async throws(ControlError) -> [UInt8]

  init(_ answer: @escaping @Sendable (ControlCall) async throws(ControlError) -> [UInt8]) { self.answer = answer }

  /// The method and the parameters come back.
  init() {
    self.init { (call) throws(ControlError) in
      let parameters = call.parameters.isEmpty ? Array("null".utf8) : call.parameters
      return Array("{\"method\":\"\(call.method.rawValue)\",\"params\":".utf8) + parameters + [UInt8(ascii: "}")]
    }
  }

  func result(of call: ControlCall) async throws(ControlError) -> [UInt8] { try await answer(call) }
}

/// Knows the connection `epic`, for everybody, until `deny`.
final class TestDirectory: HotPathDirectory {
  private struct State {
    var epoch: UInt64 = 1
    var allowed = true
    var lookups = 0
  }
  private let state = Mutex(State())
  static let key = GrantKey(
    connection: ConnectionID(high: 1, low: 2), subject: KeyedHash(bytes: [UInt8](repeating: 3, count: 16))!)

  var epoch: UInt64 { state.withLock { $0.epoch } }
  var lookups: Int { state.withLock { $0.lookups } }
  func deny() {
    state.withLock {
      $0.allowed = false
      $0.epoch += 1
    }
  }
  func tokenKey(caller: Caller, connection: String, subject: String) -> GrantKey? {
    state.withLock {
      $0.lookups += 1
      return $0.allowed && connection == "epic" ? Self.key : nil
    }
  }
}

/// Serves one token of this many bytes that lives for a minute.
final class OneToken: HotPath {
  private let fragment: [UInt8]
  init(tokenBytes: Int = 64) {
    fragment = Array("\"access_token\":\"\(String(repeating: "t", count: tokenBytes))\"".utf8)
  }
  func serve(
    key: Span<UInt8>, minimum: Instant.Span, at moment: HotMoment, id: Span<UInt8>, into output: inout ByteBuffer
  ) -> Bool {
    guard minimum <= .seconds(60), key.count == GrantKey.byteCount else { return false }
    fragment.withUnsafeBytes {
      output.appendToken(id: id, fragment: $0, expiresAt: Timestamp(milliseconds: 0), expiresIn: 60)
    }
    return true
  }
}

/// A control server on a socket of its own.
final class TestServer: Sendable {
  let server: ControlServer
  let path: String
  let directory = TestDirectory()

  init(
    _ commands: ScriptedCommands = ScriptedCommands(), tokenBytes: Int? = nil,
    options change: (inout ControlOptions) -> Void = { _ in }
  ) async throws {
    var options = ControlOptions()
    change(&options)
    path = NSTemporaryDirectory() + "control-\(UUID().uuidString.prefix(8)).sock"
    server = try ControlServer(
      listeners: [try ControlListener(path: path)], options: options, handler: commands, directory: directory,
      hotPath: tokenBytes.map { OneToken(tokenBytes: $0) }, clock: BootClock(), log: SilentLog(),
      unitOf: { _ in "test.service" })
    try await server.start()
  }

  func client() throws -> TestClient { try TestClient(path) }
  func stop(gracePeriod: Instant.Span = .seconds(5)) async { await server.stop(gracePeriod: gracePeriod) }
}

/// Runs a test against a server and stops it, whatever happened.
func withServer(
  _ commands: ScriptedCommands = ScriptedCommands(), tokenBytes: Int? = nil,
  options: (inout ControlOptions) -> Void = { _ in }, _ body: (TestServer) async throws -> Void
) async throws {
  let server = try await TestServer(commands, tokenBytes: tokenBytes, options: options)
  do {
    try await body(server)
  } catch {
    await server.stop(gracePeriod: .zero)
    throw error
  }
  await server.stop(gracePeriod: .zero)
}

/// Looks again until it holds; false after ten seconds.
func soon(_ condition: () async throws -> Bool) async rethrows -> Bool {
  let end = bootMilliseconds() + 10_000
  while bootMilliseconds() < end {
    if try await condition() { return true }
    try? await Task.sleep(for: .milliseconds(2))  // the pace of a poll with a deadline
  }
  return false
}

struct TestClientFailure: Error, CustomStringConvertible {
  let description: String
}

/// A blocking client; used by one task at a time.
final class TestClient {
  let descriptor: Int32
  private var buffer: [UInt8] = []
  private var searched = 0
  private static let waitMilliseconds: Int32 = 20_000

  init(_ path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw TestClientFailure(description: "connect: \(String(cString: strerror(errno)))") }
  }

  deinit { close(descriptor) }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      guard try sendSome(bytes[sent...], wait: true, &sent) else {
        throw TestClientFailure(description: "send: \(String(cString: strerror(errno)))")
      }
    }
  }

  /// - Returns: false: the server closed, or took nothing in time.
  func sendSome(_ bytes: ArraySlice<UInt8>, wait: Bool, _ sent: inout Int) throws -> Bool {
    let count = bytes.withUnsafeBytes {
      Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
    if count > 0 {
      sent += count
      return true
    }
    guard errno == EAGAIN, wait else { return false }
    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    return poll(&entry, 1, Self.waitMilliseconds) == 1
  }

  func shutWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// The next line; nil: the server closed the connection.
  func line() throws -> String? {
    while true {
      if let end = buffer[searched...].firstIndex(of: 10) {
        defer {
          buffer.removeSubrange(...end)
          searched = 0
        }
        return String(decoding: buffer[..<end], as: UTF8.self)
      }
      searched = buffer.count
      var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, Self.waitMilliseconds) == 1 else { throw TestClientFailure(description: "no answer came") }
      var chunk = [UInt8](repeating: 0, count: 65_536)
      let count = recv(descriptor, &chunk, chunk.count, 0)
      guard count > 0 else { return nil }
      buffer += chunk[..<count]
    }
  }

  func answer() throws -> JSONValue {
    guard let line = try line() else { throw TestClientFailure(description: "the server closed the connection") }
    return try JSONDecoder().decode(JSONValue.self, from: Data(line.utf8))
  }

  func ask(_ text: String) throws -> JSONValue {
    try send(text + "\n")
    return try answer()
  }
}

extension JSONValue {
  subscript(_ name: String) -> JSONValue? {
    if case .object(let members) = self { members[name] } else { nil }
  }
  var errorCode: JSONValue? { self["error"]?["data"]?["code"] }
  var errorNumber: JSONValue? { self["error"]?["code"] }
}

let infoLine = #"{"jsonrpc":"2.0","id":1,"method":"server.info"}"#
let tokenLine = #"{"jsonrpc":"2.0","id":1,"method":"token.get","params":{"connection":"epic"}}"#
