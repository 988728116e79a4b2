/// The control protocol over a real socket: answers, errors, ids, deadlines, the end.
import ConnectionCore
import FHIRControl
import FHIRDaemon
import Foundation
import Glibc
import SMARTProtocol
import Synchronization
import Testing

@Suite struct ControlServerTests {
  @Test func `a request is handed over with its parameters and answered with its id`() async throws {
    try await withServer { server in
      let client = try server.client()
      let answer = try client.ask(
        #"{"jsonrpc":"2.0","id":"a-1","method":"connection.get","params":{"connection":"epic"}}"#)
      #expect(answer["id"] == .string("a-1"))
      #expect(answer["result"]?["method"] == .string("connection.get"))
      #expect(answer["result"]?["params"]?["connection"] == .string("epic"))
      #expect(answer["jsonrpc"] == .string("2.0"))
    }
  }

  @Test func `the caller is who the kernel says`() async throws {
    let seen = Mutex<Caller?>(nil)
    try await withServer(
      ScriptedCommands { (call) throws(ControlError) in
        seen.withLock { $0 = call.caller }
        return Array("{}".utf8)
      }
    ) { server in
      let client = try server.client()
      _ = try client.ask(infoLine)
      let caller = try #require(seen.withLock { $0 })
      #expect(caller.uid == geteuid())
      #expect(caller.pid == getpid())
      #expect(caller.unit == "test.service")
    }
  }

  @Test(arguments: ["\"\"", "\"é\"", "-7", "1.5", "9007199254740993", #""\u00e9\n""#])
  func `an id comes back byte for byte`(_ id: String) async throws {
    try await withServer { server in
      let client = try server.client()
      try client.send(#"{"jsonrpc":"2.0","id":\#(id),"method":"server.info"}"# + "\n")
      let line = try #require(try client.line())
      #expect(line.hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"result":"#))
    }
  }

  @Test(arguments: [
    ("{", -32700, "PARSE_ERROR"), ("not json", -32700, "PARSE_ERROR"), ("17", -32600, "INVALID_REQUEST"),
    ("[]", -32600, "INVALID_REQUEST"), ("{}", -32600, "INVALID_REQUEST"),
    (#"{"jsonrpc":"2.0","id":null,"method":"server.info"}"#, -32600, "INVALID_REQUEST"),
    (#"{"jsonrpc":"2.0","id":1,"method":"server.info","extra":1}"#, -32600, "INVALID_REQUEST"),
    (#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#, -32601, "METHOD_NOT_FOUND"),
    (#"{"jsonrpc":"2.0","id":1,"method":"server.info","params":[]}"#, -32602, "INVALID_PARAMS"),
    (#"{"jsonrpc":"2.0","id":1,"method":"server.info","params":{"timeout_seconds":0}}"#, -32602, "INVALID_PARAMS"),
    (#"{"jsonrpc":"2.0","id":1,"method":"server.info","params":{"timeout_seconds":3601}}"#, -32602, "INVALID_PARAMS"),
    (#"{"jsonrpc":"2.0","id":1,"method":"server.info","params":{"timeout_seconds":"5"}}"#, -32602, "INVALID_PARAMS"),
  ])
  func `a bad line is answered and the connection goes on`(_ line: String, _ number: Int64, _ code: String) async throws
  {
    try await withServer { server in
      let client = try server.client()
      let answer = try client.ask(line)
      #expect(answer.errorNumber == .integer(number))
      #expect(answer.errorCode == .string(code))
      #expect(answer["id"] == (line.contains("\"id\":1") ? .integer(1) : .null))
      #expect(try client.ask(infoLine)["result"] != nil)
    }
  }

  @Test func `a batch is told to pipeline instead`() async throws {
    try await withServer { server in
      let answer = try server.client().ask("[\(infoLine)]")
      #expect(answer["error"]?["message"] == .string("batch arrays are not supported"))
      guard case .string(let hint) = answer["error"]?["data"]?["hint"] else {
        throw TestClientFailure(description: "no hint")
      }
      #expect(hint.contains("line of its own"))
    }
  }

  @Test func `an error of the commands is answered with its data`() async throws {
    let commands = ScriptedCommands { (_) throws(ControlError) in
      throw ControlError(.needsLogin, "log in at https://ehr/x", hint: "fhirctl login epic", retryAfterSeconds: 5)
    }
    try await withServer(commands) { server in
      let client = try server.client()
      try client.send(infoLine + "\n")
      #expect(
        try client.line()
          == #"{"jsonrpc":"2.0","id":1,"error":{"code":-32010,"data":{"code":"NEEDS_LOGIN","detail":"log in at https://ehr/x","hint":"fhirctl login epic","retry_after_seconds":5,"type":"oauth_error"},"message":"log in at https://ehr/x"}}"#
      )
    }
  }

  @Test func `timeout_seconds is the server's and no command sees it`() async throws {
    let seen = Mutex<ControlCall?>(nil)
    let commands = ScriptedCommands { (call) throws(ControlError) in
      seen.withLock { $0 = call }
      return Array("{}".utf8)
    }
    try await withServer(commands) { server in
      let before = BootClock().now()
      _ = try server.client().ask(
        #"{"jsonrpc":"2.0","id":1,"method":"connection.get","params":{ "connection" : "a,b", "timeout_seconds":2.5 ,"x":{"timeout_seconds":1}}}"#
      )
      let call = try #require(seen.withLock { $0 })
      #expect(String(decoding: call.parameters, as: UTF8.self) == #"{"connection" : "a,b","x":{"timeout_seconds":1}}"#)
      let span = call.deadline - before
      #expect(span >= .milliseconds(2400) && span <= .milliseconds(12_500))
    }
  }

  @Test func `a command that takes too long is answered TIMEOUT and cancelled`() async throws {
    let cancelled = Mutex(false)
    let commands = ScriptedCommands { (call) throws(ControlError) in
      guard call.method == .connectionTest else { return Array("{}".utf8) }
      try? await Task.sleep(for: .seconds(60))  // to be cancelled
      cancelled.withLock { $0 = Task.isCancelled }
      return Array("{\"late\":true}".utf8)
    }
    try await withServer(commands) { server in
      let client = try server.client()
      let answer = try client.ask(
        #"{"jsonrpc":"2.0","id":5,"method":"connection.test","params":{"timeout_seconds":0.05}}"#)
      #expect(answer["id"] == .integer(5))
      #expect(answer.errorCode == .string("TIMEOUT"))
      #expect(await soon { cancelled.withLock { $0 } })
      #expect(await soon { await server.server.statistics().underWay == 0 })
      // The late answer is not sent after all.
      #expect(try client.ask(infoLine)["id"] == .integer(1))
    }
  }

  @Test func `a request without an id is carried out and not answered`() async throws {
    let calls = Mutex(0)
    let commands = ScriptedCommands { (call) throws(ControlError) in
      calls.withLock { $0 += 1 }
      return Array("{}".utf8)
    }
    try await withServer(commands) { server in
      let client = try server.client()
      try client.send(#"{"jsonrpc":"2.0","method":"server.info"}"# + "\n")
      try client.send(#"{"jsonrpc":"2.0","method":"no.such"}"# + "\n")
      #expect(try client.ask(infoLine)["id"] == .integer(1))
      #expect(await soon { calls.withLock { $0 } == 2 })
      // Also when its client leaves at once.
      try server.client().send(#"{"jsonrpc":"2.0","method":"server.info"}"# + "\n")
      #expect(await soon { calls.withLock { $0 } == 3 })
    }
  }

  @Test func `answers come as they are ready`() async throws {
    let gate = AsyncStream<Void>.makeStream()
    let commands = ScriptedCommands { (call) throws(ControlError) in
      if call.method == .connectionTest { for await _ in gate.stream { break } }
      return Array("{}".utf8)
    }
    try await withServer(commands) { server in
      let client = try server.client()
      try client.send(#"{"jsonrpc":"2.0","id":"slow","method":"connection.test"}"# + "\n" + infoLine + "\n")
      #expect(try client.answer()["id"] == .integer(1))
      gate.continuation.yield()
      #expect(try client.answer()["id"] == .string("slow"))
    }
  }

  @Test func `stopping lets what is under way finish and refuses the rest`() async throws {
    let gate = AsyncStream<Void>.makeStream()
    let server = try await TestServer(
      ScriptedCommands { (_) throws(ControlError) in
        for await _ in gate.stream { break }
        return Array("{}".utf8)
      })
    let client = try server.client()
    try client.send(infoLine + "\n")
    #expect(await soon { await server.server.statistics().underWay == 1 })
    async let stopped: Void = server.stop(gracePeriod: .seconds(20))
    #expect(await soon { (try? server.client()) == nil })
    let refused = try client.ask(#"{"jsonrpc":"2.0","id":2,"method":"server.info"}"#)
    #expect(refused.errorCode == .string("SHUTTING_DOWN"))
    gate.continuation.yield()
    #expect(try client.answer()["id"] == .integer(1))
    await stopped
    #expect(try client.line() == nil)
    #expect(access(server.path, F_OK) != 0)
  }

  @Test func `what is not done in the grace period is answered SHUTTING_DOWN`() async throws {
    let server = try await TestServer(
      ScriptedCommands { (_) throws(ControlError) in
        try? await Task.sleep(for: .seconds(60))  // to be cancelled
        return Array("{}".utf8)
      })
    let client = try server.client()
    try client.send(infoLine + "\n")
    #expect(await soon { await server.server.statistics().underWay == 1 })
    await server.stop(gracePeriod: .milliseconds(20))
    #expect(try client.answer().errorCode == .string("SHUTTING_DOWN"))
    #expect(try client.line() == nil)
    await server.stop(gracePeriod: .zero)
  }

  @Test func `the loop answers the watchdog`() async throws {
    try await withServer { server in await server.server.ping() }
  }
}

@Suite struct ControlListenerTests {
  private let path = NSTemporaryDirectory() + "listener-\(UUID().uuidString.prefix(8)).sock"

  @Test func `everybody may connect to the file`() throws {
    let listener = try ControlListener(path: path)
    defer { unlink(path) }
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o666)
    withExtendedLifetime(listener) {}
  }

  @Test func `a socket that is served is left alone, a dead one is replaced`() throws {
    defer { unlink(path) }
    do {
      let first = try ControlListener(path: path)
      #expect(throws: ControlListener.Failure.self) { try ControlListener(path: path) }
      withExtendedLifetime(first) {}
    }
    // Its process is gone, the file is still there.
    #expect(access(path, F_OK) == 0)
    _ = try ControlListener(path: path)
  }

  @Test func `a file that is no socket is never removed`() throws {
    defer { unlink(path) }
    try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
    #expect(throws: ControlListener.Failure.self) { try ControlListener(path: path) }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
  }

  @Test func `a path that is too long says how long it may be`() {
    let failure = #expect(throws: ControlListener.Failure.self) {
      try ControlListener(path: "/" + String(repeating: "x", count: 107))
    }
    #expect(failure?.description.contains("107") == true)
  }

  @Test func `only a listening stream socket is taken over`() throws {
    var ends: [Int32] = [0, 0]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { ends.forEach { close($0) } }
    #expect(throws: ControlListener.Failure.self) { try ControlListener(adopting: ends[0]) }
    #expect(throws: ControlListener.Failure.self) { try ControlListener(adopting: 0) }
  }
}
