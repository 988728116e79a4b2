/// A refresh token whose reply was lost: served on, sent once more at most, never in a loop.
import SMARTProtocol
import Testing

private func at(_ seconds: Int64) -> Instant { Instant(milliseconds: seconds * 1000) }

@Suite struct ReplayTests {
  private typealias Rotation = RefreshTokenFacts.Rotation

  /// A grant with a token from 0 to `expires`, in the hands of a machine that has sent its refresh at 200.
  private func sent(
    _ rotation: Rotation, expires: Int64 = 300, lost: Int = 0, policy: RefreshPolicy = RefreshPolicy()
  ) -> TokenMachine {
    var machine = TokenMachine(
      facts: GrantFacts(
        generation: 7, standing: .valid, renewal: .refreshToken(.init(rotation: rotation, lostReplies: lost)),
        token: .init(obtainedAt: at(0), expiresAt: at(expires), lifetime: .seconds(expires))), policy: policy)
    _ = machine.tokenWanted(minimum: .zero, forced: true, at: at(200))
    _ = machine.inFlightRecorded()
    return machine
  }

  private func lose(_ machine: inout TokenMachine, at moment: Int64) -> GrantFacts {
    let actions = machine.replied(
      .replyLost(sentAt: at(moment), retryAfter: nil), asked: machine.facts.generation, at: at(moment), chance: 0)
    guard case .commit(let facts)? = actions.first else {
      Issue.record("no commit: \(actions)")
      return machine.facts
    }
    _ = machine.committed(at: at(moment), chance: 0)
    return facts
  }

  @Test func `R7.06 after a lost reply a rotating server is asked again at the last safe moment, once`() {
    var machine = sent(.rotated)
    let first = lose(&machine, at: 200)
    #expect(first.standing == .failing)
    let again = first.nextAttemptAt
    #expect(again.map { $0 > at(270) && $0 < at(300) } == true, "\(String(describing: again))")
    // Until then the token at hand is served, and nobody causes another request.
    let (verdict, actions) = machine.tokenWanted(minimum: .seconds(10), forced: false, at: at(250))
    #expect(verdict == .serve)
    #expect(actions.isEmpty)
    #expect(machine.refreshDue(at: at(250), chance: 0) == [.schedule(again)])
    // Not even one who insists.
    #expect(machine.tokenWanted(minimum: .zero, forced: true, at: at(250)).1.isEmpty)

    #expect(machine.refreshDue(at: at(299), chance: 0) == [.recordInFlight(generation: 8)])
    _ = machine.inFlightRecorded()
    let second = lose(&machine, at: 299)
    #expect(second.standing == .unsure)
    #expect(second.nextAttemptAt == nil)
    #expect(machine.refreshDue(at: at(400), chance: 0) == [.schedule(nil)])
    #expect(machine.tokenWanted(minimum: .zero, forced: false, at: at(400)).0 == .dead)
  }

  @Test func `an operator may try a token once more that nothing else would send again`() {
    var machine = sent(.rotated, lost: 1)
    #expect(lose(&machine, at: 290).standing == .unsure)
    #expect(machine.tokenWanted(minimum: .zero, forced: false, at: at(400)).0 == .dead)
    let (verdict, actions) = machine.tokenWanted(minimum: .zero, forced: true, at: at(400))
    #expect(verdict == .wait)
    #expect(actions == [.recordInFlight(generation: 8)])
  }

  @Test func `a server never seen to rotate is asked again at once`() throws {
    var machine = sent(.unknown)
    let next = try #require(lose(&machine, at: 200).nextAttemptAt)
    #expect(next <= at(202))
  }

  @Test func `a server that keeps its refresh tokens is asked as long as it takes`() {
    var facts = sent(.kept).facts
    for attempt in 1...50 {
      facts = TokenMachine.replyLost(
        facts, sentAt: at(0), retryAfter: nil, policy: RefreshPolicy(), now: at(0), chance: 0.5)
      #expect(facts.standing == .failing, "after \(attempt)")
      #expect(facts.nextAttemptAt != nil)
    }
  }

