/// The closed set of what can become of a token request. Only `grantDead`, said by the server in so many words, ends
/// a grant; everything else keeps it.

/// The authorization server's own words, cleaned for display. Source: RFC 6749 section 5.2.
package struct OAuthError: Sendable, Hashable, Codable {
  package var error: String
  package var description: String?
  package var uri: String?
  package init(error: String, description: String? = nil, uri: String? = nil) {
    self.error = error
    self.description = description
    self.uri = uri
  }
}

/// Why there is no token.
package struct TokenRefusal: Error, Sendable, Hashable {
  /// nil: no answer came.
  package var status: Int?
  package var oauth: OAuthError?
  /// What the server asked for, clamped.
  package var retryAfter: Instant.Span?
  /// For people: lower case, no full stop, nothing secret.
  package var sentence: String
  package init(status: Int? = nil, oauth: OAuthError? = nil, retryAfter: Instant.Span? = nil, sentence: String) {
    self.status = status
    self.oauth = oauth
    self.retryAfter = retryAfter
    self.sentence = sentence
  }
}

package enum TokenOutcome: Sendable, Hashable {
  case granted(TokenResponse)
  /// `invalid_grant`: the refresh token or code is no longer good.
  case grantDead(TokenRefusal)
  /// The client, its credentials or the way it asks is refused: the configuration must change.
  case clientWrong(TokenRefusal)
  case scopeRefused(TokenRefusal)
  /// Too many requests; `retryAfter` where the server gave it.
  case throttled(TokenRefusal)
  /// The server has trouble of its own.
  case serverTrouble(TokenRefusal)
  /// No answer came; made from the HTTP client's failure.
  case network(TokenRefusal)
  /// An answer that is none: HTML, half a body, a token of a type that nobody asked for.
  case garbled(TokenRefusal)

  /// Stable; `granted`, `grant_dead`, … for logs and metrics.
  package var name: String {
    switch self {
    case .granted: "granted"
    case .grantDead: "grant_dead"
    case .clientWrong: "client_wrong"
    case .scopeRefused: "scope_refused"
    case .throttled: "throttled"
    case .serverTrouble: "server_trouble"
    case .network: "network"
    case .garbled: "garbled"
    }
  }

  package var refusal: TokenRefusal? {
    switch self {
    case .granted: nil
    case .grantDead(let refusal), .clientWrong(let refusal), .scopeRefused(let refusal), .throttled(let refusal),
      .serverTrouble(let refusal), .network(let refusal), .garbled(let refusal):
      refusal
    }
  }
}
