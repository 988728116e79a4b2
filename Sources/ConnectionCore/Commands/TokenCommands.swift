/// `token.*`: the way for everything that the hot path does not answer by itself.
import FHIRControl
import SMARTProtocol

extension Commands {
  func getToken(_ parameters: TokenGetParameters, _ caller: Caller) async throws(ControlError) -> [UInt8] {
    let subject = parameters.subject ?? ""
    let found = try directory.find(parameters.connection, subject: subject, for: .tokenGet, caller)
    let key = try grantKey(found, subject)
    let seconds = parameters.minValidSeconds ?? TokenGetParameters.minValidSecondsDefault
    guard seconds >= 0, seconds <= TokenGetParameters.minValidSecondsMax else {
      throw ControlError(
        .invalidParams, "parameter min_valid_seconds must be 0 to \(Int(TokenGetParameters.minValidSecondsMax))",
        fields: [FieldError("min_valid_seconds", "is out of range")])
    }
    let minimum = Instant.Span(milliseconds: Int64(seconds * 1000))
    try await engine.obtainToken(key, minimum: minimum, forced: false)
    guard let answer = try read({ () throws(LedgerError) in try served(key) }) else {
      throw ControlError(
        .tokenExpired, "the token was dropped the moment it came, because the connection was changed",
        hint: "try again")
    }
    return answer
  }

  /// The answer of `token.get`, in the same bytes as the hot path's.
  private func served(_ key: GrantKey) throws(LedgerError) -> [UInt8]? {
    try ledger.withToken(key) { (token, members) in
      let remaining = token.remaining(now: clock.now(), wall: clock.wall(), bootID: clock.bootID)
      let expiresAt = Timestamp(milliseconds: clock.wall().milliseconds + remaining.milliseconds)
      var bytes: [UInt8] = [UInt8(ascii: "{")]
      bytes.reserveCapacity(members.count + 80)
      bytes.append(contentsOf: members)
      bytes += Array(",\"expires_at\":\"\(expiresAt)\",\"expires_in\":\(max(0, remaining.milliseconds / 1000))}".utf8)
      return bytes
    }
  }

  func grantKey(_ found: Directory.Found, _ subject: String) throws(ControlError) -> GrantKey {
    guard found.connection.record.usesTokens else {
      throw ControlError(
        .noAuthorization, "the server of \(found.name.debugDescription) is open: there is no token",
        hint: "send requests to \(found.connection.record.baseURL) without one")
    }
    guard subject.isEmpty || found.connection.record.usesLogins else {
      throw ControlError(
        .needsLogin, "\(found.name.debugDescription) has no grant for this subject",
        hint: "leave subject out: a connection with client_credentials has one grant")
    }
    let key = ledger.grantKey(found.id, subject: subject)
    if subject.isEmpty { return key }
    guard try read({ () throws(LedgerError) in try ledger.grant(key) }) != nil else {
      throw ControlError(
        .needsLogin, "\(found.name.debugDescription) has no grant for this subject",
        hint: loginCommandText(found.name, subject))
    }
    return key
  }

  func refreshToken(_ parameters: GrantReference, _ caller: Caller) async throws(ControlError) -> TokenRefreshResult {
    let subject = parameters.subject ?? ""
    let found = try directory.find(parameters.connection, subject: subject, for: .tokenRefresh, caller)
    let key = try grantKey(found, subject)
    try await engine.obtainToken(key, minimum: .zero, forced: true)
    let grant = try read { () throws(LedgerError) in try ledger.grant(key) }
    guard let grant, let token = grant.record.facts(generation: grant.generation, on: clock).token else {
      throw ControlError(.tokenExpired, "the connection was changed meanwhile", hint: "try again")
    }
    return TokenRefreshResult(
      expiresAt: clock.wall(at: token.expiresAt),
      expiresIn: Int(max(0, (token.expiresAt - clock.now()).milliseconds / 1000)), generation: grant.generation)
  }

  func tokenStatus(_ parameters: GrantReference, _ caller: Caller) async throws(ControlError) -> TokenStatus {
    let subject = parameters.subject ?? ""
    let found = try directory.find(parameters.connection, subject: subject, for: .tokenStatus, caller)
    if found.connection.record.usesTokens { _ = try grantKey(found, subject) }
    return await status(of: found.id, found.connection.record, subject: subject)
  }

  /// The state of a grant, from its record and from what is under way.
  func status(of id: ConnectionID, _ connection: ConnectionRecord, subject: String = "") async -> TokenStatus {
    guard connection.usesTokens else {
      return TokenStatus(state: .open, isAuthenticated: true, refreshUnderWay: false, generation: 0)
    }
    let key = ledger.grantKey(id, subject: subject)
    let grant: Versioned<GrantRecord>
    do {
      guard let found = try ledger.grant(key) else {
        return TokenStatus(state: .new, isAuthenticated: false, refreshUnderWay: false, generation: 0)
      }
      grant = found
    } catch {
      var status = TokenStatus(state: .unreadable, isAuthenticated: false, refreshUnderWay: false, generation: 0)
      status.lastError = LastError(code: .storeCorrupt, message: error.sentence, at: clock.wall(), attempts: 0)
      return status
    }
    let now = clock.now()
    let facts = grant.record.facts(generation: grant.generation, on: clock)
    let remaining = facts.remaining(at: now)
    let valid = remaining > .zero && facts.standing != .dead
    var status = TokenStatus(
      state: grant.record.state(isValid: valid), isAuthenticated: valid,
      refreshUnderWay: await engine.isUnderWay(key), generation: grant.generation)
    status.subject = subject.isEmpty ? nil : subject
    if let token = facts.token {
      status.tokenExpiresAt = clock.wall(at: token.expiresAt)
      status.expiresIn = max(0, remaining.seconds.rounded(.down))
      status.obtainedAt = clock.wall(at: token.obtainedAt)
    }
    status.nextRefreshAt = await engine.nextLook(at: key).map { clock.wall(at: $0) }
    status.scope = grant.record.scope
    status.missingScope = grant.record.missingScope.isEmpty ? nil : grant.record.missingScope
    status.findings = grant.record.findings.isEmpty ? nil : grant.record.findings
    status.lastError = grant.record.lastError
    if connection.usesLogins { describeLogin(grant.record, name: connection.name, in: &status) }
    return status
  }

  private func describeLogin(_ grant: GrantRecord, name: String, in status: inout TokenStatus) {
    status.hasRefreshToken = grant.renewal == .refreshToken
    status.authorizedAt = grant.authorizedAt
    status.identity = grant.identity
    status.rotation = grant.renewal == .refreshToken ? Self.words(grant.rotation) : nil
    status.lostReplies = grant.lostReplies > 0 ? grant.lostReplies : nil
    if status.state == .needsLogin {
      status.hint = loginCommandText(name, grant.subject)
    }
  }

  private static func words(_ rotation: RefreshTokenFacts.Rotation) -> String {
    switch rotation {
    case .unknown: "unknown"
    case .kept: "kept"
    case .rotated: "rotated"
    }
  }
}
