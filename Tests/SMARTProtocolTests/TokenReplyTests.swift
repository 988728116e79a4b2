/// The answers of token endpoints, as live servers give them.
import Foundation
import SMARTProtocol
import TestSupport
import Testing

@Suite struct TokenReplyTests {
  private func classify(
    _ status: Int, _ body: String, headers: [String: String] = [:], scope: String = "system/*.rs"
  ) -> TokenOutcome {
    TokenReply.classify(
      status: status, header: { name in headers.first { $0.key.lowercased() == name.lowercased() }?.value },
      body: Array(body.utf8), requestedScope: scope, now: 1_795_000_000_000)
  }
  private func granted(
    _ body: String, headers: [String: String] = ["cache-control": "no-store"], scope: String = "system/*.rs"
  ) throws -> TokenResponse {
    let outcome = classify(200, body, headers: headers, scope: scope)
    guard case .granted(let response) = outcome else {
      throw NotGranted(outcome: "\(outcome.name): \(outcome.refusal?.sentence ?? "")")
    }
    return response
  }
  private struct NotGranted: Error { var outcome: String }
  private func token(_ members: String = "") -> String {
    "{\"access_token\":\"abc.DEF-123\",\"token_type\":\"Bearer\"\(members)}"
  }

  @Test func `a plain answer is granted`() throws {
    let response = try granted(token(",\"expires_in\":600,\"scope\":\"system/Patient.rs\",\"refresh_token\":\"r\""))
    #expect(response.accessToken.bytes == Array("abc.DEF-123".utf8))
    #expect(response.expiresIn == .seconds(600))
    #expect(response.expiresInWasGiven)
    #expect(response.scope == "system/Patient.rs")
    #expect(response.refreshToken?.bytes == Array("r".utf8))
    #expect(response.findings.isEmpty)
  }

  @Test func `R6.12 an answer that proxies may keep is a finding and no more`() throws {
    for headers in [[:], ["Cache-Control": "private"]] {
      let response = try granted(token(",\"expires_in\":600"), headers: headers)
      #expect(response.findings.map(\.id) == ["token-cacheable"])
    }
    #expect(try granted(token(",\"expires_in\":600"), headers: ["Cache-Control": "No-Store, private"]).findings == [])
  }

  @Test func `R6.06 fhirContext is kept as it came, and told where it is not as SMART says`() throws {
    for (value, isGood) in [
      ("[{\"reference\":\"ImagingStudy/1\",\"role\":\"launch\"}]", true), ("[{\"canonical\":\"http://x\"}]", true),
      ("[{\"identifier\":{}}]", true), ("[]", true), ("[{\"role\":\"launch\"}]", false),
      ("{\"reference\":\"a\"}", false),
      ("[\"ImagingStudy/1\"]", false), ("[{\"reference\":null}]", false),
    ] {
      let response = try granted(token(",\"expires_in\":600,\"fhirContext\":\(value)"))
      #expect(response.context["fhirContext"]?.text == value)
      #expect(response.findings.contains { $0.id == "token-fhirContext" } != isGood, "\(value)")
    }
  }

  @Test(arguments: ["Bearer", "bearer", "BEARER"])
  func `R6.01 the token type is compared without case`(type: String) throws {
    #expect(try granted("{\"access_token\":\"a\",\"token_type\":\"\(type)\",\"expires_in\":1}").tokenType == type)
  }

  @Test(arguments: ["\"DPoP\"", "\"mac\"", "\"\"", "7", "[\"Bearer\"]"])
  func `R6.01 a token of another type is not used`(type: String) {
    #expect(classify(200, "{\"access_token\":\"a\",\"token_type\":\(type)}").name == "garbled")
  }

  @Test(arguments: [
    ("3600", 3_600_000 as Int64), ("\"3600\"", 3_600_000), ("\" 3600 \"", 3_600_000), ("3599.9", 3_599_900),
    ("\"3599.5\"", 3_599_500), ("1e3", 1_000_000), ("0.0001", 1000),
  ])
  func `R6.02 a lifetime is read from a number or a numeric text`(value: String, milliseconds: Int64) throws {
    let response = try granted(token(",\"expires_in\":\(value)"))
    #expect(response.expiresIn.milliseconds == milliseconds)
    #expect(response.expiresInWasGiven)
  }

