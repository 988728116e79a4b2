/// Logins by browser, at the socket and on the wire.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("logins", .needs(.python3, .daemon))
struct LoginTests {
  private static let app: WireJSON = ["connection": "app"]

  private func start(_ stage: Stage, _ more: WireJSON = [:]) async throws -> WireJSON {
    try await stage.control.result("authorization.start", Self.app.merging(more))
  }

  private func query(_ url: String) -> [String: String] {
    let pairs = url.split(separator: "?").dropFirst().first?.split(separator: "&") ?? []
    return pairs.reduce(into: [:]) { result, pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      result[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
    }
  }

  @Test func `R4.01 to R4.09 R2.05 the authorization request says what SMART asks for`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true, "extra": ["patient": "p-1"]])
      try await stage.createApp("app", ["scope": "openid launch/patient patient/*.rs"])
      let one = query(try #require(try await start(stage)["authorization_url"].string))
      let two = query(try #require(try await start(stage)["authorization_url"].string))
      #expect(one["response_type"] == "code")
      #expect(one["client_id"] == Stage.appID)
      #expect(one["redirect_uri"] == "http%3A%2F%2F127.0.0.1%3A8765%2Fcallback")
      #expect(one["scope"] == "openid%20launch%2Fpatient%20patient%2F%2A.rs")
      #expect(one["aud"] == stage.server.base().replacing(":", with: "%3A").replacing("/", with: "%2F"))
      #expect(one["code_challenge_method"] == "S256")
      #expect(one["code_challenge"]?.utf8.count == 43)
      #expect(try #require(one["state"]).utf8.count >= 22)
      #expect(one["nonce"]?.isEmpty == false)
      #expect(one["launch"] == nil)
      for name in ["state", "code_challenge", "nonce"] { #expect(one[name] != two[name], "\(name) was used twice") }
    }
  }

  @Test func `R2.09 S256 is sent also to a server that lists no method`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["metadata": ["code_challenge_methods_supported": []]])
      try await stage.createApp("app")
      let asked = query(try #require(try await start(stage)["authorization_url"].string))
      #expect(asked["code_challenge_method"] == "S256")
      #expect(asked["code_challenge"]?.count == 43)
      try await stage.logIn("app")
    }
  }

  @Test func `R5.01 R5.02 a login gives a grant with its launch context`() async throws {
    try await onStage { stage in
      try await stage.server.settings([
        "refresh_tokens": true,
        "extra": ["patient": "p-1", "need_patient_banner": true, "fhirContext": [["reference": "ImagingStudy/7"]]],
      ])
      try await stage.createApp("app")
      #expect(try await stage.status("app")["state"] == "needs_login")
      let status = try await stage.logIn("app")
      #expect(status["token"]["state"] == "active")
      #expect(status["token"]["has_refresh_token"] == true)
      let token = try await stage.control.result("token.get", Self.app)
      #expect(token["context"]["patient"] == "p-1")
      #expect(token["context"]["fhirContext"].array.first?["reference"] == "ImagingStudy/7")
      #expect(try await stage.server.read("/fhir/Patient/1", token: token["access_token"].string) == 200)
      let request = try #require(try await stage.server.log(path: "/token").first)
      #expect(request["form"]["grant_type"] == "authorization_code")
      #expect(request["form"]["redirect_uri"] == .string(Stage.redirectURI))
      #expect(request["form"]["code_verifier"] != .null)
      #expect(request["form"]["client_id"] == .null, "R5.03 a confidential client's id is in its header")
      #expect(request["query"] == "")
    }
  }

  @Test func `grants are listed page by page, by state, and as far as a rule goes`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app")
      for n in 1...5 { try await stage.logIn("app", subject: "patient-\(n)") }
      try await stage.control.result("token.revoke", ["connection": "app", "subject": "patient-3"])
      var subjects: [String] = []
      var cursor: WireJSON = .null
      for _ in 1...10 {
        var ask: WireJSON = ["connection": "app", "limit": 2]
        if cursor != .null { ask = ask.merging(["cursor": cursor] as WireJSON) }
        let page = try await stage.control.result("token.list", ask)
        subjects += page["grants"].array.map { $0["subject"].string ?? "" }
        cursor = page["next_cursor"]
        if cursor == .null { break }
      }
      // The default grant is there from the beginning.
      #expect(subjects.sorted() == ["", "patient-1", "patient-2", "patient-3", "patient-4", "patient-5"])
      let dead = try await stage.daemon.fhirctl(["token", "list", "app", "--state", "needs_login", "--json"])
      let found = try dead.output.split(separator: "\n").map {
        try WireJSON(parsing: String($0))["subject"].string ?? ""
      }
      #expect(found.sorted() == ["", "patient-3"], "\(dead)")
      #expect(!dead.output.contains("rt-") && !dead.output.contains("at-"))
      let table = try await stage.daemon.fhirctl(["token", "list", "app"])
      #expect(table.output.contains("patient-5") && table.output.contains("(default)"), "\(table)")
      let wrong = try await stage.control.call("token.list", ["connection": "app", "cursor": "AAAA"])
      #expect(code(wrong) == .validationFailed)
    }
  }

  @Test func `R4.11 an unknown state reaches no token endpoint`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      _ = try await start(stage)
      let answer = try await stage.control.call(
        "authorization.complete", ["state": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "code": "stolen-code"])
      #expect(code(answer) == .stateMismatch)
      #expect(!answer.description.contains("stolen-code"))
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `R4.12 a refusal uses the state up and is kept in the server's words`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      try await stage.server.settings(["authorize_error": ["error": "access_denied"]])
      let login = try await start(stage)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      let answer = try await stage.control.call("authorization.complete", ["redirect_url": .string(back)])
      #expect(code(answer) == .needsLogin)
      #expect(answer.error["data"]["oauth"]["error"] == "access_denied")
      #expect(answer.error["data"]["hint"].string?.contains("fhirctl login 'app'") == true)
      let status = try await stage.control.result("authorization.status", ["state": login["state"]])
      #expect(status["progress"] == "failed")
      #expect(status["oauth"]["error"] == "access_denied")
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `R4.13 R4.14 an answer of another issuer gets no code of ours`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["answers_iss": true, "declares_iss": true])
      try await stage.createApp("app")
      let login = try await start(stage)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      #expect(back.contains("iss="))
      let without = back.split(separator: "&").filter { !$0.hasPrefix("iss=") }.joined(separator: "&")
      #expect(
        code(try await stage.control.call("authorization.complete", ["redirect_url": .string(without)]))
          == .stateMismatch)
      let second = try await stage.agree(try #require(try await start(stage)["authorization_url"].string))
      let mixed = second.split(separator: "&").map { $0.hasPrefix("iss=") ? "iss=https%3A%2F%2Fevil.example" : $0 }
        .joined(separator: "&")
      #expect(
        code(try await stage.control.call("authorization.complete", ["redirect_url": .string(mixed)])) == .stateMismatch
      )
      #expect(try await stage.server.count(path: "/token") == 0)
      try await stage.logIn("app")
    }
  }

  @Test func `R4.15 a second visit of the browser is told what the first came to`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let login = try await start(stage)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      for _ in 1...3 {
        let status = try await stage.control.result("authorization.complete", ["redirect_url": .string(back)])
        #expect(status["progress"] == "completed")
      }
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `twenty visits at the same time exchange the code once`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let back = try await stage.agree(try #require(try await start(stage)["authorization_url"].string))
      try await stage.server.rule(["path": "/token", "delay": 0.2])
      let ids = try await stage.control.begin("authorization.complete", ["redirect_url": .string(back)], times: 20)
      for id in ids {
        let answer = try await stage.control.answer(to: id)
        #expect(["completed", "redeeming"].contains(answer.result["progress"].string), "\(answer)")
      }
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `a login survives kill -9 between the browser's leaving and its coming back`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app")
      let back = try await stage.agree(try #require(try await start(stage)["authorization_url"].string))
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let status = try await control.result("authorization.complete", ["redirect_url": .string(back)])
      #expect(status["progress"] == "completed")
      #expect(try await control.result("token.get", Self.app)["access_token"].string != nil)
    }
  }

  @Test func `a code whose exchange was killed is not sent again`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let login = try await start(stage)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      try await stage.control.begin("authorization.complete", ["redirect_url": .string(back)])
      _ = try await eventually("the code is at the server") {
        try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      try await stage.daemon.killHard()
      try await stage.server.release("gate")
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let again = try await control.call("authorization.complete", ["redirect_url": .string(back)])
      #expect(again.result["progress"] != "completed", "\(again)")
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `R4.14 a login begun at one server makes no grant for another`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let back = try await stage.agree(try #require(try await start(stage)["authorization_url"].string))
      try await stage.control.result(
        "connection.update", Self.app.merging(["fhir_base_url": .string(stage.server.base("elsewhere"))]))
      let answer = try await stage.control.call("authorization.complete", ["redirect_url": .string(back)])
      #expect(code(answer) == .generationConflict, "\(answer)")
      #expect(try await stage.server.count(path: "/token") == 0)
      #expect(code(try await stage.control.call("token.get", Self.app)) == .needsLogin)
    }
  }

  @Test func `each subject has a grant of its own`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app")
      for subject in ["patient-1", "patient-2"] { try await stage.logIn("app", subject: subject) }
      var tokens: Set<String> = []
      for subject in ["patient-1", "patient-2"] {
        tokens.insert(try await stage.token("app", ["subject": .string(subject)]))
      }
      #expect(tokens.count == 2)
      let nobody = try await stage.control.call("token.get", Self.app.merging(["subject": "patient-3"]))
      #expect(code(nobody) == .needsLogin)
      #expect(nobody.error["data"]["hint"] == "fhirctl login 'app' --subject 'patient-3'")
      #expect(code(try await stage.control.call("token.get", Self.app)) == .needsLogin)
      // What an operator must know before changing the client.
      let update = try await stage.control.result(
        "connection.update", Self.app.merging(["client_id": "another-app"]))
      #expect(update["grants_needing_login"] == 2)
      #expect(
        code(try await stage.control.call("token.get", Self.app.merging(["subject": "patient-1"]))) == .needsLogin)
    }
  }

  @Test func `R3.07 R4.10 an EHR launch finds its connection by iss and sends launch back`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let login = try await stage.control.result(
        "authorization.start", ["iss": .string(stage.server.base() + "/"), "launch": "xyz 1/2"])
      let asked = query(try #require(login["authorization_url"].string))
      #expect(asked["launch"] == "xyz%201%2F2", "R4.10")
      #expect(asked["scope"]?.hasPrefix("launch%20") == true)
      #expect(
        code(
          try await stage.control.call("authorization.start", ["iss": "https://elsewhere.example/fhir", "launch": "x"]))
          == .connectionNotFound)
      #expect(
        code(
          try await stage.control.call(
            "authorization.start", Self.app.merging(["iss": "https://elsewhere.example/fhir", "launch": "x"])))
          == .validationFailed)
    }
  }

  @Test func `a server that refuses PKCE is served after an explicit opt-out, and the journal has it`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["pkce": "refuse"])
      try await stage.createApp("app")
      let login = try await start(stage)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      #expect(!(try await stage.control.call("authorization.complete", ["redirect_url": .string(back)])).succeeded)
      try await stage.control.result("connection.update", Self.app.merging(["pkce": "none"]))
      try await stage.logIn("app")
      #expect(stage.daemon.tail.contains("pkce_disabled"))
    }
  }

  @Test func `a cancelled login and one of nobody's take no code`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let login = try await start(stage)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      #expect(
        try await stage.control.result("authorization.cancel", ["state": login["state"]])["progress"] == "cancelled")
      #expect(
        code(try await stage.control.call("authorization.complete", ["redirect_url": .string(back)])) == .stateMismatch)
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }
}
