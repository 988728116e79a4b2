/// Client assertions and thumbprints, byte by byte.
import SMARTProtocol
import Testing

@Suite struct ClientAssertionTests {
  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  @Test func `R5.06 the header has alg, kid and typ`() {
    #expect(
      text(ClientAssertion.header(algorithm: "ES384", kid: "k\"1"))
        == #"{"alg":"ES384","kid":"k\"1","typ":"JWT"}"#)
  }

  @Test func `R5.07 the claims: iss and sub the client, aud a string, exp an integer, jti, and nothing else`() {
    let claims = ClientAssertion.claims(
      clientID: "app", tokenURL: "https://as/token", jti: "j1", nowSeconds: 1_700_000_000, skewSeconds: -7)
    #expect(text(claims) == #"{"aud":"https://as/token","exp":1700000233,"iss":"app","jti":"j1","sub":"app"}"#)
  }

  @Test func `R5.07 the lifetime leaves room below the 300 seconds that are allowed`() {
    #expect((60...270).contains(ClientAssertion.lifetimeSeconds))
  }

  @Test func `R5.08 the parts are joined as RFC 7515 says, and come apart again`() throws {
    let header = ClientAssertion.header(algorithm: "RS384", kid: "k")
    let claims = ClientAssertion.claims(clientID: "a", tokenURL: "b", jti: "c", nowSeconds: 0, skewSeconds: 0)
    let input = ClientAssertion.signingInput(header: header, claims: claims)
    #expect(text(input) == Base64URL.encode(header) + "." + Base64URL.encode(claims))
    let parts = try #require(JWTParts.split(ClientAssertion.compact(signingInput: input, signature: [1, 2, 255])))
    #expect(parts.header["alg"] == .string("RS384"))
    #expect(parts.claims["exp"] == .integer(240))
    #expect(parts.signature == [1, 2, 255])
    #expect(parts.signed == input)
  }
}

@Suite struct JWKThumbprintTests {
  private func text(_ members: [String: String]) -> String? {
    JWKThumbprint.input(of: members).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func `R5.11 the example of RFC 7638 section 3.1`() {
    let n =
      "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
      + "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
      + "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
      + "nqDKgw"
    #expect(
      text(["kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"])
        == #"{"e":"AQAB","kty":"RSA","n":""# + n + #""}"#)
  }

  @Test func `R5.11 an elliptic key gives crv, kty, x and y, and never its private number`() {
    #expect(
      text(["kty": "EC", "crv": "P-384", "x": "AQ", "y": "Ag", "d": "Aw", "kid": "k"])
        == #"{"crv":"P-384","kty":"EC","x":"AQ","y":"Ag"}"#)
  }

  @Test(arguments: [
    [:], ["kty": "oct", "k": "AQ"], ["kty": "RSA", "n": "AQ"], ["kty": "EC", "x": "AQ", "y": "Ag"],
    ["kty": "EC", "crv": "", "x": "AQ", "y": "Ag"], ["kty": "RSA", "n": "AQ==", "e": "AQAB"],
    ["kty": "RSA", "n": "", "e": "AQAB"], ["kty": "rsa", "n": "AQ", "e": "AQAB"],
  ])
  func `R5.11 what is no public key of these kinds has no thumbprint`(members: [String: String]) {
    #expect(text(members) == nil)
  }
}