  @Test(arguments: [
    "0", "-1", "null", "true", "\"\"", "\"soon\"", "\"nan\"", "\"inf\"", "\"0x10\"", "\"-5\"", "[600]", "{}", "-1e400",
    "\"1e3\"",
  ])
  func `R6.02 a lifetime that is none is the documented default and not for ever`(value: String) throws {
    let response = try granted(token(",\"expires_in\":\(value)"))
    #expect(response.expiresIn == TokenResponse.lifetimeDefault)
    #expect(!response.expiresInWasGiven)
    #expect(!response.findings.isEmpty)
  }

  @Test(arguments: [
    "99999999999", "1e400", "9223372036854775807", "92233720368547758070", "\"99999999999999999999999\"",
  ])
  func `R6.02 a huge lifetime is capped`(value: String) throws {
    #expect(try granted(token(",\"expires_in\":\(value)")).expiresIn == TokenResponse.lifetimeMax)
  }

  @Test func `R6.02 no lifetime at all is the documented default`() throws {
    #expect(try granted(token()).expiresIn == .seconds(300))
  }

  @Test func `R6.04 no scope means the scope that was asked for; an empty one means none`() throws {
    let silent = try granted(token())
    #expect(silent.scope == "system/*.rs")
    #expect(!silent.scopeWasGiven)
    #expect(try granted(token(",\"scope\":null")).scope == "system/*.rs")
    let empty = try granted(token(",\"scope\":\"\""))
    #expect(empty.scope == "")
    #expect(empty.scopeWasGiven)
    #expect(try granted(token(",\"scope\":[\"a\",\"b\"]")).scope == "a b")
  }

  @Test func `R6.05 unknown members are kept as context and nulls are not`() throws {
    let response = try granted(
      token(
        ",\"patient\":\"p1\",\"need_patient_banner\":false,\"fhirContext\":[{\"reference\":\"X/1\"}],\"state\":null,\"n\":1.5"
      )
    )
    #expect(Set(response.context.keys) == ["patient", "need_patient_banner", "fhirContext", "n"])
    let rendered = try #require(response.renderedContext)
    #expect(String(decoding: rendered, as: UTF8.self) == "{\"n\":1.5,\"need_patient_banner\":false,\"patient\":\"p1\"}")
    #expect(try granted(token()).renderedContext == nil)
  }

  @Test func `R6.05 context beyond its bounds is cut and told of`() throws {
    let many = (0..<200).map { ",\"m\($0)\":\"x\"" }.joined()
    let response = try granted(token(many))
    #expect(response.context.count == TokenResponse.contextMembersMax)
    #expect(response.findings.contains { $0.id == "token-context-cut" })
    #expect(try granted(token(",\"a\":\"\(String(repeating: "x", count: 40_000))\"")).context.isEmpty)
  }

  @Test func `R6.07 R8.04 a token is opaque and may be long, but must fit in a header`() throws {
    let long = String(repeating: "a", count: 16_384)
    #expect(try granted("{\"access_token\":\"\(long)\",\"token_type\":\"bearer\"}").accessToken.bytes.count == 16_384)
    for bad in ["a\\nb", "a b", "\\u0000", "ü", "", String(repeating: "a", count: TokenResponse.tokenBytesMax + 1)] {
      #expect(classify(200, "{\"access_token\":\"\(bad)\",\"token_type\":\"bearer\"}").name == "garbled")
    }
  }

  @Test(arguments: [
    "", " ", "null", "[]", "\"x\"", "17", "true", "{}", "{\"access_token\":null}", "{\"access_token\":17}",
    "<html></html>",
    "{\"access_token\":\"abc\",\"token_type\":\"Bea", "access_token=abc&token_type=bearer",
    "{\"token_type\":\"Bearer\"}",
    "{\"access_token\":\"a\",\"access_token\":\"b\",\"token_type\":\"Bearer\"}", "\u{0}\u{1}",
  ])
  func `R6.11 a 200 without a token is garbled and not a grant`(body: String) {
    let outcome = classify(200, body)
    #expect(outcome.name == "garbled")
    #expect(outcome.refusal?.sentence.isEmpty == false)
  }

