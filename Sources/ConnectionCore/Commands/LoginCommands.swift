/// `authorization.start`, `.status` and `.cancel`: a login from its beginning to the browser's leaving.
import FHIRControl
import SMARTProtocol

extension Commands {
  /// Bytes of a subject; patient ids of FHIR have 64 at the most, tenants' and clinicians' are longer.
  static var subjectBytesMax: Int { 512 }

  func startLogin(_ parameters: AuthorizationStartParameters, _ caller: Caller) async throws(ControlError)
    -> AuthorizationStart
  {
    let subject = parameters.subject ?? ""
    let found = try loginConnection(parameters, caller)
    let record = found.connection.record
    guard record.usesLogins else {
      throw ControlError(
        .validationFailed,
        "\(found.name.debugDescription) has no logins: its auth_method is \(record.fields.authMethod ?? "none")",
        hint: "fhirctl connection update '\(found.name)' --auth-method authorization_code")
    }
    guard record.fields.clientID != nil else {
      throw ControlError(
        .invalidClient, "\(found.name.debugDescription) is not registered at its server yet",
        hint: "fhirctl connection register '\(found.name)'")
    }
    let wanted = try loginScope(parameters, record)
    switch parameters.flow ?? "code" {
    case "code": break
    case "device": return try await startDeviceLogin(found, subject: subject, scope: wanted, caller)
    case let other:
      throw ControlError.validation([FieldError("flow", "is \(other.debugDescription); allowed are code, device")])
    }
    let redirectURI = try loginRedirect(parameters, record)
    let server = try await loginServer(found)
    let scope = record.fields.spelledScope(wanted, for: server.capabilities)
    var verifier = PKCE.verifier(random: entropy.bytes(PKCE.randomBytes))
    defer { verifier.wipe() }
    let usesPKCE = record.fields.pkce != "none"
    // 256 bits: R4.05 asks for 122.
    let state = Base64URL.encode(entropy.bytes(32))
    let nonce = scope.split(separator: " ").contains("openid") ? Base64URL.encode(entropy.bytes(16)) : nil
    let now = clock.wall()
    let pending = PendingAuthorization(
      connection: found.id.description, connectionName: found.name, fhirBaseURL: record.baseURL,
      clientID: record.fields.clientID ?? "", subject: subject, scope: scope,
      redirectURI: redirectURI, verifier: usesPKCE ? String(decoding: verifier.bytes, as: UTF8.self) : nil,
      nonce: nonce, tokenURL: server.token, issuer: server.issuer, issuerRequired: server.issuerRequired,
      initiatorUID: caller.uid, createdAt: now,
      expiresAt: Timestamp(milliseconds: now.milliseconds + PendingAuthorization.lifetime.milliseconds),
      progress: .pending)
    let request = AuthorizationRequest(
      clientID: record.fields.clientID ?? "", redirectURI: redirectURI, scope: scope, state: state,
      aud: record.fields.aud ?? record.baseURL,
      codeChallenge: usesPKCE ? PKCE.challenge(sha256OfVerifier: ledger.vault.sha256(verifier.bytes)) : nil,
      nonce: nonce, launch: parameters.launch, extraParameters: record.fields.authorizationParameters ?? [:])
    try await engine.beginLogin(pending, state: state)
    guard let endpoint = server.authorization else { throw ControlError.noSuchGrant }
    let url = request.url(at: endpoint)
    var start = AuthorizationStart(
      authorizationURL: url, state: state, expiresAt: pending.expiresAt, redirectURI: redirectURI)
    if server.takesForms, url.utf8.count > AuthorizationRequest.urlBytesMax {
      start.authorizationPost = AuthorizationForm(
        url: endpoint.text,
        parameters: Dictionary(request.parameters.map { ($0.name, $0.value) }) { first, _ in first })
    }
    return start
  }

