/// What becomes of a token endpoint's answer: the token to be kept, or a result for the machine and words for people.
import FHIRControl
import SMARTProtocol

extension Authorizer {
  func token(
    _ response: TokenResponse, _ ask: TokenAsk, _ credentials: Credentials, sentAt: Instant
  ) -> GrantedToken {
    var members: [UInt8] = []
    members.reserveCapacity(response.accessToken.bytes.count + 1024)
    func member(_ name: String, _ text: some Sequence<UInt8>) {
      if !members.isEmpty { members.append(UInt8(ascii: ",")) }
      JSON.appendLiteral(name.utf8, to: &members)
      members.append(UInt8(ascii: ":"))
      JSON.appendLiteral(text, to: &members)
    }
    member("access_token", response.accessToken.bytes)
    member("token_type", response.tokenType.utf8)
    if !response.scope.isEmpty { member("scope", response.scope.utf8) }
    member("fhir_base_url", ask.connection.baseURL.utf8)
    let contextStart = members.count
    let context = Self.context(response, ask)
    GrantedToken.append(context: context, to: &members)
    let wanted = Self.wantedScope(of: ask)
    let missing = ScopeSet(wanted).missing(
      from: ScopeSet(response.scope), hasRefreshToken: Self.hasRefreshToken(response, ask),
      context: Set(response.context.keys))
    var token = GrantedToken(
      sentAt: sentAt, lifetime: response.expiresIn, members: members,
      scope: response.scope.isEmpty ? nil : response.scope, missingScope: missing)
    token.findings = response.findings.prefix(GrantedToken.findingsMax).map(\.description)
    token.context = context
    token.contextStart = contextStart
    if case .code = ask.kind { token.idToken = response.idToken?.bytes }
    // R5.15: whoever can ask in its own name needs no refresh token.
    if !ask.isClientCredentials {
      token.refreshToken = response.refreshToken?.bytes
      token.rotated = response.refreshToken.map { $0.bytes != credentials.grant } ?? false
    }
    return token
  }

  /// What the person or the operator asked for, whatever was granted since.
  private static func wantedScope(of ask: TokenAsk) -> String {
    switch ask.kind {
    case .clientCredentials: ask.connection.fields.scope ?? ""
    case .refresh(_, let grant): grant.requestedScope ?? ask.connection.fields.scope ?? ""
    case .code(_, let pending): pending.scope
    }
  }

  private static func hasRefreshToken(_ response: TokenResponse, _ ask: TokenAsk) -> Bool {
    if case .refresh = ask.kind { return true }
    return response.refreshToken != nil
  }

  /// R7.10: a refresh's answer changes what it names and leaves the rest.
  private static func context(_ response: TokenResponse, _ ask: TokenAsk) -> [UInt8] {
    var merged: [String: JSON] = [:]
    if case .refresh(_, let grant) = ask.kind, !grant.context.isEmpty,
      let known = try? JSONDocument(grant.context, limits: .small).root.object
    {
      merged = known
    }
    merged.merge(response.context) { $1 }
    guard !merged.isEmpty else { return [] }
    var bytes: [UInt8] = []
    JSON.object(merged).append(to: &bytes)
    return bytes
  }

  // MARK: results

  /// No answer came. R7.06: what may have reached the server may have used the refresh token up.
  static func result(of failure: HTTPFailure, sentAt: Instant) -> AttemptResult {
    failure.mayHaveBeenSent ? .replyLost(sentAt: sentAt, retryAfter: nil) : .trouble(retryAfter: nil)
  }

  static func result(of outcome: TokenOutcome, _ refusal: TokenRefusal, _ ask: TokenAsk, sentAt: Instant)
    -> AttemptResult
  {
    switch outcome {
    case .grantDead:
      // invalid_grant to client credentials: there is no grant that could be dead, so it is the client that is refused.
      if case .clientCredentials = ask.kind { return .clientRefused }
      return .grantDead
    case .granted, .clientWrong, .scopeRefused: return .clientRefused
    case .throttled: return .throttled(retryAfter: refusal.retryAfter)
    case .serverTrouble, .network, .garbled:
      // Glewlwyd ends a token that was used before with a bare 400: one that is in doubt is not sent a third time.
      if case .garbled = outcome, ask.isInDoubt { return .replyLost(sentAt: sentAt, retryAfter: refusal.retryAfter) }
      // A gateway that gave up waiting, or a success that cannot be read: the server may have done its part.
      switch refusal.status {
      case let status? where (200...299).contains(status) || status == 502 || status == 504:
        return .replyLost(sentAt: sentAt, retryAfter: refusal.retryAfter)
      default: return .trouble(retryAfter: refusal.retryAfter)
      }
    }
  }

