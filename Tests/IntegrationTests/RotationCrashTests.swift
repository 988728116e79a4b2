/// `kill -9` at random moments while refresh tokens are rotated: what the server would still honour is never lost, and
/// no refresh token is shown to it more often than the replay policy allows.
import FHIRControl
import TestSupport
import Testing

private let runs = TestMachine.environment("FHIRD_ROTATION_KILL_RUNS").flatMap(Int.init) ?? 40
/// A run takes a third of a second on an idle machine.
private let minutesMax = 5 + runs / 30

@Suite("kill -9 with rotation", .needs(.python3, .daemon))
struct RotationCrashTests {
  private static let grants = 12
  private static let connection: WireJSON = ["connection": "app"]

  private func subject(_ i: Int) -> String { "patient-\(i)" }

  private func kill(_ stage: Stage, runs: Int, after each: (ControlConnection) async throws -> Void) async throws {
    var chance = SystemRandomNumberGenerator()
    var control = stage.control
    for _ in 1...runs {
      for i in 0..<Self.grants {
        try await control.begin("token.refresh", Self.connection.merging(["subject": .string(subject(i))]))
      }
      // Not a hope: the moment of the kill is what chance chooses.
      try await Task.sleep(nanoseconds: UInt64.random(in: 0...200_000_000, using: &chance))
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      control = try await stage.daemon.connect()
      try await each(control)
    }
  }

  private func prepare(_ stage: Stage, _ settings: WireJSON, _ refresh: WireJSON) async throws {
    let server: WireJSON = ["refresh_tokens": true, "rotate": true, "expires_in": 4]
    try await stage.server.settings(server.merging(settings))
    try await stage.server.rule(["path": "*/token", "delay": 0.02])
    try await stage.createApp("app", ["refresh": refresh])
    for i in 0..<Self.grants { try await stage.logIn("app", subject: subject(i)) }
  }

  /// Whether the server's own word has ended the grant. One that two crashes left in doubt gets an operator's word first,
  /// and its answer is waited for: the `token.refresh` of every run would be such a word, and be killed, without end.
  private func isEnded(_ grant: WireJSON, over control: ControlConnection) async throws -> Bool {
    func status() async throws -> (isOut: Bool, isRefused: Bool) {
      let status = try await control.result("token.status", grant)
      return (
        status["state"].string == GrantState.needsLogin.rawValue,
        status["last_error"]["code"].string == ErrorCode.invalidGrant.rawValue
      )
    }
    let found = try await status()
    guard found.isOut else { return false }
    if found.isRefused { return true }
    let answer = try await control.call("token.refresh", grant)
    #expect(answer.succeeded || code(answer) == .invalidGrant, "\(answer)")
    return try await status().isRefused
  }

  @Test(.timeLimit(.minutes(minutesMax)))
  func `R7.05 a server with a grace period never loses a grant to a crash`() async throws {
    try await onStage { stage in
      try await prepare(
        stage, ["reuse": "grace", "grace_seconds": 60],
        ["mode": "ahead", "min_interval_seconds": 1, "replay_within_seconds": 60])
      try await kill(stage, runs: runs) { _ in }
      let control = try await stage.daemon.connect()
      for i in 0..<Self.grants {
        let grant = Self.connection.merging(["subject": .string(subject(i))])
        let token = try await eventually("a token for \(subject(i))", within: 30) { () -> String? in
          let answer = try await control.call("token.get", grant)
          if code(answer) == .needsLogin {
            // Two crashes within one refresh leave it to a person, who loses nothing.
            _ = try await control.call("token.refresh", grant)
          }
          return answer.result["access_token"].string
        }
        #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
      }
      let stats = try await stage.server.stats()
      #expect(stats["families_dead"] == 0, "\(stats.text)")
      print(
        "kill -9 with rotation: \(runs) runs\tgrace period\t\(Self.grants) grants, \(stats["families_dead"].int ?? 0) lost"
      )
    }
  }

  @Test(.timeLimit(.minutes(minutesMax)))
  func `R7.05 R7.06 with reuse detection a grant ends only where the server ended it`() async throws {
    try await onStage { stage in
      try await prepare(
        stage, ["reuse": "revoke_family"], ["mode": "ahead", "min_interval_seconds": 1])
      var logins = Self.grants
      try await kill(stage, runs: runs) { control in
        for i in 0..<Self.grants {
          let grant = Self.connection.merging(["subject": .string(subject(i))])
          guard try await isEnded(grant, over: control) else { continue }
          try await stage.logIn("app", subject: subject(i), over: control)
          logins += 1
        }
      }
      // Everything that is not dead at the server works, if need be by an operator's word.
      let control = try await stage.daemon.connect()
      var dead = logins - Self.grants
      for i in 0..<Self.grants {
        let grant = Self.connection.merging(["subject": .string(subject(i))])
        let ended = try await eventually("an end for \(subject(i))", within: 30) { () -> Bool? in
          let answer = try await control.call("token.get", grant)
          let status = try await control.result("token.status", grant)
          // A token that is served on says nothing of a refresh token that is in doubt.
          if answer.succeeded, status["lost_replies"] == .null { return false }
          if status["last_error"]["code"].string == ErrorCode.invalidGrant.rawValue { return true }
          if code(answer) == .needsLogin { _ = try await control.call("token.refresh", grant) }
          return nil
        }
        if ended { dead += 1 }
      }
      let stats = try await stage.server.stats()
      #expect(stats["families_dead"].int == dead, "\(stats.text)")
      // A token of a family that is dead already may be shown again by an operator's word, and is counted again.
      #expect(try #require(stats["reuse_detected"].int) >= dead, "a grant ended for another reason: \(stats.text)")
      // Once by itself, once more by the replay policy, and once by an operator's word after two crashes.
      #expect(try #require(stats["refresh_presented_max"].int) <= 3, "\(stats.text)")
      print(
        "kill -9 with rotation: \(runs) runs\treuse detection\t\(logins) grants, \(dead) ended by the server, \(dead - (stats["families_dead"].int ?? 0)) lost"
      )
    }
  }
}
