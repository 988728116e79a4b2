/// Answers of introspection and revocation endpoints: right, sloppy, wrong and hostile.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct IntrospectionReplyTests {
  private func read(
    _ body: String, status: Int = 200, headers: [String: String] = [:]
  ) -> Result<(active: Bool, root: JSON), TokenRefusal> {
    IntrospectionReply.read(status: status, header: { headers[$0] }, body: Array(body.utf8))
  }
  private func refusal(_ body: String, status: Int = 200, headers: [String: String] = [:]) -> TokenRefusal? {
    switch read(body, status: status, headers: headers) {
    case .success: nil
    case .failure(let refusal): refusal
    }
  }

  @Test func `R8.03 active false may come alone`() throws {
    #expect(try read(#"{"active":false}"#).get().active == false)
  }

  @Test func `R8.03 an active token comes with every member, but no token in it`() throws {
    let answer = try read(
      #"{"active":true,"scope":"a b","exp":1,"patient":"p","x":[1],"error":"odd","access_token":"S3CRET"}"#
    ).get()
    #expect(answer.active)
    #expect(answer.root["scope"] == .string("a b"))
    #expect(answer.root["patient"] == .string("p"))
    #expect(!answer.root.text.contains("S3CRET"))
  }

  @Test(arguments: [
    "{}", #"{"active":"true"}"#, #"{"active":1}"#, #"{"active":null}"#, "[]", "true", "", "<html>", #"{"active":true"#,
    #"{"active":true,"active":false}"#, #"{"error":"invalid_client"}"#,
  ])
  func `R8.03 without a boolean active it is a refusal`(body: String) {
    #expect(refusal(body)?.status == 200)
    #expect(refusal(body)?.sentence.isEmpty == false)
  }

  @Test func `R8.02 a refusal carries the server's words, from the body or the challenge`() {
    let body = refusal(#"{"error":"invalid_client","error_description":"who?"}"#, status: 401)
    #expect(body?.oauth == OAuthError(error: "invalid_client", description: "who?"))
    #expect(body?.sentence == "the introspection endpoint refused with invalid_client (401): who?")
    let challenge = refusal("", status: 403, headers: ["WWW-Authenticate": #"Bearer error="insufficient_scope""#])
    #expect(challenge?.oauth?.error == "insufficient_scope")
  }

  @Test func `R8.02 a status that says nothing of the token is a refusal, whatever the body says`() {
    #expect(refusal(#"{"active":true}"#, status: 500)?.status == 500)
    #expect(refusal("", status: 404)?.sentence.contains("introspection_url") == true)
    #expect(
      refusal("", status: 307, headers: ["Location": "https://evil/x"])?.sentence.contains(
        "to https://evil, which is never") == true)
  }
}

@Suite struct RevocationReplyTests {
  private let now: Int64 = 1_795_000_000_000
  private func classify(_ status: Int, _ body: String = "", headers: [String: String] = [:]) -> RevocationOutcome {
    RevocationReply.classify(status: status, header: { headers[$0] }, body: Array(body.utf8), now: now)
  }

  @Test(arguments: [200, 202, 204]) func `R8.01 every success is revoked, also with a body`(status: Int) {
    #expect(classify(status) == .revoked)
    #expect(classify(status, "<html>") == .revoked)
  }

  @Test func `R8.01 503 and 429 ask to come again`() {
    #expect(classify(503, headers: ["Retry-After": "7"]) == .retryLater(.seconds(7)))
    #expect(classify(503) == .retryLater(nil))
    #expect(classify(429, #"{"error":"slow_down"}"#) == .retryLater(nil))
  }

  @Test func `R8.01 a kind of token that cannot be revoked is told apart`() {
    #expect(classify(400, #"{"error":"unsupported_token_type"}"#) == .unsupportedTokenType)
  }

  @Test func `R8.01 everything else is a refusal with its words`() {
    guard case .refused(let refusal) = classify(401, #"{"error":"invalid_client"}"#) else {
      Issue.record("not refused")
      return
    }
    #expect(refusal.oauth?.error == "invalid_client")
    #expect(refusal.sentence == "the revocation endpoint refused with invalid_client (401)")
    for status in [0, 100, 302, 400, 404, 500] {
      guard case .refused(let refusal) = classify(status) else {
        Issue.record("not refused: \(status)")
        continue
      }
      #expect(refusal.status == status)
    }
  }

  @Test func `R8.01 of ten thousand damaged answers none crashes, and none becomes revoked`() {
    let original = Array(#"{"active":true,"error":"unsupported_token_type","error_description":"x"}"#.utf8)
    var mutator = Mutator(seed: 24)
    for _ in 0..<10_000 {
      let body = mutator.mutate(original)
      let value = String(decoding: mutator.mutate(Array("Bearer error=\"x\", realm=\"y\"".utf8)), as: UTF8.self)
      let status = [302, 400, 401, 403, 404, 500, 503][mutator.below(7)]
      #expect(RevocationReply.classify(status: status, header: { _ in value }, body: body, now: now) != .revoked)
      _ = IntrospectionReply.read(status: 200, header: { _ in value }, body: body)
    }
  }
}
