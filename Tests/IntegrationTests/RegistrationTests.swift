/// Dynamic client registration (RFC 7591) and client certificates, against the scripted server.
import FHIRControl
import TestSupport
import Testing

@Suite("registration", .needs(.python3, .daemon, .fhirctl))
struct RegistrationTests {
  private static let token = "initial-access-token-of-the-tests"

  private func atServer(_ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.server.settings(["registration": ["token": .string(Self.token)], "refresh_tokens": true])
      try await play(stage)
    }
  }

  private func unregistered(_ fields: WireJSON) -> WireJSON {
    let base: WireJSON = ["registration": "dynamic", "client_id": .null, "client_secret": .null]
    return base.merging(fields)
  }

  @Test func `R2.08 a client with a secret is registered, and its tokens come`() async throws {
    try await atServer { stage in
      try await stage.create("there", unregistered([:]))
      let early = try await stage.control.call("token.get", ["connection": "there"])
      #expect(code(early) == .invalidClient)
      #expect(early.error["data"]["hint"].string?.contains("connection register") == true, "\(early)")
      let refused = try await stage.control.call(
        "connection.register", ["connection": "there", "initial_access_token": "another-token"])
      #expect(code(refused) == .invalidClient, "\(refused)")
      #expect(!refused.error.text.contains("another-token"), "a server that repeats the token does not bring it out")
      let done = try await stage.daemon.fhirctl(
        ["connection", "register", "there", "--initial-access-token-file", "-"], input: Self.token + "\n")
      #expect(done.succeeded && done.output.contains("dyn-"), "\(done)")
      let shown = try await stage.control.result("connection.get", ["connection": "there"])
      #expect(shown["has_client_secret"] == true)
      #expect(!shown.text.contains("cs-"))
      _ = try await stage.token("there")
      let asked = try await stage.server.log(path: "/register").last?["asked"]
      #expect(asked?["grant_types"] == ["client_credentials"] && asked?["response_types"] == [])
      #expect(asked?["token_endpoint_auth_method"] == "client_secret_basic")
    }
  }

  @Test func `a client with a key is registered by its key set`() async throws {
    try await atServer { stage in
      try await stage.create("there", unregistered(["client_authentication": "private_key_jwt"]))
      let ask: WireJSON = ["connection": "there", "initial_access_token": .string(Self.token)]
      #expect(code(try await stage.control.call("connection.register", ask)) == .validationFailed, "no key yet")
      try await stage.control.result("key.create", ["connection": "there"])
      let made = try await stage.control.result("connection.register", ask)
      #expect(made["has_client_secret"] == false)
      _ = try await stage.token("there")
      let asked = try await stage.server.log(path: "/register").last?["asked"]
      #expect(asked?["jwks"]["keys"].array.first?["d"] == .null)
    }
  }

  @Test func `a client of people is registered with its redirect URI, and they log in`() async throws {
    try await atServer { stage in
      try await stage.createApp("app", unregistered(["client_authentication": "none"]))
      let early = try await stage.control.call("authorization.start", ["connection": "app"])
      #expect(code(early) == .invalidClient)
      try await stage.control.result(
        "connection.register", ["connection": "app", "initial_access_token": .string(Self.token)])
      try await stage.logIn("app")
      let asked = try await stage.server.log(path: "/register").last?["asked"]
      #expect(asked?["redirect_uris"] == [.string(Stage.redirectURI)])
    }
  }

  @Test func `answers that register nobody change nothing`() async throws {
    try await atServer { stage in
      try await stage.create("there", unregistered([:]))
      for answer: WireJSON in [["client_id": ""], ["client_id": 7], ["error": "invalid_client_metadata"]] {
        try await stage.server.settings(["registration": ["answer": answer]])
        let refused = try await stage.control.call("connection.register", ["connection": "there"])
        #expect([.serverAnswerUnusable, .invalidClient].contains(code(refused)), "\(refused)")
      }
      let shown = try await stage.control.result("connection.get", ["connection": "there"])
      #expect(shown["fields"]["client_id"] == .null && shown["generation"] == 1, "\(shown.text)")
      try await stage.server.settings(["registration": .null])
      let none = try await stage.control.call("connection.register", ["connection": "there"])
      #expect(code(none) == .notSupportedByServer, "\(none)")
    }
  }

  @Test func `R5.16 tls_client_auth needs a certificate and sends the client id alone`() async throws {
    try await onStage { stage in
      let bare = try await stage.control.call(
        "connection.create",
        stage.connection("there", ["client_authentication": "tls_client_auth", "client_secret": .null]))
      #expect(bare.error.text.contains("client_certificate_file"), "\(bare)")
      // Read when a server asks for it, which one without TLS does not.
      let file = stage.daemon.masterKeyPath
      try await stage.server.register(client: Stage.clientID, secret: "unused", ["methods": ["none"]])
      try await stage.create(
        "there",
        ["client_authentication": "tls_client_auth", "client_secret": .null, "client_certificate_file": .string(file)])
      _ = try await stage.token("there")
      let request = try #require(try await stage.server.log(path: "/token").last)
      #expect(request["form"]["client_id"] == .string(Stage.clientID))
      #expect(request["form"]["client_secret"] == .null)
    }
  }
}
