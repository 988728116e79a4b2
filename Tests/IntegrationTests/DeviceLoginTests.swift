/// Logins by a code that is typed elsewhere (RFC 8628), against the scripted server.
import FHIRControl
import TestSupport
import Testing

@Suite("device logins", .needs(.python3, .daemon, .fhirctl))
struct DeviceLoginTests {
  private func atServer(_ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.server.settings(["refresh_tokens": true, "device": ["interval": 1]])
      try await stage.createApp("app")
      try await play(stage)
    }
  }

  private func start(_ stage: Stage) async throws -> WireJSON {
    try await stage.control.result("authorization.start", ["connection": "app", "flow": "device"])
  }

  private func ended(_ control: ControlConnection, _ login: WireJSON) async throws -> WireJSON {
    try await eventually("the login's end") { () -> WireJSON? in
      let status = try await control.result("authorization.status", ["state": login["state"]])
      return ["pending", "redeeming"].contains(status["progress"].string ?? "") ? nil : status
    }
  }

  @Test func `R5.17 the daemon asks until the person has agreed, no faster than it may`() async throws {
    try await atServer { stage in
      let login = try await start(stage)
      #expect(login["redirect_uri"] == .null)
      #expect(login["authorization_url"].string?.hasSuffix("/activate") == true, "\(login.text)")
      _ = try await eventually("two questions") { try await stage.server.count(path: "/token") >= 2 ? true : nil }
      try await stage.server.decide(userCode: try #require(login["user_code"].string), "approved")
      let status = try await ended(stage.control, login)
      #expect(status["progress"] == "completed", "\(status.text)")
      #expect(status["token"]["has_refresh_token"] == true)
      _ = try await stage.token("app")
      let answers = try await stage.server.log(path: "/token").compactMap { $0["error"].string }
      #expect(!answers.contains("slow_down"), "\(answers)")
    }
  }

  @Test func `R5.17 slow_down adds five seconds`() async throws {
    try await atServer { stage in
      try await stage.server.rule([
        "path": "/token", "times": 1, "status": 400, "json": ["error": "slow_down"],
      ])
      let login = try await start(stage)
      _ = try await eventually("a second question", within: 30) {
        try await stage.server.count(path: "/token") >= 2 ? true : nil
      }
      let times = try await stage.server.log(path: "/token").compactMap { $0["at"].double }
      let pause = try #require(times.count >= 2 ? times[1] - times[0] : nil)
      #expect(pause >= 5.5, "\(pause)")
      try await stage.server.decide(userCode: try #require(login["user_code"].string), "approved")
    }
  }

  @Test(arguments: [("access_denied", "declined"), ("expired_token", "typed in time")])
  func `R5.17 what the person or the clock has refused is over`(error: String, words: String) async throws {
    try await atServer { stage in
      let login = try await start(stage)
      try await stage.server.decide(userCode: try #require(login["user_code"].string), error)
      let status = try await ended(stage.control, login)
      #expect(status["progress"] == "failed")
      #expect(status["error"]["message"].string?.contains(words) == true, "\(status.text)")
      let asked = try await stage.server.count(path: "/token")
      _ = try await stage.control.result("authorization.status", ["state": login["state"]])
      #expect(try await stage.server.count(path: "/token") == asked)
    }
  }

  @Test func `R5.17 a login goes on after kill -9, and a cancelled one is asked for no more`() async throws {
    try await atServer { stage in
      let login = try await start(stage)
      let other = try await start(stage)
      try await stage.control.result("authorization.cancel", ["state": other["state"]])
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      for each in [login, other] {
        try await stage.server.decide(userCode: try #require(each["user_code"].string), "approved")
      }
      #expect(try await ended(control, login)["progress"] == "completed")
      #expect(try await ended(control, other)["progress"] == "cancelled")
      let completing = try await control.call("authorization.complete", ["state": other["state"], "code": "x"])
      #expect(code(completing) == .stateMismatch)
    }
  }

  @Test func `R2.08 a server without the endpoint, and fhirctl login --device`() async throws {
    try await atServer { stage in
      let child = try await stage.daemon.fhirctl(["login", "app", "--device", "--redirect-uri", "http://127.0.0.1:1/c"])
      #expect(child.end == .exited(64))
      try await stage.server.rule(["path": "/token", "times": 1, "status": 400, "json": ["error": "access_denied"]])
      let declined = try await stage.daemon.fhirctl(["login", "app", "--device", "--no-browser"])
      #expect(declined.end == .exited(3), "\(declined)")
      #expect(declined.output.contains("and type the code:"), "\(declined)")
      #expect(declined.error.contains("declined"), "\(declined)")
      try await stage.server.settings(["device": .null])
      try await stage.create("bare", ["auth_method": "authorization_code", "client_id": "test-app"])
      let bare = try await stage.control.call("authorization.start", ["connection": "bare", "flow": "device"])
      #expect(code(bare) == .notSupportedByServer, "\(bare)")
    }
  }
}
