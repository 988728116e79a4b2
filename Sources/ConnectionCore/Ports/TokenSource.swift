/// What the engine asks for tokens: one attempt, classified, with the words for people; never more than one request on
/// the wire that could use up a credential.
package import FHIRControl
package import SMARTProtocol

/// A token as it arrived, ready to be sealed.
package struct GrantedToken: Sendable {
  package var sentAt: Instant
  package var lifetime: Instant.Span
  /// Members of the `token.get` answer in JSON, without braces (`ServedToken`). Secret: wiped once it is sealed.
  package var members: [UInt8]
  package var scope: String?
  package var missingScope: [String]
  /// What was odd about the answer, in words.
  package var findings: [String] = []
  /// What the answer brought; nil: the one in force stays. Secret: wiped once it is sealed.
  package var refreshToken: [UInt8]?
  /// It is another one than was sent.
  package var rotated = false
  /// Launch context, merged with what was known: a JSON object.
  package var context: [UInt8] = []
  /// Bytes of `members` before the context, which stands last.
  package var contextStart: Int?
  /// A login's, still to be verified. Secret: wiped with the others.
  package var idToken: [UInt8]?
  package init(sentAt: Instant, lifetime: Instant.Span, members: [UInt8], scope: String?, missingScope: [String]) {
    self.sentAt = sentAt
    self.lifetime = lifetime
    self.members = members
    self.scope = scope
    self.missingScope = missingScope
  }

  package mutating func wipe() {
    SMARTProtocol.wipe(&members)
    if var token = refreshToken.take() { SMARTProtocol.wipe(&token) }
    if var token = idToken.take() { SMARTProtocol.wipe(&token) }
  }
}

/// What a token is asked for with.
package struct TokenAsk: Sendable {
  package enum Kind: Sendable {
    case clientCredentials
    /// With the refresh token in force.
    case refresh(GrantKey, GrantRecord)
    /// With the code that the browser brought back.
    case code(SharedSecret, PendingAuthorization)
  }
  /// nil: a connection that is not saved (`connection.test`); then `secret` brings its client secret.
  package var id: ConnectionID?
  package var connection: ConnectionRecord
  package var secret: SharedSecret?
  package var kind: Kind
  package init(
    _ id: ConnectionID?, _ connection: ConnectionRecord, _ kind: Kind = .clientCredentials, secret: SharedSecret? = nil
  ) {
    self.id = id
    self.connection = connection
    self.kind = kind
    self.secret = secret
  }
}

package struct TokenAttempt: Sendable {
  package enum Outcome: Sendable {
    case granted(GrantedToken)
    /// `error` is what callers are told.
    case failed(AttemptResult, ControlError)
  }
  package var outcome: Outcome
  /// Discovery that this attempt had to make, to be kept; nil: none was made.
  package var discovery: DiscoveryRecord?
  /// Nothing takes token requests at that URL.
  package var endpointIsGone = false
  /// The server wants `scope` in a refresh, or wants none: the next one is asked the other way.
  package var flipsScope = false
  /// The request ended without a word of the server's.
  package var wasCutOff: Bool {
    switch outcome {
    case .failed(.trouble, _), .failed(.replyLost, _): true
    case .failed, .granted: false
    }
  }

  package init(_ outcome: Outcome, discovery: DiscoveryRecord? = nil) {
    self.outcome = outcome
    self.discovery = discovery
  }
}

package protocol TokenSource: Sendable {
  /// What requests of different grants share: the token endpoint where it is known, else the FHIR base URL.
  func endpointKey(of id: ConnectionID, _ connection: ConnectionRecord) -> String

  /// Ends before a deadline of its own.
  func obtain(_ ask: TokenAsk) async -> TokenAttempt
}

/// Where the engine puts deadlines. Calls take effect in the order they are made.
package protocol RefreshScheduler: Sendable {
  /// nil takes the deadline away.
  func schedule(_ key: GrantKey, at deadline: Instant?)
  /// The deadline that a grant has now.
  func deadline(of key: GrantKey) async -> Instant?
}
