/// The issuer's keys: asked for once, kept, asked for again when a token speaks against them.
import FHIRControl
import TestSupport
import Testing

@Suite("the issuer's key set", .needs(.python3, .daemon))
struct KeySetTests {
  private func createApp(_ stage: Stage, published: [WireJSON] = ["one"]) async throws {
    try await publish(stage, published, signing: "one")
    try await stage.createApp("app", ["scope": "openid fhirUser patient/*.rs"])
  }

  private func publish(_ stage: Stage, _ kids: [WireJSON], signing kid: WireJSON) async throws {
    try await stage.server.settings([
      "openid": ["kid": kid, "published": .array(kids), "claims": ["fhirUser": "Practitioner/7"]]
    ])
  }

  /// A login, and what its id_token came to.
  private func logIn(_ stage: Stage) async throws -> String {
    try await stage.logIn("app")
    return try #require(try await stage.status("app")["identity"].string)
  }

  private func requests(_ stage: Stage) async throws -> Int { try await stage.server.count(path: "/jwks") }

  @Test func `R6.08 with keys in the store a login makes no request for them, also after a restart`() async throws {
    try await onStage { stage in
      try await createApp(stage)
      #expect(try await logIn(stage) == "verified")
      #expect(
        try await stage.control.result("token.get", ["connection": "app"])["context"]["fhirUser"] == "Practitioner/7")
      #expect(try await requests(stage) == 1)
      for _ in 0..<3 { #expect(try await logIn(stage) == "verified") }
      #expect(try await requests(stage) == 1)
      #expect(try await stage.daemon.terminate() == .exited(0))
      try await stage.daemon.start()
      let again = Stage(server: stage.server, daemon: stage.daemon, control: try await stage.daemon.connect())
      #expect(try await logIn(again) == "verified")
      #expect(try await requests(stage) == 1)
    }
  }

  @Test func `a key that the issuer has rotated in is found by one more request`() async throws {
    try await onStage { stage in
      try await createApp(stage)
      #expect(try await logIn(stage) == "verified")
      try await publish(stage, ["one", "two"], signing: "two")
      #expect(try await logIn(stage) == "verified")
      #expect(try await requests(stage) == 2)
      #expect(try await logIn(stage) == "verified")
      #expect(try await requests(stage) == 2)
      // The second request was asked by the first one's tag.
      let asked = try await stage.server.log(path: "/jwks")
      #expect(asked.map { $0["headers"]["If-None-Match"].exists } == [false, true], "\(asked.map(\.text))")
    }
  }

  @Test func `forged key ids make one request, and not one with every token`() async throws {
    try await onStage { stage in
      try await createApp(stage)
      #expect(try await logIn(stage) == "verified")
      for kid: WireJSON in ["forged-1", "forged-2", "forged-3", "forged-4"] {
        try await publish(stage, ["one"], signing: kid)
        #expect(try await logIn(stage).hasPrefix("unverified"))
      }
      #expect(try await requests(stage) == 2)
      try await publish(stage, ["one"], signing: "one")
      #expect(try await logIn(stage) == "verified")
      #expect(try await requests(stage) == 2)
    }
  }

  @Test func `an issuer that cannot be reached hinders nobody whose keys are known`() async throws {
    try await onStage { stage in
      try await createApp(stage)
      #expect(try await logIn(stage) == "verified")
      for rule: WireJSON in [["drop": "reset"], ["status": 503], ["body": "<html>", "content_type": "text/html"]] {
        try await stage.server.rule(rule.merging(["path": "/jwks"]))
        #expect(try await logIn(stage) == "verified")
      }
      // The token of an unknown key is not believed, and the good keys are kept.
      try await publish(stage, ["one"], signing: "forged")
      #expect(try await logIn(stage).hasPrefix("unverified"))
      try await publish(stage, ["one"], signing: "one")
      #expect(try await logIn(stage) == "verified")
    }
  }

  @Test func `a set that is too large is not read, and the login stands`() async throws {
    try await onStage { stage in
      try await createApp(stage)
      try await stage.server.rule(["path": "/jwks", "stream_bytes": 300_000, "content_type": "application/json"])
      #expect(try await logIn(stage).hasPrefix("unverified"))
      try await stage.expectGoodToken("app")
      try await stage.server.dropRules()
      #expect(try await logIn(stage) == "verified")
    }
  }
}
