/// Decides when a grant must be refreshed and how long to wait after a failure. Pure: the caller brings time and chance.

/// When a connection's tokens are replaced.
package struct RefreshPolicy: Sendable, Hashable {
  package enum Mode: String, Sendable { case ahead, onDemand = "on_demand" }

  package var mode: Mode
  /// The largest margin before expiry; a short token gets a fifth of its lifetime.
  package var marginMax: Instant.Span
  /// Never more often than this, unless the token lives shorter. Source: R7.08 (Oracle throttles below a minute).
  package var minInterval: Instant.Span
  /// A grant with a refresh token that nobody asks for is refreshed this often all the same, so that the server does not
  /// let it lapse (Oracle: three months).
  package var keepAlive: Instant.Span
  package var replay: ReplayPolicy

  package init(
    mode: Mode = .ahead, marginMax: Instant.Span = .seconds(600), minInterval: Instant.Span = .seconds(60),
    keepAlive: Instant.Span = RefreshPolicy.keepAliveDefault, replay: ReplayPolicy = ReplayPolicy()
  ) {
    self.mode = mode
    self.marginMax = marginMax
    self.minInterval = minInterval
    self.keepAlive = keepAlive
    self.replay = replay
  }

  /// 30 days: a third of the shortest limit that is known.
  package static let keepAliveDefault = Instant.Span.seconds(30 * 86400)

  /// The margin is the smaller of `marginMax` and this part of the lifetime: 60 s of a 300 s SMART token.
  package static let marginDivisor: Int64 = 5
  /// The jitter goes from nothing to this part of the margin, always towards earlier.
  package static let jitterDivisor: Double = 4

  /// When to refresh a token obtained at `obtainedAt`; nil: only when somebody asks.
  /// - Parameter chance: 0 up to 1, so that a fleet of grants does not refresh in one second.
  ///   `keepsAlive`: there is a refresh token, which lapses when it is not used.
  package func due(
    obtainedAt: Instant, expiresAt: Instant, lifetime: Instant.Span, keepsAlive: Bool = false, chance: Double
  ) -> Instant? {
    switch mode {
    case .onDemand:
      guard keepsAlive else { return nil }
      let early = Int64(Double(keepAlive.milliseconds / 10) * chance)
      return obtainedAt + Instant.Span(milliseconds: keepAlive.milliseconds - early)
    case .ahead:
      let margin = min(marginMax.milliseconds, lifetime.milliseconds / Self.marginDivisor)
      let jitter = Int64(Double(margin) / Self.jitterDivisor * chance)
      let wanted = expiresAt - Instant.Span(milliseconds: margin + jitter)
      return max(wanted, earliest(obtainedAt: obtainedAt, lifetime: lifetime))
    }
  }

  /// Before this nobody, not even a caller with a large `min_valid_seconds`, causes another request.
  package func earliest(obtainedAt: Instant, lifetime: Instant.Span) -> Instant {
    obtainedAt + Instant.Span(milliseconds: min(minInterval.milliseconds, lifetime.milliseconds / 2))
  }
}

/// Whether a refresh token is sent again after a request whose reply was lost. A server that rotates takes a token that
/// it has replaced for stolen; one that does not rotate does not mind. Source: R7.05, R7.06.
package struct ReplayPolicy: Sendable, Hashable {
  package enum Mode: String, Sendable, CaseIterable { case once, never }

  package var mode: Mode
  /// Servers with a grace period take the token again for this long; a replay then comes at once, or not at all.
  package var within: Instant.Span?

  package init(mode: Mode = .once, within: Instant.Span? = nil) {
    self.mode = mode
    self.within = within
  }

  /// The last safe moment for a replay is this long before the access token expires: time for one request.
  package static let lastMoment = Instant.Span.seconds(30)
  /// A short token's last moment: this part of what is left.
  package static let lastMomentDivisor: Int64 = 4

  /// When the token may be sent again; nil: not by ourselves.
  /// - Parameters:
  ///   - expiresAt: of the access token at hand, which is served on meanwhile.
  ///   - soon: when a failure without consequences would be repeated.
  package func next(_ token: RefreshTokenFacts, expiresAt: Instant?, soon: Instant) -> Instant? {
    guard mode == .once else { return nil }
    switch token.rotation {
    case .kept: return soon
    case .unknown, .rotated: break
    }
    guard token.lostReplies <= 1 else { return nil }
    if let within, let lostAt = token.lostAt { return soon <= lostAt + within ? soon : nil }
    guard token.rotation == .rotated, let expiresAt, expiresAt > soon else { return soon }
    let left = (expiresAt - soon).milliseconds
    let margin = min(Self.lastMoment.milliseconds, left / Self.lastMomentDivisor)
    return expiresAt - Instant.Span(milliseconds: margin)
  }
}

