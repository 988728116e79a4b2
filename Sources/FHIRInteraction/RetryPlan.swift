/// Whether one request is sent again, and when. Pure: the caller brings time and chance. Source: R7.09, R9.11, R9.12.
///
/// After 401 the token is replaced once and the request sent once more, whatever it does: the server refused it before it
/// did anything. After a failure only what may be sent twice is sent twice.
package import SMARTProtocol

package struct RetryPlan: Sendable {
  package struct Limits: Sendable, Hashable {
    /// Requests in all, the first one and the one after a refresh among them; those that were refused for their number (429)
    /// come on top.
    package var attempts: Int
    /// Refusals of that kind: whoever asks for patience may have it, as long as there is time.
    package var throttled: Int
    /// From the first request to the beginning of the last.
    package var total: Instant.Span
    package var backoff: Backoff
    package init(
      attempts: Int = 4, throttled: Int = 30, total: Instant.Span = .seconds(120),
      backoff: Backoff = Backoff(first: .milliseconds(500), cap: .seconds(30))
    ) {
      self.attempts = max(1, attempts)
      self.throttled = max(0, throttled)
      self.total = total
      self.backoff = backoff
    }
  }

  package enum Action: Sendable, Hashable {
    /// The last answer, or failure, is what the caller gets.
    case deliver(Reason)
    /// Replace the token (join a refresh under way), then say `tokenRefreshed` or `refreshFailed`.
    case refreshToken
    /// Not before this long.
    case send(after: Instant.Span)
  }

  /// Why it ends here; stable names, for logs.
  package enum Reason: String, Sendable, Hashable, CaseIterable {
    /// It is an answer, good or bad, that another try would not change.
    case final
    /// It could change something twice.
    case notRepeatable = "not_repeatable"
    case attemptsUsed = "attempts_used"
    /// The next try would come after the time that there is.
    case timeUsed = "time_used"
    /// The new token was refused too, or there is none.
    case tokenRefused = "token_refused"
  }

  private enum State {
    /// A request is out. Can become: refreshing, itself, over.
    case sent
    /// The token is being replaced. Can become: sent, over.
    case refreshing
    case over(Reason)
  }

  private let repeatability: FHIRRequest.Repeatability
  private let hasToken: Bool
  private let limits: Limits
  private let startedAt: Instant
  private var state = State.sent
  /// Requests that were sent, the present one included.
  package private(set) var attempts = 1
  /// Failures in a row that ask for patience.
  private var failures = 0
  private var throttled = 0
  private var hasRefreshed = false

  /// The first request goes out at once.
  /// - Parameter hasToken: the request carries a token that can be replaced.
  package init(
    _ repeatability: FHIRRequest.Repeatability, hasToken: Bool, limits: Limits = Limits(), startedAt: Instant
  ) {
    self.repeatability = repeatability
    self.hasToken = hasToken
    self.limits = limits
    self.startedAt = startedAt
  }

  /// - Parameter chance: 0 up to 1, so that many who wait do not come back together.
  package mutating func replied(_ reply: FHIRReply, at now: Instant, chance: Double) -> Action {
    switch state {
    case .sent: break
    case .refreshing: return .refreshToken  // a late reply; the refresh decides
    case .over(let reason): return .deliver(reason)
    }
    switch reply.kind {
    case .authentication:
      guard hasToken, reply.blamesToken else { return end(.final) }
      // Quirk 8: a server that says 401 where it means 403 would be asked for ever.
      guard !hasRefreshed else { return end(.tokenRefused) }
      guard attempts - throttled < limits.attempts else { return end(.attemptsUsed) }
      hasRefreshed = true
      state = .refreshing
      return .refreshToken
    case .rateLimited, .serverTrouble:
      // 501 and 505 stay what they are; a page that asks for patience comes with 200.
      guard reply.status != 501, reply.status != 505 else { return end(.final) }
      let isThrottled = reply.kind == .rateLimited && throttled < limits.throttled
      if isThrottled { throttled += 1 }
      return again(after: reply.retryAfter, wasSent: true, at: now, chance: chance)
    case .success, .notModified, .accepted, .authorization, .notFound, .refused, .unusable: return end(.final)
    }
  }

  /// No answer came.
  /// - Parameters:
  ///   - mayHaveBeenSent: bytes of the request may have reached the server.
  ///   - isTransient: another try may succeed; false for a certificate that is refused, or a request that is cancelled.
  package mutating func failed(
    mayHaveBeenSent: Bool, isTransient: Bool, at now: Instant, chance: Double
  ) -> Action {
    switch state {
    case .sent: break
    case .refreshing: return .refreshToken  // a late failure; the refresh decides
    case .over(let reason): return .deliver(reason)
    }
    guard isTransient else { return end(.final) }
    return again(after: nil, wasSent: mayHaveBeenSent, at: now, chance: chance)
  }

  /// There is a new token.
  package mutating func tokenRefreshed(at now: Instant) -> Action {
    switch state {
    case .refreshing:
      guard now <= startedAt + limits.total else { return end(.timeUsed) }
      state = .sent
      attempts += 1
      return .send(after: .zero)
    case .sent: return .send(after: .zero)  // nobody asked for it
    case .over(let reason): return .deliver(reason)
    }
  }

  package mutating func refreshFailed() -> Action {
    switch state {
    case .refreshing, .sent: return end(.tokenRefused)
    case .over(let reason): return .deliver(reason)
    }
  }

  private mutating func again(
    after asked: Instant.Span?, wasSent: Bool, at now: Instant, chance: Double
  ) -> Action {
    if wasSent, repeatability == .never { return end(.notRepeatable) }
    guard attempts - throttled < limits.attempts else { return end(.attemptsUsed) }
    failures += 1
    let wait = limits.backoff.delay(failures: failures, retryAfter: asked, chance: chance)
    guard now + wait <= startedAt + limits.total else { return end(.timeUsed) }
    attempts += 1
    return .send(after: wait)
  }

  private mutating func end(_ reason: Reason) -> Action {
    state = .over(reason)
    return .deliver(reason)
  }
}
