/// Tokens by client credentials: every way to authenticate, every place to find the endpoint, every shape of lifetime.
import FHIRControl
import TestSupport
import Testing

@Suite("tokens", .needs(.python3, .daemon))
struct TokenTests {
  /// Differs in every character class when form-urlencoded.
  private static let oddSecret = "p+w/d: %41&=ü"
  private static let oddID = "client:with/odd chars"

  @Test func `a token is obtained, served with its facts, and admits to the server`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["extra": ["patient": "p-1", "need_patient_banner": true]])
      try await stage.create("c")
      let result = try await stage.control.result("token.get", ["connection": "c"])
      let token = try #require(result["access_token"].string)
      #expect(result["token_type"].string?.lowercased() == "bearer")
      #expect(result["scope"] == "system/*.rs")
      #expect(result["fhir_base_url"] == .string(stage.server.base()))
      #expect(result["context"]["patient"] == "p-1")
      #expect(result["context"]["need_patient_banner"] == true)
      #expect((280...300).contains(try #require(result["expires_in"].int)))
      #expect(Timestamp(try #require(result["expires_at"].string)) != nil)
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
      #expect(try await stage.token("c") == token)
      #expect(try await stage.server.count(path: "/token") == 1)
      let request = try #require(try await stage.server.log(path: "/token").first)
      #expect(request["form"]["grant_type"] == "client_credentials")
      #expect(request["form"]["scope"] == "system/*.rs")
      #expect(request["form"]["client_secret"] == .null)
      #expect(request["query"] == "")
    }
  }

  @Test(arguments: ["rfc6749", "raw"])
  func `client_secret_basic encodes as the connection says`(encoding: String) async throws {
    try await onStage { stage in
      // A raw pair cannot carry a colon in the id: RFC 7617 ends the user name there.
      let id = encoding == "raw" ? "client with/odd chars" : Self.oddID
      try await stage.server.register(
        client: id, secret: Self.oddSecret, ["methods": ["basic"], "encoding": .string(encoding)])
      try await stage.create(
        "c",
        ["client_id": .string(id), "client_secret": .string(Self.oddSecret), "basic_encoding": .string(encoding)])
      _ = try await stage.token("c")
      #expect(try await stage.server.log(path: "/token").map { $0["auth"] } == [.string("basic_\(encoding)")])
    }
  }

  @Test func `R3.03 a server that knows v1 alone is asked in v1, unless the operator says otherwise`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["metadata": ["capabilities": ["permission-v1"]]])
      for (name, way, scope) in [("auto", "auto", "system/*.read"), ("plain", "as_written", "system/*.rs")] {
        try await stage.create(name, ["scope_version": .string(way)])
        _ = try await stage.token(name)
        #expect(try await stage.server.log(path: "/token").last?["form"]["scope"].string == scope)
        #expect(try await stage.status(name)["state"] == "active", "the same access in other words")
      }
    }
  }

  @Test func `R2.11 what a test of the connection discovers counts from then on`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      try await stage.server.settings(["metadata": ["token_endpoint": .string(stage.server.origin + "/moved/token")]])
      _ = try await stage.control.result("connection.test", ["connection": "c"], within: 130)
      let shown = try await stage.control.result("connection.get", ["connection": "c"])
      #expect(shown["endpoints"]["token_url"]["url"].string == stage.server.origin + "/moved/token", "\(shown.text)")
    }
  }

  @Test func `R2.11 a token endpoint that has moved is looked for, and found`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      try await stage.server.rule(["path": "/token", "status": 404, "body": "<html>gone</html>"])
      try await stage.server.settings(["metadata": ["token_endpoint": .string(stage.server.origin + "/moved/token")]])
      _ = try await eventually("the floor between refreshes has passed", within: 20, every: 0.3) { () -> Bool? in
        let answer = try await stage.control.call("token.refresh", ["connection": "c"])
        #expect(answer.succeeded || code(answer) == .throttled, "\(answer)")
        return answer.succeeded ? true : nil
      }
      #expect(try await stage.server.count(path: "/token") == 2, "asked once in the old place")
      #expect(try await stage.server.count(path: "/moved/token") == 1)
    }
  }

  @Test func `client_secret_post carries both in the body and nothing in the header`() async throws {
    try await onStage { stage in
      try await stage.server.register(client: Self.oddID, secret: Self.oddSecret, ["methods": ["post"]])
      try await stage.create(
        "c",
        [
          "client_id": .string(Self.oddID), "client_secret": .string(Self.oddSecret),
          "client_authentication": "client_secret_post",
        ])
      _ = try await stage.token("c")
      let request = try #require(try await stage.server.log(path: "/token").first)
      #expect(request["auth"] == "post")
      #expect(request["headers"].object.keys.allSatisfy { $0.lowercased() != "authorization" })
    }
  }

  @Test func `extra parameters and headers go along`() async throws {
    try await onStage { stage in
      try await stage.create(
        "c", ["extra_parameters": ["resource": "urn:x"], "extra_headers": ["Epic-Client-ID": "abc"]])
      _ = try await stage.token("c")
      let request = try #require(try await stage.server.log(path: "/token").first)
      #expect(request["form"]["resource"] == "urn:x")
      #expect(request["headers"].object.first { $0.key.lowercased() == "epic-client-id" }?.value == "abc")
    }
  }

  @Test func `an open server has no authorization and needs none`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["open": true])
      try await stage.create(
        "open",
        [
          "auth_method": "none", "client_authentication": .null, "client_id": .null, "client_secret": .null,
          "scope": .null,
        ])
      let answer = try await stage.control.call("token.get", ["connection": "open"])
      #expect(code(answer) == .noAuthorization)
      #expect(try await stage.status("open")["state"] == "open")
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test(arguments: ["smart-configuration", "oauth-metadata", "capability-statement"])
  func `the token endpoint is found and its source told`(source: String) async throws {
    try await onStage { stage in
      try await stage.server.settings(["discovery": .string(source)])
      // RFC 8414 metadata are of an issuer; without one the host's own are asked for.
      let issuer: WireJSON =
        source == "oauth-metadata" ? ["issuer": .string(stage.server.origin + "/tenant")] : .object([:])
      try await stage.create("c", tenant: "tenant", issuer)
      _ = try await stage.token("c")
      let connection = try await stage.control.result("connection.get", ["connection": "c"])
      #expect(connection["endpoints"]["token_url"]["source"] == .string(source))
      #expect(connection["endpoints"]["token_url"]["url"] == .string(stage.server.origin + "/tenant/token"))
    }
  }

  @Test func `HTML in the place of the smart-configuration is passed over`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["discovery": "capability-statement"])
      try await stage.server.rule(
        ["path": "*/smart-configuration", "status": 200, "body": "<html>welcome</html>", "content_type": "text/html"])
      try await stage.create("c")
      _ = try await stage.token("c")
      let connection = try await stage.control.result("connection.get", ["connection": "c"])
      #expect(connection["endpoints"]["token_url"]["source"] == "capability-statement")
    }
  }

  @Test func `a configured endpoint is used as it is`() async throws {
    try await onStage { stage in
      try await stage.create("c", tenant: "x", ["token_url": .string(stage.server.origin + "/elsewhere/token")])
      _ = try await stage.token("c")
      #expect(try await stage.server.count(path: "/elsewhere/token") == 1)
      let connection = try await stage.control.result("connection.get", ["connection": "c"])
      #expect(connection["endpoints"]["token_url"]["source"] == "configured")
    }
  }

  @Test func `a server that declares nothing is NOT_SUPPORTED_BY_SERVER with the cure`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["discovery": "none"])
      try await stage.create("c")
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      #expect(code(answer) == .notSupportedByServer)
      #expect(answer.description.contains("token_url") || answer.description.contains("--token-url"))
    }
  }

  /// What the server sends as `expires_in`, and the lifetimes that may come of it.
  private static let lifetimes: [(WireJSON, ClosedRange<Int>)] = [
    ("120", 100...120), (120.5, 100...121), ("absent", 30...3600), (0, 30...3600), (-5, 30...3600), (.null, 30...3600),
    ("soon", 30...3600), (1e18, 30...(10 * 365 * 86400)), ([1], 30...3600),
  ]

  @Test func `expires_in of any shape gives a sensible lifetime`() async throws {
    try await onStage { stage in
      for (i, (value, range)) in Self.lifetimes.enumerated() {
        try await stage.server.settings(["expires_in": value])
        try await stage.create("c\(i)", tenant: "t\(i)")
        let result = try await stage.control.result("token.get", ["connection": .string("c\(i)")])
        let seconds = try #require(result["expires_in"].int)
        #expect(range.contains(seconds), "expires_in \(value.text) became \(seconds)")
      }
    }
  }

  @Test func `less scope than asked makes the grant degraded and lists what is missing`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["scope": "system/Patient.rs"])
      try await stage.create("c", ["scope": "system/Patient.rs system/Observation.rs"])
      _ = try await stage.token("c")
      let status = try await stage.status("c")
      #expect(status["state"] == "degraded")
      #expect(status["missing_scope"] == ["system/Observation.rs"])
    }
  }

  @Test func `the same scopes in another order and grammar are not degraded`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["scope": "system/Patient.rs system/Observation.r system/Observation.s"])
      try await stage.create("c", ["scope": "system/Observation.read system/Patient.rs"])
      _ = try await stage.token("c")
      #expect(try await stage.status("c")["state"] == "active")
    }
  }

  @Test func `a token of many kilobytes is served whole`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["token_bytes": 12000])
      try await stage.create("c")
      let token = try await stage.token("c")
      #expect(token.utf8.count > 12000)
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
    }
  }

  @Test func `no answer but token.get holds the token or the secret`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let hunt = Hunt([try await stage.token("c"), Stage.clientSecret])
      for (method, parameters) in [
        ("token.status", ["connection": "c"]), ("token.refresh", ["connection": "c"]),
        ("connection.get", ["connection": "c"]), ("connection.list", [:]), ("health.get", [:]),
        ("server.info", [:]), ("access.list", [:]),
      ] as [(String, WireJSON)] {
        let answer = try await stage.control.call(method, parameters)
        #expect(hunt.found(in: answer.description).isEmpty, "\(method)")
      }
    }
  }
}
