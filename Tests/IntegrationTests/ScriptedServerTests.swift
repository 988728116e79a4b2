/// The scripted server does what the other suites rely on.
import TestSupport
import Testing

@Suite("the scripted server", .needs(.python3))
struct ScriptedServerTests {
  private static let secret = "s/e+c ret:with%everything"

  private func withServer(_ body: (ScriptedServer) async throws -> Void) async throws {
    let server = try await ScriptedServer.start()
    defer { server.stop() }
    try await server.register(client: "a", secret: Self.secret)
    try await body(server)
  }

  private func askToken(_ server: ScriptedServer, secret: String = Self.secret) async throws -> LoopbackHTTP.Reply {
    let encoded = secret.utf8.map { "%" + String($0, radix: 16).uppercased().leftPadded }.joined()
    return try await LoopbackHTTP.request(
      port: UInt16(server.port), method: "POST", path: "/token",
      body: "grant_type=client_credentials&client_id=a&client_secret=\(encoded)&scope=system/*.rs",
      headers: ["Content-Type": "application/x-www-form-urlencoded"])
  }

  @Test func `it issues tokens that its reads admit, and counts both`() async throws {
    try await withServer { server in
      let reply = try await askToken(server)
      let token = try #require(WireJSON(parsing: reply.body)["access_token"].string)
      #expect(try await server.read("/fhir/Patient/1", token: token) == 200)
      #expect(try await server.read("/fhir/Patient/1", token: "another") == 401)
      #expect(try await server.count(path: "/token") == 1)
      #expect(try await server.secrets().contains(token))
      #expect(try await server.log(path: "/token").first?["form"]["client_secret"] == "(redacted)")
    }
  }

  @Test func `it refuses a wrong secret with invalid_client`() async throws {
    try await withServer { server in
      let reply = try await askToken(server, secret: "wrong")
      #expect(reply.status == 401)
      #expect(try WireJSON(parsing: reply.body)["error"] == "invalid_client")
    }
  }

  @Test func `a rule with times is used up, then the standing one holds`() async throws {
    try await withServer { server in
      try await server.rule(["path": "/token", "status": 503])
      try await server.rule(["path": "/token", "times": 1, "status": 429, "headers": ["Retry-After": "7"]])
      let statuses = [try await askToken(server).status, try await askToken(server).status]
      #expect(statuses == [429, 503])
      try await server.dropRules()
      #expect(try await askToken(server).status == 200)
    }
  }

  @Test func `it holds requests until they are released, and says how many it holds`() async throws {
    try await withServer { server in
      try await server.rule(["path": "/token", "hold": "gate"])
      async let first = askToken(server)
      async let second = askToken(server)
      _ = try await eventually("both are held") { try await server.inFlight(path: "/token") == 2 ? true : nil }
      try await server.release("gate")
      #expect(try await [first.status, second.status] == [200, 200])
      #expect(try await server.stats()["high_water"]["/token"] == 2)
    }
  }

  @Test(arguments: ["before_reading", "after_reading", "reset", "half_body"])
  func `it drops connections as told`(how: String) async throws {
    try await withServer { server in
      try await server.rule(["path": "/token", "times": 1, "drop": .string(how)])
      let reply = try? await askToken(server)
      #expect((reply?.body).flatMap { try? WireJSON(parsing: $0) } == nil)
      #expect(try await askToken(server).status == 200)
    }
  }
}

extension String {
  var leftPadded: String { utf8.count < 2 ? "0" + self : self }
}
