/// ID tokens: taken apart, claims held against what was asked.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct IDTokenTests {
  private let now: Int64 = 1_700_000_000

  /// Good claims with changes; null takes a claim away.
  private func problems(_ changes: [String: JSON] = [:], nonce: String? = nil) -> [String] {
    var claims: [String: JSON] = [
      "iss": .string("https://as"), "aud": .string("app"), "sub": .string("1"), "exp": .integer(now + 60),
      "iat": .integer(now - 1), "nonce": .string("n"), "fhirUser": .string("https://h/Practitioner/1"),
    ]
    for (name, value) in changes { claims[name] = value.isNull ? nil : value }
    return IDTokenClaims.problems(
      claims: .object(claims), issuer: "https://as", clientID: "app", nonce: nonce, nowSeconds: now)
  }

  @Test func `R6.08 good claims have no problem`() {
    #expect(problems(nonce: "n").isEmpty)
    #expect(problems(["aud": .array([.string("app")]), "exp": .number(1.8e9)]).isEmpty)
    #expect(problems(["nonce": .null, "fhirUser": .null]).isEmpty)
  }

  @Test func `R6.08 the issuer is compared byte for byte`() {
    #expect(problems(["iss": .string("https://as/")]) == ["its iss is https://as/, not https://as"])
    #expect(problems(["iss": .null]) == ["it has no iss"])
    #expect(problems(["iss": .integer(1)]) == ["its iss is a number, not a string"])
  }

  @Test func `R6.08 the audience names the client, and with others beside it azp does too`() {
    #expect(problems(["aud": .string("other")]).count == 1)
    #expect(problems(["aud": .array([])]).count == 1)
    #expect(problems(["aud": .array([.string("app"), .integer(1)])]).count == 1)
    #expect(problems(["aud": .null]) == ["it has no aud"])
    let several = JSON.array([.string("app"), .string("other")])
    #expect(problems(["aud": several]) == ["it has no azp"])
    #expect(problems(["aud": several, "azp": .string("other")]) == ["its azp is other, not app"])
    #expect(problems(["aud": several, "azp": .string("app")]).isEmpty)
  }

  @Test func `R6.08 it has not expired, give or take the leeway`() {
    #expect(problems(["exp": .integer(now - 299)]).isEmpty)
    #expect(problems(["exp": .integer(now - 300)]) == ["it has expired"])
    #expect(problems(["exp": .integer(.min)]) == ["it has expired"])
    #expect(problems(["exp": .string("1800000000")]).count == 1)
    #expect(problems(["exp": .null]).count == 1)
  }

  @Test func `R6.08 it was issued, and not in the future`() {
    #expect(problems(["iat": .integer(now + 300)]).isEmpty)
    #expect(problems(["iat": .integer(now + 301)]).count == 1)
    #expect(problems(["iat": .number(.greatestFiniteMagnitude)]).count == 1)
    #expect(problems(["iat": .null]).count == 1)
  }

  @Test func `R6.08 the nonce is the one that was sent, and no problem shows it`() {
    #expect(problems(nonce: "s3nt") == ["its nonce is not the one that was sent"])
    #expect(problems(["nonce": .null], nonce: "s3nt") == ["it has no nonce, although one was sent"])
  }

  @Test(arguments: ["https://h/fhir/Patient/1", "http://h/Patient/1", "Practitioner/123", "Patient/a-b.C9"])
  func `R6.08 fhirUser is a URL or a reference`(text: String) {
    #expect(problems(["fhirUser": .string(text)]).isEmpty)
  }

  @Test(arguments: [
    "", "Practitioner", "practitioner/1", "Practitioner/", "Practitioner/a b", "javascript:alert(1)", "/Patient/1",
    "Patient/1/../2", "Patient/a_b", "Prac\u{301}/1",
  ])
  func `R6.08 what is neither is refused`(text: String) {
    #expect(problems(["fhirUser": .string(text)]).count == 1)
    #expect(problems(["fhirUser": .integer(1)]).count == 1)
  }

  @Test func `R6.08 claims that are no object are one problem`() {
    #expect(
      IDTokenClaims.problems(claims: .array([]), issuer: "i", clientID: "c", nonce: nil, nowSeconds: now).count == 1)
  }

  private func token(_ header: String, _ claims: String, _ signature: String = "AQ") -> [UInt8] {
    Array((Base64URL.encode(header.utf8) + "." + Base64URL.encode(claims.utf8) + "." + signature).utf8)
  }

  @Test func `R6.08 a token is taken apart, with the bytes that were signed`() throws {
    let parts = try #require(JWTParts.split(token(#"{"alg":"RS256"}"#, #"{"iss":"i"}"#)))
    #expect(parts.header["alg"] == .string("RS256"))
    #expect(parts.claims["iss"] == .string("i"))
    #expect(parts.signature == [1])
    #expect(parts.signed == token(#"{"alg":"RS256"}"#, #"{"iss":"i"}"#).dropLast(3))
  }

  @Test func `R6.08 what is no signed token of three parts is refused`() {
    let good = token("{}", "{}")
    #expect(JWTParts.split(good) != nil)
    let bad: [[UInt8]] = [
      [], Array("..".utf8), Array("a.b".utf8), good + Array(".AQ".utf8), token("{}", "{}", ""), token("[]", "{}"),
      token("{}", "1"), token("{}", "{"), token("{}", "{}", "AQ=="), token(#"{"crit":["b64"]}"#, "{}"),
      token(#"{"alg":"a","alg":"b"}"#, "{}"), token("{}", #"{"sub":"1","sub":"2"}"#),
      token("{}", #"{"a":""# + String(repeating: "a", count: TokenResponse.tokenBytesMax) + #""}"#),
    ]
    for bytes in bad { #expect(JWTParts.split(bytes) == nil) }
  }

  @Test func `R6.08 of ten thousand damaged tokens none crashes`() {
    let inner = Array(#"{"iss":"https://as","aud":["app"],"exp":1700000060,"iat":1.7e9,"fhirUser":"Patient/1"}"#.utf8)
    let whole = token(#"{"alg":"RS256","kid":"k"}"#, String(decoding: inner, as: UTF8.self))
    var mutator = Mutator(seed: 23)
    for i in 0..<10_000 {
      let bytes =
        i % 2 == 0
        ? mutator.mutate(whole)
        : Array("e30.".utf8) + Base64URL.encodedBytes(mutator.mutate(inner)) + Array(".AQ".utf8)
      guard let parts = JWTParts.split(bytes) else { continue }
      #expect(bytes.starts(with: parts.signed))
      _ = IDTokenClaims.problems(
        claims: parts.claims, issuer: "https://as", clientID: "app", nonce: "n", nowSeconds: now)
    }
  }
}
