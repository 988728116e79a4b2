/// Requests with a code, a refresh token or an assertion, and the requests to the neighbours, byte by byte.
import SMARTProtocol
import Testing

@Suite struct GrantRequestTests {
  private let secret = Array("s3cret".utf8)
  private let assertion = Array("e30.e30.AQ".utf8)

  private func endpoint() throws -> EndpointURL { try EndpointURL("https://as/token", allowInsecureLoopback: false) }
  private func body(_ request: TokenRequest) -> String { String(decoding: request.body, as: UTF8.self) }
  private func header(_ request: TokenRequest) -> String? {
    request.authorizationHeader.map { String(decoding: $0, as: UTF8.self) }
  }
  private func code(
    _ code: String = "c+1", verifier: String = "v", secret: [UInt8] = [],
    _ authentication: ClientAuthentication = .none,
    sendsClientID: Bool = false, extra: [String: String] = [:]
  ) throws -> TokenRequest {
    try TokenRequest.authorizationCode(
      at: endpoint(), code: Array(code.utf8), redirectURI: "http://127.0.0.1/cb", verifier: Array(verifier.utf8),
      clientID: "app", secret: secret, authentication: authentication, sendsClientID: sendsClientID,
      extraParameters: extra)
  }
  private func refresh(
    _ token: String = "r/1", scope: String? = nil, secret: [UInt8] = [], _ authentication: ClientAuthentication = .none
  ) throws -> TokenRequest {
    try TokenRequest.refresh(
      at: endpoint(), refreshToken: Array(token.utf8), scope: scope, clientID: "app", secret: secret,
      authentication: authentication)
  }
  private func introspection(
    hint: String? = nil, _ authentication: ClientAuthentication = .secretBasic(.rfc6749), bearer: String? = nil
  ) throws -> TokenRequest {
    try TokenRequest.introspection(
      at: endpoint(), token: Array("t".utf8), hint: hint, clientID: "app", secret: secret,
      authentication: authentication, bearer: bearer.map { Array($0.utf8) })
  }

