/// `authorization.complete`: what the browser brought back becomes a grant, or a reason why not. Once.
import FHIRControl
import SMARTProtocol

extension Commands {
  func completeLogin(_ parameters: AuthorizationCompleteParameters, _ caller: Caller) async throws(ControlError)
    -> AuthorizationStatus
  {
    let response = try Self.response(parameters)
    guard let state = response.state else {
      throw ControlError(
        .stateMismatch, "what came back has no state: it is not the answer to a login of ours",
        hint: "paste the whole address that the browser ended at")
    }
    let (address, found) = try pendingLogin(state, .authorizationComplete, caller)
    let pending = found.record
    switch pending.progress(at: clock.wall()) {
    case .pending: break
    // R4.15: the browser's second visit is told what the first one came to.
    case .redeeming, .completed, .failed: return try await loginStatus(of: pending)
    case .cancelled, .expired:
      throw ControlError(
        .stateMismatch, "this login was \(pending.progress == .cancelled ? "cancelled" : "not completed in time")",
        hint: loginCommandText(pending.connectionName, pending.subject))
    }
    guard pending.deviceCode == nil else {
      throw ControlError(
        .stateMismatch, "this login is completed at the server, by its code", hint: "fhirctl login waits for it")
    }
    // RFC 9700 section 4.4.2.2: a redirect URI of its own tells servers apart as iss does.
    if let named = parameters.connectionID, named != pending.connection {
      throw try await fail(
        address, found,
        ControlError(
          .stateMismatch, "the browser came back to the redirect URI of another connection",
          hint: "another server may have answered; nothing was sent to it"), oauth: nil)
    }
    // django-oauth-toolkit leaves iss out of refusals; without a code there is nothing that could go to the wrong server.
    if let problem = AuthorizationResponse.issuerProblem(
      received: response.issuer, expected: pending.issuer, required: pending.issuerRequired && response.bringsCode)
    {
      throw try await fail(
        address, found,
        ControlError(
          .stateMismatch, problem.sentence, hint: "another server may have answered; nothing was sent to it"),
        oauth: nil)
    }
    switch response.outcome {
    case .refused(let error): throw try await fail(address, found, Self.refusal(error, pending), oauth: error)
    case .code(var code):
      defer { code.wipe() }
      var redeeming = pending
      redeeming.progress = .redeeming
      guard let generation = try await engine.moveLogin(address, from: found.generation, to: redeeming) else {
        let (_, now) = try pendingLogin(state, .authorizationComplete, caller)
        return try await loginStatus(of: now.record)
      }
      let secret = SharedSecret(ledger.vault.makeSecret(count: code.bytes.count) { $0.copyBytes(from: code.bytes) })
      // A code is good once: whoever leaves now does not take the answer with him.
      let redemption = Task { () -> Result<Void, ControlError> in
        await redeem(secret, redeeming, address, generation)
      }
      try await redemption.value.get()
      return try await loginStatus(of: redeeming.ended(.completed))
    }
  }

  private static func response(_ parameters: AuthorizationCompleteParameters) throws(ControlError)
    -> AuthorizationResponse
  {
    do throws(AuthorizationResponseProblem) {
      guard let url = parameters.redirectURL else {
        return try AuthorizationResponse(
          state: parameters.state, code: parameters.code.map { Array($0.utf8) }, iss: parameters.iss,
          error: parameters.error,
          errorDescription: parameters.errorDescription, errorURI: parameters.errorURI)
      }
      return try AuthorizationResponse(redirectURL: url)
    } catch {
      throw ControlError(
        .invalidParams, error.sentence, hint: "paste the whole address that the browser ended at",
        fields: [FieldError(parameters.redirectURL == nil ? "code" : "redirect_url", error.sentence)])
    }
  }

