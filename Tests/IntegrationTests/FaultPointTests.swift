/// `kill -9` at every named step of a refresh, and of the start after it: what the server would still honour is kept, and
/// no refresh token is shown to it more often than the replay policy allows.
#if FAULT_POINTS
  import ConnectionCore
  import FHIRControl
  import Glibc
  import TestSupport
  import Testing

  @Suite("fault points of a refresh", .needs(.python3, .daemon))
  struct FaultPointTests {
    private static let app: WireJSON = ["connection": "app"]

    /// What becomes of a refresh token that is shown twice, and whether it is.
    enum Setting: String, CaseIterable, CustomTestStringConvertible {
      case detection = "reuse detection, replay once"
      case detectionNever = "reuse detection, replay never"
      case grace = "grace period, replay at once"
      case graceNever = "grace period, replay never"
      var testDescription: String { rawValue }

      var punishes: Bool { self == .detection || self == .detectionNever }
      var replays: Bool { self == .detection || self == .grace }

      var server: WireJSON {
        // The replay to a server that rotates comes before the end of the access token: a short one, not to wait long.
        [
          "refresh_tokens": true, "reuse": punishes ? "revoke_family" : "grace", "grace_seconds": 60,
          "expires_in": self == .detection ? 6 : 300,
        ]
      }

      var refresh: WireJSON {
        let basic: WireJSON = ["mode": "on_demand", "min_interval_seconds": 1, "replay": replays ? "once" : "never"]
        return self == .grace ? basic.merging(["replay_within_seconds": 60]) : basic
      }
    }

    /// A grant whose server is known to rotate, and a second refresh that the daemon does not survive.
    /// - Returns: the answer to the refresh, if it was given, and the access token before it.
    private func die(_ stage: Stage, _ setting: Setting) async throws -> (answer: Answer?, token: String) {
      try await stage.server.settings(setting.server)
      try await stage.createApp("app", ["refresh": setting.refresh])
      try await stage.logIn("app")
      try await stage.refresh("app")
      let token = try await stage.token("app", ["min_valid_seconds": 0])
      let answer = try await eventually("the floor between refreshes has passed", every: 0.1) { () -> Answer?? in
        guard let answer = try await stage.ask("token.refresh", Self.app) else { return .some(nil) }
        return code(answer) == .throttled ? nil : .some(answer)
      }
      try await stage.death()
      return (answer, token)
    }

    @Test(.timeLimit(.minutes(10)), arguments: FaultPoint.all(of: "refresh"), Setting.allCases)
    func `R7.05 R7.06 a death in a refresh costs a grant only where the server ended it`(
      point: FaultPoint, setting: Setting
    ) async throws {
      try await onDeadlyStage(point, times: 2) { stage in
        let (answer, token) = try await die(stage, setting)
        let atDeath = try await stage.server.stats()
        let isCarriedOut = atDeath["refresh_issued"].int == 3
        #expect(isCarriedOut == point.isAtOrAfter(.refreshRequestSent), "the step is not where it says")
        #expect((answer != nil) == (point == .refreshAnswered))

        let again = try await stage.startedAgain()
        let status = try await again.status("app")
        if point.isAtOrAfter(.refreshOutcomeCommitted) {
          #expect(status["state"] == "active", "\(status.text)")
          #expect(status["lost_replies"] == .null)
          if let answer { #expect(status["generation"] == answer.result["generation"], "what was answered is kept") }
          #expect(try await again.token("app", ["min_valid_seconds": 0]) != token)
          try await expectAlive(again, presented: 1)
          tellKill(point, setting.rawValue, "kept: the new tokens were stored")
        } else if !point.isAtOrAfter(.refreshRecordCommitted) {
          #expect(status["state"] == "active", "\(status.text)")
          #expect(status["lost_replies"] == .null)
          try await expectAlive(again, presented: 1)
          tellKill(point, setting.rawValue, "kept: nothing was sent, nothing in doubt")
        } else {
          #expect(status["lost_replies"] == 1, "\(status.text)")
          try await settleDoubt(again, setting, point, isCarriedOut: isCarriedOut, token: token)
        }
        try await again.expectWholeStore()
      }
    }

    /// The in-flight record is there: nobody on our side knows whether the token was used.
    private func settleDoubt(
      _ stage: Stage, _ setting: Setting, _ point: FaultPoint, isCarriedOut: Bool, token: String
    ) async throws {
      if !setting.replays {
        // Nothing is sent, nothing erased, and the token at hand is served on; then an operator has the word.
        let status = try await stage.status("app")
        #expect(status["state"] == "needs_login", "\(status.text)")
        #expect(status["has_refresh_token"] == true)
        #expect(try await stage.token("app", ["min_valid_seconds": 0]) == token)
        #expect(try await stage.server.stats()["refresh_presented_max"] == 1)
        let word = try await stage.control.call("token.refresh", Self.app)
        #expect(word.succeeded == !(isCarriedOut && setting.punishes), "\(word)")
      }
      guard isCarriedOut, setting.punishes else {
        try await stage.status("app", becomes: .active, within: 30)
        try await expectAlive(stage, presented: isCarriedOut ? 2 : 1)
        let how = setting.replays ? "by a replay" : "by an operator's word"
        return tellKill(point, setting.rawValue, "kept: \(isCarriedOut ? "in the grace period" : "never used"), \(how)")
      }
      let status = try await eventually("an end by the server's word", within: 30) { () -> WireJSON? in
        let status = try await stage.status("app")
        return status["last_error"]["code"].string == ErrorCode.invalidGrant.rawValue ? status : nil
      }
      #expect(status["state"] == "needs_login")
      let stats = try await stage.server.stats()
      #expect(stats["families_dead"] == 1, "\(stats.text)")
      #expect(stats["reuse_detected"] == 1, "\(stats.text)")
      #expect(stats["refresh_presented_max"] == 2, "once, and one replay: \(stats.text)")
      try await stage.logIn("app")
      try await stage.expectGoodToken("app")
      tellKill(point, setting.rawValue, "ended by the server: it had rotated, and the reply was lost")
    }

    /// The grant is served, can be refreshed, and no token was shown more often than that.
    private func expectAlive(_ stage: Stage, presented: Int) async throws {
      try await stage.refresh("app")
      try await stage.expectGoodToken("app")
      let stats = try await stage.server.stats()
      #expect(stats["refresh_presented_max"].int == presented, "\(stats.text)")
      #expect(stats["families_dead"] == 0, "\(stats.text)")
    }

    @Test(.timeLimit(.minutes(10)), arguments: FaultPoint.all(of: "recovery"), [Setting.grace, .graceNever])
    func `R7.05 a second death in the start counts one lost reply and no more`(point: FaultPoint, setting: Setting)
      async throws
    {
      try await onDeadlyStage(.refreshRequestSent, times: 2) { stage in
        _ = try await die(stage, setting)
        stage.daemon.configure { $0.environment["FHIRD_FAULT_POINT"] = point.rawValue }
        try stage.daemon.spawn()
        try await stage.death()
        let again = try await stage.startedAgain()
        let status = try await again.status("app")
        #expect(status["lost_replies"] == 1, "\(status.text)")
        #expect(status["state"].string == (setting.replays ? "retrying" : "needs_login"))
        if !setting.replays { try await again.refresh("app") }
        try await again.status("app", becomes: .active, within: 30)
        try await expectAlive(again, presented: 2)
        try await again.expectWholeStore()
        tellKill(point, setting.rawValue, "kept: one lost reply is counted")
      }
    }

    @Test func `a step that does not exist stops the start with the names of those that do`() async throws {
      var options = DaemonUnderTest.Options()
      options.environment["FHIRD_FAULT_POINT"] = "refresh.nowhere"
      let daemon = try DaemonUnderTest(options)
      let (end, said) = try await daemon.startRefused()
      #expect(end == .exited(EX_CONFIG))
      #expect(said.contains(FaultPoint.refreshRequestSent.rawValue), "\(said)")
      await daemon.cleanUp()
    }
  }
#endif
