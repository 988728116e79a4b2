/// What comes back on the redirect: good, refused, hostile, pasted by a person.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct AuthorizationResponseTests {
  private typealias Problem = AuthorizationResponseProblem

  private func read(_ query: String) throws(AuthorizationResponseProblem) -> AuthorizationResponse {
    try AuthorizationResponse(query: query.utf8)
  }
  private func code(_ text: String) -> AuthorizationResponse.Outcome { .code(SecretText(Array(text.utf8))) }

  @Test func `R4.11 code, state and issuer are read from the query, form-decoded`() throws {
    let response = try read("code=a%2Bb%2f&state=x-1&iss=https%3A%2F%2Fas")
    #expect(response.outcome == code("a+b/"))
    #expect(response.state == "x-1")
    #expect(response.issuer == "https://as")
  }

  @Test func `R4.12 an error decides, with its words kept and cleaned, even when a code stands beside it`() throws {
    let response = try read(
      "code=c&state=s&error=access_denied&error_description=no+way%0A%1B%5B31m&error_uri=https%3A%2F%2Fh%2Fe")
    #expect(response.state == "s")
    #expect(
      response.outcome
        == .refused(
          OAuthError(error: "access_denied", description: "no way  [31m", uri: "https://h/e")))
    #expect(
      try read("error=x&error_description=").outcome == .refused(OAuthError(error: "x")))
    guard case .refused(let long) = try read("error=\(String(repeating: "e", count: 5000))").outcome else {
      Issue.record("no refusal")
      return
    }
    #expect(long.error.count <= 101)
  }

  @Test func `R4.16 unrecognised parameters are ignored, however often and however they are written`() throws {
    let response = try read("session_state=1&session_state=2&code=c&x=%zz&&scope=a&flag&=v&state=s")
    #expect(response.outcome == code("c"))
    #expect(response.state == "s")
  }

  @Test(arguments: ["code", "state", "iss", "error", "error_description", "error_uri"])
  func `a name of the protocol that stands twice is refused`(name: String) {
    #expect(throws: Problem.duplicate(name)) {
      try read("code=c&state=s&iss=i&error=e&error_description=d&error_uri=u&\(name)=2")
    }
    #expect(throws: Problem.duplicate(name)) { try read("\(name)=&%\(hex(name))=1") }
  }
  /// The name with its first letter escaped, without the %.
  private func hex(_ name: String) -> String {
    name.utf8.first.map { String($0, radix: 16) + name.dropFirst() } ?? ""
  }

  @Test func `neither a code nor an error is a problem, and an empty value is none`() {
    for query in ["", "&", "state=s", "code=&state=s", "code&error", "access_token=t", "Code=c"] {
      #expect(throws: Problem.neitherCodeNorError) { try read(query) }
    }
  }

  @Test func `bad escapes are refused where they would be read`() {
    #expect(throws: Problem.badEscape("code")) { try read("code=a%") }
    #expect(throws: Problem.badEscape("code")) { try read("code=a%4") }
    #expect(throws: Problem.badEscape("state")) { try read("code=a&state=%G0") }
    #expect(throws: Problem.badEscape(nil)) { try read("co%zz=a") }
  }

  @Test func `characters that no code, state or issuer may have are refused`() {
    #expect(throws: Problem.badCharacter("code")) { try read("code=a%0Ab") }
    #expect(throws: Problem.badCharacter("state")) { try read("code=a&state=%00") }
    #expect(throws: Problem.badCharacter("iss")) { try read("code=a&iss=%C3%BC") }
    #expect(throws: Problem.badCharacter("state")) { try read("error=a&state=%FF") }
  }

  @Test func `everything is bounded`() {
    func long(_ count: Int) -> String { String(repeating: "a", count: count + 1) }
    #expect(throws: Problem.tooLong("code", limit: AuthorizationResponse.codeBytesMax)) {
      try read("code=\(long(AuthorizationResponse.codeBytesMax))")
    }
    #expect(throws: Problem.tooLong("state", limit: AuthorizationResponse.stateBytesMax)) {
      try read("code=c&state=\(long(AuthorizationResponse.stateBytesMax))")
    }
    #expect(throws: Problem.tooLong("query", limit: AuthorizationResponse.queryBytesMax)) {
      try read("x=\(long(AuthorizationResponse.queryBytesMax))")
    }
    #expect(throws: Problem.tooManyParameters(limit: AuthorizationResponse.parametersMax)) {
      try read("code=c" + String(repeating: "&a=b", count: AuthorizationResponse.parametersMax))
    }
    #expect(throws: Problem.tooLong("address", limit: AuthorizationResponse.redirectURLBytesMax)) {
      try AuthorizationResponse(redirectURL: long(AuthorizationResponse.redirectURLBytesMax))
    }
  }

  @Test func `the members of a call are read like a query`() throws {
    let response = try AuthorizationResponse(state: "s", code: Array("c".utf8), iss: "https://as")
    #expect(try response == read("state=s&code=c&iss=https://as"))
    #expect(
      try AuthorizationResponse(state: "", code: [], error: "e", errorDescription: "d", errorURI: "u").outcome
        == .refused(OAuthError(error: "e", description: "d", uri: "u")))
    #expect(throws: Problem.neitherCodeNorError) { try AuthorizationResponse(state: "s", code: nil, error: "") }
    #expect(throws: Problem.badCharacter("code")) { try AuthorizationResponse(state: "s", code: [0x0A]) }
  }

  @Test(arguments: [
    "http://127.0.0.1:7777/cb?code=c&state=s", "  https://h/cb?code=c&state=s\n", "<https://h/cb?code=c&state=s>",
    "\"https://h/cb?code=c&state=s\"", "'https://h/cb?code=c&state=s'",
    "\u{201C} <https://h/cb?code=c&state=s> \u{201D}",
    "HTTPS://h/cb?code=c&state=s#_=_", "https://h?state=s&code=c#", "https://h/cb?x=ü&code=c&state=s#access_token=t",
  ])
  func `a pasted address is read whatever people put around it`(text: String) throws {
    let response = try AuthorizationResponse(redirectURL: text)
    #expect(response.outcome == code("c"))
    #expect(response.state == "s")
  }

  @Test(arguments: [
    ("", Problem.notAnAddress), ("c", .notAnAddress), ("code=c&state=s", .notAnAddress), ("h/cb?code=c", .notAnAddress),
    ("myapp://cb?code=c", .notAnAddress), ("\"https://h/cb?code=c", .notAnAddress), ("https:/h?code=c", .notAnAddress),
    ("https://h/cb?co\nde=c", .brokenAddress), ("https://h/cb?code=c d", .brokenAddress),
    ("https://h/cb", .neitherCodeNorError), ("https://h/cb#top", .neitherCodeNorError),
    ("https://h/cb#code=c&state=s", .implicitResponse), ("https://h/cb?#access_token=t", .implicitResponse),
    ("https://h/cb#state=s&error=e", .implicitResponse), ("https://h/cb?state=s#code=c", .implicitResponse),
    ("https://h/cb?code=%#code=c", .badEscape("code")),
  ])
  func `a pasted text that is no answer says what to paste`(text: String, problem: AuthorizationResponseProblem) {
    #expect(throws: problem) { try AuthorizationResponse(redirectURL: text) }
    #expect(!problem.sentence.isEmpty)
  }

  @Test func `R4.13 an issuer that is promised must be there, and one that is there must be the right one`() {
    func problem(_ received: String?, _ expected: String?, _ required: Bool) -> AuthorizationResponseProblem? {
      AuthorizationResponse.issuerProblem(received: received, expected: expected, required: required)
    }
    #expect(problem("https://as", "https://as", true) == nil)
    #expect(problem("https://as", "https://as", false) == nil)
    #expect(problem(nil, "https://as", false) == nil)
    #expect(problem(nil, "https://as", true) == .issuerMissing)
    #expect(problem(nil, nil, true) == .issuerMissing)
    #expect(problem("https://evil", nil, true) == nil)
    for other in ["https://evil", "https://as/", "https://AS", "https://as\n", ""] {
      #expect(problem(other, "https://as", false) != nil)
    }
    // Equal to a reader of Unicode, not to a reader of bytes.
    #expect(problem("https://h/\u{E9}", "https://h/e\u{301}", false) != nil)
  }

  @Test func `R1.06 neither a problem nor a description shows the code`() throws {
    let response = try read("code=S3CRET&state=s")
    var output = ""
    dump(response, to: &output)
    #expect(!(output + "\(response) \(String(reflecting: response))").contains("S3CRET"))
  }

  @Test func `R1.06 wiping empties the code and leaves a refusal as it is`() throws {
    var response = try read("code=S3CRET&state=s")
    response.wipe()
    #expect(response.outcome == .code(SecretText([])))
    #expect(response.state == "s")
    var refused = try read("error=e")
    refused.wipe()
    #expect(try refused == read("error=e"))
  }

  @Test func `R1.07 of twenty thousand damaged answers none crashes, and no problem repeats the code`() {
    let originals = [
      "https://h/cb?code=S3CRET%2B&state=st4te&iss=https%3A%2F%2Fas", "<http://[::1]:1/cb?state=a&code=S3CRET#_=_>",
      "https://h/cb?error=access_denied&error_description=a+b&state=s", "https://h/cb#code=S3CRET&state=s",
    ].map { Array($0.utf8) }
    var mutator = Mutator(seed: 22)
    for i in 0..<20_000 {
      let bytes = mutator.mutate(originals[i % originals.count])
      do throws(AuthorizationResponseProblem) {
        let query = bytes.split(separator: UInt8(ascii: "?"), maxSplits: 1).last ?? []
        let response =
          i % 2 == 0
          ? try AuthorizationResponse(redirectURL: String(decoding: bytes, as: UTF8.self))
          : try AuthorizationResponse(query: query)
        switch response.outcome {
        case .code(let code):
          #expect(!code.bytes.isEmpty)
          #expect(code.bytes.allSatisfy { (0x20...0x7E).contains($0) })
        case .refused(let error): #expect(error.error.unicodeScalars.allSatisfy { $0.value >= 0x20 })
        }
      } catch {
        #expect(!error.sentence.contains("S3CRET"))
      }
    }
  }
}
