/// The machine of one grant, event by event. It lives in SMARTProtocol; what it promises the engine is tested here.
import SMARTProtocol
import Testing

@testable import ConnectionCore

private func at(_ seconds: Int64) -> Instant { Instant(milliseconds: seconds * 1000) }

@Suite struct TokenMachineTests {
  private let policy = RefreshPolicy()
  private func fresh() -> TokenMachine {
    TokenMachine(facts: GrantFacts(generation: 1, standing: .new), policy: policy)
  }
  private func valid(lifetime: Int64 = 300, failures: Int = 0) -> TokenMachine {
    TokenMachine(
      facts: GrantFacts(
        generation: 4, standing: .valid,
        token: .init(obtainedAt: at(0), expiresAt: at(lifetime), lifetime: .seconds(lifetime)), failures: failures),
      policy: policy)
  }

  @Test func `R6.03 the in-flight record comes before the request, the commit before the answer`() {
    var machine = fresh()
    let (verdict, actions) = machine.tokenWanted(minimum: .seconds(10), forced: false, at: at(0))
    #expect(verdict == .wait)
    #expect(actions == [.recordInFlight(generation: 1)])
    #expect(machine.inFlightRecorded() == [.sendTokenRequest(generation: 1)])
    let replied = machine.replied(
      .granted(lifetime: .seconds(300), sentAt: at(1)), asked: 1, at: at(2), chance: 0.5)
    guard case .commit(let facts)? = replied.first, replied.count == 1 else {
      Issue.record("no commit: \(replied)")
      return
    }
    #expect(facts.generation == 2)
    #expect(facts.token?.expiresAt == at(301), "R6.03 from the moment it was sent")
    let committed = machine.committed(at: at(2), chance: 0.5)
    #expect(committed.first == .answerWaiters(.served))
    #expect(machine.isIdle)
  }

  @Test func `everybody who comes meanwhile joins the same attempt`() {
    var machine = fresh()
    _ = machine.tokenWanted(minimum: .seconds(10), forced: false, at: at(0))
    for _ in 0..<1000 {
      let (verdict, actions) = machine.tokenWanted(minimum: .seconds(10), forced: true, at: at(0))
      #expect(verdict == .wait)
      #expect(actions.isEmpty)
    }
  }

