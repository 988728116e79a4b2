/// How a client proves itself to an authorization server, and why a request with that proof cannot be built.

/// At most one way per request. Source: RFC 6749 section 2.3, R5.04.
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
  /// `private_key_jwt`: what is passed as `secret` is a signed assertion, new for this request. R5.08, R5.10.
  case assertion
}

/// Why a request cannot be built; each names the connection's field, or the parameter that is wanting.
package enum TokenRequestProblem: Error, Sendable, Hashable {
  case secretMissing
  /// RFC 6749 appendix A: ids and secrets are visible ASCII characters and spaces.
  case badClientID
  case badSecret
  /// Basic credentials in raw encoding end the id at the first colon.
  case colonInClientID
  /// No assertion, or bytes that are no JWT.
  case badAssertion
  /// A bearer token that cannot stand in a header.
  case badBearer
  /// A code, verifier or token without a byte.
  case emptyParameter(String)
  case reservedParameter(String)
  case badParameter(String)
  case tooLong(limit: Int)

  init(_ problem: ExtraParameterProblem) {
    switch problem {
    case .reserved(let name, request: _): self = .reservedParameter(name)
    case .unusable(let name): self = .badParameter(name)
    }
  }

  package var field: String {
    switch self {
    case .secretMissing, .badSecret: "client_secret"
    case .badClientID, .colonInClientID: "client_id"
    case .badAssertion: "client_authentication"
    case .badBearer: "token"
    case .emptyParameter(let name): name
    case .reservedParameter, .badParameter, .tooLong: "extra_parameters"
    }
  }

  package var sentence: String {
    switch self {
    case .secretMissing: "is missing: this client authentication needs one"
    case .badClientID: "is empty or has a control character"
    case .badSecret: "is empty or has a control character"
    case .colonInClientID: "has a colon, which raw basic encoding cannot carry: set basic_encoding to rfc6749"
    case .badAssertion: "needs a signed assertion, and there is none that can be sent"
    case .badBearer: "is empty or has a character that no header may have"
    case .emptyParameter: "is empty: there is nothing to send"
    case .reservedParameter(let name):
      ExtraParameterProblem.reserved(name, request: TokenRequest.requestWords).sentence
    case .badParameter(let name): ExtraParameterProblem.unusable(name).sentence
    case .tooLong(let limit): "would make the token request longer than \(limit) bytes"
    }
  }
}
