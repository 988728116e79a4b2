/// The requests that a token endpoint takes, as bytes. Pure; it holds secrets, so wipe it when it was handed over.

/// How the client proves itself; at most one way per request. Source: RFC 6749 section 2.3.
package enum ClientAuthentication: Sendable, Hashable {
  /// How `client_secret_basic` writes id and secret.
  package enum BasicEncoding: String, Sendable, Hashable, CaseIterable {
    /// Both halves form-urlencoded first, as RFC 6749 section 2.3.1 says.
    case rfc6749
    /// As they are: what SMART's examples show and some servers compare. The same for unreserved characters.
    case raw
  }
  case none
  case secretBasic(BasicEncoding)
  case secretPost
}

/// Why a token request cannot be built; each names the connection's field.
package enum TokenRequestProblem: Error, Sendable, Hashable {
  case secretMissing
  /// RFC 6749 appendix A: ids and secrets are visible ASCII characters and spaces.
  case badClientID
  case badSecret
  /// Basic credentials in raw encoding end the id at the first colon.
  case colonInClientID
  case reservedParameter(String)
  case badParameter(String)
  case tooLong(limit: Int)

  package var field: String {
    switch self {
    case .secretMissing, .badSecret: "client_secret"
    case .badClientID, .colonInClientID: "client_id"
    case .reservedParameter, .badParameter, .tooLong: "extra_parameters"
    }
  }

  package var sentence: String {
    switch self {
    case .secretMissing: "is missing: this client authentication needs one"
    case .badClientID: "is empty or has a control character"
    case .badSecret: "is empty or has a control character"
    case .colonInClientID: "has a colon, which raw basic encoding cannot carry: set basic_encoding to rfc6749"
    case .reservedParameter(let name): "may not set \(name): it belongs to the token request itself"
    case .badParameter(let name): "has an unusable name or value: \(name.isEmpty ? "(empty)" : name)"
    case .tooLong(let limit): "would make the token request longer than \(limit) bytes"
    }
  }
}

package struct TokenRequest: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package let url: EndpointURL
  package let contentType = "application/x-www-form-urlencoded"
  package let accept = "application/json"
  /// The whole header line, `Authorization: Basic …`; nil: none.
  package private(set) var authorizationHeader: [UInt8]?
  package private(set) var body: [UInt8]

  /// A token request with every parameter; servers refuse more than some tens of kilobytes.
  package static let bodyBytesMax = 256 << 10

  /// What the protocol itself sets: extra parameters may not.
  package static let reservedParameters: Set<String> = [
    "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "refresh_token",
    "code", "code_verifier", "redirect_uri",
  ]

  /// `grant_type=client_credentials`. Source: RFC 6749 section 4.4.2.
  /// - Parameters:
  ///   - secret: lent for the call; its bytes are in the result afterwards.
  ///   - scope: left out of the request when empty.
  ///   - extraParameters: `audience`, `resource` and others, in the order of their names.
  package static func clientCredentials(
    at url: EndpointURL, clientID: String, secret: some Collection<UInt8>, authentication: ClientAuthentication,
    scope: String, extraParameters: [String: String] = [:]
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url, parameters: [("grant_type", "client_credentials"), ("scope", scope)].filter { !$0.1.isEmpty },
      clientID: clientID, secret: secret, authentication: authentication, extraParameters: extraParameters)
  }

  /// A revocation request: the same form and the same client authentication. Source: RFC 7009 section 2.1.
  /// - Parameter hint: `access_token` or `refresh_token`.
  package static func revocation(
    at url: EndpointURL, token: some Collection<UInt8>, hint: String, clientID: String, secret: some Collection<UInt8>,
    authentication: ClientAuthentication
  ) throws(TokenRequestProblem) -> TokenRequest {
    try TokenRequest(
      url: url, parameters: [("token", String(decoding: token, as: UTF8.self)), ("token_type_hint", hint)],
      clientID: clientID, secret: secret, authentication: authentication, extraParameters: [:])
  }

  /// What is wrong with extra parameters, all at once; for validation before anything is stored.
  package static func problems(in extraParameters: [String: String]) -> [TokenRequestProblem] {
    extraParameters.sorted { $0.key < $1.key }.compactMap { name, value in
      if reservedParameters.contains(name) { return .reservedParameter(name) }
      guard isVisible(name.utf8), value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
        return .badParameter(Words.clean(name, max: 60))
      }
      return nil
    }
  }

  private init(
    url: EndpointURL, parameters: [(String, String)], clientID: String, secret: some Collection<UInt8>,
    authentication: ClientAuthentication, extraParameters: [String: String]
  ) throws(TokenRequestProblem) {
    guard Self.isVisible(clientID.utf8) else { throw .badClientID }
    if let problem = Self.problems(in: extraParameters).first { throw problem }
    self.url = url
    var pairs = parameters
    switch authentication {
    case .none:
      authorizationHeader = nil
      pairs.append(("client_id", clientID))
    case .secretBasic(let encoding):
      try Self.checkSecret(secret)
      authorizationHeader = try Self.basic(clientID: clientID, secret: secret, encoding: encoding)
    case .secretPost:
      try Self.checkSecret(secret)
      authorizationHeader = nil
      pairs.append(("client_id", clientID))
    }
    pairs.append(contentsOf: extraParameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    let sendsSecret = authentication == .secretPost
    let secretName = "client_secret="
    var count = pairs.reduce(0) {
      $0 + FormEncoding.encodedCount($1.0.utf8) + FormEncoding.encodedCount($1.1.utf8) + 2
    }
    if sendsSecret { count += secretName.utf8.count + FormEncoding.encodedCount(secret) + 1 }
    guard count <= Self.bodyBytesMax else { throw .tooLong(limit: Self.bodyBytesMax) }
    body = []
    body.reserveCapacity(count)
    for (name, value) in pairs {
      if !body.isEmpty { body.append(UInt8(ascii: "&")) }
      FormEncoding.append(name.utf8, to: &body)
      body.append(UInt8(ascii: "="))
      FormEncoding.append(value.utf8, to: &body)
    }
    if sendsSecret {
      body.append(UInt8(ascii: "&"))
      body.append(contentsOf: secretName.utf8)
      FormEncoding.append(secret, to: &body)
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

  private static func isVisible(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }

  private static func checkSecret(_ secret: some Collection<UInt8>) throws(TokenRequestProblem) {
    guard !secret.isEmpty else { throw .secretMissing }
    guard isVisible(secret) else { throw .badSecret }
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
