/// What a browser takes to the authorization endpoint: the parameters, as a URL for GET and as a form for POST. Pure.

/// Nothing in it is secret: whoever sees it can answer it only with the verifier, which is not in it.
/// Source: RFC 6749 section 4.1.1, RFC 7636 section 4.3, SMART App Launch.
package struct AuthorizationRequest: Sendable, Hashable {
  package var clientID: String
  /// Byte for byte as it is registered at the server. R4.03.
  package var redirectURI: String
  /// Left out of the request when empty.
  package var scope: String
  package var state: String
  /// The FHIR base URL byte for byte as the server publishes it. R4.06.
  package var aud: String
  /// `PKCE.challenge`; nil only for servers that refuse it.
  package var codeChallenge: String?
  /// With `openid` only.
  package var nonce: String?
  /// The EHR's opaque value; nil for a standalone launch. R4.10.
  package var launch: String?
  package var extraParameters: [String: String]

  package init(
    clientID: String, redirectURI: String, scope: String, state: String, aud: String, codeChallenge: String?,
    nonce: String? = nil, launch: String? = nil, extraParameters: [String: String] = [:]
  ) {
    self.clientID = clientID
    self.redirectURI = redirectURI
    self.scope = scope
    self.state = state
    self.aud = aud
    self.codeChallenge = codeChallenge
    self.nonce = nonce
    self.launch = launch
    self.extraParameters = extraParameters
  }

  /// A longer URL goes by POST where the server lists `authorize-post`: 2048 is IIS's limit for a query, and the lowest
  /// that is met.
  package static let urlBytesMax = 2048

  /// What the protocol itself sets, and what would put the answer elsewhere or replace the whole request
  /// (`response_mode`; `request` and `request_uri` of RFC 9101): extra parameters may not.
  package static let reservedParameters: Set<String> = [
    "response_type", "client_id", "redirect_uri", "scope", "state", "aud", "code_challenge", "code_challenge_method",
    "nonce", "launch", "response_mode", "request", "request_uri",
  ]

  /// What is wrong with extra parameters, all at once; for validation before anything is stored.
  package static func problems(in extraParameters: [String: String]) -> [ExtraParameterProblem] {
    ExtraParameters.problems(in: extraParameters, reserved: reservedParameters, request: "authorization request")
  }

  /// Names and values as they are, not encoded, in the order in which they are sent; for a page with hidden inputs.
  /// A reserved extra parameter is left out: `problems` has told of it before anything was stored.
  package var parameters: [(name: String, value: String)] {
    var pairs: [(name: String, value: String)] = [
      ("response_type", "code"), ("client_id", clientID), ("redirect_uri", redirectURI),
    ]
    if !scope.isEmpty { pairs.append(("scope", scope)) }
    pairs.append(("state", state))
    pairs.append(("aud", aud))
    if let codeChallenge {
      pairs.append(("code_challenge", codeChallenge))
      pairs.append(("code_challenge_method", PKCE.method))
    }
    if let nonce { pairs.append(("nonce", nonce)) }
    if let launch { pairs.append(("launch", launch)) }
    return pairs + ExtraParameters.sorted(extraParameters).filter { !Self.reservedParameters.contains($0.name) }
  }

  /// The endpoint, its own query kept, and the parameters: percent-encoded once, a space as `%20`. R4.09.
  package func url(at endpoint: EndpointURL) -> String {
    let query = String(decoding: encoded(space: .percent), as: UTF8.self)
    guard endpoint.text.utf8.contains(UInt8(ascii: "?")) else { return endpoint.text + "?" + query }
    let isOpen = endpoint.text.hasSuffix("?") || endpoint.text.hasSuffix("&")
    return endpoint.text + (isOpen ? "" : "&") + query
  }

  /// The body for `authorize-post`, `application/x-www-form-urlencoded`. R3.12.
  package func form() -> [UInt8] { encoded(space: .plus) }

  private func encoded(space: FormEncoding.Space) -> [UInt8] {
    var bytes: [UInt8] = []
    for (name, value) in parameters { FormEncoding.appendPair(name, value.utf8, to: &bytes, space: space) }
    return bytes
  }
}