  @Test func `R5.02 a code is redeemed with the same redirect URI and the verifier`() throws {
    let request = try code()
    #expect(
      body(request) == "grant_type=authorization_code&code=c%2B1&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb"
        + "&code_verifier=v&client_id=app")
    #expect(request.url.text == "https://as/token")
    #expect(header(request) == nil)
  }

  @Test func `R5.03 a confidential client leaves its id out of the body, unless the connection says otherwise`() throws
  {
    #expect(try !body(code(secret: secret, .secretBasic(.rfc6749))).contains("client_id"))
    #expect(try body(code(secret: secret, .secretBasic(.rfc6749), sendsClientID: true)).hasSuffix("&client_id=app"))
    #expect(try !body(code(secret: assertion, .assertion)).contains("client_id"))
    #expect(try body(code(secret: assertion, .assertion, sendsClientID: true)).contains("&client_id=app&"))
    // Once, not twice.
    #expect(try body(code(sendsClientID: true)) == body(code()))
  }

  @Test func `R5.04 an assertion is the only authentication of its request`() throws {
    let request = try code(secret: assertion, .assertion)
    #expect(header(request) == nil)
    #expect(!body(request).contains("client_secret"))
    for method in [ClientAuthentication.secretBasic(.raw), .secretPost, .none] {
      #expect(try !body(code(secret: secret, method)).contains("client_assertion"))
    }
    #expect(try !body(code(secret: secret, .none)).contains("s3cret"))
  }

  @Test func `R5.10 an assertion comes with its type`() throws {
    #expect(
      try body(code(secret: assertion, .assertion)).hasSuffix(
        "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
          + "&client_assertion=e30.e30.AQ"))
    for bad in ["", "a.b", "a.b.c.d", "a.b.", "a.b.c\n", "a.b.c="] {
      #expect(throws: TokenRequestProblem.badAssertion) { try code(secret: Array(bad.utf8), .assertion) }
    }
  }

  @Test func `R5.15 a backend service sends scope and assertion`() throws {
    let request = try TokenRequest.clientCredentials(
      at: endpoint(), clientID: "app", secret: assertion, authentication: .assertion, scope: "system/*.rs")
    #expect(body(request).hasPrefix("grant_type=client_credentials&scope=system%2F%2A.rs&client_assertion_type="))
  }

  @Test func `R7.01 a refresh has the token and the same client authentication`() throws {
    #expect(try body(refresh()) == "grant_type=refresh_token&refresh_token=r%2F1&client_id=app")
    let basic = try refresh(secret: secret, .secretBasic(.rfc6749))
    #expect(body(basic) == "grant_type=refresh_token&refresh_token=r%2F1")
    #expect(header(basic) == "Authorization: Basic YXBwOnMzY3JldA==")
  }

  @Test func `R7.02 the scope of a refresh is left out unless one is asked for`() throws {
    #expect(try body(refresh(scope: "")) == body(refresh()))
    #expect(try body(refresh(scope: "a b")).contains("&scope=a+b&"))
  }

  @Test func `R8.01 a token is revoked with its hint and client authentication`() throws {
    let request = try TokenRequest.revocation(
      at: endpoint(), token: Array("t\u{FF}+".utf8), hint: "refresh_token", clientID: "app", secret: secret,
      authentication: .secretPost)
    #expect(
      body(request) == "token=t%C3%BF%2B&token_type_hint=refresh_token&client_id=app&client_secret=s3cret")
    // Bytes that are no UTF-8 arrive as they are.
    let raw = try TokenRequest.revocation(
      at: endpoint(), token: [0xFF, 0x41], hint: "access_token", clientID: "app", secret: secret,
      authentication: .secretBasic(.rfc6749))
    #expect(body(raw) == "token=%FFA&token_type_hint=access_token")
  }

  @Test func `R8.02 introspection has client authentication, or a bearer token instead of it`() throws {
    let basic = try introspection(hint: "access_token")
    #expect(body(basic) == "token=t&token_type_hint=access_token")
    #expect(header(basic)?.hasPrefix("Authorization: Basic ") == true)
    #expect(basic.accept == "application/json")
    for method in [ClientAuthentication.secretPost, .secretBasic(.raw), .none] {
      let bearer = try introspection(method, bearer: "a.b~c")
      #expect(body(bearer) == "token=t")
      #expect(header(bearer) == "Authorization: Bearer a.b~c")
    }
    for bad in ["", "a b", "a\r\nX-Evil: 1", "ü"] {
      #expect(throws: TokenRequestProblem.badBearer) { try introspection(bearer: bad) }
    }
  }

  @Test func `only a connection that opted out redeems a code without a verifier`() throws {
    let request = try TokenRequest.authorizationCode(
      at: endpoint(), code: Array("c".utf8), redirectURI: "http://127.0.0.1/cb", verifier: nil, clientID: "app",
      secret: [], authentication: .none)
    #expect(!String(decoding: request.body, as: UTF8.self).contains("code_verifier"))
  }

  @Test func `an empty code, verifier or token is no request`() {
    #expect(throws: TokenRequestProblem.emptyParameter("code")) { try code("") }
    #expect(throws: TokenRequestProblem.emptyParameter("code_verifier")) { try code(verifier: "") }
    #expect(throws: TokenRequestProblem.emptyParameter("refresh_token")) { try refresh("") }
  }

  @Test func `extra parameters follow, and never override the protocol's own`() throws {
    #expect(try body(code(extra: ["resource": "x", "flag": ""])).hasSuffix("&client_id=app&flag=&resource=x"))
    #expect(throws: TokenRequestProblem.reservedParameter("code")) { try code(extra: ["code": "x"]) }
    #expect(TokenRequestProblem.reservedParameter("code").sentence.hasSuffix("it belongs to the token request itself"))
  }
}
