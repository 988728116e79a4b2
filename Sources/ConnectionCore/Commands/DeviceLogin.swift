/// Logins without a browser on this side (RFC 8628): the person types a code at the server, and the daemon asks the token
/// endpoint until that is done, the login has expired, or somebody has cancelled it. Survives a restart.
import FHIRControl
import SMARTProtocol

extension Commands {
  /// RFC 8628 section 3.5.
  static var slowDown: Instant.Span { .seconds(5) }
  /// The longest pause between two questions to a server in trouble.
  static var devicePauseMax: Instant.Span { .seconds(60) }

  func startDeviceLogin(_ found: Directory.Found, subject: String, scope wanted: String, _ caller: Caller)
    async throws(ControlError) -> AuthorizationStart
  {
    let record = found.connection.record
    let server = try await loginServer(found, needsAuthorization: false)
    let scope = record.fields.spelledScope(wanted, for: server.capabilities)
    let device = try await authorizer.beginDevice(found.id, record, scope: scope)
    let now = clock.wall()
    let state = Base64URL.encode(entropy.bytes(32))
    let lifetime = min(device.lifetime, PendingAuthorization.lifetime)
    var pending = PendingAuthorization(
      connection: found.id.description, connectionName: found.name, fhirBaseURL: record.baseURL,
      clientID: record.fields.clientID ?? "", subject: subject, scope: scope, redirectURI: "", tokenURL: server.token,
      issuer: server.issuer, issuerRequired: false, initiatorUID: caller.uid, createdAt: now,
      expiresAt: Timestamp(milliseconds: now.milliseconds + lifetime.milliseconds), progress: .pending)
    pending.deviceCode = String(decoding: device.deviceCode.bytes, as: UTF8.self)
    pending.pollSeconds = Int64(device.interval.seconds.rounded(.up))
    try await engine.beginLogin(pending, state: state)
    follow(ledger.pendingAddress(state: state))
    var start = AuthorizationStart(
      authorizationURL: device.verificationURI, state: state, expiresAt: pending.expiresAt)
    start.userCode = device.userCode
    start.authorizationURLComplete = device.verificationURIComplete
    return start
  }

  /// After a start of the daemon: goes on with the logins that a person may still be typing.
  package func resumeDeviceLogins() {
    var after: [UInt8]?
    repeat {
      guard let page = try? ledger.page(of: .pending, after: after, limit: 500) else { return }
      after = page.count < 500 ? nil : page.last?.key
      for stored in page {
        guard let pending = try? ledger.pending(in: stored).record, pending.deviceCode != nil,
          pending.progress(at: clock.wall()) == .pending
        else { continue }
        follow(RecordAddress(.pending, stored.key))
      }
    } while after != nil
  }

  private func follow(_ address: RecordAddress) {
    Task { await poll(address) }
  }

  /// Ends with the login: it expires at the latest.
  private func poll(_ address: RecordAddress) async {
    var pause = Instant.Span.seconds(
      (try? ledger.pending(at: address))??.record.pollSeconds ?? Int64(DeviceAuthorization.intervalDefault.seconds))
    while true {
      await clock.pause(pause)
      guard let found = (try? ledger.pending(at: address)) ?? nil, let id = ConnectionID(found.record.connection),
        let code = found.record.deviceCode, found.record.progress(at: clock.wall()) == .pending
      else { return }
      guard let connection = try? ledger.connection(id)?.record, found.record.fits(connection) else {
        _ = try? await fail(
          address, found, ControlError(.generationConflict, "the connection was changed since the login began"),
          oauth: nil)
        return
      }
      let attempt = await authorizer.obtain(
        TokenAsk(id, connection, .code(authorizer.shared(Array(code.utf8)), found.record)))
      switch attempt.outcome {
      case .granted(var token):
        defer { token.wipe() }
        return await adopt(token, found, address)
      case .failed(let result, let error):
        switch Self.deviceAnswer(result, error, found.record) {
        case .wait: continue
        case .slowDown: pause = pause + Self.slowDown
        case .backOff: pause = min(pause + pause, Self.devicePauseMax)
        case .over(let error):
          _ = try? await fail(address, found, error, oauth: nil)
          return
        }
      }
    }
  }

  private func adopt(_ token: GrantedToken, _ found: Versioned<PendingAuthorization>, _ address: RecordAddress) async {
    var redeeming = found.record
    redeeming.progress = .redeeming
    var here = found
    do {
      // nil: somebody has cancelled it; what the server gave ends with its lifetime.
      guard let generation = try await engine.moveLogin(address, from: found.generation, to: redeeming) else { return }
      here = Versioned(redeeming, generation)
    } catch {
      // A store that does not take this may take the tokens a moment later: they are given once.
    }
    _ = await keep(token, here.record, address, here.generation) { [here] error in
      do throws(ControlError) { return .failure(try await fail(address, here, error, oauth: nil)) } catch {
        return .failure(error)
      }
    }
  }

  private enum DeviceAnswer {
    case wait, slowDown, backOff
    case over(ControlError)
  }

  /// Source: RFC 8628 section 3.5.
  private static func deviceAnswer(_ result: AttemptResult, _ error: ControlError, _ pending: PendingAuthorization)
    -> DeviceAnswer
  {
    let again = loginCommandText(pending.connectionName, pending.subject) + " --device"
    switch error.data.oauth?.error {
    case "authorization_pending": return .wait
    case "slow_down": return .slowDown
    case "access_denied":
      return .over(
        ControlError(.needsLogin, "the login was declined", hint: again, oauth: error.data.oauth))
    case "expired_token":
      return .over(
        ControlError(.needsLogin, "the code was not typed in time", hint: again, oauth: error.data.oauth))
    default: break
    }
    switch result {
    case .trouble, .throttled, .replyLost: return .backOff
    case .granted, .grantDead, .clientRefused: return .over(error)
    }
  }
}

extension Authorizer {
  /// Asks for a code that a person types.
  func beginDevice(_ id: ConnectionID, _ connection: ConnectionRecord, scope: String) async throws(ControlError)
    -> DeviceAuthorization
  {
    guard
      let endpoint = await endpoint(
        .deviceAuthorization, EndpointRole.deviceAuthorization.rawValue, id, connection, nil)
    else {
      throw ControlError(
        .notSupportedByServer, "\(connection.baseURL) names no device authorization endpoint",
        hint: "log in by browser: fhirctl login '\(connection.name)'")
    }
    let request = try clientRequest(id, connection, endpoint) { credentials throws(TokenRequestProblem) in
      try TokenRequest.deviceAuthorization(
        at: endpoint, scope: scope, clientID: connection.fields.clientID ?? "", secret: credentials.client,
        authentication: credentials.authentication, extraParameters: connection.fields.extraParameters ?? [:])
    }
    let reply: HTTPReply
    do { reply = try await exchange.http.send(request) } catch {
      throw ControlError(error, asking: "the device authorization endpoint \(endpoint.origin)")
    }
    var body = reply.body
    defer { wipe(&body) }
    switch DeviceAuthorization.read(
      status: reply.status, header: { reply.header($0) }, body: body,
      allowInsecureLoopback: exchange.settings.current.allowInsecureLoopback)
    {
    case .success(let device): return device
    case .failure(let refusal):
      throw ControlError(
        refusal.oauth == nil ? .serverAnswerUnusable : .invalidClient, refusal.sentence,
        hint: "is the client registered for the device flow? log in by browser: fhirctl login '\(connection.name)'",
        oauth: refusal.oauth.map { OAuthErrorBody($0) }
      )
    }
  }
}
