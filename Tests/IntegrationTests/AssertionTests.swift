/// Clients that prove themselves with a key (`private_key_jwt`), against a server that checks every assertion.
import FHIRControl
import TestSupport
import Testing

@Suite("client assertions", .needs(.python3, .daemon))
struct AssertionTests {
  private static let backend: WireJSON = ["connection": "backend"]

  /// A backend service whose key the server knows.
  private func prepare(_ stage: Stage, _ algorithm: String, _ fields: WireJSON = [:]) async throws {
    let own: WireJSON = ["client_authentication": "private_key_jwt", "client_secret": .null]
    try await stage.create("backend", own.merging(fields))
    try await stage.control.result("key.create", Self.backend.merging(["algorithm": .string(algorithm)]))
    try await publish(stage)
  }

  /// The server reads the key set anew.
  private func publish(_ stage: Stage) async throws {
    try await stage.server.settings(["assertion_jwks": try await stage.control.result("jwks.get", Self.backend)])
  }

  private func refresh(_ stage: Stage) async throws {
    _ = try await eventually("the floor between refreshes has passed", every: 0.2) { () -> Bool? in
      let answer = try await stage.control.call("token.refresh", Self.backend)
      if code(answer) == .throttled { return nil }
      #expect(answer.succeeded, "\(answer)")
      return true
    }
  }

  @Test(arguments: ["ES384", "RS384"])
  func `R5.06 to R5.10 R5.15 R7.11 every token request has an assertion of its own, and no other proof`(
    algorithm: String
  )
    async throws
  {
    try await onStage { stage in
      try await prepare(stage, algorithm)
      let token = try await stage.token("backend")
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
      try await refresh(stage)
      let stats = try await stage.server.stats()
      // The server refuses a jti that it has seen, an aud that is not its token endpoint, and an exp too far ahead.
      #expect(stats["assertions_good"] == 2, "\(stats["assertion_problems"].text)")
      #expect(stats["assertion_problems"] == [])
      for request in try await stage.server.log(path: "/token") {
        #expect(request["form"]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        #expect(request["form"]["grant_type"] == "client_credentials", "R5.15 R7.11 never a refresh request")
        #expect(request["form"]["client_secret"] == .null)
        #expect(request["headers"]["Authorization"] == .null)
      }
    }
  }

  @Test func `R5.09 a key that signs what the server does not take is not shown to it`() async throws {
    try await onStage { stage in
      // It lists RS384 and ES384.
      try await prepare(stage, "ES256")
      let answer = try await stage.control.call("token.get", Self.backend)
      #expect(code(answer) == .invalidClient)
      #expect(answer.error["data"]["hint"].string?.contains("--algorithm") == true, "\(answer)")
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `R5.08 a request that failed is not repeated with its assertion`() async throws {
    try await onStage { stage in
      try await prepare(stage, "ES384")
      try await stage.server.rule(["path": "/token", "times": 1, "lose_reply": true])
      _ = try await eventually("a token after a lost reply", every: 0.2) { () -> Bool? in
        try await stage.control.call("token.get", Self.backend).succeeded ? true : nil
      }
      let stats = try await stage.server.stats()
      #expect(stats["assertions_good"] == 2)
      #expect(stats["assertion_problems"] == [])
    }
  }

  @Test func `R5.12 both keys are published through a rotation, and a server that reads the set late loses nothing`()
    async throws
  {
    try await onStage { stage in
      try await prepare(stage, "ES384")
      _ = try await stage.token("backend")
      try await stage.control.result("key.rotate", Self.backend.merging(["overlap_seconds": 3600]))
      #expect(try await stage.control.result("jwks.get", Self.backend)["keys"].array.count == 2)
      // The server has not looked yet: the old key still signs.
      try await refresh(stage)
      try await publish(stage)
      try await refresh(stage)
      try await stage.control.result("key.rotate", Self.backend.merging(["overlap_seconds": 0]))
      try await refresh(stage)
      #expect(try await stage.server.stats()["assertion_problems"] == [])
    }
  }

  @Test func `without a key the error names the command that makes one`() async throws {
    try await onStage { stage in
      try await stage.create("backend", ["client_authentication": "private_key_jwt", "client_secret": .null])
      let answer = try await stage.control.call("token.get", Self.backend)
      #expect(code(answer) == .invalidClient)
      #expect(answer.error["data"]["hint"].string?.contains("fhirctl key create") == true, "\(answer)")
      #expect(try await stage.server.count(path: "/token") == 0)
      // With a key the refusal is forgotten; nobody has to wait for the next attempt.
      try await stage.control.result("key.create", Self.backend)
      try await publish(stage)
      #expect(try await stage.control.call("token.get", Self.backend).succeeded)
    }
  }

  @Test func `a login, its refreshes and its revocation are signed as well`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("backend", ["client_authentication": "private_key_jwt", "client_secret": .null])
      try await stage.control.result("key.create", Self.backend)
      try await publish(stage)
      try await stage.logIn("backend")
      try await refresh(stage)
      let revoked = try await stage.control.result("token.revoke", Self.backend)
      #expect(revoked["server"].array.allSatisfy { $0["outcome"] == "revoked" }, "\(revoked.text)")
      let stats = try await stage.server.stats()
      #expect(stats["assertions_good"] == 4, "\(stats["assertion_problems"].text)")
      #expect(stats["assertion_problems"] == [])
    }
  }
}