  @Test func `the policy never sends no token twice, whatever the server was seen to do`() {
    for rotation in [Rotation.unknown, .kept, .rotated] {
      let policy = RefreshPolicy(replay: ReplayPolicy(mode: .never))
      var machine = sent(rotation, policy: policy)
      #expect(lose(&machine, at: 200).standing == .unsure)
      // The token at hand is served to its end all the same.
      #expect(machine.tokenWanted(minimum: .zero, forced: false, at: at(250)).0 == .serve)
    }
  }

  @Test func `within a grace period the token is sent again at once, after it not at all`() throws {
    let policy = RefreshPolicy(replay: ReplayPolicy(within: .seconds(30)))
    var machine = sent(.rotated, policy: policy)
    #expect(try #require(lose(&machine, at: 200).nextAttemptAt) <= at(202))
    let late = TokenMachine.replyLost(
      sent(.rotated, policy: policy).facts, sentAt: at(100), retryAfter: nil, policy: policy, now: at(200), chance: 0)
    #expect(late.standing == .unsure)
  }

  @Test func `R7.07 a refused replay ends the grant, a granted one clears the doubt`() {
    for (result, standing) in [
      (AttemptResult.grantDead, GrantFacts.Standing.dead),
      (.granted(lifetime: .seconds(300), sentAt: at(200), rotated: true), .valid),
    ] {
      var machine = sent(.rotated, lost: 1)
      let actions = machine.replied(result, asked: 7, at: at(201), chance: 0)
      guard case .commit(let facts)? = actions.first else {
        Issue.record("no commit: \(actions)")
        continue
      }
      #expect(facts.standing == standing)
      if standing == .valid { #expect(facts.renewal == .refreshToken(.init(rotation: .rotated))) }
    }
  }

  @Test func `R7.07 only the server's own word ends a grant`() {
    for result in [
      AttemptResult.clientRefused, .throttled(retryAfter: nil), .trouble(retryAfter: nil),
      .replyLost(sentAt: at(200), retryAfter: nil),
    ] {
      var machine = sent(.kept)
      let actions = machine.replied(result, asked: 7, at: at(201), chance: 0)
      guard case .commit(let facts)? = actions.first else {
        Issue.record("no commit: \(actions)")
        continue
      }
      #expect(facts.standing != .dead, "\(result)")
      #expect(facts.renewal != .login)
    }
  }

  @Test func `a grant that only a login renews asks nobody`() {
    let facts = GrantFacts(
      generation: 2, standing: .valid, renewal: .login,
      token: .init(obtainedAt: at(0), expiresAt: at(300), lifetime: .seconds(300)))
    #expect(TokenMachine.due(facts: facts, policy: RefreshPolicy(), now: at(0), chance: 0) == nil)
    var machine = TokenMachine(facts: facts, policy: RefreshPolicy())
    #expect(machine.tokenWanted(minimum: .zero, forced: false, at: at(200)).0 == .serve)
    for forced in [false, true] {
      let (verdict, actions) = machine.tokenWanted(minimum: .zero, forced: forced, at: at(301))
      #expect(verdict == .dead)
      #expect(actions.isEmpty)
    }
  }

  @Test func `an idle grant is kept alive, and nothing else is refreshed that nobody asks for`() throws {
    let policy = RefreshPolicy(mode: .onDemand, keepAlive: .seconds(1000))
    var facts = sent(.rotated).facts
    let due = try #require(TokenMachine.due(facts: facts, policy: policy, now: at(0), chance: 1))
    #expect(due >= at(900) && due <= at(1000))
    facts.renewal = .client
    #expect(TokenMachine.due(facts: facts, policy: policy, now: at(0), chance: 1) == nil)
  }
}
