/// Refreshing: one request for everybody, ahead of expiry, and with patience.
import FHIRControl
import TestSupport
import Testing

@Suite("refreshing", .needs(.python3, .daemon))
struct RefreshTests {
  @Test(.timeLimit(.minutes(3)))
  func `1,000 concurrent callers of an expired grant cause exactly one token request`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["expires_in": 1])
      try await stage.create("busy")
      let old = try await stage.token("busy")
      try await stage.status("busy", becomes: .expired)
      try await stage.server.settings(["expires_in": 300])
      try await stage.server.rule(["path": "/token", "hold": "gate"])

      // Fifty programs with twenty calls each; the answer to server.info proves that the twenty were taken in.
      var callers: [(connection: ControlConnection, ids: [Int])] = []
      for _ in 0..<50 {
        let connection = try await stage.daemon.connect()
        let ids = try await connection.begin("token.get", ["connection": "busy"], times: 20)
        callers.append((connection, ids))
      }
      for caller in callers { try await caller.connection.result("server.info") }
      _ = try await eventually("the one request is under way") {
        try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      try await stage.server.release("gate")

      var tokens: [String: Int] = [:]
      for caller in callers {
        for id in caller.ids {
          let answer = try await caller.connection.answer(to: id)
          tokens[answer.result["access_token"].string ?? answer.description, default: 0] += 1
        }
      }
      #expect(tokens.count == 1, "\(tokens.count) different answers")
      #expect(tokens.values.first == 1000)
      #expect(tokens[old] == nil)
      #expect(try await stage.server.count(path: "/token") == 2)
      #expect(try await stage.server.stats()["high_water"]["/token"] == 1)
    }
  }

  @Test func `a valid token is served while its refresh hangs at the server`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let old = try await stage.token("c")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      // The floor of one second between refreshes must pass first.
      let other = try await stage.daemon.connect()
      let refresh = try await eventually("a refresh is under way", every: 0.2) { () -> Int? in
        let id = try await other.begin("token.refresh", ["connection": "c"])
        _ = try await other.result("server.info")
        if try await stage.status("c")["refresh_under_way"] == true { return id }
        #expect(code(try await other.answer(to: id)) == .throttled)
        return nil
      }
      _ = try await eventually("it is at the server") {
        try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      for _ in 0..<100 { #expect(try await stage.token("c") == old) }
      try await stage.server.release("gate")
      let refreshed = try await other.answer(to: refresh)
      #expect(refreshed.succeeded, "\(refreshed)")
      #expect(try await stage.token("c") != old)
      #expect(try await stage.server.count(path: "/token") == 2)
    }
  }

  @Test func `a caller that wants a longer life than is left waits for the new token`() async throws {
    try await onStage { stage in
      try await stage.server.settings(["expires_in": 4])
      try await stage.create("c")
      let old = try await stage.token("c")
      // Never more than half the lifetime is asked for, so the old token serves for two seconds, then a new one comes.
      let new = try await eventually("a new token for min_valid_seconds 60", within: 10) { () -> String? in
        let token = try await stage.token("c", ["min_valid_seconds": 60])
        return token == old ? nil : token
      }
      #expect(try await stage.server.read("/fhir/Patient/1", token: new) == 200)
      #expect(try await stage.server.read("/fhir/Patient/1", token: old) == 200)
    }
  }

  @Test(.timeLimit(.minutes(10)), arguments: [6, 12])
  func `R7.08 short tokens are replaced before they expire`(lifetime: Int) async throws {
    try await onStage { stage in
      try await stage.server.settings(["expires_in": .integer(Int64(lifetime))])
      try await stage.create("c", ["refresh": ["mode": "ahead"]])
      let requests = try await eventually("three refreshes", within: Double(lifetime) * 5) { () -> [WireJSON]? in
        // At no moment is there no valid token, once there was one.
        if try await stage.server.count(path: "/token") >= 1 {
          let token = try await stage.token("c")
          #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
        }
        let log = try await stage.server.log(path: "/token")
        return log.count >= 4 ? log : nil
      }
      let times = requests.compactMap { $0["at"].double }
      for (earlier, later) in zip(times, times.dropFirst()) {
        #expect(later - earlier < Double(lifetime), "refreshed only after expiry")
        #expect(later - earlier > Double(lifetime) / 2.5, "refreshed needlessly early")
      }
      #expect(try await stage.status("c")["next_refresh_at"].string != nil)
    }
  }

  @Test func `Retry-After is obeyed and told`() async throws {
    try await onStage { stage in
      try await stage.server.rule(
        ["path": "/token", "times": 1, "status": 429, "headers": ["Retry-After": "3"], "body": "slow down"])
      try await stage.create("c", ["refresh": ["mode": "ahead"]])
      try await stage.status("c", becomes: .retrying, .active)
      let answer = try await stage.control.call("token.get", ["connection": "c"])
      if !answer.succeeded {
        #expect(code(answer) == .throttled)
        let seconds = try #require(answer.error["data"]["retry_after_seconds"].double)
        #expect((0...5).contains(seconds))
      }
      try await stage.status("c", becomes: .active)
      let times = try await stage.server.log(path: "/token").compactMap { $0["at"].double }
      #expect(times.count == 2)
      #expect(times[1] - times[0] >= 2.9)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `waits grow from failure to failure, and callers do not shorten them`() async throws {
    try await onStage { stage in
      try await stage.server.rule(["path": "/token", "status": 503, "body": "maintenance"])
      try await stage.create("c", ["refresh": ["mode": "ahead"]])
      let times = try await eventually("five attempts", within: 60, every: 0.05) { () -> [Double]? in
        _ = try await stage.control.call("token.get", ["connection": "c"])
        let log = try await stage.server.log(path: "/token")
        return log.count >= 5 ? log.compactMap { $0["at"].double } : nil
      }
      let gaps = zip(times, times.dropFirst()).map { $1 - $0 }
      #expect(gaps.allSatisfy { $0 > 0.4 }, "\(gaps)")
      #expect(gaps[3] > gaps[0] * 2, "\(gaps)")
      let status = try await stage.status("c")
      #expect(try #require(status["last_error"]["attempts"].int) >= 4)
      #expect(status["next_refresh_at"].string != nil)
      // When it is well again, it is used again, without anybody's help.
      try await stage.server.dropRules()
      try await stage.status("c", becomes: .active, within: 60)
      #expect(try await stage.status("c")["last_error"] == .null)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `many connections at one dead token endpoint do not hammer it`() async throws {
    try await onStage { stage in
      try await stage.server.rule(["path": "/shared/token", "status": 500, "body": "broken"])
      for i in 0..<40 {
        try await stage.create(
          "c\(i)", tenant: "t\(i)",
          ["token_url": .string(stage.server.origin + "/shared/token"), "refresh": ["mode": "ahead"]])
      }
      // Somebody asks for each of them, again and again, for as long as it takes the breaker's second opening.
      let deadline = monotonicSeconds() + 6
      while monotonicSeconds() < deadline {
        for i in 0..<40 where monotonicSeconds() < deadline {
          _ = try await stage.control.call("token.get", ["connection": .string("c\(i)")])
        }
      }
      let count = try await stage.server.count(path: "/shared/token")
      #expect(count >= 1)
      #expect(count <= 40, "\(count) requests in six seconds")
      try await stage.server.dropRules()
      // On a machine that is slow the breaker may have opened for its longest, three minutes.
      for i in 0..<40 { try await stage.status("c\(i)", becomes: .active, within: 200) }
    }
  }

  @Test func `no more requests at a time than the limit for one server`() async throws {
    try await onStage { options in
      options.environment["FHIRD_REFRESH_CONCURRENCY_PER_HOST"] = "3"
    } _: { stage in
      try await stage.server.rule(["path": "/shared/token", "delay": 0.1])
      for i in 0..<20 {
        try await stage.create(
          "c\(i)", tenant: "t\(i)",
          ["token_url": .string(stage.server.origin + "/shared/token"), "refresh": ["mode": "ahead"]])
      }
      for i in 0..<20 { try await stage.status("c\(i)", becomes: .active, within: 30) }
      let high = try await stage.server.stats()["high_water"]
      #expect(try #require(high["/shared/token"].int) <= 3)
    }
  }
}
