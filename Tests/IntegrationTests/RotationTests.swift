/// Refresh tokens: replaced, kept, lost on the way, revoked; on the wire of a server that counts.
import FHIRControl
import TestSupport
import Testing

@Suite("refresh tokens", .needs(.python3, .daemon))
struct RotationTests {
  private static let app: WireJSON = ["connection": "app"]

  private func prepare(_ stage: Stage, _ settings: WireJSON = [:], _ fields: WireJSON = [:]) async throws {
    let server: WireJSON = ["refresh_tokens": true]
    try await stage.server.settings(server.merging(settings))
    try await stage.createApp("app", fields)
    try await stage.logIn("app")
  }

  private func refresh(_ stage: Stage) async throws -> Answer {
    try await eventually("the floor between refreshes has passed", every: 0.2) { () -> Answer? in
      let answer = try await stage.control.call("token.refresh", Self.app, within: 70)
      return code(answer) == .throttled ? nil : answer
    }
  }

  @Test func `R7.01 R7.03 a new refresh token replaces the old one, and each is shown once`() async throws {
    try await onStage { stage in
      try await prepare(stage)
      for _ in 1...3 { #expect(try await refresh(stage).succeeded) }
      let stats = try await stage.server.stats()
      #expect(stats["refresh_presented_max"] == 1, "\(stats.text)")
      #expect(stats["reuse_detected"] == 0)
      let requests = try await stage.server.log(path: "/token").filter { $0["form"]["grant_type"] == "refresh_token" }
      #expect(requests.count == 3)
      #expect(requests.allSatisfy { $0["form"]["scope"] == .null }, "R7.02 scope is left out")
      #expect(try await stage.status("app")["rotation"] == "rotated")
    }
  }

  @Test func `R7.04 no refresh token in the answer keeps the old one`() async throws {
    try await onStage { stage in
      try await prepare(stage, ["rotate": false])
      for _ in 1...2 { #expect(try await refresh(stage).succeeded) }
      #expect(try await stage.status("app")["rotation"] == "kept")
      #expect(try await stage.server.stats()["refresh_presented_max"] == 2)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `R7.06 a lost reply costs one replay, then a person is asked, and the token at hand is served on`() async throws
  {
    try await onStage { stage in
      try await prepare(stage, ["expires_in": 20])
      #expect(try await refresh(stage).succeeded)
      let token = try await stage.token("app")
      try await stage.server.rule(["path": "/token", "times": 1, "lose_reply": true])
      #expect(!(try await refresh(stage)).succeeded)
      let status = try await stage.status("app")
      #expect(status["state"] == "retrying")
      #expect(status["lost_replies"] == 1)
      #expect(try await stage.token("app", ["min_valid_seconds": 0]) == token)
      try await stage.control.result(
        "connection.update", Self.app.merging(["refresh": ["mode": "ahead", "min_interval_seconds": 1]]))
      try await stage.status("app", becomes: .needsLogin, within: 40)
      let answer = try await stage.control.call("token.get", Self.app)
      #expect(code(answer) == .needsLogin)
      #expect(answer.error["data"]["hint"] == "fhirctl login 'app'")
      let stats = try await stage.server.stats()
      #expect(stats["refresh_presented_max"] == 2, "once, and one replay: \(stats.text)")
      #expect(stats["reuse_detected"] == 1)
      try await stage.logIn("app")
      #expect(try await stage.token("app") != token)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `R7.06 a bare 400 to a replay is no reason to show the token a third time`() async throws {
    try await onStage { stage in
      try await prepare(stage, ["expires_in": 8], ["refresh": ["mode": "ahead", "min_interval_seconds": 1]])
      #expect(try await refresh(stage).succeeded)
      try await stage.server.rule(["path": "/token", "times": 1, "lose_reply": true])
      try await stage.server.rule(["path": "/token", "status": 400, "body": ""])
      try await stage.status("app", becomes: .needsLogin, within: 40)
      #expect(try await stage.server.stats()["refresh_presented_max"] == 2)
      #expect(try await stage.status("app")["has_refresh_token"] == true, "nothing is erased for it")
    }
  }

  @Test func `a lost reply costs nothing where the server has a grace period`() async throws {
    try await onStage { stage in
      try await prepare(
        stage, ["reuse": "grace"],
        ["refresh": ["mode": "ahead", "min_interval_seconds": 1, "replay_within_seconds": 10]])
      try await stage.server.rule(["path": "/token", "times": 1, "lose_reply": true])
      #expect(!(try await refresh(stage)).succeeded)
      _ = try await eventually("the replay is answered") { () -> Bool? in
        try await stage.status("app")["state"] == "active" ? true : nil
      }
      #expect(try await refresh(stage).succeeded)
      #expect(try await stage.server.stats()["families_dead"] == 0)
    }
  }

  @Test func `R7.07 R6.09 to R6.11 no answer but invalid_grant loses the refresh token`() async throws {
    try await onStage { stage in
      try await prepare(stage, ["rotate": false])
      let answers: [WireJSON] = [
        ["status": 500, "body": "<html>oops</html>"], ["status": 503, "headers": ["Retry-After": "1"], "body": ""],
        ["status": 429, "headers": ["Retry-After": "1"], "body": "slow down"],
        ["status": 200, "body": "<html>maintenance</html>"], ["status": 200, "body": ""],
        ["status": 200, "json": .null], ["status": 200, "json": []], ["status": 200, "json": ["access_token": ""]],
        ["status": 200, "json": ["error": "temporarily_unavailable", "expires_in": 0]],
        ["status": 200, "json": ["access_token": "x", "token_type": "mac"]],
        ["status": 401, "json": ["error": "invalid_client", "error_description": .null]],
        ["status": 400, "json": ["error": "unauthorized_client"]], ["status": 400, "body": ""],
        ["status": 404, "body": "<html>nothing here</html>"],
        ["status": 302, "headers": ["Location": "https://x.example/"]],
        ["drop": "half_body"], ["drop": "reset"], ["drop": "after_reading"],
      ]
      for answer in answers {
        try await stage.server.rule(answer.merging(["path": "/token", "times": 1]))
        let refused = try await eventually("an attempt for \(answer.text)", every: 0.1) { () -> Answer? in
          let got = try await stage.control.call("token.refresh", Self.app, within: 70)
          return got.succeeded || code(got) == .throttled && answer["status"] != 429 ? nil : got
        }
        #expect(code(refused) != .needsLogin, "\(answer.text): \(refused)")
        let well = try await eventually("a refresh after \(answer.text)", every: 0.1) { () -> Bool? in
          try await stage.control.call("token.refresh", Self.app, within: 70).succeeded ? true : nil
        }
        #expect(well)
      }
      try await stage.server.rule(["path": "/token", "times": 1, "status": 400, "json": ["error": "invalid_grant"]])
      #expect(code(try await refresh(stage)) == .invalidGrant)
      #expect(try await stage.status("app")["state"] == "needs_login")
      #expect(try await stage.status("app")["has_refresh_token"] != .null)
    }
  }

  @Test(arguments: ["required", "forbidden"])
  func `R7.02 a server that wants scope in a refresh, or wants none, is asked the other way once`(wants: String)
    async throws
  {
    try await onStage { stage in
      try await prepare(stage, ["refresh_scope": .string(wants)])
      _ = try await eventually("a refresh that works") { () -> Bool? in
        try await refresh(stage).succeeded ? true : nil
      }
      #expect(try await refresh(stage).succeeded)
      let refused = try await stage.server.log(path: "/token").filter { $0["status"] == 400 }
      #expect(refused.count == (wants == "required" ? 1 : 0))
    }
  }

  @Test func `R7.10 a refresh changes only the context that it names`() async throws {
    try await onStage { stage in
      try await prepare(stage, ["extra": ["patient": "p-1", "encounter": "e-1"]])
      try await stage.server.settings(["extra": ["encounter": "e-2"]])
      #expect(try await refresh(stage).succeeded)
      let context = try await stage.control.result("token.get", Self.app)["context"]
      #expect(context["patient"] == "p-1")
      #expect(context["encounter"] == "e-2")
    }
  }

  @Test func `R8.01 revocation takes the refresh token first, and erases here whatever the server says`() async throws {
    try await onStage { stage in
      try await prepare(stage)
      let token = try await stage.token("app")
      let result = try await stage.control.result("token.revoke", Self.app)
      #expect(result["server"].array.map { $0["token"].string } == ["refresh_token", "access_token"])
      #expect(result["server"].array.allSatisfy { $0["outcome"] == "revoked" })
      let hints = try await stage.server.log(path: "/revoke").map { $0["form"]["token_type_hint"].string }
      #expect(hints == ["refresh_token", "access_token"])
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 401)
      #expect(code(try await stage.control.call("token.get", Self.app)) == .needsLogin)

      try await stage.logIn("app")
      try await stage.server.rule(["path": "/revoke", "status": 500, "body": "broken"])
      let failed = try await stage.control.result("token.revoke", Self.app)
      #expect(failed["server"].array.contains { $0["outcome"] == "failed" })
      #expect(failed["erased"] == ["refresh_token", "access_token"])
      #expect(code(try await stage.control.call("token.get", Self.app)) == .needsLogin)
    }
  }

  @Test func `R8.02 R8.03 introspection tells what the server thinks`() async throws {
    try await onStage { stage in
      try await prepare(stage)
      let answer = try await stage.control.result("token.introspect", Self.app)
      #expect(answer["active"] == true)
      #expect(answer["claims"]["client_id"] == .string(Stage.appID))
      try await stage.server.control("POST", "expire", [:])
      #expect(try await stage.control.result("token.introspect", Self.app)["active"] == false)
    }
  }

  @Test func `a change of labels does not disturb a refresh that is under way`() async throws {
    try await onStage { stage in
      try await prepare(stage)
      let token = try await stage.token("app")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      let (other, id) = try await stage.refreshUnderWay("app")
      try await stage.control.result("connection.update", Self.app.merging(["labels": ["ward": "7"]]))
      try await stage.server.release("gate")
      #expect(try await other.answer(to: id).succeeded)
      #expect(try await stage.token("app") != token)
      #expect(try await refresh(stage).succeeded)
      #expect(try await stage.server.stats()["refresh_presented_max"] == 1)
    }
  }
}
