/// How a login or a launch ended, in a closed set, and what a person needs to know of it.
import FHIRClient
import FHIRControl

/// Nothing in it is secret: it is shown to whoever has the address of the result page.
struct Outcome: Sendable, Hashable {
  enum Kind: String, Sendable, CaseIterable {
    case completed
    /// The code is still being exchanged.
    case running
    /// The person, or the server for them, said no.
    case declined
    /// The authorization server refused for another reason.
    case refused
    case expired
    case cancelled
    /// No login waits for this: used up, expired, or never ours.
    case unknown
    /// The request is not one that an authorization server or an EHR sends.
    case malformed
    /// Too much at once: come back.
    case busy
    /// The daemon does not answer.
    case unavailable
    /// The daemon's access rules do not let the gateway do it.
    case forbidden
    /// Everything else.
    case failed
  }

  var kind: Kind
  var connection: String?
  /// The daemon's code: for the administrator.
  var code: String?
  /// The authorization server's words, as they came.
  var serverError: String?
  var serverDescription: String?

  init(_ kind: Kind, connection: String? = nil, code: String? = nil, oauth: OAuthErrorBody? = nil) {
    self.kind = kind
    self.connection = connection.map { Self.cut($0) }
    self.code = code
    serverError = oauth.map { Self.cut($0.error) }
    serverDescription = oauth?.errorDescription.map { Self.cut($0) }
  }

  init(_ status: AuthorizationStatus) {
    let kind: Kind =
      switch status.progress {
      case .completed: .completed
      case .pending, .redeeming: .running
      case .failed: Self.kind(oauth: status.oauth) ?? .failed
      case .cancelled: .cancelled
      case .expired: .expired
      }
    self.init(kind, connection: status.connectionName, code: status.error?.code.rawValue, oauth: status.oauth)
  }

  init(_ error: ClientError) {
    guard let refusal = error.controlError?.data else {
      let kind: Kind = error.code == .refused || error.code == .protocolViolation ? .failed : .unavailable
      self.init(kind, code: error.code.rawValue)
      return
    }
    let kind: Kind =
      switch refusal.code {
      case .stateMismatch, .connectionNotFound: .unknown
      case .accessDenied: .forbidden
      case .throttled, .overloaded, .fhirRateLimited: .busy
      case .shuttingDown, .storeFull, .storeReadOnly, .storeCorrupt: .unavailable
      case .invalidParams, .validationFailed, .invalidRequest, .parseError: .malformed
      case .methodNotFound, .internalError, .connectionExists, .generationConflict, .ruleNotFound, .needsLogin,
        .invalidClient, .invalidGrant, .invalidScope, .unauthorizedClient, .unsupportedGrantType,
        .notSupportedByServer, .noAuthorization, .tokenExpired, .fhirAuthentication, .fhirAuthorization,
        .fhirNotFound, .fhirAPIError, .serverUnreachable, .serverAnswerUnusable, .timeout, .tlsFailure:
        Self.kind(oauth: refusal.oauth) ?? .failed
      }
    self.init(kind, code: refusal.code.rawValue, oauth: refusal.oauth)
  }

  /// Foreign text as long as a page shows it.
  private static func cut(_ text: String) -> String {
    text.count > Limits.serverWordsMax ? text.prefix(Limits.serverWordsMax) + "…" : text
  }

  private static func kind(oauth: OAuthErrorBody?) -> Kind? {
    oauth.map { $0.error == "access_denied" ? .declined : .refused }
  }
}

/// Outcomes by the random id in the address of their page. Pure: the caller brings the time and the id.
struct OutcomeBook {
  private var kept: [String: (outcome: Outcome, until: Double)] = [:]
  /// Ids in the order in which they came: the oldest also expires first.
  private var order: [String] = []

  mutating func keep(_ outcome: Outcome, id: String, at now: Double) {
    forget(at: now)
    kept[id] = (outcome, now + Limits.outcomeSeconds)
    order.append(id)
  }

  func outcome(_ id: String, at now: Double) -> Outcome? {
    kept[id].flatMap { now < $0.until ? $0.outcome : nil }
  }

  var count: Int { kept.count }

  /// Makes room for one.
  private mutating func forget(at now: Double) {
    let surplus = max(0, order.count - (Limits.outcomesMax - 1))
    let old = order.prefix { kept[$0].map { $0.until <= now } ?? true }.count
    for id in order.prefix(max(surplus, old)) { kept[id] = nil }
    order.removeFirst(max(surplus, old))
  }

  /// 128 random bits, in hexadecimal.
  static func freshID() -> String {
    var generator = SystemRandomNumberGenerator()
    return (0..<16).map { _ in
      let byte = UInt8.random(in: .min ... .max, using: &generator)
      return (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }

  static func isID(_ text: some StringProtocol) -> Bool {
    text.utf8.count == 32
      && text.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
  }
}
