/// Asks a token endpoint for a token: one request on the wire, its answer classified, the words for people beside it.
import FHIRControl
import SMARTProtocol

package struct Authorizer: TokenSource {
  let exchange: Exchange
  let ledger: Ledger
  let clock: any Clock
  let entropy: any Entropy
  let signer: any ClientSigner
  let clocks = ServerClocks()

  package init(
    exchange: Exchange, ledger: Ledger, clock: any Clock, entropy: any Entropy, signer: any ClientSigner
  ) {
    self.exchange = exchange
    self.ledger = ledger
    self.clock = clock
    self.entropy = entropy
    self.signer = signer
  }

  package func endpointKey(of id: ConnectionID, _ connection: ConnectionRecord) -> String {
    connection.fields.tokenURL ?? (try? ledger.discovery(id))??.endpoints["token_url"]?.url ?? connection.baseURL
  }

  package func obtain(_ ask: TokenAsk) async -> TokenAttempt {
    // A code goes to the server that the browser was sent to, whatever discovery would find today (R4.14).
    if case .code(_, let pending) = ask.kind {
      guard let endpoint = try? endpointURL(pending.tokenURL, of: ask.connection) else {
        return TokenAttempt(.failed(.clientRefused, Self.unusable(pending.tokenURL, of: ask.connection)))
      }
      return await send(ask, to: endpoint, nil)
    }
    switch await tokenEndpoint(ask.id, ask.connection) {
    case .failure(let stop): return TokenAttempt(.failed(stop.result, stop.error))
    case .success(let (endpoint, discovery)):
      var attempt = await send(ask, to: endpoint, discovery)
      attempt.discovery = discovery
      guard attempt.endpointIsGone, discovery == nil, ask.connection.fields.tokenURL == nil else { return attempt }
      return await afterMove(ask, from: endpoint, attempt)
    }
  }

  /// R2.11: a token endpoint that is no longer there may have another place by now. Nobody has judged the grant yet, so
  /// it may be sent to that place.
  private func afterMove(_ ask: TokenAsk, from endpoint: EndpointURL, _ attempt: TokenAttempt) async -> TokenAttempt {
    guard case .success(let (now, discovery)) = await discoveredEndpoint(ask.id, ask.connection, again: true) else {
      return attempt
    }
    var attempt = attempt
    if now != endpoint { attempt = await send(ask, to: now, discovery) }
    attempt.discovery = discovery
    return attempt
  }

  // MARK: the endpoint

  /// Why there will be no request.
  private struct Stop: Error {
    var result: AttemptResult
    var error: ControlError
  }

  private func endpointURL(_ text: String, of connection: ConnectionRecord) throws(URLProblem) -> EndpointURL {
    try EndpointURL(text, allowInsecureLoopback: exchange.settings.current.allowInsecureLoopback)
  }

  func knownTokenEndpoint(_ id: ConnectionID, _ connection: ConnectionRecord) -> EndpointURL? {
    let known = connection.fields.tokenURL ?? ((try? ledger.discovery(id)) ?? nil)?.endpoints["token_url"]?.url
    return known.flatMap { try? endpointURL($0, of: connection) }
  }

  private static func unusable(_ url: String, of connection: ConnectionRecord) -> ControlError {
    ControlError(
      .validationFailed, "the token endpoint \(url) may not be used",
      hint: "fhirctl connection update '\(connection.name)' --token-url https://…")
  }

  /// What discovery found not too long ago for this base URL.
  func freshDiscovery(_ id: ConnectionID, _ connection: ConnectionRecord) -> DiscoveryRecord? {
    guard let stored = (try? ledger.discovery(id)) ?? nil, stored.fits(connection),
      clock.wall().milliseconds - stored.discoveredAt.milliseconds
        < exchange.settings.current.capabilityLifetime.milliseconds
    else { return nil }
    return stored
  }

  /// The configured endpoint, the one discovery found not too long ago, or what discovery finds now.
  private func tokenEndpoint(_ id: ConnectionID?, _ connection: ConnectionRecord) async -> Result<
    (EndpointURL, DiscoveryRecord?), Stop
  > {
    let known =
      connection.fields.tokenURL ?? id.flatMap { freshDiscovery($0, connection) }?.endpoints["token_url"]?.url
    if let known {
      do { return .success((try endpointURL(known, of: connection), nil)) } catch {
        return .failure(Stop(result: .clientRefused, error: Self.unusable(known, of: connection)))
      }
    }
    return await discoveredEndpoint(id, connection, again: false)
  }

  /// - Parameter again: what is stored has proved wrong.
  private func discoveredEndpoint(_ id: ConnectionID?, _ connection: ConnectionRecord, again: Bool) async -> Result<
    (EndpointURL, DiscoveryRecord?), Stop
  > {
    if !again, let known = await unchanged(id, connection), let url = known.endpoints["token_url"]?.url,
      let endpoint = try? endpointURL(url, of: connection)
    {
      return .success((endpoint, known))
    }
    guard let (discovery, failure) = await exchange.discover(connection, askAnyway: false, needed: [.token]) else {
      return .failure(
        Stop(
          result: .clientRefused,
          error: ControlError(.validationFailed, "the FHIR base URL \(connection.baseURL) may not be used")))
    }
    if let failure {
      return .failure(
        Stop(result: .trouble(retryAfter: nil), error: ControlError(failure, asking: connection.baseURL)))
    }
    guard let url = discovery.result.url(.token), let endpoint = try? endpointURL(url, of: connection) else {
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

  // MARK: one request

  private func send(_ ask: TokenAsk, to endpoint: EndpointURL, _ found: DiscoveryRecord?) async -> TokenAttempt {
    let request: HTTPRequest
    var credentials: Credentials
    do {
      credentials = try self.credentials(for: ask, endpoint, found)
    } catch { return TokenAttempt(.failed(.clientRefused, error)) }
    defer { credentials.wipe() }
    do { request = try tokenRequest(ask, to: endpoint, credentials, found) } catch {
      return TokenAttempt(.failed(.clientRefused, error))
    }
    let sentAt = clock.now()
    let reply: HTTPReply
    do { reply = try await exchange.http.send(request) } catch {
      let words = ControlError(error, asking: "the token endpoint \(endpoint.origin)")
      return TokenAttempt(.failed(Self.result(of: error, sentAt: sentAt), words))
    }
    let received = clock.wall().milliseconds
    clocks.learn(
      reply.header("date"), of: endpoint.origin.description,
      sentAt: received - (clock.now() - sentAt).milliseconds, receivedAt: received)
    var body = reply.body
    defer { wipe(&body) }
    let outcome = TokenReply.classify(
      status: reply.status, header: { reply.header($0) }, body: body, requestedScope: Self.requestedScope(of: ask),
      now: clock.wall().milliseconds)
    switch outcome {
    case .granted(var response):
      defer { response.wipe() }
      return TokenAttempt(.granted(token(response, ask, credentials, sentAt: sentAt)))
    case .grantDead(let refusal), .clientWrong(let refusal), .scopeRefused(let refusal), .throttled(let refusal),
      .serverTrouble(let refusal), .network(let refusal), .garbled(let refusal):
      let redaction = Redaction(credentials.needles(request, shared))
      let error = redaction.clean(Self.error(outcome, refusal, ask))
      var attempt = TokenAttempt(.failed(Self.result(of: outcome, refusal, ask, sentAt: sentAt), error))
      attempt.endpointIsGone = refusal.oauth == nil && [404, 405, 410].contains(refusal.status)
      if Self.flipsScope(outcome, refusal, ask) {
        attempt.flipsScope = true
        attempt.outcome = .failed(.trouble(retryAfter: nil), error)
      }
      return attempt
    }
  }

  /// What is asked for, and what counts as granted when the answer names no scope (R6.04).
  static func requestedScope(of ask: TokenAsk) -> String {
    switch ask.kind {
    case .clientCredentials: ask.connection.fields.scope ?? ""
    case .refresh(_, let grant): grant.scope ?? grant.requestedScope ?? ask.connection.fields.scope ?? ""
    case .code(_, let pending): pending.scope
    }
  }

  func shared(_ bytes: [UInt8]) -> SharedSecret {
    SharedSecret(ledger.vault.makeSecret(count: bytes.count) { $0.copyBytes(from: bytes) })
  }
}
