/// `connection.register`: the server makes the client that a connection will be (RFC 7591).
import FHIRControl
import SMARTProtocol

extension Commands {
  func registerClient(_ parameters: ConnectionRegisterParameters, _ caller: Caller) async throws(ControlError)
    -> ConnectionRegisterResult
  {
    let found = try directory.find(parameters.connection, for: .connectionRegister, caller)
    let record = found.connection.record
    guard record.fields.registration == "dynamic" else {
      throw ControlError(
        .validationFailed, "\(found.name.debugDescription) was not made for registration",
        hint: "fhirctl connection update '\(found.name)' --registration dynamic")
    }
    var client = try await authorizer.register(
      found.id, record, try registration(of: found, parameters), token: parameters.initialAccessToken)
    defer { client.clientSecret?.wipe() }
    var fields = record.fields
    fields.clientID = client.clientID
    if let secret = client.clientSecret { fields.clientSecret = String(decoding: secret.bytes, as: UTF8.self) }
    // The server may have settled for another way than was asked for.
    if let method = client.authentication.flatMap(ClientAuthenticationMethod.init(rawValue:)) {
      fields.clientAuthentication = method.rawValue
    }
    let checked = settings.validator(tester).complete(fields, hasSecret: record.hasClientSecret)
    guard checked.errors.isEmpty else {
      throw ControlError(
        .serverAnswerUnusable,
        "the server registered the client \(client.clientID), which cannot be used: "
          + checked.errors.map { "\($0.field) \($0.message)" }.joined(separator: "; "),
        hint: "fhirctl connection update '\(found.name)' --client-id '\(client.clientID)'")
    }
    _ = try await engine.updateConnection(found.id, from: found.connection, to: checked.fields, secretRemoved: false)
    log.record(
      .notice, "client registered", [.event: "client_registered", .connection: record.id, .name: record.name])
    let now = try directory.find(found.id.description, for: .connectionRegister, caller)
    await health.connectionChanged(found.id, now.connection.record)
    var result = ConnectionRegisterResult(
      clientID: client.clientID, hasClientSecret: now.connection.record.hasClientSecret,
      connection: try await summary(found.id, now.connection))
    result.clientSecretExpiresAt = client.secretExpiresAt.map { Timestamp(milliseconds: $0 * 1000) }
    result.registrationClientURI = client.managementURI
    return result
  }

  private func registration(of found: Directory.Found, _ parameters: ConnectionRegisterParameters)
    throws(ControlError) -> ClientRegistration
  {
    let fields = found.connection.record.fields
    var registration = ClientRegistration(
      clientName: parameters.clientName ?? "fhird \(found.name)",
      grantTypes: found.connection.record.usesLogins
        ? ["authorization_code", "refresh_token"] : ["client_credentials"],
      authentication: fields.clientAuthentication ?? "none", softwareVersion: about.version)
    registration.scope = fields.scope
    registration.softwareStatement = parameters.softwareStatement
    if found.connection.record.usesLogins {
      guard let uri = fields.redirectURI ?? settings.current.callbackURL else {
        throw ControlError(
          .validationFailed, "there is no redirect URI to register",
          hint: "set FHIRD_PUBLIC_URL, or fhirctl connection update '\(found.name)' --redirect-uri …",
          fields: [FieldError("redirect_uri", "is required")])
      }
      registration.redirectURIs = [uri]
    }
    if fields.clientAuthentication == ClientAuthenticationMethod.privateKeyJWT.rawValue {
      let keys = try summaries(of: found)
      guard !keys.isEmpty else {
        throw ControlError(
          .validationFailed, "there is no client key to register", hint: "fhirctl key create '\(found.name)'")
      }
      registration.jwksURI = settings.current.keySetURL
      registration.jwks = .object(["keys": .array(keys.map { .object($0.jwk.mapValues(\.protocolValue)) })])
    }
    return registration
  }
}

extension JSONValue {
  /// The same value as the protocol's own documents are read and written.
  fileprivate var protocolValue: JSON {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .string(let value): .string(value)
    case .array(let values): .array(values.map(\.protocolValue))
    case .object(let members): .object(members.mapValues(\.protocolValue))
    }
  }
}

extension Authorizer {
  /// - Parameter token: the initial access token; nil: the server registers everybody.
  func register(
    _ id: ConnectionID, _ connection: ConnectionRecord, _ registration: ClientRegistration, token: String?
  ) async throws(ControlError) -> RegisteredClient {
    guard let endpoint = await endpoint(.registration, EndpointRole.registration.rawValue, id, connection, nil) else {
      throw ControlError(
        .notSupportedByServer, "\(connection.baseURL) names no registration endpoint",
        hint: "register the client by hand, then fhirctl connection update '\(connection.name)' --client-id …")
    }
    var request = exchange.request(.post, endpoint.text, accept: "application/json", for: connection)
    request.headers.append(HTTPHeader("Content-Type", "application/json"))
    request.body = shared(registration.body)
    if let token {
      guard !token.isEmpty, token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw ControlError.validation([FieldError("initial_access_token", "has characters that no token has")])
      }
      request.secretHeaders = [shared(Array("Authorization: Bearer \(token)".utf8))]
    }
    let reply: HTTPReply
    do { reply = try await exchange.http.send(request) } catch {
      throw ControlError(error, asking: "the registration endpoint \(endpoint.origin)")
    }
    var body = reply.body
    defer { wipe(&body) }
    switch RegisteredClient.read(status: reply.status, header: { reply.header($0) }, body: body) {
    case .success(let client): return client
    case .failure(let refusal):
      let error = ControlError(
        refusal.oauth == nil ? .serverAnswerUnusable : .invalidClient, refusal.sentence,
        hint: "the server may want --initial-access-token-file or --software-statement-file",
        oauth: refusal.oauth.map { OAuthErrorBody($0) }
      )
      throw Redaction((token.map { [shared(Array($0.utf8))] } ?? [])).clean(error)
    }
  }
}
