/// Steps one grant through its refreshes. Pure: events in, actions out; the caller brings time and chance, and makes
/// each action true before it reports the next event.

package struct TokenMachine: Sendable {
  package enum Action: Sendable, Equatable {
    /// Commit the in-flight record, then report `inFlightRecorded` or `recordingFailed`.
    case recordInFlight(generation: UInt64)
    /// Send the token request, then report `replied` with this generation.
    case sendTokenRequest(generation: UInt64)
    /// Commit these facts (and the new token, if the attempt granted one) and clear the in-flight record; then report
    /// `committed` or `commitFailed`.
    case commit(GrantFacts)
    case answerWaiters(Answer)
    /// Look again then; nil: never by itself.
    case schedule(Instant?)
    /// A reply or report of an earlier generation, or one that nobody waits for any more.
    case dropped
  }

  /// What everybody who waits for this grant is told.
  package enum Answer: Sendable, Equatable {
    case served
    /// The attempt failed; the engine has the words. `retryAt`: when the next attempt comes, if one comes.
    case failed(retryAt: Instant?)
    case storeFailed
    case superseded
  }

  /// What one caller is told at once.
  package enum Verdict: Sendable, Equatable {
    /// The token at hand will do.
    case serve
    /// An attempt is under way or begins now: wait for its answer.
    case wait
    /// The last attempt failed and the next comes then; asking again now would only hammer the server.
    case backingOff(until: Instant)
    case refused
    case dead
  }

  private enum Step: Sendable, Equatable {
    /// Nothing under way. Can become: recording.
    case idle
    /// The in-flight record is being committed. Can become: requesting, idle.
    case recording
    /// The request is out. Can become: storing.
    case requesting
    /// The outcome is being committed. Can become: idle, holding.
    case storing(GrantFacts)
    /// The outcome could not be committed and is kept until it can. Can become: storing.
    case holding(GrantFacts, until: Instant)
  }

  package private(set) var facts: GrantFacts
  private var step = Step.idle
  private let policy: RefreshPolicy

  /// How long to wait before a commit that failed is tried again, and a refresh that the store stopped.
  package static let storeRetry = Instant.Span.seconds(5)

  package init(facts: GrantFacts, policy: RefreshPolicy) {
    self.facts = facts
    self.policy = policy
  }

  /// Nothing is under way: the machine can be put away, the record says everything.
  package var isIdle: Bool { step == .idle }

  package var isUnderWay: Bool { !isIdle }

  /// When to look at this grant again, from its facts alone.
  /// - Parameter chance: 0 up to 1.
  package static func due(facts: GrantFacts, policy: RefreshPolicy, now: Instant, chance: Double) -> Instant? {
    let keepsAlive: Bool
    switch facts.renewal {
    case .login: return nil
    case .client: keepsAlive = false
    case .refreshToken: keepsAlive = true
    }
    switch facts.standing {
    case .dead, .unsure: return nil
    case .refused, .failing: return policy.mode == .onDemand && !keepsAlive ? nil : facts.nextAttemptAt ?? now
    case .new: return policy.mode == .onDemand ? nil : now
    case .valid:
      guard let token = facts.token else { return policy.mode == .onDemand ? nil : now }
      return policy.due(
        obtainedAt: token.obtainedAt, expiresAt: token.expiresAt, lifetime: token.lifetime, keepsAlive: keepsAlive,
        chance: chance)
    }
  }

  /// Somebody wants a token that is valid for `minimum`.
  /// - Parameter forced: a new token even if the one at hand is good (`token.refresh`), within the server's floor.
  /// - Parameter isRefused: a resource server has refused the token at hand: the floor does not hold.
  package mutating func tokenWanted(
    minimum: Instant.Span, forced: Bool, isRefused: Bool = false, at now: Instant
  ) -> (Verdict, [Action]) {
    if !forced, servable(minimum: minimum, at: now) { return (.serve, []) }
    switch step {
    case .recording, .requesting, .storing: return (.wait, [])
    case .holding(let pending, let until):
      guard now >= until else { return (.wait, []) }
      step = .storing(pending)
      return (.wait, [.commit(pending)])
    case .idle: break
    }
    switch facts.standing {
    case .dead: return (.dead, [])
    case .unsure where !forced: return (.dead, [])
    case .refused where !forced: return (.refused, [])
    // A refresh token in doubt is sent when the replay policy says so, not when a caller is impatient.
    case .failing where !forced || facts.isInDoubt:
      if let next = facts.nextAttemptAt, next > now { return (.backingOff(until: next), []) }
    case .new, .valid, .refused, .failing, .unsure: break
    }
    guard facts.renewal != .login else { return (.dead, []) }
    if forced, !isRefused, let token = facts.token, token.expiresAt > now, facts.standing == .valid {
      let earliest = policy.earliest(obtainedAt: token.obtainedAt, lifetime: token.lifetime)
      if now < earliest { return (.backingOff(until: earliest), []) }
    }
    step = .recording
    return (.wait, [.recordInFlight(generation: facts.generation)])
  }

  private func servable(minimum: Instant.Span, at now: Instant) -> Bool {
    guard let token = facts.token, facts.standing != .dead else { return false }
    let wanted = min(minimum, Instant.Span(milliseconds: token.lifetime.milliseconds / 2))
    return token.expiresAt - now > max(wanted, .zero)
  }

  /// The planner says that the time has come.
  package mutating func refreshDue(at now: Instant, chance: Double) -> [Action] {
    switch step {
    case .recording, .requesting, .storing: return []
    case .holding(let pending, let until):
      guard now >= until else { return [.schedule(until)] }
      step = .storing(pending)
      return [.commit(pending)]
    case .idle: break
    }
    // The planner's entry may be older than the record: a caller's demand may have refreshed in between. The earliest
    // of all draws decides, so that an entry that was drawn well is not sent back for the sake of another draw.
    guard let earliest = Self.due(facts: facts, policy: policy, now: now, chance: 1) else { return [.schedule(nil)] }
    guard earliest <= now else {
      return [.schedule(Self.due(facts: facts, policy: policy, now: now, chance: chance))]
    }
    step = .recording
    return [.recordInFlight(generation: facts.generation)]
  }

  package mutating func inFlightRecorded() -> [Action] {
    guard case .recording = step else { return [.dropped] }
    step = .requesting
    return [.sendTokenRequest(generation: facts.generation)]
  }

  /// The store does not take writes: nothing is sent that could not be kept.
  package mutating func recordingFailed(at now: Instant) -> [Action] {
    guard case .recording = step else { return [.dropped] }
    step = .idle
    return [.answerWaiters(.storeFailed), .schedule(now + Self.storeRetry)]
  }

  /// The endpoint is not asked now (breaker, throttle): nothing was sent, nothing failed.
  package mutating func postponed(until: Instant) -> [Action] {
    guard case .recording = step else { return [.dropped] }
    step = .idle
    return [.answerWaiters(.failed(retryAt: until)), .schedule(until)]
  }

  package mutating func replied(_ result: AttemptResult, asked generation: UInt64, at now: Instant, chance: Double)
    -> [Action]
  {
    guard case .requesting = step, generation == facts.generation else { return [.dropped] }
    var next = facts
    next.generation += 1
    switch result {
    case .granted(let lifetime, let sentAt, let rotated):
      if case .refreshToken(var token) = next.renewal {
        token.answered(rotated: rotated)
        next.renewal = .refreshToken(token)
      }
      next.standing = .valid
      next.failures = 0
      next.nextAttemptAt = nil
      // R6.03: the lifetime runs from the moment the request was sent.
      next.token = .init(obtainedAt: sentAt, expiresAt: sentAt + lifetime, lifetime: lifetime)
    case .grantDead:
      next.standing = .dead
      next.failures += 1
      next.nextAttemptAt = nil
    case .clientRefused:
      next.standing = .refused
      next.failures += 1
      next.nextAttemptAt =
        now + Backoff.refusedClient.delay(failures: next.failures, retryAfter: nil, chance: chance)
    case .throttled(let retryAfter), .trouble(let retryAfter):
      next.standing = .failing
      next.failures += 1
      next.nextAttemptAt =
        now + Backoff.serverTrouble.delay(failures: next.failures, retryAfter: retryAfter, chance: chance)
    case .replyLost(let sentAt, let retryAfter):
      next = Self.replyLost(next, sentAt: sentAt, retryAfter: retryAfter, policy: policy, now: now, chance: chance)
    }
    step = .storing(next)
    return [.commit(next)]
  }

  /// What a request without an answer means for a grant: also for one that a killed process had under way.
  package static func replyLost(
    _ facts: GrantFacts, sentAt: Instant, retryAfter: Instant.Span?, policy: RefreshPolicy, now: Instant, chance: Double
  ) -> GrantFacts {
    var next = facts
    next.failures += 1
    next.standing = .failing
    let soon = now + Backoff.serverTrouble.delay(failures: next.failures, retryAfter: retryAfter, chance: chance)
    next.nextAttemptAt = soon
    guard case .refreshToken(var token) = next.renewal else { return next }
    token.lostReplies += 1
    token.lostAt = sentAt
    next.renewal = .refreshToken(token)
    next.nextAttemptAt = policy.replay.next(token, expiresAt: next.token?.expiresAt, soon: soon)
    if next.nextAttemptAt == nil { next.standing = .unsure }
    return next
  }

  package mutating func committed(at now: Instant, chance: Double) -> [Action] {
    guard case .storing(let next) = step else { return [.dropped] }
    facts = next
    step = .idle
    let answer: Answer
    switch next.standing {
    case .valid, .new: answer = .served
    case .failing, .refused, .unsure, .dead: answer = .failed(retryAt: next.nextAttemptAt)
    }
    return [.answerWaiters(answer), .schedule(Self.due(facts: next, policy: policy, now: now, chance: chance))]
  }

  /// The outcome is kept in memory and committed as soon as the store takes it: a token that the server may have
  /// rotated to is never thrown away for a full disk.
  package mutating func commitFailed(at now: Instant) -> [Action] {
    guard case .storing(let next) = step else { return [.dropped] }
    let until = now + Self.storeRetry
    step = .holding(next, until: until)
    return [.answerWaiters(.storeFailed), .schedule(until)]
  }

  /// The connection was changed or deleted: what is under way is for nothing.
  package mutating func superseded() -> [Action] {
    step = .idle
    return [.answerWaiters(.superseded)]
  }
}
