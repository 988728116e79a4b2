/// Refresh tokens: replaced as they are used, never used twice, never thrown away for anything but the server's word.
import FHIRControl
import TestSupport
import Testing

@Suite("refresh tokens", .needs(.python3, .daemon))
struct RotationTests {
  /// A connection with a finished login and a rotating refresh token. `settings` go on top.
  private func loggedIn(
    _ stage: Stage, _ settings: WireJSON = [:], fields: WireJSON = [:]
  ) async throws {
    let all: WireJSON = ["refresh_tokens": true]
    try await stage.server.settings(all.merging(settings))
    try await stage.createLogin("c", fields)
    try await stage.login("c")
  }

  /// `token.refresh` as soon as the floor of one second between refreshes has passed.
  @discardableResult
  private func refresh(_ stage: Stage, _ control: ControlConnection? = nil) async throws -> Answer {
    try await eventually("a refresh that was not put off", every: 0.2) { () -> Answer? in
      let answer = try await (control ?? stage.control).call("token.refresh", ["connection": "c"], within: 70)
      return code(answer) == .throttled ? nil : answer
    }
  }

  /// Token requests that brought a refresh token.
  private func refreshes(_ stage: Stage, _ path: String = "/token") async throws -> [WireJSON] {
    try await stage.server.log(path: path).filter { $0["form"]["grant_type"] == "refresh_token" }
  }

