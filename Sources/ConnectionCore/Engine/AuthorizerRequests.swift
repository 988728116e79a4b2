/// How a token request gets its credentials, and its bytes.
import FHIRControl
import SMARTProtocol

/// Everything secret that one request is made of. Opened for the request, wiped with its answer.
struct Credentials {
  /// The client secret or the client assertion.
  var client: [UInt8] = []
  var authentication = ClientAuthentication.none
  /// The refresh token or the code.
  var grant: [UInt8] = []
  var verifier: [UInt8] = []

  mutating func wipe() {
    SMARTProtocol.wipe(&client)
    SMARTProtocol.wipe(&grant)
    SMARTProtocol.wipe(&verifier)
  }

  /// Every form in which the request carried a secret: what a server's words are cleaned of.
  func needles(_ request: HTTPRequest, _ shared: ([UInt8]) -> SharedSecret) -> [SharedSecret] {
    // What stands behind `Authorization: Basic `.
    var needles = request.secretHeaders.map { header in
      header.withBytes { shared($0.split(separator: UInt8(ascii: " ")).last.map { Array($0) } ?? []) }
    }
    for secret in [client, grant, verifier] where !secret.isEmpty {
      needles.append(shared(secret))
      var coded = FormEncoding.encoded(secret)
      needles.append(shared(coded))
      SMARTProtocol.wipe(&coded)
    }
    return needles
  }
}

extension Authorizer {
  func credentials(for ask: TokenAsk, _ endpoint: EndpointURL, _ found: DiscoveryRecord?) throws(ControlError)
    -> Credentials
  {
    var credentials = try clientCredentials(ask.id, ask.connection, ask.secret, endpoint, found)
    switch ask.kind {
    case .clientCredentials: break
    case .refresh(let key, _):
      let found: RefreshTokenRecord?
      do { found = try ledger.refreshToken(key) } catch { throw ControlError(error) }
      guard let found else {
        throw ControlError(
          .needsLogin, "there is no refresh token", hint: "fhirctl login '\(ask.connection.name)'")
      }
      credentials.grant = found.current
    case .code(let code, let pending):
      credentials.grant = code.withBytes { Array($0) }
      credentials.verifier = Array((pending.verifier ?? "").utf8)
    }
    return credentials
  }

  /// How the client proves itself, and with what.
  /// - Parameter endpoint: the token endpoint.
  private func clientCredentials(
    _ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?, _ endpoint: EndpointURL,
    _ found: DiscoveryRecord?
  ) throws(ControlError) -> Credentials {
    guard connection.fields.clientID != nil || connection.fields.registration == nil else {
      throw ControlError(
        .invalidClient, "\(connection.name.debugDescription) is not registered at its server yet",
        hint: "fhirctl connection register '\(connection.name)'")
    }
    var credentials = Credentials()
    credentials.authentication = Self.authentication(of: connection.fields)
    if credentials.authentication == .assertion {
      credentials.client = try assertion(id, connection, for: endpoint, found)
    } else if let secret {
      credentials.client = secret.withBytes { Array($0) }
    } else if connection.hasClientSecret, let id {
      do { credentials.client = try ledger.withClientSecret(of: id) { Array($0) } ?? [] } catch {
        throw ControlError(error)
      }
    }
    return credentials
  }

  static func authentication(of fields: ConnectionFields) -> ClientAuthentication {
    switch fields.clientAuthentication.flatMap(ClientAuthenticationMethod.init(rawValue:)) {
    case .clientSecretBasic:
      .secretBasic(fields.basicEncoding.flatMap(ClientAuthentication.BasicEncoding.init(rawValue:)) ?? .rfc6749)
    case .clientSecretPost: .secretPost
    case .privateKeyJWT: .assertion
    case .tlsClientAuth, ClientAuthenticationMethod.none?, nil: .none
    }
  }

  /// The token request, with its secrets in locked memory.
  func tokenRequest(
    _ ask: TokenAsk, to endpoint: EndpointURL, _ credentials: Credentials, _ found: DiscoveryRecord?
  ) throws(ControlError) -> HTTPRequest {
    let fields = ask.connection.fields
    let clientID = fields.clientID ?? ""
    let extra = fields.extraParameters ?? [:]
    let sendsClientID = fields.sendsClientID ?? false
    let capabilities = (found ?? ask.id.flatMap { (try? ledger.discovery($0)) ?? nil })?.capabilities
    return try request(for: ask.connection) { () throws(TokenRequestProblem) in
      switch ask.kind {
      case .clientCredentials:
        try TokenRequest.clientCredentials(
          at: endpoint, clientID: clientID, secret: credentials.client, authentication: credentials.authentication,
          scope: fields.spelledScope(fields.scope ?? "", for: capabilities), extraParameters: extra)
      case .refresh(_, let grant):
        try TokenRequest.refresh(
          at: endpoint, refreshToken: credentials.grant,
          scope: grant.sendsScope ? Self.requestedScope(of: ask) : nil, clientID: clientID, secret: credentials.client,
          authentication: credentials.authentication, sendsClientID: sendsClientID, extraParameters: extra)
      case .code(_, let pending) where pending.deviceCode != nil:
        try TokenRequest.deviceCode(
          at: endpoint, deviceCode: credentials.grant, clientID: clientID, secret: credentials.client,
          authentication: credentials.authentication, extraParameters: extra)
      case .code(_, let pending):
        try TokenRequest.authorizationCode(
          at: endpoint, code: credentials.grant, redirectURI: pending.redirectURI,
          verifier: pending.verifier == nil ? nil : credentials.verifier, clientID: clientID,
          secret: credentials.client,
          authentication: credentials.authentication, sendsClientID: sendsClientID, extraParameters: extra)
      }
    }
  }

  /// A request to the server that proves who the client is, for something else than a token.
  /// - Parameter neighbour: the endpoint that is asked; a key signs for the token endpoint all the same.
  func clientRequest(
    _ id: ConnectionID, _ connection: ConnectionRecord, _ neighbour: EndpointURL,
    _ build: (Credentials) throws(TokenRequestProblem) -> TokenRequest
  ) throws(ControlError) -> HTTPRequest {
    var credentials = try clientCredentials(id, connection, nil, knownTokenEndpoint(id, connection) ?? neighbour, nil)
    defer { credentials.wipe() }
    return try request(for: connection) { () throws(TokenRequestProblem) in try build(credentials) }
  }

  /// Turns what was built into a request; what held the secrets in between is wiped.
  private func request(
    for connection: ConnectionRecord, _ build: () throws(TokenRequestProblem) -> TokenRequest
  ) throws(ControlError) -> HTTPRequest {
    var built: TokenRequest
    do { built = try build() } catch {
      throw ControlError(
        .invalidClient, "no request can be made: \(error.field) \(error.sentence)",
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
}

extension ConnectionFields {
  /// R3.03
  func spelledScope(_ scope: String, for capabilities: [String]?) -> String {
    guard scopeVersion != "as_written", let version = ScopeVersion(capabilities: capabilities ?? []) else {
      return scope
    }
    return version.spelling(scope)
  }
}