  /// The authorization endpoint's refusal. Source: RFC 6749 section 4.1.2.1.
  private static func refusal(_ error: OAuthError, _ pending: PendingAuthorization) -> ControlError {
    let code: ErrorCode
    let hint: String
    let again = loginCommandText(pending.connectionName, pending.subject)
    switch error.error {
    case "access_denied": (code, hint) = (.needsLogin, "the login was declined; begin again: \(again)")
    case "invalid_scope": (code, hint) = (.invalidScope, "ask for less: \(again) --scope '…'")
    case "unauthorized_client": (code, hint) = (.unauthorizedClient, "check the client's registration at the server")
    case "temporarily_unavailable", "server_error": (code, hint) = (.serverUnreachable, "try again later: \(again)")
    case "login_required", "consent_required", "interaction_required": (code, hint) = (.needsLogin, again)
    default: (code, hint) = (.invalidClient, "check client_id, redirect_uri and scope; then \(again)")
    }
    let words = error.description.map { ": \($0)" } ?? error.uri.map { ", see \($0)" } ?? ""
    return ControlError(
      code, "the server ended the login with \(error.error)\(words)", hint: hint,
      oauth: OAuthErrorBody(error))
  }

  /// R4.12: the state is used up, and the reason kept.
  /// - Returns: the error to throw.
  func fail(
    _ address: RecordAddress, _ found: Versioned<PendingAuthorization>, _ error: ControlError, oauth: OAuthError?
  ) async throws(ControlError) -> ControlError {
    var ended = found.record.ended(.failed)
    ended.error = LastError(code: error.data.code, message: error.message, at: clock.wall(), attempts: 1)
    ended.oauth = error.data.oauth
    _ = try await engine.moveLogin(address, from: found.generation, to: ended)
    return error
  }

  /// Exchanges the code and makes the grant.
  private func redeem(
    _ code: SharedSecret, _ pending: PendingAuthorization, _ address: RecordAddress, _ generation: Generation
  ) async -> Result<Void, ControlError> {
    let here = Versioned(pending, generation)
    func failed(_ error: ControlError) async -> Result<Void, ControlError> {
      do throws(ControlError) { return .failure(try await fail(address, here, error, oauth: nil)) } catch {
        return .failure(error)
      }
    }
    let connection: Versioned<ConnectionRecord>?
    guard let id = ConnectionID(pending.connection) else { return await failed(ControlError.noSuchGrant) }
    do { connection = try ledger.connection(id) } catch { return await failed(ControlError(error)) }
    guard let connection, pending.fits(connection.record) else {
      return await failed(
        ControlError(
          .generationConflict, "the connection was changed since the login began",
          hint: loginCommandText(pending.connectionName, pending.subject)))
    }
    let attempt = await authorizer.obtain(TokenAsk(id, connection.record, .code(code, pending)))
    switch attempt.outcome {
    case .failed(_, let error): return await failed(error)
    case .granted(var token):
      defer { token.wipe() }
      return await keep(token, pending, address, generation, failed)
    }
  }

  /// Attempts to store a login's tokens, and the seconds between them: the server has them counted as given.
  static var keepAttempts: Int { 12 }
  static var keepPause: Instant.Span { .seconds(5) }
  static var conflictAttempts: Int { 4 }

  func keep(
    _ token: GrantedToken, _ pending: PendingAuthorization, _ address: RecordAddress, _ generation: Generation,
    _ failed: (ControlError) async -> Result<Void, ControlError>
  ) async -> Result<Void, ControlError> {
    var last = ControlError.noSuchGrant
    for attempt in 1...Self.keepAttempts {
      do throws(ControlError) {
        let stored = try await engine.adoptLogin(token, pending, at: address, generation)
        await identify(token, pending, stored)
        return .success(())
      } catch { last = error }
      switch last.data.code {
      // A store that takes no writes may come to its senses.
      case .storeFull, .storeReadOnly: await clock.pause(Self.keepPause)
      // Labels or notes were changed that very moment; a change that matters is found by itself.
      case .generationConflict where attempt < Self.conflictAttempts: continue
      default: return await failed(last)
      }
    }
    return await failed(last)
  }
}

extension Commands {
  /// Who logged in, once the tokens are safe.
  private func identify(_ token: GrantedToken, _ pending: PendingAuthorization, _ generation: Generation) async {
    guard let idToken = token.idToken, let id = ConnectionID(pending.connection),
      let connection = try? ledger.connection(id)?.record
    else { return }
    let identity = await authorizer.identity(idToken, pending, id, connection)
    await engine.adopt(identity, token, pending, generation)
  }
}

extension AuthorizationResponse {
  fileprivate var bringsCode: Bool {
    switch outcome {
    case .code: true
    case .refused: false
    }
  }
}