  @Test func `R6.10 a body nested a million deep or beyond its size is garbled`() {
    #expect(classify(200, String(repeating: "{\"a\":", count: 200_000)).name == "garbled")
    #expect(
      classify(200, "{\"access_token\":\"a\",\"x\":\"\(String(repeating: "y", count: 1 << 20))\"}").name == "garbled")
  }

  @Test(arguments: [
    (400, "invalid_grant", "grant_dead"), (401, "invalid_grant", "grant_dead"), (200, "invalid_grant", "grant_dead"),
    (400, "invalid_client", "client_wrong"), (401, "invalid_client", "client_wrong"),
    (200, "invalid_client", "client_wrong"), (500, "invalid_client", "client_wrong"),
    (400, "unauthorized_client", "client_wrong"), (400, "unsupported_grant_type", "client_wrong"),
    (400, "invalid_request", "client_wrong"), (400, "invalid_scope", "scope_refused"),
    (400, "scope_invalid", "scope_refused"), (503, "temporarily_unavailable", "server_trouble"),
    (400, "temporarily_unavailable", "server_trouble"), (500, "server_error", "server_trouble"),
    (400, "slow_down", "throttled"), (429, "invalid_grant", "throttled"), (500, "anything", "server_trouble"),
    (400, "anything", "client_wrong"), (400, "INVALID_GRANT", "grant_dead"),
  ])
  func `R6.09 R7.07 the error decides before the status`(status: Int, error: String, name: String) {
    let outcome = classify(status, "{\"error\":\"\(error)\",\"error_description\":null}")
    #expect(outcome.name == name)
    #expect(outcome.refusal?.oauth?.error == error)
    #expect(outcome.refusal?.oauth?.description == nil)
    #expect(outcome.refusal?.status == status)
  }

  @Test(arguments: [
    (400, "", "garbled"), (403, "", "client_wrong"), (401, "", "client_wrong"), (404, "<html>", "client_wrong"),
    (405, "", "client_wrong"), (403, "<html><body>blocked</body></html>", "garbled"), (429, "slow", "throttled"),
    (500, "", "server_trouble"), (502, "<html>", "server_trouble"), (503, "null", "server_trouble"),
    (504, "[]", "server_trouble"), (400, "<html>", "garbled"), (302, "", "garbled"), (307, "", "garbled"),
    (418, "x", "garbled"), (400, "{\"error\":null}", "garbled"), (400, "{\"error\":{\"code\":1}}", "garbled"),
    (400, "{\"access_token\":\"a\",\"token_type\":\"bearer\"}", "garbled"), (100, "", "garbled"), (0, "", "garbled"),
    (408, "", "server_trouble"), (-1, "", "garbled"),
  ])
  func `R6.09 without an error the status decides, and nothing ends a grant`(status: Int, body: String, name: String) {
    #expect(classify(status, body).name == name)
  }

  @Test func `R1.02 a redirect is told with the other origin and without its query`() {
    let outcome = classify(307, "", headers: ["location": "https://other.example/t?code=secret"])
    #expect(outcome.refusal?.sentence.contains("https://other.example") == true)
    #expect(outcome.refusal?.sentence.contains("secret") == false)
  }

  @Test func `a challenge explains an empty body but never ends a grant`() {
    let headers = ["WWW-Authenticate": "Bearer error=\"invalid_client\", error_description=\"no such client\""]
    #expect(classify(401, "", headers: headers).refusal?.oauth?.description == "no such client")
    #expect(classify(400, "", headers: ["WWW-Authenticate": "Bearer error=\"invalid_grant\""]).name == "garbled")
  }

  @Test func `quirk 4 error_uri stands in for a missing description`() {
    let outcome = classify(400, "{\"error\":\"invalid_grant\",\"error_uri\":\"https://cerner.example/e?x=1\"}")
    #expect(outcome.refusal?.oauth?.uri == "https://cerner.example/e?x=1")
    #expect(outcome.refusal?.sentence.contains("https://cerner.example/e") == true)
  }

  @Test func `quirk 2 an error with expires_in 0 is an error`() {
    #expect(classify(400, "{\"error\":\"invalid_request\",\"expires_in\":0}").name == "client_wrong")
  }

  @Test func `R9.11 what the server asks for in time is kept`() {
    #expect(classify(503, "", headers: ["Retry-After": "17"]).refusal?.retryAfter == .seconds(17))
    #expect(
      classify(429, "{\"error\":\"x\"}", headers: ["x-ms-retry-after-ms": "1500"]).refusal?.retryAfter?.milliseconds
        == 1500)
  }

  @Test func `R7.04 no refresh token in the answer is no refresh token, not an empty one`() throws {
    #expect(try granted(token()).refreshToken == nil)
    #expect(try granted(token(",\"refresh_token\":\"\"")).refreshToken == nil)
    #expect(try granted(token(",\"refresh_token\":null")).refreshToken == nil)
  }

  @Test func `R1.06 a response cannot be printed`() throws {
    var response = try granted(token(",\"refresh_token\":\"rrr-secret\",\"id_token\":\"iii-secret\""))
    var output = ""
    dump(response, to: &output)
    output += "\(response) \(String(reflecting: response)) \(TokenOutcome.granted(response))"
    for secret in ["abc.DEF-123", "rrr-secret", "iii-secret"] { #expect(!output.contains(secret)) }
    response.wipe()
    #expect(response.accessToken.bytes.isEmpty)
  }

  @Test func `words of a server are cleaned for a terminal and cut`() {
    let outcome = classify(
      400,
      "{\"error\":\"invalid_grant\",\"error_description\":\"a\\u001b[31m\\nb\(String(repeating: "x", count: 900))\"}")
    let sentence = outcome.refusal?.sentence ?? ""
    #expect(!sentence.unicodeScalars.contains { $0.value < 0x20 })
    #expect(sentence.count < 700)
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `recorded answers of live servers read right`() throws {
    struct Exchange: Decodable {
      struct Response: Decodable {
        var status: Int
        var body: String
      }
      var response: Response
    }
    func exchange(_ name: String) throws -> Exchange.Response {
      let bytes = try SharedData.bytes("oauth/\(name)")
      let exchange = try JSONDecoder().decode(Exchange.self, from: Data(bytes))
      return exchange.response
    }
    let va = try exchange("va-client-credentials-200.json")
    let response = try granted(va.body, scope: "direct.deposit.read")
    #expect(response.expiresIn == .seconds(600))
    #expect(response.context.isEmpty)
    let refused = try exchange("va-invalid-assertion-401.json")
    #expect(classify(refused.status, refused.body).name == "client_wrong")
    let inferno = String(decoding: try SharedData.bytes("oauth/inferno-smart-standalone-token.json"), as: UTF8.self)
    #expect(Set(try granted(inferno).context.keys) == ["patient", "encounter"])
    #expect(try granted(inferno).idToken != nil)
  }

  @Test func `of twenty thousand damaged answers none crashes and no grant is invented`() throws {
    var originals = [
      token(
        ",\"expires_in\":\"600\",\"scope\":\"a b\",\"refresh_token\":\"r\",\"patient\":\"p\",\"fhirContext\":[{\"a\":1}]"
      ),
      "{\"error\":\"invalid_client\",\"error_description\":null,\"error_uri\":\"https://x/y\"}",
    ].map { Array($0.utf8) }
    if SharedData.isPresent { originals += try SharedData.all("oauth").map(\.bytes) }
    var mutator = Mutator(seed: 5)
    for i in 0..<20_000 {
      let body = mutator.mutate(originals[i % originals.count])
      let status = [200, 400, 401, 403, 429, 500, 302][mutator.below(7)]
      let value = String(decoding: mutator.mutate(Array("Bearer error=\"x\", realm=\"y\"".utf8)), as: UTF8.self)
      let outcome = TokenReply.classify(
        status: status, header: { _ in value }, body: body, requestedScope: "a", now: 1_795_000_000_000)
      switch outcome {
      case .granted(let response):
        #expect(status == 200)
        #expect(!response.accessToken.bytes.isEmpty)
        #expect(response.accessToken.bytes.allSatisfy { (0x21...0x7E).contains($0) })
        #expect((TokenResponse.lifetimeMin...TokenResponse.lifetimeMax).contains(response.expiresIn))
      case .grantDead: #expect(String(decoding: body, as: UTF8.self).lowercased().contains("invalid_grant"))
      case .clientWrong, .scopeRefused, .throttled, .serverTrouble, .network, .garbled: break
      }
    }
  }
}