  @Test func `R7.01, R7.02: a refresh says what it must and nothing else`() async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      #expect(try await refresh(stage).succeeded)
      let request = try #require(try await refreshes(stage).last)
      #expect(Set(request["form"].object.keys) == ["grant_type", "refresh_token"], "\(request["form"].text)")
      #expect(request["query"] == "")
      #expect(request["auth"] == "basic", "as the code was redeemed")
    }
  }

  @Test func `R7.01: a public client refreshes by its id`() async throws {
    try await onStage { stage in
      try await stage.server.control("POST", "clients", ["client_id": "public", "methods": ["none"]])
      try await loggedIn(
        stage, fields: ["client_id": "public", "client_secret": .null, "client_authentication": "none"])
      #expect(try await refresh(stage).succeeded)
      #expect(try await refreshes(stage).last?["form"]["client_id"] == "public")
    }
  }

  @Test(.timeLimit(.minutes(2)))
  func `R7.03, R7.05: over many refreshes no refresh token is presented twice`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["expires_in": 2], fields: ["refresh": ["mode": "ahead", "min_interval_seconds": 1]])
      _ = try await eventually("ten refreshes", within: 60, every: 0.1) { () -> Bool? in
        for _ in 0..<20 { _ = try await stage.control.call("token.get", ["connection": "c"]) }
        return try await refreshes(stage).count >= 10 ? true : nil
      }
      let stats = try await stage.server.stats()
      #expect(stats["refresh_presented_max"] == 1)
      #expect(stats["reuse_detected"] == 0)
      #expect(stats["high_water"]["/token"] == 1)
      // Of those that were issued, each was presented once, save the newest.
      let issued = try #require(stats["refresh_issued"].int)
      #expect((issued - 1...issued).contains(stats["refresh_presented"].object.count))
    }
  }

  @Test func `R7.05: a thousand callers of an expired grant present its refresh token once`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["expires_in": 1])
      try await stage.status("c", becomes: .expired)
      try await stage.server.settings(["expires_in": 300])
      var callers: [(connection: ControlConnection, ids: [Int])] = []
      for _ in 0..<20 {
        let connection = try await stage.daemon.connect()
        callers.append((connection, try await connection.begin("token.get", ["connection": "c"], times: 50)))
      }
      var tokens: Set<String> = []
      for caller in callers {
        for id in caller.ids {
          let answer = try await caller.connection.answer(to: id)
          tokens.insert(answer.result["access_token"].string ?? answer.description)
        }
      }
      #expect(tokens.count == 1, "\(tokens.count) different answers")
      #expect(try await refreshes(stage).count == 1)
      #expect(try await stage.server.refreshPresentedMax() == 1)
    }
  }

  @Test(.timeLimit(.minutes(4)))
  func `R7.03: once a refresh was answered, kill -9 does not bring the old token back`() async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      var control = stage.control
      for run in 1...12 {
        #expect(try await refresh(stage, control).succeeded, "run \(run)")
        try await stage.daemon.killHard()
        try await stage.daemon.start()
        control = try await stage.daemon.connect()
        try #require(try await stage.server.refreshPresentedMax() == 1, "run \(run)")
      }
      #expect(try await stage.server.reuseDetected() == 0)
      #expect(try await refreshes(stage).count == 12)
    }
  }

  @Test func `R7.04: an answer without a refresh token keeps the old one`() async throws {
    try await onStage { stage in
      try await loggedIn(stage)
      try await stage.server.rule(["path": "/token", "times": 2, "token": ["refresh_tokens": false]])
      for _ in 0..<3 { #expect(try await refresh(stage).succeeded) }
      #expect(try await refreshes(stage).count == 3)
      let stats = try await stage.server.stats()
      #expect(stats["refresh_presented_max"] == 3, "the login's own, three times: \(stats.text)")
      #expect(stats["reuse_detected"] == 0)
    }
  }

  @Test func `R7.04: an answer that repeats the refresh token is as good`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["rotate": false])
      for _ in 0..<3 { #expect(try await refresh(stage).succeeded) }
      #expect(try await stage.server.stats()["refresh_issued"] == 1)
    }
  }

  @Test(arguments: ["required", "forbidden"])
  func `R7.02: servers that want a scope in the refresh, and servers that do not, are both served`(
    wish: String
  ) async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["refresh_scope": .string(wish)])
      #expect(try await refresh(stage).succeeded)
      #expect(try await refresh(stage).succeeded)
      // One fallback at most, ever: what was learnt is kept.
      #expect(try await refreshes(stage).count <= 3)
      #expect(try await stage.server.reuseDetected() == 0)
    }
  }

  @Test(.timeLimit(.minutes(2)))
  func `R7.06: after a lost reply one replay, then NEEDS_LOGIN with the command, and never a loop`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["expires_in": 6])
      let valid = try await stage.token("c")
      try await stage.server.rule(["path": "/token", "times": 1, "lose_reply": true])
      #expect(!(try await refresh(stage).succeeded))
      // The server rotated, so only a replay can tell; the valid token is served until it expires.
      if try await refreshes(stage).count == 1 {
        #expect(try await stage.token("c", ["min_valid_seconds": 0]) == valid)
      }
      let answer = try await eventually("NEEDS_LOGIN", within: 40, every: 0.2) { () -> Answer? in
        let answer = try await stage.control.call("token.get", ["connection": "c"], within: 70)
        return code(answer) == .needsLogin ? answer : nil
      }
      #expect(answer.hint?.contains("fhirctl login c") == true, "\(answer)")
      #expect(try await stage.status("c")["state"] == "needs_login")
      for _ in 0..<20 {
        _ = try await stage.control.call("token.get", ["connection": "c"])
        _ = try await stage.control.call("token.refresh", ["connection": "c"])
      }
      #expect(try await refreshes(stage).count == 2)
      #expect(try await stage.server.refreshPresentedMax() == 2)
      #expect(try await stage.server.reuseDetected() == 1)
    }
  }

  @Test(.timeLimit(.minutes(2)))
  func `R7.06: where the server has a grace period the replay heals, and nobody has to log in`() async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["expires_in": 6, "reuse": "grace", "grace_seconds": 60])
      try await stage.server.settings(["expires_in": 300])
      try await stage.server.rule(["path": "/token", "times": 1, "lose_reply": true])
      #expect(!(try await refresh(stage).succeeded))
      try await stage.status("c", becomes: .active, within: 40)
      _ = try await eventually("a token of the replay", within: 40, every: 0.2) { () -> Bool? in
        let answer = try await stage.control.call(
          "token.get", ["connection": "c", "min_valid_seconds": 60], within: 70)
        return (answer.result["expires_in"].int ?? 0) > 60 ? true : nil
      }
      #expect(try await refresh(stage).succeeded)
      #expect(try await refreshes(stage).count == 3)
      #expect(try await stage.server.reuseDetected() == 0)
    }
  }

  @Test(.timeLimit(.minutes(2)), arguments: ["grace", "revoke_family"])
  func `R7.06: kill -9 while a refresh is at the server costs one replay at most`(reuse: String) async throws {
    try await onStage { stage in
      try await loggedIn(stage, ["expires_in": 8, "reuse": .string(reuse), "grace_seconds": 60])
      let valid = try await stage.token("c")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      let other = try await stage.daemon.connect()
      _ = try await eventually("the refresh is at the server", every: 0.2) { () -> Bool? in
        try await other.begin("token.refresh", ["connection": "c"])
        return try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      try await stage.daemon.killHard()
      try await stage.server.settings(["expires_in": 300])
      // Let go only now: the server rotates, and nobody is there to hear of it.
      try await stage.server.release("gate")
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let first = try await control.call("token.get", ["connection": "c", "min_valid_seconds": 0], within: 70)
      if try await refreshes(stage).count == 1 { #expect(first.result["access_token"].string == valid, "\(first)") }
      let end = try await eventually("the replay's outcome", within: 40, every: 0.2) { () -> Answer? in
        let answer = try await control.call("token.get", ["connection": "c"], within: 70)
        return code(answer) == .needsLogin || (answer.result["expires_in"].int ?? 0) > 60 ? answer : nil
      }
      #expect(end.succeeded == (reuse == "grace"), "\(end)")
      for _ in 0..<10 { _ = try await control.call("token.get", ["connection": "c"]) }
      #expect(try await refreshes(stage).count == 2)
      #expect(try await stage.server.refreshPresentedMax() == 2)
    }
  }
}
