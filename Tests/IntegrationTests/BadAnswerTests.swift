/// Token endpoints that answer nonsense: each has its code, none loses the configuration, and the next good answer heals.
import FHIRControl
import TestSupport
import Testing

@Suite("bad answers", .needs(.python3, .daemon))
struct BadAnswerTests {
  private struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let rule: WireJSON
    let codes: Set<ErrorCode>
    var testDescription: String { name }
    init(_ name: String, _ rule: WireJSON, _ codes: ErrorCode...) {
      self.name = name
      self.rule = rule
      self.codes = Set(codes)
    }
  }

  private static let cases: [Case] = [
    Case("HTML with 200", ["status": 200, "body": "<html>welcome</html>"], .serverAnswerUnusable),
    Case("HTML called JSON", ["body": "<html>", "content_type": "application/json"], .serverAnswerUnusable),
    Case("nothing with 200", ["status": 200, "body": ""], .serverAnswerUnusable),
    Case("an array", ["json": ["a", "token"]], .serverAnswerUnusable),
    Case("JSON cut off", ["body": "{\"access_token\":\"x", "content_type": "application/json"], .serverAnswerUnusable),
    Case("no access_token", ["json": ["token_type": "Bearer"]], .serverAnswerUnusable),
    Case("an empty access_token", ["json": ["access_token": "", "token_type": "Bearer"]], .serverAnswerUnusable),
    Case(
      "a token with a line break", ["json": ["access_token": "a\r\nX: y", "token_type": "Bearer"]],
      .serverAnswerUnusable),
    Case("a token that is a number", ["json": ["access_token": 5, "token_type": "Bearer"]], .serverAnswerUnusable),
    Case(
      "a token_type of another kind", ["json": ["access_token": "abcdef", "token_type": "mac"]], .serverAnswerUnusable),
    Case("an error with 200", ["json": ["error": "invalid_scope"]], .invalidScope),
    Case(
      "an error with a null description",
      ["status": 400, "json": ["error": "invalid_scope", "error_description": .null]], .invalidScope),
    Case(
      "an unknown error", ["status": 400, "json": ["error": "scope_invalid"]], .serverAnswerUnusable, .invalidScope),
    Case("a bare 400", ["status": 400, "body": ""], .serverAnswerUnusable),
    Case("unauthorized_client", ["status": 400, "json": ["error": "unauthorized_client"]], .unauthorizedClient),
    Case(
      "unsupported_grant_type", ["status": 400, "json": ["error": "unsupported_grant_type"]], .unsupportedGrantType),
    Case("404 in HTML", ["status": 404, "body": "<html>"], .serverAnswerUnusable),
    Case("500", ["status": 500, "body": "oops"], .serverUnreachable, .serverAnswerUnusable),
    Case("502 in HTML", ["status": 502, "body": "<html>bad gateway"], .serverUnreachable, .serverAnswerUnusable),
    Case("429", ["status": 429, "body": ""], .throttled),
    Case(
      "503 with Retry-After", ["status": 503, "headers": ["Retry-After": "1"], "body": ""], .serverUnreachable,
      .throttled),
    Case("half a body", ["drop": "half_body"], .serverUnreachable, .serverAnswerUnusable),
    Case("closed before reading", ["drop": "before_reading"], .serverUnreachable),
    Case("closed after reading", ["drop": "after_reading"], .serverUnreachable),
    Case("a reset", ["drop": "reset"], .serverUnreachable),
    Case("headers without an end", ["header_bytes": 2_000_000], .serverAnswerUnusable, .serverUnreachable),
    Case("a gigabyte", ["stream_bytes": 1_073_741_824], .serverAnswerUnusable),
    Case("a gigabyte in chunks", ["stream_bytes": 1_073_741_824, "stream_chunked": true], .serverAnswerUnusable),
    Case(
      "deep nesting", ["body": .string(String(repeating: "[", count: 200_000)), "content_type": "application/json"],
      .serverAnswerUnusable),
  ]

  @Test(.timeLimit(.minutes(4)))
  func `each has its code, keeps the connection, and heals`() async throws {
    try await onStage { stage in
      for (i, bad) in Self.cases.enumerated() {
        let name = "c\(i)"
        let made = try await stage.create(name, tenant: "t\(i)")
        let path = stage.server.tokenPath("t\(i)")
        try await stage.server.rule(bad.rule.merging(["path": .string(path)]))
        let answer = try await stage.control.call("token.get", ["connection": .string(name)], within: 70)
        #expect(code(answer).map(bad.codes.contains) == true, "\(bad.name): \(answer)")
        let kept = try await stage.control.result("connection.get", ["connection": .string(name)])
        #expect(kept["client_id"] == made["client_id"], "\(bad.name)")
        #expect(kept["has_client_secret"] == true, "\(bad.name)")
        #expect(kept["token"]["last_error"]["code"].string == answer.code, "\(bad.name)")
        try await stage.server.dropRules()
        let healed = try await stage.control.call("token.refresh", ["connection": .string(name)], within: 70)
        #expect(healed.succeeded, "\(bad.name): \(healed)")
        let token = try await stage.token(name)
        #expect(try await stage.server.read("/t\(i)/fhir/Patient/1", token: token) == 200, "\(bad.name)")
      }
      // A gigabyte was refused twice and never held.
      #expect(try #require(stage.daemon.residentKiB) < 200_000)
    }
  }

  @Test(arguments: [302, 307])
  func `a redirect of the token request is not followed`(status: Int) async throws {
    try await onStage { stage in
      try await stage.server.rule([
        "path": "/token", "status": .integer(Int64(status)), "body": "",
        "headers": ["Location": .string(stage.server.origin + "/thief/token")],
      ])
      try await stage.create("c")
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      #expect(code(answer) == .serverAnswerUnusable)
      #expect(try await stage.server.count(path: "/thief/token") == 0)
    }
  }

  @Test func `a server that hangs is a TIMEOUT, and the caller's own deadline comes first`() async throws {
    try await onStage { options in
      options.environment["FHIRD_REQUEST_TIMEOUT"] = "3"
    } _: { stage in
      try await stage.server.rule(["path": "/token", "hang": true])
      try await stage.create("c")
      let began = monotonicSeconds()
      let hurried = try await stage.control.call("token.get", WireJSON.object(["connection": "c"]).with(timeout: 1))
      #expect(code(hurried) == .timeout, "\(hurried)")
      #expect(monotonicSeconds() - began < 3)
      try await stage.status("c", becomes: .retrying)
      #expect(try await stage.status("c")["last_error"]["code"] == "TIMEOUT")
    }
  }

  @Test func `one byte a second is cut off by the whole request's deadline`() async throws {
    try await onStage { options in
      options.environment["FHIRD_REQUEST_TIMEOUT"] = "3"
    } _: { stage in
      try await stage.server.rule(["path": "/token", "trickle_seconds": 1])
      try await stage.create("c")
      let began = monotonicSeconds()
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      #expect(code(answer) == .timeout, "\(answer)")
      #expect(monotonicSeconds() - began < 10)
    }
  }

  @Test(arguments: [400, 401])
  func `invalid_client means misconfigured, whatever the status`(status: Int) async throws {
    try await onStage { stage in
      try await stage.server.rule([
        "path": "/token", "status": .integer(Int64(status)),
        "json": ["error": "invalid_client", "error_description": "no such client", "error_uri": "https://e.example"],
      ])
      try await stage.create("c")
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      #expect(code(answer) == .invalidClient)
      #expect(answer.error["data"]["oauth"]["error_uri"] == "https://e.example")
      #expect(answer.hint != nil)
      #expect(try await stage.status("c")["state"] == "misconfigured")
      // It is not asked again for every caller.
      for _ in 0..<10 { _ = try await stage.control.call("token.get", ["connection": "c"]) }
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `a corrected secret is used at once`() async throws {
    try await onStage { stage in
      try await stage.create("c", ["client_secret": "the-wrong-secret-of-the-tests"])
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .invalidClient)
      try await stage.control.result(
        "connection.update", ["connection": "c", "client_secret": .string(Stage.clientSecret)])
      _ = try await stage.token("c")
      #expect(try await stage.status("c")["state"] == "active")
    }
  }

  @Test func `nobody listening is SERVER_UNREACHABLE`() async throws {
    try await onStage { stage in
      try await stage.create("c", ["token_url": "http://127.0.0.1:1/token"])
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      #expect(code(answer) == .serverUnreachable)
    }
  }
}

extension WireJSON {
  /// The parameters with a deadline of their own.
  func with(timeout seconds: Double) -> WireJSON { merging(["timeout_seconds": .number(seconds)]) }
}
