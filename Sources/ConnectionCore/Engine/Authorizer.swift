/// Asks a token endpoint for a token: one request on the wire, its answer classified, the words for people beside it.
import FHIRControl
import SMARTProtocol

package struct Authorizer: TokenSource {
  let exchange: Exchange
  let ledger: Ledger
  let clock: any Clock

  package init(exchange: Exchange, ledger: Ledger, clock: any Clock) {
    self.exchange = exchange
    self.ledger = ledger
    self.clock = clock
  }

  package func endpointKey(of id: ConnectionID, _ connection: ConnectionRecord) -> String {
    connection.fields.tokenURL ?? (try? ledger.discovery(id))??.endpoints["token_url"]?.url ?? connection.baseURL
  }

  package func obtain(_ id: ConnectionID?, _ connection: ConnectionRecord, secret: SharedSecret?) async -> TokenAttempt
  {
    let found = await tokenEndpoint(id, connection)
    switch found {
    case .failure(let stop): return TokenAttempt(.failed(stop.result, stop.error))
    case .success(let (endpoint, discovery)):
      var attempt = await ask(endpoint, id, connection, secret)
      attempt.discovery = discovery
      return attempt
    }
  }

  /// Why there will be no request.
  private struct Stop: Error {
    var result: AttemptResult
    var error: ControlError
  }

  /// The configured endpoint, the one discovery found not too long ago, or what discovery finds now.
  private func tokenEndpoint(_ id: ConnectionID?, _ connection: ConnectionRecord) async -> Result<
    (EndpointURL, DiscoveryRecord?), Stop
  > {
    let insecure = exchange.settings.current.allowInsecureLoopback
    var known = connection.fields.tokenURL
    if known == nil, let id, let stored = (try? ledger.discovery(id)) ?? nil,
      stored.fhirBaseURL == connection.baseURL,
      clock.wall().milliseconds - stored.discoveredAt.milliseconds
        < exchange.settings.current.capabilityLifetime.milliseconds
    {
      known = stored.endpoints["token_url"]?.url
    }
    if let known {
      do { return .success((try EndpointURL(known, allowInsecureLoopback: insecure), nil)) } catch {
        return .failure(
          Stop(
            result: .clientRefused,
            error: ControlError(
              .validationFailed, "the token endpoint \(known) may not be used: it \(error.sentence)",
              hint: "fhirctl connection update '\(connection.name)' --token-url https://…")))
      }
    }
    guard let (discovery, failure) = await exchange.discover(connection, askAnyway: false) else {
      return .failure(
        Stop(
          result: .clientRefused,
          error: ControlError(.validationFailed, "the FHIR base URL \(connection.baseURL) may not be used")))
    }
    if let failure {
      return .failure(
        Stop(result: .trouble(retryAfter: nil), error: ControlError(failure, asking: connection.baseURL)))
    }
    guard let url = discovery.result.url(.token),
      let endpoint = try? EndpointURL(url, allowInsecureLoopback: insecure)
    else {
      // It may be the server's bad hour: the endpoint is looked for again later.
      return .failure(
        Stop(
          result: .trouble(retryAfter: nil),
          error: ControlError(
            .notSupportedByServer, "\(connection.baseURL) names no token endpoint",
            detail: discovery.result.findings.map(\.description).joined(separator: "; "),
            hint: "set it: fhirctl connection update '\(connection.name)' --token-url https://…")))
    }
    return .success((endpoint, DiscoveryRecord(discovery.result, baseURL: connection.baseURL, at: clock.wall())))
  }

  private func ask(
    _ endpoint: EndpointURL, _ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?
  )
    async -> TokenAttempt
  {
    let request: HTTPRequest
    do { request = try tokenRequest(endpoint, id, connection, secret) } catch {
      return TokenAttempt(.failed(.clientRefused, error))
    }
    let sentAt = clock.now()
    let reply: HTTPReply
    do { reply = try await exchange.http.send(request) } catch {
      return TokenAttempt(
        .failed(.trouble(retryAfter: nil), ControlError(error, asking: "the token endpoint \(endpoint.origin)")))
    }
    var body = reply.body
    defer { wipe(&body) }
    let outcome = TokenReply.classify(
      status: reply.status, header: { reply.header($0) }, body: body, requestedScope: connection.fields.scope ?? "",
      now: clock.wall().milliseconds)
    switch outcome {
    case .granted(var response):
      defer { response.wipe() }
      return TokenAttempt(.granted(token(response, connection, sentAt: sentAt)))
    case .grantDead(let refusal), .clientWrong(let refusal), .scopeRefused(let refusal), .throttled(let refusal),
      .serverTrouble(let refusal), .network(let refusal), .garbled(let refusal):
      let error = redaction(id, connection, secret, request).clean(Self.error(outcome, refusal, connection))
      return TokenAttempt(.failed(Self.result(of: outcome, refusal), error))
    }
  }

  /// Knows every form in which the request carried a secret.
  private func redaction(
    _ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?, _ request: HTTPRequest
  ) -> Redaction {
    // What stands behind `Authorization: Basic `.
    var needles = request.secretHeaders.map { header in
      header.withBytes { shared($0.split(separator: UInt8(ascii: " ")).last.map { Array($0) } ?? []) }
    }
    var raw = secret.map { $0.withBytes { Array($0) } } ?? []
    defer { wipe(&raw) }
    if raw.isEmpty, connection.hasClientSecret, let id {
      raw = (try? ledger.withClientSecret(of: id) { Array($0) }) ?? []
    }
    if !raw.isEmpty {
      needles.append(shared(raw))
      var coded = FormEncoding.encoded(raw)
      defer { wipe(&coded) }
      needles.append(shared(coded))
    }
    return Redaction(needles)
  }

  /// The token request, with its secret in locked memory.
  private func tokenRequest(
    _ endpoint: EndpointURL, _ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?
  ) throws(ControlError) -> HTTPRequest {
    try withClientSecret(id, connection, secret) { bytes throws(TokenRequestProblem) in
      try TokenRequest.clientCredentials(
        at: endpoint, clientID: connection.fields.clientID ?? "", secret: bytes,
        authentication: Self.authentication(of: connection.fields), scope: connection.fields.scope ?? "",
        extraParameters: connection.fields.extraParameters ?? [:])
    }
  }

  /// Lends the client secret to a builder and turns what it built into a request; what held the secret in between is
  /// wiped.
  func withClientSecret(
    _ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?,
    _ build: ([UInt8]) throws(TokenRequestProblem) -> TokenRequest
  ) throws(ControlError) -> HTTPRequest {
    var bytes: [UInt8] = []
    defer { wipe(&bytes) }
    if let secret {
      bytes = secret.withBytes { Array($0) }
    } else if connection.hasClientSecret, let id {
      do { bytes = try ledger.withClientSecret(of: id) { Array($0) } ?? [] } catch { throw ControlError(error) }
    }
    var built: TokenRequest
    do { built = try build(bytes) } catch {
      throw ControlError(
        .invalidClient, "no token request can be made: \(error.field) \(error.sentence)",
        hint: "fhirctl connection update '\(connection.name)'", fields: [FieldError(error.field, error.sentence)])
    }
    defer { built.wipe() }
    var request = exchange.request(.post, built.url.text, accept: built.accept, for: connection)
    request.headers.append(HTTPHeader("Content-Type", built.contentType))
    request.responseBytesMax = TokenReply.bodyBytesMax
    if let header = built.authorizationHeader { request.secretHeaders = [shared(header)] }
    request.body = shared(built.body)
    return request
  }

  private func shared(_ bytes: [UInt8]) -> SharedSecret {
    SharedSecret(ledger.vault.makeSecret(count: bytes.count) { $0.copyBytes(from: bytes) })
  }

  static func authentication(of fields: ConnectionFields) -> ClientAuthentication {
    switch fields.clientAuthentication.flatMap(ClientAuthenticationMethod.init(rawValue:)) {
    case .clientSecretBasic:
      .secretBasic(fields.basicEncoding.flatMap(ClientAuthentication.BasicEncoding.init(rawValue:)) ?? .rfc6749)
    case .clientSecretPost: .secretPost
    case ClientAuthenticationMethod.none?, nil: .none
    }
  }

  private func token(_ response: TokenResponse, _ connection: ConnectionRecord, sentAt: Instant) -> GrantedToken {
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
    member("fhir_base_url", connection.baseURL.utf8)
    if let context = response.renderedContext {
      members += Array(",\"context\":".utf8)
      members += context
    }
    let missing = ScopeSet(connection.fields.scope ?? "").missing(
      from: ScopeSet(response.scope), hasRefreshToken: response.refreshToken != nil, context: Set(response.context.keys)
    )
    return GrantedToken(
      sentAt: sentAt, lifetime: response.expiresIn, members: members,
      scope: response.scope.isEmpty ? nil : response.scope, missingScope: missing)
  }

  private static func result(of outcome: TokenOutcome, _ refusal: TokenRefusal) -> AttemptResult {
    switch outcome {
    // invalid_grant to client credentials: there is no grant that could be dead, so it is the client that is refused.
    case .granted, .grantDead, .clientWrong, .scopeRefused: .clientRefused
    case .throttled: .throttled(retryAfter: refusal.retryAfter)
    case .serverTrouble, .network, .garbled: .trouble(retryAfter: refusal.retryAfter)
    }
  }

  /// What callers are told. Codes are the protocol's, the sentence is the server's own matter.
  private static func error(_ outcome: TokenOutcome, _ refusal: TokenRefusal, _ connection: ConnectionRecord)
    -> ControlError
  {
    let update = "correct it with fhirctl connection update '\(connection.name)'"
    let code: ErrorCode
    let hint: String
    switch outcome {
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
      (code, hint) = (.serverAnswerUnusable, "is token_url right? fhirctl connection test '\(connection.name)'")
    }
    return ControlError(
      code, refusal.sentence, hint: hint, retryAfterSeconds: refusal.retryAfter?.seconds,
      oauth: refusal.oauth.map { OAuthErrorBody(error: $0.error, errorDescription: $0.description, errorURI: $0.uri) })
  }
}
