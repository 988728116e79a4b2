/// Clocks that jump and machines that sleep, made by Tests/ClockShim under LD_PRELOAD.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("clocks", .needs(.python3, .daemon, .compiler))
struct ClockTests {
  @Test(arguments: [86400, -86400])
  func `a wall clock that jumps a day costs no token and no request`(jump: Int) async throws {
    try await onShiftableStage { stage, shim in
      try await stage.create("c", ["refresh": ["mode": "ahead"]])
      let token = try await stage.token("c")
      try shim.set(jump: jump, suspend: 0)
      // Time enough for loops that would misunderstand the jump: they act at once or not at all.
      let deadline = monotonicSeconds() + 3
      while monotonicSeconds() < deadline { #expect(try await stage.token("c") == token) }
      #expect(try await stage.server.count(path: "/token") == 1)
      let result = try await stage.control.result("token.get", ["connection": "c"])
      #expect((200...300).contains(try #require(result["expires_in"].int)), "\(result["expires_in"].text)")
      #expect(try await stage.status("c")["state"] == "active")
    }
  }

  @Test func `R2.11 what was discovered a day ago is asked for by its tag, and kept when it is the same`() async throws
  {
    try await onShiftableStage { stage, shim in
      try await stage.create("c")
      _ = try await stage.token("c")
      try shim.set(jump: 0, suspend: 90_000)
      _ = try await stage.token("c")
      let asked = try await stage.server.log().filter { $0["path"].string?.contains("/.well-known/") == true }
      #expect(asked.map { $0["status"] } == [200, 304], "\(asked.map(\.text))")
    }
  }

  @Test func `R6.08 old keys of an issuer are asked for by their tag, and do for a week while it cannot be reached`()
    async throws
  {
    try await onShiftableStage { stage, shim in
      func logIn(afterHours hours: Int) async throws -> String {
        try shim.set(jump: 0, suspend: hours * 3600)
        let now = time(nil) + hours * 3600
        try await stage.server.settings([
          "openid": [
            "kid": "one", "published": ["one"],
            "claims": ["iat": .integer(Int64(now)), "exp": .integer(Int64(now + 300))],
          ]
        ])
        try await stage.logIn("app")
        return try #require(try await stage.status("app")["identity"].string)
      }
      try await stage.createApp("app", ["scope": "openid patient/*.rs"])
      #expect(try await logIn(afterHours: 0) == "verified")
      #expect(try await logIn(afterHours: 23) == "verified")
      #expect(try await logIn(afterHours: 25) == "verified")
      #expect(try await stage.server.log(path: "/jwks").map { $0["status"] } == [200, 304])
      try await stage.server.rule(["path": "/jwks", "status": 503])
      #expect(try await logIn(afterHours: 25 + 7 * 24 - 1) == "verified")
      #expect(try await logIn(afterHours: 25 + 7 * 24 + 1) == "unverified: the issuer's keys cannot be read")
    }
  }

  @Test(arguments: [86400, -86400])
  func `a jump while the daemon is down does not serve what has expired`(jump: Int) async throws {
    try await onShiftableStage { stage, shim in
      try await stage.server.settings(["expires_in": 5])
      try await stage.create("c")
      let token = try await stage.token("c")
      #expect(try await stage.daemon.terminate() == .exited(0))
      try shim.set(jump: jump, suspend: 0)
      _ = try await eventually("the token has expired at the server", within: 15, every: 0.2) {
        try await stage.server.read("/fhir/Patient/1", token: token) == 401 ? true : nil
      }
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let now = try #require(try await control.result("token.get", ["connection": "c"])["access_token"].string)
      #expect(now != token)
      #expect(try await stage.server.read("/fhir/Patient/1", token: now) == 200)
    }
  }

  @Test(arguments: [86400, -86400])
  func `R7.03 a wall clock that jumps a day costs a rotating grant no token and no request`(jump: Int) async throws {
    try await onShiftableStage { stage, shim in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app", ["refresh": ["mode": "ahead", "min_interval_seconds": 1]])
      try await stage.logIn("app")
      let token = try await stage.token("app")
      try shim.set(jump: jump, suspend: 0)
      // Time enough for loops that would misunderstand the jump: they act at once or not at all.
      let deadline = monotonicSeconds() + 2
      while monotonicSeconds() < deadline { #expect(try await stage.token("app") == token) }
      #expect(try await stage.server.count(path: "/token") == 1)
      try await stage.refresh("app")
      try await stage.expectGoodToken("app")
      try await stage.logIn("app", subject: "after the jump")
      #expect(try await stage.server.stats()["refresh_presented_max"] == 1)
    }
  }

  @Test(arguments: [86400, -86400])
  func `R7.05 a jump between a lost refresh and the next start does not keep it from its grace period`(jump: Int)
    async throws
  {
    try await onShiftableStage { stage, shim in
      try await stage.server.settings(["refresh_tokens": true, "reuse": "grace", "grace_seconds": 60])
      try await stage.createApp(
        "app", ["refresh": ["mode": "on_demand", "min_interval_seconds": 1, "replay_within_seconds": 60]])
      try await stage.logIn("app")
      try await stage.refresh("app")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      try await stage.refreshUnderWay("app")
      try await stage.daemon.killHard()
      try await stage.server.release("gate")
      try shim.set(jump: jump, suspend: 0)
      try await stage.daemon.start()
      let again = Stage(server: stage.server, daemon: stage.daemon, control: try await stage.daemon.connect())
      try await again.status("app", becomes: .active, within: 30)
      try await again.refresh("app")
      try await again.expectGoodToken("app")
      let stats = try await again.server.stats()
      #expect(stats["refresh_presented_max"] == 2, "\(stats.text)")
      #expect(stats["families_dead"] == 0, "\(stats.text)")
    }
  }

  @Test func `after an hour of suspend the expired token is not served but replaced`() async throws {
    try await onShiftableStage { stage, shim in
      try await stage.create("c", ["refresh": ["mode": "ahead"]])
      let token = try await stage.token("c")
      try shim.set(jump: 0, suspend: 3600)
      let after = try await stage.token("c")
      #expect(after != token)
      #expect(try await stage.server.count(path: "/token") == 2)
      #expect(try await stage.token("c") == after)
    }
  }

  // The limit is for a test that hangs; it runs also while this one waits for its turn.
  @Test(.timeLimit(.minutes(10)))
  func `after a suspend tokens are replaced without anybody asking`() async throws {
    try await onShiftableStage { stage, shim in
      for i in 0..<5 {
        try await stage.create("c\(i)", tenant: "t\(i)", ["refresh": ["mode": "ahead"]])
        _ = try await stage.token("c\(i)")
      }
      try shim.set(jump: 0, suspend: 3600)
      // Every wait of the daemon is clamped to less than a minute: timers may have slept through the suspend.
      _ = try await eventually("five refreshes", within: 75, every: 0.2) { () -> Bool? in
        let paths = try await stage.server.stats()["by_path"]
        return (0..<5).allSatisfy { paths["/t\($0)/token"].int == 2 } ? true : nil
      }
    }
  }
}