  /// R7.02: servers exist that refuse a refresh with `scope`, and servers that refuse one without.
  static func flipsScope(_ outcome: TokenOutcome, _ refusal: TokenRefusal, _ ask: TokenAsk) -> Bool {
    guard case .refresh(_, let grant) = ask.kind, !grant.scopeWasFlipped else { return false }
    switch outcome {
    case .scopeRefused: return true
    case .clientWrong: return refusal.oauth?.error == "invalid_request"
    case .granted, .grantDead, .throttled, .serverTrouble, .network, .garbled: return false
    }
  }

  /// What callers are told. Codes are the protocol's, the sentence is the server's own matter.
  static func error(_ outcome: TokenOutcome, _ refusal: TokenRefusal, _ ask: TokenAsk) -> ControlError {
    let name = ask.connection.name
    let update = "correct it with fhirctl connection update '\(name)'"
    let code: ErrorCode
    let hint: String
    switch outcome {
    case .grantDead where !ask.isClientCredentials:
      (code, hint) = (.invalidGrant, "log in again: \(ask.loginCommand)")
    case .granted, .clientWrong, .grantDead:
      switch refusal.oauth?.error {
      case "invalid_grant": code = .invalidGrant
      case "unauthorized_client": code = .unauthorizedClient
      case "unsupported_grant_type": code = .unsupportedGrantType
      // 404 and its like in a page: nobody there has judged the client.
      case nil where [404, 405, 410].contains(refusal.status): code = .serverAnswerUnusable
      default: code = .invalidClient
      }
      hint = "check client_id, client_secret and client_authentication; \(update)"
    case .scopeRefused: (code, hint) = (.invalidScope, "ask for a scope that this client is registered for; \(update)")
    case .throttled: (code, hint) = (.throttled, "wait; fhird tries again by itself")
    case .serverTrouble: (code, hint) = (.serverUnreachable, "fhird tries again by itself; see fhirctl status")
    case .network: (code, hint) = (.serverUnreachable, "fhird tries again by itself; see fhirctl connection test")
    case .garbled:
      (code, hint) = (.serverAnswerUnusable, "is token_url right? fhirctl connection test '\(name)'")
    }
    return ControlError(
      code, refusal.sentence, hint: hint, retryAfterSeconds: refusal.retryAfter?.seconds,
      oauth: refusal.oauth.map { OAuthErrorBody($0) })
  }
}

extension GrantedToken {
  /// Findings that are kept of one answer.
  fileprivate static var findingsMax: Int { 8 }

  fileprivate static func append(context: [UInt8], to members: inout [UInt8]) {
    guard !context.isEmpty else { return }
    members += Array(",\"context\":".utf8)
    members += context
  }

  /// Adds what an `id_token` said to the launch context.
  mutating func add(_ claims: [String: JSON]) {
    guard !claims.isEmpty, let contextStart else { return }
    var merged = (try? JSONDocument(context, limits: .small).root.object) ?? [:]
    merged.merge(claims) { $1 }
    var bytes: [UInt8] = []
    JSON.object(merged).append(to: &bytes)
    context = bytes
    var whole = Array(members[..<contextStart])
    Self.append(context: context, to: &whole)
    SMARTProtocol.wipe(&members)
    members = whole
  }
}

extension TokenAsk {
  var isClientCredentials: Bool {
    if case .clientCredentials = kind { return true }
    return false
  }

  /// The refresh token may have been used up by an earlier request.
  var isInDoubt: Bool {
    guard case .refresh(_, let grant) = kind else { return false }
    return grant.lostReplies > 0 && grant.rotation != .kept
  }

  var subject: String {
    switch kind {
    case .clientCredentials: ""
    case .refresh(_, let grant): grant.subject
    case .code(_, let pending): pending.subject
    }
  }

  var loginCommand: String { loginCommandText(connection.name, subject) }
}

/// The command that gives a grant a new login.
func loginCommandText(_ name: String, _ subject: String) -> String {
  "fhirctl login '\(name)'" + (subject.isEmpty ? "" : " --subject '\(subject)'")
}

extension OAuthErrorBody {
  /// The server's words as callers hear them.
  init(_ error: OAuthError) {
    self.init(error: error.error, errorDescription: error.description, errorURI: error.uri)
  }
}
