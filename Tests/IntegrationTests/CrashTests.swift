/// `kill -9` at random moments during refreshes: no connection is lost, and the store opens each time.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("kill -9", .needs(.python3, .daemon))
struct CrashTests {
  /// Enough to be in every step of a refresh at once at any moment.
  private static let connections = 24
  private static let runs = TestMachine.environment("FHIRD_KILL_RUNS").flatMap(Int.init) ?? 200

  /// A generator with a seed, so that a failure can be played again with FHIRD_KILL_SEED.
  private struct Chance: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `no connection is lost and every start finds a readable store`() async throws {
    let seed = TestMachine.environment("FHIRD_KILL_SEED").flatMap(UInt64.init) ?? UInt64.random(in: 0...UInt64.max)
    var chance = Chance(state: seed)
    try await onStage { stage in
      // Tokens of two seconds: each grant refreshes more than once a second, so a kill falls into one.
      try await stage.server.settings(["expires_in": 2])
      try await stage.server.rule(["path": "*/token", "delay": 0.01])
      var ids: Set<String> = []
      for i in 0..<Self.connections {
        let fields: WireJSON = ["refresh": ["mode": "ahead", "min_interval_seconds": 1]]
        ids.insert(try #require(try await stage.create("c\(i)", tenant: "t\(i)", fields)["id"].string))
      }
      stage.control.close()
      var control = try await stage.daemon.connect()
      let began = monotonicSeconds()
      for run in 1...Self.runs {
        // Callers add commits of their own to those of the refresh loop.
        for i in 0..<Self.connections {
          try await control.begin("token.refresh", ["connection": .string("c\(i)")])
        }
        try await Task.sleep(nanoseconds: UInt64.random(in: 0...150_000_000, using: &chance))
        try await stage.daemon.killHard()
        try await stage.daemon.start()
        control = try await stage.daemon.connect()
        let page = try await control.result("connection.list", ["limit": 1000])
        let found = Set(page["connections"].array.compactMap { $0["id"].string })
        try #require(found == ids, "after run \(run) of seed \(seed)")
        try #require(page["unreadable"].array.isEmpty, "after run \(run) of seed \(seed): \(page["unreadable"].text)")
      }
      print("kill -9: \(Self.runs) runs in \(Int(monotonicSeconds() - began)) s, seed \(seed)")

      try await stage.server.dropRules()
      try await stage.server.settings(["expires_in": 300])
      for i in 0..<Self.connections {
        let token = try await eventually("a token of c\(i)", within: 30) { () -> String? in
          let answer = try await control.call("token.get", ["connection": .string("c\(i)")])
          return answer.result["access_token"].string
        }
        #expect(try await stage.server.read("/t\(i)/fhir/Patient/1", token: token) == 200)
      }
      let health = try await control.result("health.get")
      #expect(health["state"] == "ok", "\(health.text)")
    }
  }

  @Test func `a token that was served is served again after kill -9, without a request`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let token = try await stage.token("c")
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let again = try await control.result("token.get", ["connection": "c"])
      #expect(again["access_token"] == .string(token))
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `a kill while the request is at the server costs one more request and nothing else`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      try await stage.control.begin("token.get", ["connection": "c"])
      _ = try await eventually("the request is at the server") {
        try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      try await stage.daemon.killHard()
      try await stage.server.release("gate")
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let token = try #require(
        try await control.result("token.get", ["connection": "c"])["access_token"].string)
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
      #expect(try await stage.server.count(path: "/token") == 2)
    }
  }
}
