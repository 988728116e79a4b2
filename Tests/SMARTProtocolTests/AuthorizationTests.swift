/// Authorization requests and PKCE, byte by byte.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct AuthorizationRequestTests {
  private func request(
    scope: String = "launch/patient patient/*.rs?a=b", challenge: String? = "E9Mel-_", nonce: String? = nil,
    launch: String? = nil, extra: [String: String] = [:]
  ) -> AuthorizationRequest {
    AuthorizationRequest(
      clientID: "my app", redirectURI: "http://127.0.0.1:7777/callback", scope: scope, state: "st4te",
      aud: "https://h/r4/", codeChallenge: challenge, nonce: nonce, launch: launch, extraParameters: extra)
  }
  private func endpoint(_ text: String = "https://as/authorize") throws -> EndpointURL {
    try EndpointURL(text, allowInsecureLoopback: false)
  }
  private func form(_ request: AuthorizationRequest) -> String { String(decoding: request.form(), as: UTF8.self) }

  @Test func `R4.01 to R4.09 every parameter stands in the URL, percent-encoded once, a space as %20`() throws {
    let url = try request().url(at: endpoint())
    #expect(
      url == "https://as/authorize?response_type=code&client_id=my%20app"
        + "&redirect_uri=http%3A%2F%2F127.0.0.1%3A7777%2Fcallback"
        + "&scope=launch%2Fpatient%20patient%2F%2A.rs%3Fa%3Db&state=st4te&aud=https%3A%2F%2Fh%2Fr4%2F"
        + "&code_challenge=E9Mel-_&code_challenge_method=S256")
  }

  @Test func `R4.06 aud is sent as it is, with its trailing slash`() {
    #expect(request().parameters.contains { $0 == ("aud", "https://h/r4/") })
  }

  @Test func `R4.07 the method is S256 and stands only with a challenge`() throws {
    #expect(try !request(challenge: nil).url(at: endpoint()).contains("code_challenge"))
    #expect(try !request().url(at: endpoint()).contains("plain"))
  }

  @Test func `R4.09 what is encoded already is encoded again, so that it arrives as it was`() throws {
    #expect(try request(scope: "a%20b+c").url(at: endpoint()).contains("&scope=a%2520b%2Bc&"))
    #expect(try request(scope: "ü").url(at: endpoint()).contains("&scope=%C3%BC&"))
  }

  @Test(arguments: [
    ("https://as/authorize?p=policy", "https://as/authorize?p=policy&response_type=code&"),
    ("https://as/authorize?", "https://as/authorize?response_type=code&"),
    ("https://as/authorize?p=1&", "https://as/authorize?p=1&response_type=code&"),
  ])
  func `R4.09 the endpoint's own query is kept`(text: String, start: String) throws {
    #expect(try request().url(at: endpoint(text)).hasPrefix(start))
  }

  @Test func `R4.10 launch and nonce stand there only when they are given`() {
    #expect(!form(request()).contains("launch="))
    #expect(!form(request()).contains("nonce="))
    #expect(form(request(nonce: "n", launch: "xyz/1")).hasSuffix("&nonce=n&launch=xyz%2F1"))
  }

  @Test func `R3.12 the form for authorize-post holds the same, a space as plus`() {
    let text = form(request())
    #expect(text.hasPrefix("response_type=code&client_id=my+app&"))
    #expect(text.contains("&scope=launch%2Fpatient+patient%2F%2A.rs%3Fa%3Db&"))
    #expect(form(request(scope: "")).contains("scope") == false)
  }

  @Test func `extra parameters follow in the order of their names, and never override the protocol's own`() {
    #expect(form(request(extra: ["prompt": "login", "audience": "a b"])).hasSuffix("&audience=a+b&prompt=login"))
    for name in AuthorizationRequest.reservedParameters {
      let problems = AuthorizationRequest.problems(in: [name: "x"])
      #expect(problems == [.reserved(name, request: "authorization request")])
      #expect(problems.first?.sentence.contains(name) == true)
      #expect(!form(request(extra: [name: "evil"])).contains("evil"))
    }
    #expect(AuthorizationRequest.problems(in: ["": "x", "a\n": "y", "ok": "z"]) == [.unusable(""), .unusable("a ")])
  }
}

@Suite struct PKCETests {
  /// RFC 7636 appendix B.
  private let random: [UInt8] = [
    116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191, 240,
    91, 88, 5, 88, 83, 132, 141, 121,
  ]
  private let digest: [UInt8] = [
    19, 211, 30, 150, 26, 26, 216, 236, 47, 22, 177, 12, 76, 152, 46, 8, 118, 168, 120, 173, 109, 241, 68, 86, 110, 225,
    137, 74, 203, 112, 249, 195,
  ]

  @Test func `R4.07 the example of RFC 7636 appendix B`() {
    #expect(
      String(decoding: PKCE.verifier(random: random).bytes, as: UTF8.self)
        == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    #expect(PKCE.challenge(sha256OfVerifier: digest) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
  }

  @Test func `R4.08 the verifier is 43 unreserved characters`() {
    for byte: UInt8 in [0, 0x55, 0xAA, 0xFB, 0xFF] {
      let verifier = PKCE.verifier(random: [UInt8](repeating: byte, count: PKCE.randomBytes))
      #expect(verifier.bytes.count == 43)
      #expect(
        String(decoding: verifier.bytes, as: UTF8.self).allSatisfy { $0.isLetter || $0.isNumber || "-_".contains($0) })
    }
  }

  @Test func `R1.06 the verifier cannot be printed`() {
    #expect("\(PKCE.verifier(random: random))" == "secret(43 bytes)")
  }
}

@Suite struct Base64URLTests {
  @Test(arguments: [
    ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
    ("foobar", "Zm9vYmFy"), ("???>>>", "Pz8_Pj4-"),
  ])
  func `the examples of RFC 4648 without padding, both ways`(plain: String, coded: String) {
    #expect(Base64URL.encode(plain.utf8) == coded)
    #expect(Base64URL.decode(coded) == Array(plain.utf8))
  }

  @Test(arguments: ["Zg==", "Zm8=", "Z", "Zm9vY", "Zh", "Zm9", "Pz8/", "Pz8+", "Zg\n", " Zg", "Zé", "Zm9v.Zg"])
  func `padding, other alphabets, impossible lengths and leftover bits are refused`(text: String) {
    #expect(Base64URL.decode(text) == nil)
  }

  @Test func `ten thousand random texts come back as they were, and no two texts mean the same bytes`() {
    var mutator = Mutator(seed: 21)
    for i in 0..<10_000 {
      let bytes = (0..<i % 70).map { _ in UInt8(truncatingIfNeeded: mutator.next()) }
      let text = Base64URL.encodedBytes(bytes)
      #expect(text.count == Base64URL.encodedCount(bytes.count))
      #expect(Base64URL.decode(bytes: text) == bytes)
      let other = mutator.mutate(text)
      if let decoded = Base64URL.decode(bytes: other) { #expect(Base64URL.encodedBytes(decoded) == other) }
    }
  }
}