/// How long to wait after the nth failure in a row: doubling, capped, half of it by chance.
package struct Backoff: Sendable, Hashable {
  package var first: Instant.Span
  package var cap: Instant.Span
  package init(first: Instant.Span, cap: Instant.Span) {
    self.first = first
    self.cap = cap
  }

  /// Server trouble and network: from one second to five minutes.
  package static let serverTrouble = Backoff(first: .seconds(1), cap: .seconds(300))
  /// A refused client: somebody must change something first, so look rarely, from a minute to an hour.
  package static let refusedClient = Backoff(first: .seconds(60), cap: .seconds(3600))
  /// What a server may ask for by Retry-After at most: a day; more is taken for a mistake.
  package static let retryAfterMax = Instant.Span.seconds(86400)

  /// - Parameters:
  ///   - failures: failures in a row, this one included; from 1.
  ///   - retryAfter: the server's own wish, which is never undercut.
  ///   - chance: 0 up to 1.
  package func delay(failures: Int, retryAfter: Instant.Span?, chance: Double) -> Instant.Span {
    // 2^40 ms is over thirty years: beyond every cap, and far from overflow.
    let doubled = first.milliseconds << Int64(min(max(failures - 1, 0), 30))
    let full = Double(min(doubled, cap.milliseconds))
    let own = Int64(full / 2 + full / 2 * chance)
    guard let retryAfter else { return Instant.Span(milliseconds: own) }
    let asked = min(max(retryAfter.milliseconds, 0), Self.retryAfterMax.milliseconds)
    // A little on top: a thousand clients must not come back in the very second that the server named.
    return Instant.Span(milliseconds: max(own, asked + Int64(1000 * chance)))
  }
}

/// Keeps a token endpoint that does not answer from being asked by every grant that depends on it.
package struct Breaker: Sendable {
  /// Failures in a row, over all grants, before the endpoint is left alone.
  package static let failuresMax = 5

  private enum State {
    /// Everything passes. Can become: open.
    case closed(failures: Int)
    /// Nothing passes until then. Can become: trying.
    case open(until: Instant, failures: Int)
    /// One request is under way to find out. Can become: closed, open.
    case trying(since: Instant, failures: Int)
  }
  private var state = State.closed(failures: 0)

  /// A trial that nobody reported back on is given up after this; longer than any request may take.
  package static let trialMax = Instant.Span.seconds(180)

  package init() {}

  /// nil: the request may go out now, and the caller must report its end. Otherwise: not before then.
  package mutating func admit(at now: Instant) -> Instant? {
    switch state {
    case .closed: return nil
    case .open(let until, let failures):
      guard now >= until else { return until }
      state = .trying(since: now, failures: failures)
      return nil
    case .trying(let since, let failures):
      guard now >= since + Self.trialMax else { return since + Self.trialMax }
      state = .trying(since: now, failures: failures)
      return nil
    }
  }

  /// Until when nothing passes, without asking for passage.
  package func openUntil(at now: Instant) -> Instant? {
    switch state {
    case .closed, .trying: return nil
    case .open(let until, _): return now < until ? until : nil
    }
  }

  /// The endpoint is left alone, or one request is finding out.
  package var isTripped: Bool {
    switch state {
    case .closed: false
    case .open, .trying: true
    }
  }

  /// The server answered sensibly, whatever it said of the grant.
  package mutating func answered() { state = .closed(failures: 0) }

  /// The server was not reached or answered nonsense.
  package mutating func failed(at now: Instant, chance: Double) {
    let failures: Int
    switch state {
    case .closed(let n): failures = n + 1
    case .open(let until, let n):
      // A request that was under way when the breaker opened; it adds nothing new.
      state = .open(until: until, failures: n)
      return
    case .trying(_, let n): failures = n + 1
    }
    guard failures >= Self.failuresMax else {
      state = .closed(failures: failures)
      return
    }
    let delay = Backoff.serverTrouble.delay(failures: failures - Self.failuresMax + 3, retryAfter: nil, chance: chance)
    state = .open(until: now + delay, failures: failures)
  }

  /// The server asked everybody to wait.
  package mutating func throttled(until: Instant) { state = .open(until: until, failures: Self.failuresMax) }
}