  /// The connection by its name, or by the base URL that the EHR sent.
  private func loginConnection(_ parameters: AuthorizationStartParameters, _ caller: Caller) throws(ControlError)
    -> Directory.Found
  {
    let subject = parameters.subject ?? ""
    guard subject.utf8.count <= Self.subjectBytesMax, !subject.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw ControlError.validation([
        FieldError("subject", "may have \(Self.subjectBytesMax) bytes and no control characters")
      ])
    }
    let issued = parameters.iss.flatMap {
      try? FHIRBaseURL($0, allowInsecureLoopback: settings.current.allowInsecureLoopback).text
    }
    if parameters.iss != nil, issued == nil {
      throw ControlError.validation([FieldError("iss", "is not a FHIR base URL")])
    }
    if let reference = parameters.connection {
      let found = try directory.find(reference, subject: subject, for: .authorizationStart, caller)
      if let issued, issued != found.connection.record.baseURL {
        throw ControlError.validation([FieldError("iss", "is not the base URL of \(found.name.debugDescription)")])
      }
      return found
    }
    guard let issued else {
      throw ControlError.validation([FieldError("connection", "is required, unless iss names the server")])
    }
    return try connection(launchedBy: issued, caller)
  }

  /// EHR launch: `iss` must lead to one connection, or nobody could say whose client is meant.
  private func connection(launchedBy baseURL: String, _ caller: Caller) throws(ControlError) -> Directory.Found {
    let reach = try directory.require(.authorizationStart, caller)
    var matches: [Directory.Found] = []
    var after: [UInt8]?
    repeat {
      let from = after
      let page = try read { () throws(LedgerError) in try ledger.page(of: .connections, after: from, limit: 500) }
      after = page.count < 500 ? nil : page.last?.key
      for stored in page {
        guard let id = ConnectionID(bytes: stored.key), let connection = try? ledger.connection(in: stored),
          connection.record.baseURL == baseURL, connection.record.usesLogins,
          reach.covers(connection: id, named: connection.record.name, subject: "")
        else { continue }
        matches.append(Directory.Found(id: id, connection: connection))
      }
    } while after != nil
    guard let only = matches.first, matches.count == 1 else {
      throw ControlError(
        .connectionNotFound,
        matches.isEmpty
          ? "no connection has the base URL \(baseURL)" : "\(matches.count) connections have the base URL \(baseURL)",
        hint: "name the connection")
    }
    return only
  }

  private func loginScope(_ parameters: AuthorizationStartParameters, _ record: ConnectionRecord)
    throws(ControlError) -> String
  {
    let wanted = parameters.scope ?? record.fields.scope ?? ""
    let problems = ScopeSet.problems(in: wanted)
    guard problems.isEmpty else { throw ControlError.validation(problems.map { FieldError("scope", $0) }) }
    // R3.07: `launch` belongs to a launch by the EHR, and to nothing else.
    var scopes = wanted.split(separator: " ").filter { $0 != "launch" }
    if parameters.launch != nil { scopes.insert("launch", at: 0) }
    guard !scopes.isEmpty else { throw ControlError.validation([FieldError("scope", "is empty")]) }
    return scopes.joined(separator: " ")
  }

  private func loginRedirect(_ parameters: AuthorizationStartParameters, _ record: ConnectionRecord)
    throws(ControlError) -> String
  {
    guard let text = parameters.redirectURI ?? record.fields.redirectURI ?? settings.current.callbackURL else {
      throw ControlError(
        .validationFailed, "there is no redirect URI for this login",
        hint: "set FHIRD_PUBLIC_URL, or fhirctl connection update '\(record.name)' --redirect-uri "
          + "http://127.0.0.1:8765/callback, as registered at the server",
        fields: [FieldError("redirect_uri", "is required")])
    }
    if let problem = ConnectionValidator.redirectProblem(text) {
      throw ControlError.validation([FieldError("redirect_uri", problem)])
    }
    return text
  }

  struct LoginServer {
    /// nil: the flow needs none.
    var authorization: EndpointURL?
    var token: String
    var issuer: String?
    var issuerRequired: Bool
    var capabilities: [String]
    var takesForms: Bool { capabilities.contains("authorize-post") }
  }

  /// Where the browser goes and where the code will go, settled before the browser leaves (R4.14).
  func loginServer(_ found: Directory.Found, needsAuthorization: Bool = true) async throws(ControlError) -> LoginServer
  {
    let record = found.connection.record
    let known = try await authorizer.loginDiscovery(found.id, record)
    let insecure = settings.current.allowInsecureLoopback
    func url(_ configured: String?, _ name: String) -> EndpointURL? {
      (configured ?? known.endpoints[name]?.url).flatMap { try? EndpointURL($0, allowInsecureLoopback: insecure) }
    }
    let authorization = url(record.fields.authURL, "auth_url")
    guard authorization != nil || !needsAuthorization else {
      throw ControlError(
        .notSupportedByServer, "\(record.baseURL) names no authorization endpoint",
        hint: "set it: fhirctl connection update '\(found.name)' --auth-url https://…")
    }
    guard let token = url(record.fields.tokenURL, "token_url") else {
      throw ControlError(
        .notSupportedByServer, "\(record.baseURL) names no token endpoint",
        hint: "set it: fhirctl connection update '\(found.name)' --token-url https://…")
    }
    return LoginServer(
      authorization: authorization, token: token.text, issuer: record.fields.issuer ?? known.issuer,
      issuerRequired: known.answersWithIssuer ?? false,
      capabilities: known.capabilities ?? [])
  }

  // MARK: status and cancel

  /// A login as its caller may see it: whoever began it, and those who may do so for everybody.
  func pendingLogin(_ state: String, _ method: ControlMethod, _ caller: Caller) throws(ControlError) -> (
    RecordAddress, Versioned<PendingAuthorization>
  ) {
    let reach = try directory.require(method, caller)
    let address = ledger.pendingAddress(state: state)
    let found = try read { () throws(LedgerError) in try ledger.pending(at: address) }
    guard let found, let id = ConnectionID(found.record.connection),
      reach.covers(connection: id, named: found.record.connectionName, subject: found.record.subject),
      reach.isWhole || found.record.initiatorUID == caller.uid
    else { throw Self.unknownState }
    return (address, found)
  }

  /// The same words for one that never was and one that is somebody else's.
  static var unknownState: ControlError {
    ControlError(
      .stateMismatch, "no login with this state is under way",
      hint:
        "begin a new one: fhirctl login NAME; a login lasts \(Int(PendingAuthorization.lifetime.seconds / 60)) minutes")
  }

  func loginStatus(_ parameters: AuthorizationReference, _ caller: Caller) async throws(ControlError)
    -> AuthorizationStatus
  {
    let (_, found) = try pendingLogin(parameters.state, .authorizationStatus, caller)
    return try await loginStatus(of: found.record)
  }

  func loginStatus(of pending: PendingAuthorization) async throws(ControlError) -> AuthorizationStatus {
    var status = AuthorizationStatus(
      progress: pending.progress(at: clock.wall()), connectionName: pending.connectionName,
      connectionID: pending.connection, subject: pending.subject.isEmpty ? nil : pending.subject,
      expiresAt: pending.expiresAt, error: pending.error, oauth: pending.oauth)
    if pending.progress == .completed, let id = ConnectionID(pending.connection),
      let connection = try read({ () throws(LedgerError) in try ledger.connection(id) })
    {
      status.token = await self.status(of: id, connection.record, subject: pending.subject)
    }
    return status
  }

  func cancelLogin(_ parameters: AuthorizationReference, _ caller: Caller) async throws(ControlError)
    -> AuthorizationStatus
  {
    let (address, found) = try pendingLogin(parameters.state, .authorizationCancel, caller)
    guard found.record.progress == .pending else { return try await loginStatus(of: found.record) }
    let ended = found.record.ended(.cancelled)
    guard try await engine.moveLogin(address, from: found.generation, to: ended) != nil else {
      let (_, now) = try pendingLogin(parameters.state, .authorizationCancel, caller)
      return try await loginStatus(of: now.record)
    }
    return try await loginStatus(of: ended)
  }
}
