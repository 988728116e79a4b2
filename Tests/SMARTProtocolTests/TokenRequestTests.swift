/// Token requests, byte by byte.
import Foundation
import SMARTProtocol
import Testing

@Suite struct TokenRequestTests {
  private func request(
    id: String = "app", secret: String = "s3cret", _ authentication: ClientAuthentication = .secretBasic(.rfc6749),
    scope: String = "system/*.rs", extra: [String: String] = [:]
  ) throws -> TokenRequest {
    try TokenRequest.clientCredentials(
      at: EndpointURL("https://as/token", allowInsecureLoopback: false), clientID: id, secret: Array(secret.utf8),
      authentication: authentication, scope: scope, extraParameters: extra)
  }
  private func body(_ request: TokenRequest) -> String { String(decoding: request.body, as: UTF8.self) }
  private func pair(_ request: TokenRequest) throws -> String {
    let line = String(decoding: try #require(request.authorizationHeader), as: UTF8.self)
    let prefix = "Authorization: Basic "
    #expect(line.hasPrefix(prefix))
    return String(decoding: try #require(Data(base64Encoded: String(line.dropFirst(prefix.count)))), as: UTF8.self)
  }

  @Test func `R5.01 parameters stand in the body only, form-encoded`() throws {
    let request = try request()
    #expect(request.url.text == "https://as/token")
    #expect(request.contentType == "application/x-www-form-urlencoded")
    #expect(body(request) == "grant_type=client_credentials&scope=system%2F%2A.rs")
  }

  @Test func `R5.04 one way of authentication a request`() throws {
    let basic = try request()
    #expect(basic.authorizationHeader != nil)
    #expect(!body(basic).contains("client_id"))
    let post = try request(.secretPost)
    #expect(post.authorizationHeader == nil)
    #expect(body(post) == "grant_type=client_credentials&scope=system%2F%2A.rs&client_id=app&client_secret=s3cret")
    let none = try request(secret: "", .none)
    #expect(none.authorizationHeader == nil)
    #expect(body(none) == "grant_type=client_credentials&scope=system%2F%2A.rs&client_id=app")
  }

  @Test func `R5.05 basic credentials are form-encoded first, or raw where that is chosen`() throws {
    #expect(try pair(request(id: "a:b c", secret: "p+q/ü%")) == "a%3Ab+c:p%2Bq%2F%C3%BC%25")
    #expect(try pair(request(id: "a b", secret: "p+q/:ü", .secretBasic(.raw))) == "a b:p+q/:ü")
    let unreserved = "AZaz09-._~"
    #expect(
      try pair(request(id: unreserved, secret: unreserved))
        == pair(request(id: unreserved, secret: unreserved, .secretBasic(.raw))))
    #expect(throws: TokenRequestProblem.colonInClientID) { try request(id: "a:b", .secretBasic(.raw)) }
  }

  @Test func `base64 is right at every length`() throws {
    for count in 1...40 {
      let secret = String((0..<count).map { Character(Unicode.Scalar(UInt8(33 + ($0 * 7) % 90))) })
      #expect(try pair(request(secret: secret, .secretBasic(.raw))) == "app:" + secret)
    }
  }

  @Test func `an empty scope is left out`() throws {
    #expect(try body(request(scope: "")) == "grant_type=client_credentials")
  }

  @Test func `extra parameters come in the order of their names and never override the protocol's own`() throws {
    let request = try request(extra: ["resource": "https://h/fhir", "audience": "a b"])
    #expect(body(request).hasSuffix("&audience=a+b&resource=https%3A%2F%2Fh%2Ffhir"))
    for name in ["grant_type", "scope", "client_id", "client_secret", "client_assertion", "refresh_token"] {
      #expect(throws: TokenRequestProblem.reservedParameter(name)) { try self.request(extra: [name: "x"]) }
    }
    #expect(
      TokenRequest.problems(in: ["scope": "x", "a\n": "y", "b": "z\u{0}", "ok": "1", "": "e"])
        == [.badParameter(""), .badParameter("a "), .badParameter("b"), .reservedParameter("scope")])
  }

  @Test func `ids and secrets that cannot be sent are refused by field`() {
    #expect(throws: TokenRequestProblem.badClientID) { try request(id: "") }
    #expect(throws: TokenRequestProblem.badClientID) { try request(id: "a\nb") }
    #expect(throws: TokenRequestProblem.secretMissing) { try request(secret: "") }
    #expect(throws: TokenRequestProblem.badSecret) { try request(secret: "a\r\nX-Evil: 1") }
    #expect(TokenRequestProblem.secretMissing.field == "client_secret")
  }

  @Test func `R1.06 a request cannot be printed, and wiping empties it`() throws {
    var request = try request(.secretPost)
    var output = ""
    dump(request, to: &output)
    output += "\(request) \(String(reflecting: request))"
    #expect(!output.contains("s3cret"))
    request.wipe()
    #expect(request.body.isEmpty)
    #expect(request.authorizationHeader == nil)
  }

  @Test func `a request that grows beyond all measure is refused`() {
    #expect(throws: TokenRequestProblem.tooLong(limit: TokenRequest.bodyBytesMax)) {
      try request(extra: ["x": String(repeating: "ü", count: 100_000)])
    }
  }
}
