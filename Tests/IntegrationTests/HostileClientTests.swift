/// Clients that misbehave: the daemon answers what can be answered, cuts off the rest, and everybody else is served.
import FHIRControl
import TestSupport
import Testing

@Suite("hostile clients", .needs(.python3, .daemon))
struct HostileClientTests {
  private func stillServes(_ stage: Stage) async throws {
    let fresh = try await stage.daemon.connect()
    try await fresh.result("server.info")
    fresh.close()
  }

  @Test func `bad JSON is answered and the connection goes on`() async throws {
    try await onStage { stage in
      for line in ["{", "not json", "\"text\"", "17", "null", "{\"jsonrpc\":\"2.0\"}", "\u{0}\u{1}", "{}"] {
        try await stage.control.write(line: line)
        let answer = try await stage.control.readAnswer()
        #expect([.parseError, .invalidRequest].contains(code(answer)), "\(line.debugDescription): \(answer)")
        #expect(answer.id == .null)
      }
      try await stage.control.write(bytes: [0xff, 0xfe, 0x0a])
      #expect(code(try await stage.control.readAnswer()) == .parseError)
      try await stage.control.result("server.info")
    }
  }

  @Test func `a batch is refused with a clear error`() async throws {
    try await onStage { stage in
      try await stage.control.write(line: #"[{"jsonrpc":"2.0","id":1,"method":"server.info"}]"#)
      let answer = try await stage.control.readAnswer()
      #expect(code(answer) == .invalidRequest)
      #expect(answer.description.contains("batch"))
    }
  }

  @Test func `unknown methods and parameters are refused by name`() async throws {
    try await onStage { stage in
      let method = try await stage.control.call("connection.explode", [:])
      #expect(method.error["code"] == -32601)
      #expect(method.description.contains("connection.explode"))
      let parameter = try await stage.control.call("connection.get", ["connection": "c", "conection": "c"])
      #expect(parameter.error["code"] == -32602)
      #expect(parameter.description.contains("conection"))
      let missing = try await stage.control.call("token.get", [:])
      #expect(missing.error["code"] == -32602)
      #expect(missing.description.contains("connection"))
      let type = try await stage.control.call("token.get", ["connection": 5])
      #expect(type.error["code"] == -32602)
      let list = try await stage.control.call("token.get", ["c"])
      #expect(list.error["code"] == -32602)
    }
  }

  @Test func `a request without an id gets no answer`() async throws {
    try await onStage { stage in
      try await stage.control.write(line: #"{"jsonrpc":"2.0","method":"server.info"}"#)
      let answer = try await stage.control.call("server.info")
      #expect(answer.id == 1)
    }
  }

  @Test func `ids of every allowed kind come back as they were`() async throws {
    try await onStage { stage in
      for id in ["\"a\\u00e9\\n\"", "-7", "9007199254740993", "1.5", "\"\""] {
        try await stage.control.write(line: #"{"jsonrpc":"2.0","id":\#(id),"method":"server.info"}"#)
        let line = try #require(try await stage.control.readLine())
        #expect(try WireJSON(parsing: line)["id"] == WireJSON(parsing: "[\(id)]")[0])
      }
    }
  }

  @Test func `a line without an end is cut off after one error`() async throws {
    try await onStage { stage in
      let client = try await stage.daemon.connect()
      let megabyte = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
      // The daemon may close before it has read everything: that is its right.
      try? await client.write(bytes: megabyte + megabyte)
      let answer = try await client.readAnswer()
      #expect([.parseError, .invalidRequest].contains(code(answer)))
      #expect(try await client.readLine() == nil)
      try await stillServes(stage)
    }
  }

  @Test func `a line of almost a mebibyte is taken`() async throws {
    try await onStage { stage in
      let note = String(repeating: "n", count: (1 << 20) - 200)
      let line = #"{"jsonrpc":"2.0","id":1,"method":"connection.get","params":{"connection":"\#(note)"}}"#
      try await stage.control.write(line: line)
      let answer = try await stage.control.readAnswer()
      #expect(answer.id == 1)
      #expect(!answer.succeeded)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `a client that never reads is cut off and nobody else notices`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      let deaf = try await stage.daemon.connect()
      // Answers of 600 bytes and more: the daemon's buffer for this client passes any sensible limit.
      let outcome = try? await {
        for _ in 0..<400 { _ = try await deaf.begin("token.get", ["connection": "c"], times: 500) }
        return "everything was taken"
      }()
      for _ in 0..<20 { _ = try await stage.token("c") }
      if outcome == nil { try await stillServes(stage) }
      #expect(try #require(stage.daemon.residentKiB) < 300_000)
    }
  }

  @Test func `a client that sends one byte at a time is served`() async throws {
    try await onStage { stage in
      let slow = try await stage.daemon.connect()
      for byte in Array(#"{"jsonrpc":"2.0","id":9,"method":"server.info"}"#.utf8) + [10] {
        try await slow.write(bytes: [byte])
      }
      #expect(try await slow.readAnswer().id == 9)
    }
  }

  @Test func `a client that half-closes still gets its answers`() async throws {
    try await onStage { stage in
      let client = try await stage.daemon.connect()
      let ids = try await client.begin("server.info", [:], times: 50)
      client.shutWriting()
      for id in ids { #expect(try await client.answer(to: id).succeeded) }
      #expect(try await client.readLine() == nil)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `a thousand idle clients cost little and hinder nobody`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      let before = try #require(stage.daemon.residentKiB)
      var idle: [ControlConnection] = []
      for _ in 0..<1000 { idle.append(try await stage.daemon.connect()) }
      for _ in 0..<50 { _ = try await stage.token("c") }
      // The last that came is served like the first.
      try await idle[999].result("server.info")
      let after = try #require(stage.daemon.residentKiB)
      #expect(after - before < 64_000, "\(after - before) KiB for a thousand idle clients")
      for client in idle { client.close() }
      try await stillServes(stage)
    }
  }

  @Test func `more clients than allowed are refused, and room comes back`() async throws {
    try await onStage { options in
      options.environment["FHIRD_CLIENTS_MAX"] = "16"
    } _: { stage in
      var clients: [ControlConnection] = []
      var refused = 0
      for _ in 0..<40 {
        guard let client = try? await stage.daemon.connect() else { continue }
        if let answer = try? await client.call("server.info", within: 5), answer.succeeded {
          clients.append(client)
        } else {
          refused += 1
        }
      }
      #expect(clients.count <= 16)
      #expect(refused >= 24)
      for client in clients { client.close() }
      _ = try await eventually("there is room again") { () -> Bool? in
        guard let client = try? await stage.daemon.connect() else { return nil }
        return (try? await client.call("server.info", within: 5))?.succeeded == true ? true : nil
      }
    }
  }

  @Test func `a client that vanishes in the middle leaves no request behind`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      for _ in 0..<20 {
        let client = try await stage.daemon.connect()
        try await client.begin("token.get", ["connection": "c"])
        client.close()
      }
      try await stage.server.release("gate")
      _ = try await stage.token("c")
      #expect(try await stage.server.stats()["high_water"]["/token"] == 1)
    }
  }
}
