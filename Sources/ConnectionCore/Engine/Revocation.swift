/// Gives tokens back to the server before they are erased here (RFC 7009), and asks it what it thinks of one (RFC 7662).
/// Whatever the server says, what is to be erased is erased.
import FHIRControl
import SMARTProtocol

extension Authorizer {
  /// The refresh token first: most servers end the access token with it (R8.01).
  func revoke(_ id: ConnectionID, _ connection: ConnectionRecord, subject: String) async -> [TokenRevokeResult.Part] {
    let key = ledger.grantKey(id, subject: subject)
    var parts: [TokenRevokeResult.Part] = []
    for (name, token) in [("refresh_token", try? refreshBytes(key)), ("access_token", try? accessBytes(key))] {
      guard var token = token ?? nil else { continue }
      defer { wipe(&token) }
      parts.append(await revoke(token, name, id, connection))
    }
    return parts
  }

  private func refreshBytes(_ key: GrantKey) throws(LedgerError) -> [UInt8]? { try ledger.refreshToken(key)?.current }

  /// nil: there is none, or it is dead by the clock.
  private func accessBytes(_ key: GrantKey) throws(LedgerError) -> [UInt8]? {
    try ledger.withToken(key) { (served, members) in
      served.remaining(now: clock.now(), wall: clock.wall(), bootID: clock.bootID) > .zero
        ? ServedToken.accessToken(in: members) : nil
    } ?? nil
  }

  /// Attempts at a server that asks for patience, and the longest patience.
  private static var attempts: Int { 3 }
  private static var patienceMax: Instant.Span { .seconds(5) }

  private func revoke(_ token: [UInt8], _ name: String, _ id: ConnectionID, _ connection: ConnectionRecord) async
    -> TokenRevokeResult.Part
  {
    guard let endpoint = await endpoint(.revocation, "revocation_url", id, connection, connection.fields.revocationURL)
    else {
      return .init(
        token: name, outcome: "not_supported_by_server",
        detail: "no revocation endpoint is known; the token ends with its lifetime")
    }
    var detail = "the revocation endpoint asks for patience"
    for attempt in 1...Self.attempts {
      do {
        let request = try clientRequest(id, connection, endpoint) { credentials throws(TokenRequestProblem) in
          try TokenRequest.revocation(
            at: endpoint, token: token, hint: name, clientID: connection.fields.clientID ?? "",
            secret: credentials.client, authentication: credentials.authentication)
        }
        let reply = try await exchange.http.send(request)
        let outcome = RevocationReply.classify(
          status: reply.status, header: { reply.header($0) }, body: reply.body, now: clock.wall().milliseconds)
        switch outcome {
        case .revoked: return .init(token: name, outcome: "revoked")
        case .unsupportedTokenType:
          return .init(
            token: name, outcome: "not_supported_by_server", detail: "the server does not revoke tokens of this type")
        case .refused(let refusal):
          let words = Redaction([shared(token)]).clean(ControlError(.invalidClient, refusal.sentence)).message
          return .init(token: name, outcome: "failed", detail: words)
        case .retryLater(let wait):
          guard attempt < Self.attempts else { break }
          let pause = min(wait ?? .seconds(1), Self.patienceMax)
          await clock.pause(pause)
        }
      } catch let failure as HTTPFailure {
        detail = failure.detail
        break
      } catch {
        detail = (error as? ControlError)?.message ?? "the request could not be made"
        break
      }
    }
    return .init(token: name, outcome: "failed", detail: detail)
  }

  /// The configured endpoint, the one that is known, or what the server says now.
  func endpoint(
    _ role: EndpointRole, _ field: String, _ id: ConnectionID, _ connection: ConnectionRecord, _ configured: String?
  ) async -> EndpointURL? {
    let insecure = exchange.settings.current.allowInsecureLoopback
    var url = configured ?? ((try? ledger.discovery(id)) ?? nil)?.endpoints[field]?.url
    if url == nil { url = await exchange.discover(connection, askAnyway: true, needed: [role])?.0.result.url(role) }
    return url.flatMap { try? EndpointURL($0, allowInsecureLoopback: insecure) }
  }

  /// R8.02: asks with the client's own authentication, or, for a client that has none, with the token itself.
  func introspect(_ id: ConnectionID, _ connection: ConnectionRecord, subject: String) async throws(ControlError)
    -> TokenIntrospection
  {
    let key = ledger.grantKey(id, subject: subject)
    guard
      let endpoint = await endpoint(
        .introspection, "introspection_url", id, connection, connection.fields.introspectionURL)
    else {
      throw ControlError(
        .notSupportedByServer, "\(connection.baseURL) names no introspection endpoint",
        hint: "set it: fhirctl connection update '\(connection.name)' --introspection-url https://…")
    }
    var token: [UInt8]
    do { token = try accessBytes(key) ?? [] } catch { throw ControlError(error) }
    defer { wipe(&token) }
    guard !token.isEmpty else {
      throw ControlError(.tokenExpired, "there is no valid access token to ask about", hint: "fhirctl token refresh")
    }
    let request = try clientRequest(id, connection, endpoint) { credentials throws(TokenRequestProblem) in
      try TokenRequest.introspection(
        at: endpoint, token: token, hint: "access_token", clientID: connection.fields.clientID ?? "",
        secret: credentials.client, authentication: credentials.authentication,
        bearer: credentials.authentication == .none ? token : nil)
    }
    let reply: HTTPReply
    do { reply = try await exchange.http.send(request) } catch {
      throw ControlError(error, asking: "the introspection endpoint \(endpoint.origin)")
    }
    switch IntrospectionReply.read(status: reply.status, header: { reply.header($0) }, body: reply.body) {
    case .success(let answer):
      return TokenIntrospection(active: answer.active, claims: answer.root.object?.mapValues(\.controlValue) ?? [:])
    case .failure(let refusal):
      let error = ControlError(
        .serverAnswerUnusable, refusal.sentence, hint: "is introspection_url right? some servers want another client",
        oauth: refusal.oauth.map { OAuthErrorBody($0) }
      )
      throw Redaction([shared(token)]).clean(error)
    }
  }
}

extension JSON {
  /// The same value as the control protocol writes it.
  var controlValue: JSONValue {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .string(let value): .string(value)
    case .array(let values): .array(values.map(\.controlValue))
    case .object(let members): .object(members.mapValues(\.controlValue))
    }
  }
}
