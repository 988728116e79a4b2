/// Headers and bodies in which servers say when, why and how: dates, pauses, challenges, OperationOutcomes.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct ServerWordsTests {
  /// 2026-11-24T00:00:00Z
  private let now: Int64 = 1_795_478_400_000

  private func wait(_ headers: [String: String]) -> Int64? {
    RetryAfter.parse(header: { name in headers.first { $0.key.lowercased() == name.lowercased() }?.value }, now: now)?
      .milliseconds
  }

  @Test(arguments: [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "sun, 6 nov 1994 08:49:37 UTC",
  ])
  func `R9.11 all three forms of a date are read`(text: String) {
    #expect(HTTPDate.parse(text, now: now) == 784_111_777_000)
  }

  @Test(arguments: [
    "", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 PST", "Sun, -6 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 99999 08:49:37 GMT", "1994-11-06T08:49:37Z",
  ])
  func `what is no date is none`(text: String) {
    #expect(HTTPDate.parse(text, now: now) == nil)
  }

  @Test func `a year of two digits lies at most fifty years ahead`() {
    #expect(HTTPDate.parse("Sunday, 06-Nov-76 08:49:37 GMT", now: now) == 3_371_878_177_000)
    #expect(HTTPDate.parse("Sunday, 06-Nov-77 08:49:37 GMT", now: now) == 247_654_177_000)
  }

  @Test func `R9.11 a pause is read from every family of headers`() {
    #expect(wait(["Retry-After": "120"]) == 120_000)
    #expect(wait(["retry-after": " 1.5 "]) == 1500)
    #expect(wait(["Retry-After": "Tue, 24 Nov 2026 00:01:00 GMT"]) == 60_000)
    #expect(wait(["x-ms-retry-after-ms": "250"]) == 250)
    #expect(wait(["RateLimit-Reset": "30"]) == 30_000)
    #expect(wait(["X-RateLimit-Reset": "1795478410"]) == 10_000)
    #expect(wait(["X-RateLimit-Reset": "1795478405000"]) == 5000)
    #expect(wait(["RateLimit": "limit=10, remaining=0, reset=7"]) == 7000)
    #expect(wait(["RateLimit": "\"default\";r=0;t=9"]) == 9000)
    #expect(wait(["Retry-After": "5", "RateLimit-Reset": "30"]) == 5000)
    #expect(wait(["Retry-After": "soon", "RateLimit-Reset": "30"]) == 30_000)
  }

  @Test func `R9.11 a pause is clamped and nonsense is none`() {
    #expect(wait(["Retry-After": "99999999999999999999"]) == RetryAfter.max.milliseconds)
    #expect(wait(["Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"]) == 0)
    #expect(wait(["Retry-After": "-5"]) == nil)
    #expect(wait(["Retry-After": "1e9"]) == nil)
    #expect(wait(["Retry-After": ""]) == nil)
    #expect(wait([:]) == nil)
  }

  @Test func `the state of a rate limit on any other answer asks for nothing`() {
    #expect(RetryAfter.parse(status: 400, header: { $0 == "RateLimit-Reset" ? "30" : nil }, now: now) == nil)
    #expect(RetryAfter.parse(status: 400, header: { $0 == "Retry-After" ? "30" : nil }, now: now) == .seconds(30))
  }

  @Test func `quirk 34 the skew of a server's clock is told by its Date`() {
    let date = "Tue, 24 Nov 2026 00:01:00 GMT"
    #expect(ServerDate.skew(header: date, sentAt: now, receivedAt: now + 1000)?.milliseconds == 60_000)
    #expect(ServerDate.skew(header: nil, sentAt: now, receivedAt: now) == nil)
    #expect(ServerDate.skew(header: "x", sentAt: now, receivedAt: now) == nil)
  }

  @Test func `quirk 7 challenges are read, several in one value`() {
    let value =
      "Basic realm=\"a, \\\"b\\\"\", Bearer realm=x , error=\"insufficient_scope\",scope=\"a b\", Negotiate, NTLM YWJj=="
    let challenges = WWWAuthenticate.parse(value)
    #expect(challenges.map(\.scheme) == ["basic", "bearer", "negotiate", "ntlm"])
    #expect(challenges[0].parameters == ["realm": "a, \"b\""])
    #expect(challenges[1].parameters == ["realm": "x", "error": "insufficient_scope", "scope": "a b"])
    #expect(challenges[3].token68 == "YWJj==")
    #expect(OAuthError(challenges[1])?.error == "insufficient_scope")
    #expect(WWWAuthenticate.parse("").isEmpty)
    #expect(WWWAuthenticate.parse("Bearer realm=\"never closed")[0].parameters == ["realm": "never closed"])
  }

  @Test func `R9.10 an OperationOutcome is told by its issues, with or without a code`() {
    func text(_ body: String) -> String? { OperationOutcome.text(Array(body.utf8)) }
    #expect(
      text(
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"diagnostics\":\"no category\"}]}")
        == "no category")
    #expect(
      text(
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"code\":\"not-found\"},{\"details\":{\"text\":\"gone\"}}]}"
      )
        == "not-found; gone")
    #expect(
      text(
        "<OperationOutcome xmlns=\"http://hl7.org/fhir\"><issue><diagnostics value=\"a &lt;b&gt;\"/></issue></OperationOutcome>"
      )
        == "a <b>")
    #expect(text("{\"resourceType\":\"OperationOutcome\",\"text\":{\"div\":\"<div>no <b>way</b></div>\"}}") == "no way")
    #expect(text("{\"resourceType\":\"OperationOutcome\",\"issue\":7}") == nil)
    #expect(text("{}") == nil)
    #expect(text("{\"error\":\"invalid_token\",\"error_description\":\"old\"}") == "invalid_token: old")
  }

  @Test func `R9.10 any answer gives a sentence`() {
    func sentence(_ status: Int, _ body: String, _ challenge: String? = nil) -> String {
      OperationOutcome.sentence(
        status: status, header: { $0 == "WWW-Authenticate" ? challenge : nil }, body: Array(body.utf8))
    }
    #expect(sentence(403, "", "Bearer error=\"insufficient_scope\"") == "the server answered 403: insufficient_scope")
    #expect(sentence(500, "") == "the server answered 500 with an empty body")
    #expect(
      sentence(404, "<!DOCTYPE html><html><title>404 &amp; gone</title>")
        == "the server answered 404 with an HTML page: 404 & gone")
    #expect(sentence(502, "bad\u{1b}[1m gateway") == "the server answered 502: bad [1m gateway")
    #expect(sentence(400, "<a/>") == "the server answered 400 with XML")
  }

  @Test func `of ten thousand damaged headers and bodies none crashes`() {
    let texts = [
      "Sunday, 06-Nov-94 08:49:37 GMT", "Bearer realm=\"x\", error=\"y\", Basic YWJj==",
      "limit=10, remaining=0, reset=30",
      "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"diagnostics\":\"x\",\"details\":{\"coding\":[{\"display\":\"y\"}]}}]}",
      "<OperationOutcome><issue><details><text value='x &amp; y'/></details><diagnostics value=\"z\"/></issue></OperationOutcome>",
      "<html><title>x</title><body>y</body></html>",
    ].map { Array($0.utf8) }
    var mutator = Mutator(seed: 6)
    for i in 0..<10_000 {
      let bytes = mutator.mutate(texts[i % texts.count])
      let text = String(decoding: bytes, as: UTF8.self)
      _ = HTTPDate.parse(text, now: now)
      _ = WWWAuthenticate.parse(text)
      let pause = RetryAfter.parse(header: { _ in text }, now: now)
      #expect(pause.map { (0...RetryAfter.max.milliseconds).contains($0.milliseconds) } ?? true)
      let sentence = OperationOutcome.sentence(status: 500, header: { _ in text }, body: bytes)
      #expect(!sentence.isEmpty && sentence.count < 1500)
    }
  }
}
