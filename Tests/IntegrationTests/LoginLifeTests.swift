/// What becomes of logins that wait: restarts, cancelling, subjects side by side, an EHR's launch, and secrets kept.
import FHIRControl
import TestSupport
import Testing

@Suite("the life of a login", .needs(.python3, .daemon))
struct LoginLifeTests {
  @Test func `a pending login survives kill -9 of the daemon`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let start = try await stage.startLogin("c")
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let status = try await control.result("authorization.status", ["state": start["state"]])
      #expect(status["progress"] == "pending", "\(status.text)")
      #expect(status["expires_at"] == start["expires_at"])
      let back = try await stage.redirect(start)
      let done = try await control.result("authorization.complete", ["redirect_url": .string(back)], within: 70)
      #expect(done["progress"] == "completed", "the verifier was lost: \(done.text)")
      #expect(try await control.call("token.get", ["connection": "c"]).succeeded)
    }
  }

  @Test func `R4.15: a kill while the code is at the server does not show it again`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let back = try await stage.redirect(try await stage.startLogin("c"))
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      try await stage.control.begin("authorization.complete", ["redirect_url": .string(back)])
      _ = try await eventually("the code is at the server") {
        try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      try await stage.daemon.killHard()
      try await stage.server.release("gate")
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let again = try await control.call("authorization.complete", ["redirect_url": .string(back)], within: 70)
      #expect(loginFailed(again), "\(again)")
      #expect(try await stage.server.stats()["code_reuse_detected"] == 0)
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `a cancelled login redeems nothing`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let start = try await stage.startLogin("c")
      let back = try await stage.redirect(start)
      let cancelled = try await stage.control.result("authorization.cancel", ["state": start["state"]])
      #expect(cancelled["progress"] == "cancelled", "\(cancelled.text)")
      #expect(loginFailed(try await stage.complete(back)))
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `named subjects have grants of their own`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createLogin("c")
      for subject in ["Patient/a", "Patient/b"] {
        let done = try await stage.login("c", subject: subject)
        #expect(done["subject"].string == subject)
      }
      let a = try await stage.token("c", ["subject": "Patient/a"])
      let b = try await stage.token("c", ["subject": "Patient/b"])
      #expect(a != b)
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .needsLogin)
      let stranger = try await stage.control.call("token.get", ["connection": "c", "subject": "Patient/c"])
      #expect(code(stranger) == .needsLogin, "\(stranger)")

      // What is done to one is not done to the other.
      try await stage.control.result("token.revoke", ["connection": "c", "subject": "Patient/a"], within: 70)
      #expect(
        code(try await stage.control.call("token.get", ["connection": "c", "subject": "Patient/a"])) == .needsLogin)
      #expect(try await stage.token("c", ["subject": "Patient/b"]) == b)
      #expect(try await stage.server.read("/fhir/Patient/1", token: b) == 200)
    }
  }

  @Test func `two pending logins of one grant do not disturb each other`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let first = try await stage.redirect(try await stage.startLogin("c"))
      let second = try await stage.redirect(try await stage.startLogin("c"))
      #expect(try await stage.complete(second).result["progress"] == "completed")
      let token = try await stage.token("c")
      // The older one is either redeemed as well or refused; there is a valid token in both cases.
      _ = try await stage.complete(first)
      let now = try await stage.token("c")
      #expect(try await stage.server.read("/fhir/Patient/1", token: now) == 200, "was \(token == now ? "kept" : "new")")
    }
  }

  @Test func `R4.10: an EHR's launch goes out as it came in, to its own connection only`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["launch": "launch/+value=="])
      try await stage.createLogin("c", tenant: "t", ["scope": "launch patient/*.rs"])
      let iss = stage.server.base("t")
      let start = try await stage.control.result(
        "authorization.start",
        ["iss": .string(iss), "launch": "launch/+value==", "redirect_uri": .string(Stage.redirectURI)])
      let back = try await stage.redirect(start)
      #expect(queryParameters(of: back)["code"] != nil, "\(back)")
      #expect(try await stage.complete(back).result["progress"] == "completed")
      let wrong = try await stage.control.call(
        "authorization.start", ["connection": "c", "iss": "https://other.example/fhir", "launch": "x"])
      #expect(!wrong.succeeded, "\(wrong)")
    }
  }

  @Test func `a new login revives a grant that had died`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true, "expires_in": 2])
      try await stage.createLogin("c")
      try await stage.login("c")
      try await stage.server.expire(refreshTokens: true)
      _ = try await eventually("the grant is dead", within: 20) { () -> Bool? in
        code(try await stage.control.call("token.get", ["connection": "c", "min_valid_seconds": 1])) == .needsLogin
          ? true : nil
      }
      try await stage.server.settings(["expires_in": 300])
      try await stage.login("c")
      let token = try await stage.token("c")
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
      #expect(try await stage.status("c")["state"] == "active")
      #expect(try await stage.status("c")["last_error"] == .null)
    }
  }

  @Test(.timeLimit(.minutes(2)))
  func `R1.06: no code, verifier, token or secret of a login is in the log, in an answer or in a file`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true, "rotate": true])
      try await stage.createLogin("c", ["refresh": ["mode": "on_demand", "min_interval_seconds": 1]])
      var answers = ""
      func keep(_ answer: Answer) { answers += answer.description + "\n" }
      // A good login; one of which the code is refused; one that the server refuses; one with a wrong state.
      keep(try await stage.complete(try await stage.redirect(try await stage.startLogin("c"))))
      try await stage.server.rule(["path": "/token", "times": 1, "status": 400, "json": ["error": "invalid_grant"]])
      keep(try await stage.complete(try await stage.redirect(try await stage.startLogin("c", subject: "other-one"))))
      try await stage.server.rule([
        "path": "/authorize", "times": 1, "settings": ["authorize_error": ["error": "access_denied"]],
      ])
      keep(try await stage.complete(try await stage.redirect(try await stage.startLogin("c", subject: "other-two"))))
      let redirect = try await stage.redirect(try await stage.startLogin("c", subject: "other-three"))
      keep(try await stage.complete(redirect + "x"))
      _ = try await eventually("a refresh with rotation") { () -> Bool? in
        let answer = try await stage.control.call("token.refresh", ["connection": "c"])
        keep(answer)
        return answer.succeeded ? true : nil
      }
      for method in ["token.status", "connection.get", "token.introspect", "token.revoke"] {
        keep(try await stage.control.call(method, ["connection": "c"], within: 70))
      }
      let hunt = Hunt(try await stage.server.secrets().filter { $0.utf8.count >= 6 } + [Stage.clientSecret])
      #expect(hunt.count > 8)
      #expect(hunt.found(in: answers).isEmpty, "answers")
      #expect(hunt.found(in: stage.daemon.standardError).isEmpty, "the log")
      for file in TestMachine.files(below: stage.daemon.stateDirectory) {
        #expect(hunt.found(in: file.bytes).isEmpty, "\(file.path)")
      }
    }
  }
}
