/// Logins with a browser: what the authorization request says, and what comes of each way back.
import FHIRControl
import TestSupport
import Testing

@Suite("logins", .needs(.python3, .daemon))
struct LoginTests {
  /// The parameters of the last authorization request, as the server saw them.
  private func asked(_ stage: Stage, _ path: String = "/authorize") async throws -> WireJSON {
    try #require(try await stage.server.log(path: path).last?["asked"])
  }

  @Test func `R4.01 to R4.09: the authorization request says all that SMART asks for`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c", tenant: "t")
      let start = try await stage.startLogin("c")
      #expect(start["redirect_uri"].string == Stage.redirectURI)
      #expect(start["expires_at"].string != nil)
      let back = try await stage.redirect(start)
      #expect(queryParameters(of: back)["code"] != nil, "the server checks aud and PKCE: \(back)")

      let request = try await asked(stage, "/t/authorize")
      #expect(request["response_type"] == "code")
      #expect(request["client_id"].string == Stage.clientID)
      #expect(request["redirect_uri"].string == Stage.redirectURI)
      #expect(Set((request["scope"].string ?? "").split(separator: " ")) == Set(Stage.loginScope.split(separator: " ")))
      #expect(request["state"] == start["state"])
      #expect(try #require(request["state"].string).utf8.count >= 22, "128 bits take 22 characters")
      #expect(request["aud"].string == stage.server.base("t"))
      #expect(request["code_challenge_method"] == "S256")
      #expect(request["code_challenge"].string?.utf8.count == 43)
      #expect(request["launch"] == .null, "R4.10: no launch without an EHR's")
      #expect(request["client_secret"] == .null)
      #expect(try await stage.complete(back).result["progress"] == "completed")

