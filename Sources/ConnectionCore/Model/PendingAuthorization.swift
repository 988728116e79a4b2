/// The record of the table `pending`: a login between the browser's leaving and its coming back. Sealed; found by the
/// keyed hash of its state; survives a restart; used once.
package import FHIRControl
package import SMARTProtocol

package struct PendingAuthorization: Codable, Sendable {
  package static let recordVersion: UInt8 = 1

  package var connection: String
  package var connectionName: String
  /// The server and the client that the person sees; a connection that has others by now is not what was agreed to.
  package var fhirBaseURL: String
  package var clientID: String
  package var subject: String
  package var scope: String
  /// Byte for byte what went into the authorization request.
  package var redirectURI: String
  /// The PKCE verifier: secret until it is used. Nil for a connection that opted out.
  package var verifier: String?
  package var nonce: String?
  /// Of the device flow: secret until it is used. The daemon asks with it until the person has agreed.
  package var deviceCode: String?
  /// Seconds between two questions.
  package var pollSeconds: Int64?
  /// Where the code goes, and nowhere else (R4.14).
  package var tokenURL: String
  /// The authorization server's issuer, where it is known, and whether its answer must name it (R4.13).
  package var issuer: String?
  package var issuerRequired: Bool
  /// Who began it.
  package var initiatorUID: UInt32
  package var createdAt: Timestamp
  package var expiresAt: Timestamp
  package var progress: AuthorizationProgress
  package var error: LastError?
  package var oauth: OAuthErrorBody?

  /// How long a person may take at the hospital's login page, second factor included.
  package static let lifetime = Instant.Span.seconds(900)
  /// A login that has ended is remembered this long, so that a second callback is told how it ended.
  package static let memory = Instant.Span.seconds(3600)
  /// Logins that are remembered at a time: far beyond what people can do, and 100 MB at the most.
  package static let countMax = 50_000

  /// How it stands by the clock: who does not come back in time comes too late.
  package func progress(at now: Timestamp) -> AuthorizationProgress {
    progress == .pending && now.milliseconds >= expiresAt.milliseconds ? .expired : progress
  }

  package func isForgotten(at now: Timestamp) -> Bool {
    now.milliseconds >= expiresAt.milliseconds + Self.memory.milliseconds
  }

  package func fits(_ connection: ConnectionRecord) -> Bool {
    connection.usesLogins && connection.baseURL == fhirBaseURL && connection.fields.clientID == clientID
  }

  /// Nothing secret is kept once it is of no use.
  package func ended(_ progress: AuthorizationProgress) -> PendingAuthorization {
    var ended = self
    ended.progress = progress
    ended.verifier = nil
    ended.nonce = nil
    ended.deviceCode = nil
    return ended
  }
}
