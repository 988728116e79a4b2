/// What the token machine decides by, and how an attempt can end. Pure values.

/// What is known of a grant from its record: all that the machine decides by.
package struct GrantFacts: Sendable, Equatable {
  /// Where the grant stands between two attempts; what is stored.
  package enum Standing: Sendable, Equatable {
    /// Never had a token. Can become: valid, failing, refused.
    case new
    /// Has a token, valid or expired by the clock. Can become: valid, failing, refused, dead.
    case valid
    /// The last attempt failed without a verdict; a token may still be there. Can become: valid, failing, refused, dead.
    case failing
    /// The server refuses the client or the request: the configuration must change. Can become: valid, failing.
    case refused
    /// The reply to a refresh was lost, perhaps with a new refresh token in it, and the replay policy allows no further
    /// try by ourselves. Can become: valid, failing, dead by a forced refresh; valid by a new login.
    case unsure
    /// The server ended the grant in so many words. Can become: valid, by a new login.
    case dead
  }

  /// How a new token is come by.
  package enum Renewal: Sendable, Equatable {
    /// The client asks in its own name, as often as it likes (client credentials).
    case client
    /// With a refresh token, which may be good for one use only.
    case refreshToken(RefreshTokenFacts)
    /// Not at all: a person must log in.
    case login
  }

  /// The times of the token at hand.
  package struct Token: Sendable, Equatable {
    package var obtainedAt: Instant
    package var expiresAt: Instant
    package var lifetime: Instant.Span
    package init(obtainedAt: Instant, expiresAt: Instant, lifetime: Instant.Span) {
      self.obtainedAt = obtainedAt
      self.expiresAt = expiresAt
      self.lifetime = lifetime
    }
  }

  package var generation: UInt64
  package var renewal: Renewal
  package var standing: Standing
  package var token: Token?
  /// Failures in a row.
  package var failures: Int
  /// When the next attempt may be made on our own account.
  package var nextAttemptAt: Instant?

  package init(
    generation: UInt64, standing: Standing, renewal: Renewal = .client, token: Token? = nil, failures: Int = 0,
    nextAttemptAt: Instant? = nil
  ) {
    self.generation = generation
    self.renewal = renewal
    self.standing = standing
    self.token = token
    self.failures = failures
    self.nextAttemptAt = nextAttemptAt
  }

  /// The refresh token may have been used up by a request whose reply was lost.
  package var isInDoubt: Bool {
    guard case .refreshToken(let token) = renewal else { return false }
    return token.lostReplies > 0 && token.rotation != .kept
  }

  package func remaining(at now: Instant) -> Instant.Span { token.map { $0.expiresAt - now } ?? .zero }
}

/// How an attempt ended, as far as the machine cares. The engine keeps the words and the token.
package enum AttemptResult: Sendable, Equatable {
  /// A token that lives this long from the moment the request was sent.
  /// `rotated`: the answer brought a refresh token other than the one that was sent.
  case granted(lifetime: Instant.Span, sentAt: Instant, rotated: Bool = false)
  case grantDead
  case clientRefused
  case throttled(retryAfter: Instant.Span?)
  /// Server trouble, network or a garbled answer: nothing was said of the grant.
  case trouble(retryAfter: Instant.Span?)
  /// The request may have been carried out and the answer did not arrive whole: a refresh token may be used up.
  case replyLost(sentAt: Instant, retryAfter: Instant.Span?)
}

/// What is known of a refresh token, without the token.
package struct RefreshTokenFacts: Sendable, Equatable {
  /// What the server was seen to do with a refresh token that was used.
  package enum Rotation: UInt8, Sendable { case unknown = 0, kept = 1, rotated = 2 }
  package var rotation: Rotation
  /// Requests in a row that may have used the token up without our hearing of it.
  package var lostReplies: Int
  /// When the last of them was sent.
  package var lostAt: Instant?

  package init(rotation: Rotation = .unknown, lostReplies: Int = 0, lostAt: Instant? = nil) {
    self.rotation = rotation
    self.lostReplies = lostReplies
    self.lostAt = lostAt
  }

  mutating func answered(rotated: Bool) {
    if rotated { rotation = .rotated } else if rotation == .unknown { rotation = .kept }
    lostReplies = 0
    lostAt = nil
  }
}