      let tokenRequest = try #require(try await stage.server.log(path: "/t/token").last)
      #expect(tokenRequest["query"] == "", "R5.01: parameters stand in the body")
      #expect(tokenRequest["form"]["grant_type"] == "authorization_code")
      #expect(tokenRequest["form"]["redirect_uri"].string == Stage.redirectURI)
      #expect(tokenRequest["form"]["code_verifier"].exists)
      #expect(tokenRequest["form"]["client_secret"] == .null, "R5.04: one client authentication")
      #expect(tokenRequest["auth"] == "basic")
    }
  }

  @Test func `R4.05, R4.08: no state and no challenge comes twice`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      var states: Set<String> = []
      var challenges: Set<String> = []
      for i in 0..<20 {
        let query = queryParameters(
          of: try #require(try await stage.startLogin("c", subject: "s\(i)")["authorization_url"].string))
        states.insert(try #require(query["state"]))
        challenges.insert(try #require(query["code_challenge"]))
      }
      #expect(states.count == 20)
      #expect(challenges.count == 20)
    }
  }

  @Test func `R4.06: aud is spelled as the operator spells it`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["aud": "slash"])
      try await stage.createLogin("c", ["aud": .string(stage.server.base() + "/")])
      try await stage.login("c")
      #expect(try await asked(stage)["aud"].string == stage.server.base() + "/")
    }
  }

  @Test func `R5.03: a public client names itself in the body and shows no secret`() async throws {
    try await onStage { stage in
      try await stage.server.control("POST", "clients", ["client_id": "public", "methods": ["none"]])
      try await stage.createLogin(
        "c", ["client_id": "public", "client_secret": .null, "client_authentication": "none"])
      try await stage.login("c")
      let request = try #require(try await stage.server.log(path: "/token").last)
      #expect(request["form"]["client_id"] == "public")
      #expect(request["headers"]["Authorization"] == .null)
      #expect(request["auth"] == "none")
    }
  }

  @Test func `R6.05: the launch context comes with the token`() async throws {
    try await onStage { stage in
      try await stage.server.settings([
        "refresh_tokens": true,
        "extra": ["patient": "p-4711", "need_patient_banner": true, "tenant": "north"],
      ])
      try await stage.createLogin("c")
      let done = try await stage.login("c")
      #expect(done["connection_name"] == "c")
      #expect(done["token"]["state"] == "active")
      let token = try await stage.control.result("token.get", ["connection": "c"])
      #expect(token["context"]["patient"] == "p-4711")
      #expect(token["context"]["need_patient_banner"] == true)
      #expect(token["context"]["tenant"] == "north")
      let text = try #require(token["access_token"].string)
      #expect(try await stage.server.read("/fhir/Patient/1", token: text) == 200)
    }
  }

  @Test func `before anybody has logged in the answer names the command that does it`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      #expect(code(answer) == .needsLogin, "\(answer)")
      #expect(answer.hint?.contains("fhirctl login c") == true, "\(answer)")
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `R4.11: an unknown state is refused, and the token endpoint hears nothing`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let start = try await stage.startLogin("c")
      let back = try await stage.redirect(start)
      let state = try #require(start["state"].string)
      let changed = String(state.dropLast()) + (state.hasSuffix("A") ? "B" : "A")
      let refusals: Set<ErrorCode> = [.stateMismatch, .validationFailed, .invalidParams]
      for wrong in [back.replacing(state, with: changed), back.replacing(state, with: ""), back + "&state=" + changed] {
        let answer = try await stage.complete(wrong)
        #expect(code(answer).map(refusals.contains) == true, "\(answer)")
      }
      #expect(code(try await stage.complete(back.replacing(state, with: changed))) == .stateMismatch)
      #expect(try await stage.server.count(path: "/token") == 0)
      // The true answer is still good: a stranger's guess ends nobody's login.
      #expect(try await stage.complete(back).result["progress"] == "completed")
    }
  }

  @Test func `R4.12: the server's refusal is told in its own words, and the state is used up`() async throws {
    try await onStage { stage in
      try await stage.server.settings([
        "authorize_error": [
          "error": "access_denied", "error_description": "the clinic is closed",
          "error_uri": "https://e.example/closed",
        ]
      ])
      try await stage.createLogin("c")
      let start = try await stage.startLogin("c")
      let back = try await stage.redirect(start)
      let answer = try await stage.complete(back)
      #expect(loginFailed(answer), "\(answer)")
      let words = oauthWords(answer)
      #expect(words["error"] == "access_denied", "\(answer)")
      #expect(words["error_description"] == "the clinic is closed")
      #expect(words["error_uri"] == "https://e.example/closed")
      let status = try await stage.control.call("authorization.status", ["state": start["state"]])
      if status.succeeded {
        #expect(status.result["progress"] == "failed")
        #expect(status.result["oauth"]["error"] == "access_denied")
      } else {
        #expect(code(status) == .stateMismatch, "\(status)")
      }
      // Used up: a code that arrives under this state later is not redeemed.
      let later = "\(Stage.redirectURI)?code=code-late&state=\(try #require(start["state"].string))"
      #expect(loginFailed(try await stage.complete(later)))
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test(arguments: [true, false])
  func `R4.13: an iss that is not the server's ends the login, declared or not`(declared: Bool) async throws {
    try await onStage { stage in
      try await stage.server.settings(["answers_iss": "https://attacker.example", "declares_iss": .bool(declared)])
      try await stage.createLogin("c")
      let answer = try await stage.complete(try await stage.redirect(try await stage.startLogin("c")))
      #expect(loginFailed(answer), "\(answer)")
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `R4.13: an iss that was declared must be there, and the right one passes`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["answers_iss": false, "declares_iss": true])
      try await stage.createLogin("c", tenant: "t")
      let without = try await stage.complete(try await stage.redirect(try await stage.startLogin("c")))
      #expect(loginFailed(without), "\(without)")
      #expect(try await stage.server.count(path: "/t/token") == 0)
      try await stage.server.settings(["answers_iss": true])
      try await stage.login("c")
    }
  }

  @Test func `R4.13: a refusal without the declared iss, as from django-oauth-toolkit, gives nothing`() async throws {
    try await onStage { stage in
      try await stage.server.settings([
        "answers_iss": true, "declares_iss": true, "iss_in_errors": false,
        "authorize_error": ["error": "access_denied"],
      ])
      try await stage.createLogin("c")
      let answer = try await stage.complete(try await stage.redirect(try await stage.startLogin("c")))
      #expect(loginFailed(answer), "\(answer)")
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .needsLogin)
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `R4.14: a code goes to the token endpoint of the connection that asked, and no other`() async throws {
    try await onStage { stage in
      try await stage.createLogin("honest", tenant: "a")
      try await stage.createLogin("other", tenant: "b")
      let honest = try await stage.startLogin("honest")
      let other = try await stage.startLogin("other")
      // The mix-up: the other's server answers under the honest one's state.
      let mixed = try await stage.redirect(other)
        .replacing(try #require(other["state"].string), with: try #require(honest["state"].string))
      #expect(loginFailed(try await stage.complete(mixed)))
      #expect(try await stage.server.count(path: "/b/token") == 0)
    }
  }

  @Test func `R4.15: a callback that comes again causes no second token request`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let back = try await stage.redirect(try await stage.startLogin("c"))
      #expect(try await stage.complete(back).result["progress"] == "completed")
      let token = try await stage.token("c")
      for _ in 0..<3 { _ = try await stage.complete(back) }
      #expect(try await stage.server.count(path: "/token") == 1)
      #expect(try await stage.server.stats()["code_reuse_detected"] == 0)
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200, "a replay would have ended it")
      #expect(try await stage.token("c") == token)
    }
  }

  @Test func `R4.15: twenty callbacks at once cause one token request`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let back = try await stage.redirect(try await stage.startLogin("c"))
      let ids = try await stage.control.begin("authorization.complete", ["redirect_url": .string(back)], times: 20)
      var completed = 0
      for id in ids {
        if !loginFailed(try await stage.control.answer(to: id, within: 70)) { completed += 1 }
      }
      #expect(completed >= 1)
      #expect(try await stage.server.count(path: "/token") == 1)
      #expect(try await stage.server.stats()["code_reuse_detected"] == 0)
    }
  }

  /// Each is carried out at the server, and the tokens never arrive.
  private static let losses: [WireJSON] = [
    ["lose_reply": true], ["drop": "half_body"], ["carry_out": true, "status": 502, "body": "oops"],
  ]

  @Test(arguments: losses)
  func `R4.15: a code whose answer was lost is not shown again`(fault: WireJSON) async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createLogin("c")
      try await stage.server.rule(fault.merging(["path": "/token"]))
      let answer = try await stage.complete(try await stage.redirect(try await stage.startLogin("c")))
      #expect(loginFailed(answer), "\(answer)")
      #expect(try await stage.server.stats()["code_reuse_detected"] == 0)
      #expect(try await stage.server.count(path: "/token") == 1)
      // And the next login is a new one.
      try await stage.server.dropRules()
      try await stage.login("c")
    }
  }

  @Test func `R4.16: parameters that nobody knows are ignored`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let back = try await stage.redirect(try await stage.startLogin("c")) + "&session_state=a%2Fb&foo=&bar"
      #expect(try await stage.complete(back).result["progress"] == "completed")
    }
  }

  @Test func `the members of the redirect do as well as its address`() async throws {
    try await onStage { stage in
      try await stage.createLogin("c")
      let query = queryParameters(of: try await stage.redirect(try await stage.startLogin("c")))
      let answer = try await stage.control.call(
        "authorization.complete",
        ["state": .string(try #require(query["state"])), "code": .string(try #require(query["code"]))])
      #expect(answer.result["progress"] == "completed", "\(answer)")
    }
  }

  @Test func `a code that the server refuses is told in its words, and there is no grant`() async throws {
    try await onStage { stage in
      try await stage.server.rule([
        "path": "/token", "status": 400, "json": ["error": "invalid_grant", "error_description": "the code is stale"],
      ])
      try await stage.createLogin("c")
      let answer = try await stage.complete(try await stage.redirect(try await stage.startLogin("c")))
      #expect(loginFailed(answer))
      #expect(oauthWords(answer)["error_description"] == "the code is stale", "\(answer)")
      #expect(code(try await stage.control.call("token.get", ["connection": "c"])) == .needsLogin)
    }
  }
}
