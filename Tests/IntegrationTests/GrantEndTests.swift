/// How grants end and how they do not: the server's word, its nonsense, revocation, and what introspection says.
import FHIRControl
import TestSupport
import Testing

@Suite("the end of a grant", .needs(.python3, .daemon))
struct GrantEndTests {
  private func loggedIn(
    _ stage: Stage, _ settings: WireJSON = [:], name: String = "c", tenant: String = ""
  ) async throws {
    let all: WireJSON = ["refresh_tokens": true]
    try await stage.server.settings(all.merging(settings))
    try await stage.createLogin(name, tenant: tenant)
    try await stage.login(name)
  }

  private func refresh(_ stage: Stage, _ name: String = "c") async throws -> Answer {
    try await eventually("a refresh of \(name) that was not put off", every: 0.2) { () -> Answer? in
      let answer = try await stage.control.call("token.refresh", ["connection": .string(name)], within: 70)
      return code(answer) == .throttled && answer.error["data"]["oauth"] == .null ? nil : answer
    }
  }

  @Test func `R7.07: invalid_grant ends the grant, says which command helps, and is not asked again`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["expires_in": 4])
      try await stage.server.expire(refreshTokens: true)
      let refused = try await refresh(stage)
      #expect([.needsLogin, .invalidGrant].contains(try #require(code(refused))), "\(refused)")
      #expect(try await stage.status("c")["state"] == "needs_login")
      let count = try await stage.server.count(path: "/token")
      let answer = try await eventually("NEEDS_LOGIN once the access token has expired") { () -> Answer? in
        let answer = try await stage.control.call("token.get", ["connection": "c"])
        return answer.succeeded ? nil : answer
      }
      #expect(code(answer) == .needsLogin)
      #expect(answer.hint?.contains("fhirctl login c") == true, "\(answer)")
      #expect(try await stage.server.count(path: "/token") == count)
    }
  }

  @Test(arguments: ["invalid_client", "unauthorized_client"])
  func `R7.07: a refused client keeps its refresh token, and works once it is corrected`(error: String) async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      try await stage.server.rule(["path": "/token", "status": 401, "json": ["error": .string(error)]])
      #expect(!(try await refresh(stage).succeeded))
      #expect(try await stage.status("c")["state"] == "misconfigured")
      try await stage.server.dropRules()
      let healed = try await refresh(stage)
      #expect(healed.succeeded, "\(healed)")
      #expect(try await stage.server.reuseDetected() == 0)
    }
  }

  /// Answers to a refresh that was not carried out: the refresh token is good all the time.
  private static let nonsense: [(name: String, rule: WireJSON)] = [
    ("HTML with 200", ["body": "<html>welcome</html>"]),
    ("HTML called JSON", ["body": "<html>", "content_type": "application/json"]),
    ("nothing with 200", ["body": ""]), ("an array", ["json": ["a"]]), ("null", ["json": .null]),
    ("JSON cut off", ["body": "{\"access_token\":\"x", "content_type": "application/json"]),
    ("no access_token", ["json": ["token_type": "Bearer", "refresh_token": "rt-from-a-bad-answer"]]),
    ("an empty access_token", ["json": ["access_token": "", "token_type": "Bearer"]]),
    ("a token that is a number", ["json": ["access_token": 5, "token_type": "Bearer"]]),
    ("a token with a line break", ["json": ["access_token": "a\r\nX: y", "token_type": "Bearer"]]),
    (
      "a token_type of another kind",
      ["json": ["access_token": "abcdef", "token_type": "mac", "refresh_token": "rt-from-a-bad-answer"]]
    ),
    ("a bare 400, as Epic and Glewlwyd", ["status": 400, "body": ""]),
    ("400 in HTML", ["status": 400, "body": "<html>invalid_grant"]),
    ("an unknown error", ["status": 400, "json": ["error": "something_else"]]),
    ("an error that is no text", ["status": 400, "json": ["error": ["invalid_grant"]]]),
    ("invalid_request", ["status": 400, "json": ["error": "invalid_request", "error_description": .null]]),
    ("temporarily_unavailable", ["status": 400, "json": ["error": "temporarily_unavailable"]]),
    ("401 without a body", ["status": 401, "body": ""]), ("403 without a body", ["status": 403, "body": ""]),
    ("404 in HTML", ["status": 404, "body": "<html>"]), ("429", ["status": 429, "body": ""]),
    ("500", ["status": 500, "body": "oops"]), ("502 in HTML", ["status": 502, "body": "<html>bad gateway"]),
    ("503 that says invalid_grant", ["status": 503, "json": ["error": "invalid_grant"]]),
    ("half a body", ["drop": "half_body", "json": ["access_token": "abcdef", "token_type": "Bearer"]]),
    ("closed before reading", ["drop": "before_reading"]), ("closed after reading", ["drop": "after_reading"]),
    ("a reset", ["drop": "reset"]), ("headers without an end", ["header_bytes": 2_000_000, "body": ""]),
    ("a redirect", ["status": 307, "headers": ["Location": "/thief/token"], "body": ""]),
  ]

  @Test(.timeLimit(.minutes(5)))
  func `no nonsense in answer to a refresh loses the refresh token or the valid access token`() async throws {
    try await onStage { stage in
      for (i, bad) in Self.nonsense.enumerated() {
        let name = "c\(i)"
        try await loggedIn(stage, name: name, tenant: "t\(i)")
        let token = try await stage.token(name)
        let rule = try await stage.server.rule(bad.rule.merging(["path": .string("/t\(i)/token")]))
        let answer = try await eventually("the refresh of \(bad.name) got there", every: 0.2) { () -> Answer? in
          let answer = try await stage.control.call("token.refresh", ["connection": .string(name)], within: 70)
          let log = try await stage.server.log(path: "/t\(i)/token")
          // Put off by the floor of one second, it is asked for again until the rule has had it.
          return log.contains { $0["rule"].int == rule } ? answer : nil
        }
        #expect(!answer.succeeded, "\(bad.name): \(answer)")
        #expect(code(answer) != .needsLogin, "\(bad.name): \(answer)")
        #expect(try await stage.token(name, ["min_valid_seconds": 0]) == token, "\(bad.name)")
        try await stage.server.dropRules()
        let healed = try await eventually("\(bad.name) heals", within: 40, every: 0.2) { () -> Answer? in
          let answer = try await stage.control.call("token.refresh", ["connection": .string(name)], within: 70)
          return answer.succeeded || code(answer) == .needsLogin ? answer : nil
        }
        #expect(healed.succeeded, "\(bad.name): \(healed)")
        let new = try await stage.token(name)
        #expect(new != token, "\(bad.name)")
        #expect(try await stage.server.read("/t\(i)/fhir/Patient/1", token: new) == 200, "\(bad.name)")
      }
      #expect(try await stage.server.reuseDetected() == 0)
      #expect(try await stage.server.count(path: "/thief/token") == 0)
    }
  }

  @Test func `R7.10: what a refresh does not say of the context stays as it was`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["extra": ["patient": "p-1", "encounter": "e-1"]])
      try await stage.server.settings(["extra": ["encounter": "e-2"]])
      #expect(try await refresh(stage).succeeded)
      let context = try await stage.control.result("token.get", ["connection": "c"])["context"]
      #expect(context["patient"] == "p-1")
      #expect(context["encounter"] == "e-2")
    }
  }

  // Revocation --------------------------------------------------------------------------------------------------------

  @Test func `R8.01: a revocation names the refresh token first, and nothing works afterwards`() async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      let token = try await stage.token("c")
      let result = try await stage.control.result("token.revoke", ["connection": "c"], within: 70)
      #expect(result["server"].array.first?["token"] == "refresh_token", "\(result.text)")
      #expect(result["server"].array.allSatisfy { $0["outcome"] == "revoked" })
      #expect(Set(result["erased"].array.compactMap(\.string)) == ["refresh_token", "access_token"])
      let log = try await stage.server.log(path: "/revoke")
      #expect(log.first?["form"]["token_type_hint"] == "refresh_token")
      #expect(log.allSatisfy { $0["auth"] == "basic" && $0["query"] == "" && $0["status"] == 200 })
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 401)
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .needsLogin)
    }
  }

  @Test func `R8.01: here the tokens are erased even if the server fails`() async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      try await stage.server.rule(["path": "/revoke", "status": 500, "body": "oops"])
      let result = try await stage.control.result("token.revoke", ["connection": "c"], within: 130)
      #expect(result["server"].array.contains { $0["outcome"] == "failed" }, "\(result.text)")
      #expect(Set(result["erased"].array.compactMap(\.string)) == ["refresh_token", "access_token"])
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .needsLogin)
    }
  }

  @Test func `R8.01, R2.08: where the server has no revocation the tokens are erased here`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["revocation": false])
      try await loggedIn(stage)
      let result = try await stage.control.result("token.revoke", ["connection": "c"], within: 70)
      #expect(!result["server"].array.contains { $0["outcome"] == "revoked" }, "\(result.text)")
      #expect(result["erased"].array.count == 2)
      #expect(try await stage.server.count(path: "/revoke") == 0)
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .needsLogin)
    }
  }

  @Test func `R8.01: a deleted connection's refresh token is revoked at the server`() async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      let token = try await stage.token("c")
      try await stage.control.result("connection.delete", ["connection": "c"], within: 70)
      let hints = try await stage.server.log(path: "/revoke").compactMap { $0["form"]["token_type_hint"].string }
      #expect(hints.contains("refresh_token"))
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 401)
    }
  }

  // Introspection -----------------------------------------------------------------------------------------------------

  @Test func `R8.02, R8.03: introspection tells what the server says, and no token`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["extra": ["patient": "p-1"]])
      let token = try await stage.token("c")
      let active = try await stage.control.call("token.introspect", ["connection": "c"])
      #expect(active.result["active"] == true, "\(active)")
      #expect(active.result["claims"]["patient"] == "p-1")
      #expect(active.result["claims"]["client_id"].string == Stage.clientID)
      #expect(!active.description.contains(token))
      let request = try #require(try await stage.server.log(path: "/introspect").last)
      #expect(request["headers"]["Accept"].string?.contains("application/json") == true)
      #expect(request["query"] == "")
      try await stage.server.expire()
      #expect(try await stage.control.result("token.introspect", ["connection": "c"])["active"] == false)
    }
  }

  @Test func `R2.08: introspection that the server does not have is NOT_SUPPORTED_BY_SERVER`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["introspection": false])
      try await loggedIn(stage)
      let answer = try await stage.control.call("token.introspect", ["connection": "c"])
      #expect(code(answer) == .notSupportedByServer, "\(answer)")
    }
  }
}