  @Test func `a reply of another generation is dropped`() {
    var machine = fresh()
    _ = machine.tokenWanted(minimum: .zero, forced: false, at: at(0))
    _ = machine.inFlightRecorded()
    #expect(
      machine.replied(.granted(lifetime: .seconds(1), sentAt: at(0)), asked: 9, at: at(1), chance: 0) == [.dropped])
    #expect(machine.isUnderWay)
  }

  @Test func `a store that takes no record sends no request`() {
    var machine = fresh()
    _ = machine.tokenWanted(minimum: .zero, forced: false, at: at(0))
    let actions = machine.recordingFailed(at: at(1))
    #expect(actions == [.answerWaiters(.storeFailed), .schedule(at(1) + TokenMachine.storeRetry)])
    #expect(machine.inFlightRecorded() == [.dropped])
  }

  @Test func `an outcome that cannot be committed is kept and tried again`() {
    var machine = valid()
    _ = machine.tokenWanted(minimum: .zero, forced: true, at: at(200))
    _ = machine.inFlightRecorded()
    let first = machine.replied(.granted(lifetime: .seconds(300), sentAt: at(200)), asked: 4, at: at(201), chance: 0)
    #expect(machine.commitFailed(at: at(202)) == [.answerWaiters(.storeFailed), .schedule(at(207))])
    #expect(machine.refreshDue(at: at(203), chance: 0) == [.schedule(at(207))])
    #expect(machine.refreshDue(at: at(207), chance: 0) == first)
    #expect(machine.committed(at: at(208), chance: 0).first == .answerWaiters(.served))
  }

  @Test func `trouble keeps the token and waits longer each time`() {
    var machine = valid()
    var lastWait = Instant.Span.zero
    var now = at(250)
    for attempt in 1...6 {
      let actions = machine.refreshDue(at: now, chance: 0.5)
      #expect(actions == [.recordInFlight(generation: machine.facts.generation)], "attempt \(attempt)")
      _ = machine.inFlightRecorded()
      _ = machine.replied(.trouble(retryAfter: nil), asked: machine.facts.generation, at: now, chance: 0.5)
      _ = machine.committed(at: now, chance: 0.5)
      #expect(machine.facts.token != nil)
      #expect(machine.facts.failures == attempt)
      let wait = (machine.facts.nextAttemptAt ?? now) - now
      #expect(wait >= lastWait)
      lastWait = wait
      now = now + wait
    }
    #expect(lastWait <= Backoff.serverTrouble.cap + .seconds(300))
  }

  @Test func `R6.08 only the server's own word ends a grant`() {
    for result in [AttemptResult.clientRefused, .throttled(retryAfter: nil), .trouble(retryAfter: .seconds(3))] {
      var machine = valid()
      _ = machine.tokenWanted(minimum: .zero, forced: true, at: at(299))
      _ = machine.inFlightRecorded()
      _ = machine.replied(result, asked: 4, at: at(299), chance: 0)
      _ = machine.committed(at: at(299), chance: 0)
      #expect(machine.facts.standing != .dead)
    }
    var machine = valid()
    _ = machine.tokenWanted(minimum: .zero, forced: true, at: at(299))
    _ = machine.inFlightRecorded()
    _ = machine.replied(.grantDead, asked: 4, at: at(299), chance: 0)
    _ = machine.committed(at: at(299), chance: 0)
    #expect(machine.tokenWanted(minimum: .zero, forced: true, at: at(400)).0 == .dead)
    #expect(machine.refreshDue(at: at(400), chance: 0) == [.schedule(nil)])
  }

  @Test func `a forced refresh keeps to the floor`() {
    var machine = valid()
    guard case .backingOff(let until) = machine.tokenWanted(minimum: .zero, forced: true, at: at(0)).0 else {
      Issue.record("it hammers the server")
      return
    }
    #expect(until > at(0))
    #expect(machine.tokenWanted(minimum: .zero, forced: true, at: until).0 == .wait)
  }

  @Test func `R7.09 a token that was refused is replaced within the floor, too`() {
    var machine = valid()
    #expect(machine.tokenWanted(minimum: .zero, forced: true, isRefused: true, at: at(0)).0 == .wait)
    var refusals = TokenRefusals()
    let key = GrantKey(
      connection: ConnectionID(high: 1, low: 2), subject: KeyedHash(bytes: [UInt8](repeating: 3, count: 16))!)
    #expect(refusals.note(key, at: at(0), floor: .seconds(60)) == true)
    #expect(refusals.note(key, at: at(59), floor: .seconds(60)) == false, "a server that refuses every token")
    #expect(refusals.note(key, at: at(60), floor: .seconds(60)) == true)
  }

  @Test func `a short token is served to those who ask for more than half of it`() {
    var machine = valid(lifetime: 20)
    #expect(machine.tokenWanted(minimum: .seconds(600), forced: false, at: at(5)).0 == .serve)
    #expect(machine.tokenWanted(minimum: .seconds(600), forced: false, at: at(11)).0 == .wait)
  }

  @Test func `margins scale with the lifetime and are drawn apart`() throws {
    for lifetime: Int64 in [20, 300, 3600, 86_400] {
      var seen: Set<Int64> = []
      for chance in stride(from: 0.0, to: 1.0, by: 0.1) {
        let due = try #require(
          policy.due(obtainedAt: at(0), expiresAt: at(lifetime), lifetime: .seconds(lifetime), chance: chance))
        #expect(due < at(lifetime))
        #expect(due >= at(lifetime / 2), "lifetime \(lifetime)")
        seen.insert(due.milliseconds)
      }
      #expect(seen.count > 3)
    }
  }
}
