/// The requests that a token endpoint and its neighbours take, as bytes. Pure; it holds secrets, so wipe it when it was
/// handed over.

package struct TokenRequest: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package let url: EndpointURL
  package let contentType = "application/x-www-form-urlencoded"
  package let accept = "application/json"
  /// The whole header line, `Authorization: Basic …`; nil: none.
  package private(set) var authorizationHeader: [UInt8]?
  package private(set) var body: [UInt8]

  /// A token request with every parameter; servers refuse more than some tens of kilobytes.
  package static let bodyBytesMax = 256 << 10
  /// Source: RFC 7523 section 2.2.
  package static let assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

  /// What the protocol itself sets: extra parameters may not.
  package static let reservedParameters: Set<String> = [
    "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "refresh_token",
    "code", "code_verifier", "redirect_uri", "device_code",
  ]
  /// Source: RFC 8628 section 3.4.
  package static let deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"
  static let requestWords = "token request"

  // In every builder:
  // - secret: lent for the call, its bytes are in the result afterwards; for `.assertion` the signed assertion.
  // - sendsClientID: `client_id` in the body although another parameter or header tells it; some servers want it.
  //   Without authentication and with `.secretPost` it always stands there. R5.03.
  // - extraParameters: `audience`, `resource` and others, in the order of their names.

  /// `grant_type=client_credentials`. Source: RFC 6749 section 4.4.2.
  /// - Parameter scope: left out of the request when empty.
  package static func clientCredentials(
    at url: EndpointURL, clientID: String, secret: some Collection<UInt8>, authentication: ClientAuthentication,
    sendsClientID: Bool = false, scope: String, extraParameters: [String: String] = [:]
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url, parameters: [Parameter("grant_type", "client_credentials"), Parameter("scope", scope)],
      client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: sendsClientID),
      extraParameters: extraParameters)
  }

  /// `grant_type=authorization_code`. Source: RFC 6749 section 4.1.3, RFC 7636 section 4.5.
  /// - Parameters:
  ///   - redirectURI: the one of the authorization request, byte for byte.
  ///   - verifier: nil: left out, for a server that refuses PKCE.
  package static func authorizationCode(
    at url: EndpointURL, code: some Collection<UInt8>, redirectURI: String, verifier: [UInt8]?,
    clientID: String, secret: some Collection<UInt8>, authentication: ClientAuthentication,
    sendsClientID: Bool = false, extraParameters: [String: String] = [:]
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url,
      parameters: [
        Parameter("grant_type", "authorization_code"), Parameter("code", required: code),
        Parameter("redirect_uri", redirectURI),
      ] + (verifier.map { [Parameter("code_verifier", required: $0)] } ?? []),
      client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: sendsClientID),
      extraParameters: extraParameters)
  }

  /// A device authorization request: the client's own id always stands in it. Source: RFC 8628 section 3.1.
  package static func deviceAuthorization(
    at url: EndpointURL, scope: String, clientID: String, secret: some Collection<UInt8>,
    authentication: ClientAuthentication, extraParameters: [String: String] = [:]
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url, parameters: [Parameter("scope", scope)],
      client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: true),
      extraParameters: extraParameters)
  }

  /// `grant_type=urn:ietf:params:oauth:grant-type:device_code`. Source: RFC 8628 section 3.4.
  package static func deviceCode(
    at url: EndpointURL, deviceCode: some Collection<UInt8>, clientID: String, secret: some Collection<UInt8>,
    authentication: ClientAuthentication, extraParameters: [String: String] = [:]
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url,
      parameters: [Parameter("grant_type", deviceGrantType), Parameter("device_code", required: deviceCode)],
      client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: true),
      extraParameters: extraParameters)
  }

  /// `grant_type=refresh_token`. Source: RFC 6749 section 6.
  /// - Parameter scope: nil or empty: left out, which asks for what was granted. R7.02.
  package static func refresh(
    at url: EndpointURL, refreshToken: some Collection<UInt8>, scope: String? = nil, clientID: String,
    secret: some Collection<UInt8>, authentication: ClientAuthentication, sendsClientID: Bool = false,
    extraParameters: [String: String] = [:]
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url,
      parameters: [
        Parameter("grant_type", "refresh_token"), Parameter("refresh_token", required: refreshToken),
        Parameter("scope", scope ?? ""),
      ], client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: sendsClientID),
      extraParameters: extraParameters)
  }

  /// A revocation request: the same form and the same client authentication. Source: RFC 7009 section 2.1.
  /// - Parameter hint: `access_token` or `refresh_token`.
  package static func revocation(
    at url: EndpointURL, token: some Collection<UInt8>, hint: String, clientID: String, secret: some Collection<UInt8>,
    authentication: ClientAuthentication, sendsClientID: Bool = false
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url, parameters: [Parameter("token", required: token), Parameter("token_type_hint", hint)],
      client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: sendsClientID),
      extraParameters: [:])
  }

  /// An introspection request. Source: RFC 7662 section 2.1.
  /// - Parameters:
  ///   - hint: nil: none.
  ///   - bearer: a token that proves the right to ask, instead of client authentication: id and secret are not sent
  ///     then. R8.02.
  package static func introspection(
    at url: EndpointURL, token: some Collection<UInt8>, hint: String? = nil, clientID: String,
    secret: some Collection<UInt8>, authentication: ClientAuthentication, sendsClientID: Bool = false,
    bearer: [UInt8]? = nil
  ) throws(TokenRequestProblem) -> TokenRequest {
    let parameters = [Parameter("token", required: token), Parameter("token_type_hint", hint ?? "")]
    guard let bearer else {
      return try TokenRequest(
        url: url, parameters: parameters,
        client: Client(id: clientID, secret: secret, authentication: authentication, sendsID: sendsClientID),
        extraParameters: [:])
    }
    return try TokenRequest(url: url, parameters: parameters, header: Self.bearer(bearer))
  }

  /// What is wrong with extra parameters, all at once; for validation before anything is stored.
  package static func problems(in extraParameters: [String: String]) -> [TokenRequestProblem] {
    ExtraParameters.problems(in: extraParameters, reserved: reservedParameters, request: requestWords)
      .map { TokenRequestProblem($0) }
  }

  /// A name and the bytes of its value, borrowed as they are: a secret is copied once, into the body.
  private struct Parameter {
    let name: String
    let value: any Collection<UInt8>
    let whenEmpty: WhenEmpty

    enum WhenEmpty { case refused, leftOut, sent }

    init(_ name: String, _ value: String, whenEmpty: WhenEmpty = .leftOut) {
      self.name = name
      self.value = value.utf8
      self.whenEmpty = whenEmpty
    }

    init(_ name: String, required value: some Collection<UInt8>) {
      self.name = name
      self.value = value
      whenEmpty = .refused
    }
  }

  private struct Client<Secret: Collection<UInt8>> {
    let id: String
    let secret: Secret
    let authentication: ClientAuthentication
    let sendsID: Bool
  }

  private init(
    url: EndpointURL, parameters: [Parameter], client: Client<some Collection<UInt8>>,
    extraParameters: [String: String]
  ) throws(TokenRequestProblem) {
    guard ExtraParameters.isVisible(client.id.utf8) else { throw .badClientID }
    if let problem = Self.problems(in: extraParameters).first { throw problem }
    var header: [UInt8]?
    var sendsID = client.sendsID
    var proof: [Parameter] = []
    switch client.authentication {
    case .none: sendsID = true
    case .secretBasic(let encoding):
      try Self.checkSecret(client.secret)
      header = try Self.basic(clientID: client.id, secret: client.secret, encoding: encoding)
    case .secretPost:
      try Self.checkSecret(client.secret)
      sendsID = true
      proof = [Parameter("client_secret", required: client.secret)]
    case .assertion:
      guard Self.isJWTLike(client.secret) else { throw .badAssertion }
      proof = [
        Parameter("client_assertion_type", Self.assertionType), Parameter("client_assertion", required: client.secret),
      ]
    }
    let extra = ExtraParameters.sorted(extraParameters).map { Parameter($0.name, $0.value, whenEmpty: .sent) }
    do throws(TokenRequestProblem) {
      try self.init(
        url: url, parameters: parameters + (sendsID ? [Parameter("client_id", client.id)] : []) + extra + proof,
        header: header)
    } catch {
      if var header { SMARTProtocol.wipe(&header) }
      throw error
    }
  }

  /// The body, sized first; the protocol's own parameters are left out when they are empty, an operator's are not.
  private init(url: EndpointURL, parameters: [Parameter], header: [UInt8]?) throws(TokenRequestProblem) {
    var count = 0
    for parameter in parameters {
      guard parameter.whenEmpty != .refused || !parameter.value.isEmpty else { throw .emptyParameter(parameter.name) }
      count += FormEncoding.encodedCount(parameter.name.utf8) + FormEncoding.encodedCount(parameter.value) + 2
    }
    guard count <= Self.bodyBytesMax else { throw .tooLong(limit: Self.bodyBytesMax) }
    self.url = url
    authorizationHeader = header
    body = []
    body.reserveCapacity(count)
    for parameter in parameters where parameter.whenEmpty != .leftOut || !parameter.value.isEmpty {
      FormEncoding.appendPair(parameter.name, parameter.value, to: &body)
    }
  }

  private static func basic(
    clientID: String, secret: some Collection<UInt8>, encoding: ClientAuthentication.BasicEncoding
  ) throws(TokenRequestProblem) -> [UInt8] {
    let prefix = "Authorization: Basic "
    var pair: [UInt8] = []
    switch encoding {
    case .rfc6749:
      pair.reserveCapacity(FormEncoding.encodedCount(clientID.utf8) + 1 + FormEncoding.encodedCount(secret))
      FormEncoding.append(clientID.utf8, to: &pair)
      pair.append(UInt8(ascii: ":"))
      FormEncoding.append(secret, to: &pair)
    case .raw:
      guard !clientID.utf8.contains(UInt8(ascii: ":")) else { throw .colonInClientID }
      pair.reserveCapacity(clientID.utf8.count + 1 + secret.count)
      pair.append(contentsOf: clientID.utf8)
      pair.append(UInt8(ascii: ":"))
      pair.append(contentsOf: secret)
    }
    var line: [UInt8] = []
    line.reserveCapacity(prefix.utf8.count + Base64.encodedCount(pair.count))
    line.append(contentsOf: prefix.utf8)
    Base64.append(pair, to: &line)
    SMARTProtocol.wipe(&pair)
    return line
  }

  /// RFC 6750 section 2.1; what `TokenResponse.accessToken` holds, visible ASCII, passes.
  private static func bearer(_ token: [UInt8]) throws(TokenRequestProblem) -> [UInt8] {
    guard !token.isEmpty, token.count <= TokenResponse.tokenBytesMax,
      token.allSatisfy({ (0x21...0x7E).contains($0) })
    else { throw .badBearer }
    let prefix = "Authorization: Bearer "
    var line: [UInt8] = []
    line.reserveCapacity(prefix.utf8.count + token.count)
    line.append(contentsOf: prefix.utf8)
    line.append(contentsOf: token)
    return line
  }

  private static func checkSecret(_ secret: some Collection<UInt8>) throws(TokenRequestProblem) {
    guard !secret.isEmpty else { throw .secretMissing }
    guard ExtraParameters.isVisible(secret) else { throw .badSecret }
  }

  /// Three parts of base64url with two dots between them; whether they are right is the signer's business.
  private static func isJWTLike(_ bytes: some Collection<UInt8>) -> Bool {
    bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map(\.isEmpty) == [false, false, false]
      && bytes.allSatisfy { FormEncoding.isUnreserved($0) && $0 != UInt8(ascii: "~") }
  }

  /// Overwrites header and body.
  package mutating func wipe() {
    if var header = authorizationHeader.take() { SMARTProtocol.wipe(&header) }
    SMARTProtocol.wipe(&body)
  }

  package var description: String { "token request to \(url.origin) (\(body.count) bytes)" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}
