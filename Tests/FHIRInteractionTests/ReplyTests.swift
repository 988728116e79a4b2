/// What becomes of answers, good, odd and broken.
import FHIRControl
import FHIRInteraction
import SMARTProtocol
import TestSupport
import Testing

private let now: Int64 = 1_795_000_000_000

private func reply(
  _ status: Int, _ headers: [String: String] = [:], _ body: String = "",
  to question: FHIRReply.Question = .init(expects: .resource("Patient"))
) -> FHIRReply {
  FHIRReply(
    status: status, header: { name in headers.first { $0.key.lowercased() == name.lowercased() }?.value },
    body: Array(body.utf8), to: question, now: now)
}

private let json = ["Content-Type": "application/fhir+json"]
private let patient = "{\"resourceType\":\"Patient\",\"id\":\"1\"}"

private func outcome(_ issue: String) -> String { "{\"resourceType\":\"OperationOutcome\",\"issue\":[\(issue)]}" }

@Suite struct ReplyTests {
  @Test func `a resource is a success without a word`() {
    let answer = reply(200, json, patient)
    #expect(answer.kind == .success && answer.sentence == nil && answer.findings.isEmpty)
    #expect(answer.resourceType == "Patient")
  }

  @Test(arguments: [
    "application/fhir+json", "application/json+fhir", "application/json", "text/json",
    "application/fhir+json;charset=UTF-8", "Application/FHIR+JSON; charset=\"utf-8\"; fhirVersion=4.0",
  ])
  func `R9.02 every JSON type is taken without a finding (quirk 12)`(type: String) {
    #expect(reply(200, ["content-type": type], patient).findings.isEmpty)
  }

  @Test(arguments: [
    (["Content-Type": "text/html"], "content-type"), ([:], "content-type-missing"),
    (["Content-Type": "application/json; charset=iso-8859-1"], "charset"),
  ])
  func `R9.02 the body decides, the header is only warned of`(headers: [String: String], finding: String) {
    let answer = reply(200, headers, patient)
    #expect(answer.kind == .success)
    #expect(answer.findings.map(\.id) == [finding])
  }

  @Test func `R9.03 XML where JSON was asked for is told, not parsed`() {
    let answer = reply(200, ["Content-Type": "application/fhir+xml"], "<Patient xmlns=\"http://hl7.org/fhir\"/>")
    #expect(answer.kind == .unusable)
    #expect(answer.sentence == "the server answered 200 with XML, though JSON was asked for")
    #expect(answer.findings.map(\.id) == ["xml-body"])
    let refusal = reply(
      404, [:], "<OperationOutcome><issue><diagnostics value=\"no Patient/1\"/></issue></OperationOutcome>")
    #expect(refusal.kind == .notFound)
    #expect(refusal.sentence == "the server answered 404: no Patient/1")
    #expect(refusal.findings.map(\.id) == ["xml-body"])
  }

  @Test(arguments: [
    (401, FHIRReply.Kind.authentication), (403, .authorization), (404, .notFound), (410, .notFound),
    (429, .rateLimited),
    (400, .refused), (405, .refused), (409, .refused), (412, .refused), (422, .refused), (500, .refused),
    (501, .refused),
    (502, .serverTrouble), (503, .serverTrouble), (504, .serverTrouble), (408, .serverTrouble), (200, .refused),
  ])
  func `R9.10 an OperationOutcome is read on any status`(status: Int, kind: FHIRReply.Kind) {
    let body = outcome(
      "{\"severity\":\"error\",\"code\":\"not-found\",\"diagnostics\":\"no \\u0007 such\",\"expression\":[\"Patient.id\"]}"
    )
    let answer = reply(status, json, body)
    #expect(answer.kind == kind)
    #expect(answer.issues.map(\.code) == ["not-found"])
    #expect(answer.issues.map(\.text) == ["no   such"])
    #expect(answer.issues.map(\.expression) == [["Patient.id"]])
    #expect(answer.sentence == "the server answered \(status): no   such")
  }

  @Test func `R9.10 an issue without code, or without anything, is an issue (quirk 26)`() {
    let answer = reply(400, json, outcome("{\"details\":{\"text\":\"category required\"}},{},7"))
    #expect(answer.issues.map(\.text) == ["category required", nil])
    #expect(answer.findings.map(\.id) == ["issue-without-code"])
    let single = reply(
      400, json, "{\"resourceType\":\"OperationOutcome\",\"issue\":{\"code\":\"x\",\"severity\":\"fatal\"}}")
    #expect(single.issues.first?.isError == true)
  }

  @Test(arguments: [
    ("", "empty-body", "the server answered 500 with an empty body"),
    ("<html><title>Oops</title>", "html-body", "the server answered 500 with an HTML page: Oops"),
    ("java.lang.NullPointerException", "text-body", "the server answered 500: java.lang.NullPointerException"),
    ("{\"message\":\"x\"}", "no-outcome", "the server answered 500 with JSON that is no OperationOutcome"),
  ])
  func `R9.10 an error may have any body or none`(body: String, finding: String, sentence: String) {
    let answer = reply(500, [:], body)
    #expect(answer.kind == .serverTrouble && answer.sentence == sentence)
    #expect(answer.findings.map(\.id) == [finding])
  }

  @Test func `R9.10 the challenge says what an empty 403 does not (quirk 7)`() {
    let answer = reply(403, ["WWW-Authenticate": "Bearer error=\"insufficient_scope\", error_description=\"no\""])
    #expect(answer.kind == .authorization && answer.oauth?.error == "insufficient_scope")
    #expect(answer.sentence == "the server answered 403: insufficient_scope, no")
    #expect(!answer.blamesToken)
  }

  @Test(arguments: [
    (["WWW-Authenticate": "Bearer realm=\"x\", error=\"invalid_token\""], "", true), ([:], "<html>", true),
    (["WWW-Authenticate": "Bearer error=\"insufficient_scope\""], "", false),
    (["WWW-Authenticate": "Bearer error=\"invalid_request\""], "", false), (["WWW-Authenticate": "Basic x"], "", true),
    ([:], "{\"error\":\"invalid_token\"}", true), ([:], "{\"error\":\"unauthorized_client\"}", false),
  ])
  func `R7.09 a 401 blames the token when it says so, or says nothing`(
    headers: [String: String], body: String, blames: Bool
  ) {
    #expect(reply(401, headers, body).blamesToken == blames)
  }

  @Test func `a page in place of an answer is no resource`() {
    #expect(reply(200, json, "<html><title>Login</title>").kind == .unusable)
    #expect(reply(200, json, "<html><h1>Scheduled maintenance</h1>").kind == .serverTrouble)
    #expect(reply(200, json, "").kind == .unusable)
    #expect(reply(200, json, "hello").kind == .unusable)
    #expect(reply(200, json, "{}").kind == .unusable)
    #expect(reply(200, json, "{\"resourceType\":\"Patient\",").kind == .unusable)
    #expect(reply(200, json, "[]").sentence == "the server answered 200 with JSON that is no FHIR resource")
    #expect(reply(200, json, "{").sentence == "the server answered 200, but the JSON ends in the middle")
  }

  @Test func `what was written may be answered with nothing, what was raw with anything`() {
    #expect(reply(204, to: .init(expects: .outcome)).kind == .success)
    #expect(reply(201, to: .init(expects: .outcome)).kind == .success)
    #expect(reply(200, [:], "hello", to: .init()).kind == .success)
    #expect(reply(200, [:], "", to: .init(expects: .resource(nil), isHead: true)).kind == .success)
    #expect(
      reply(200, json, outcome("{\"severity\":\"information\",\"code\":\"x\"}"), to: .init(expects: .outcome)).kind
        == .success)
    #expect(reply(200, json, outcome("{\"severity\":\"error\"}"), to: .init()).kind == .success)
    #expect(
      reply(202, ["Content-Location": "https://h/x/$status?id=1"]).contentLocation?.url == "https://h/x/$status?id=1")
    #expect(reply(202).kind == .accepted)
  }

  @Test func `another resource than was expected is told`() {
    #expect(reply(200, json, "{\"resourceType\":\"Group\"}").findings.map(\.id) == ["other-resource"])
  }

  @Test func `R9.13 304 and 200 both answer a conditional read`() {
    let question = FHIRReply.Question(expects: .resource("Patient"), isConditional: true)
    #expect(reply(304, ["ETag": "W/\"1\""], to: question).kind == .notModified)
    #expect(reply(200, json, patient, to: question).kind == .success)
    #expect(reply(304).kind == .unusable)
  }

  @Test func `R9.14 a weak ETag goes back as it came, and E-Tag is not looked at (quirk 28)`() {
    let answer = reply(
      200, json.merging(["ETag": "W/\"3\"", "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"]) { $1 }, patient)
    #expect(answer.entityTag?.description == "W/\"3\"" && answer.entityTag?.isWeak == true)
    #expect(answer.lastModified == "Sun, 06 Nov 1994 08:49:37 GMT")
    #expect(reply(200, json.merging(["E-Tag": "W/\"3\""]) { $1 }, patient).entityTag == nil)
    #expect(reply(200, json.merging(["ETag": "3"]) { $1 }, patient).findings.map(\.id) == ["etag-form"])
    #expect(reply(200, json.merging(["ETag": "\"\""]) { $1 }, patient).findings.map(\.id) == ["etag-unusable"])
  }

  @Test func `R9.19 a redirect is no new base`() {
    let answer = reply(302, ["Location": "https://login.example.org/x?y"])
    #expect(answer.kind == .unusable)
    #expect(answer.sentence?.contains("a redirect to https://login.example.org does not move") == true)
  }

  @Test(
    arguments: [
      (["Retry-After": "7"], 7000), (["x-ms-retry-after-ms": "1500"], 1500), (["X-RateLimit-Reset": "30"], 30_000),
      (["RateLimit": "limit=10, remaining=0, reset=5"], 5000),
      (["Retry-After": "Wed, 18 Nov 2026 11:07:10 GMT"], 30_000),
    ] as [([String: String], Int64)])
  func `R9.11 a pause is read in every dialect (quirk 20)`(headers: [String: String], milliseconds: Int64) {
    #expect(reply(429, headers).retryAfter == .milliseconds(milliseconds))
  }

  @Test func `every kind that is no success has a code of the control protocol`() {
    for kind in FHIRReply.Kind.allCases {
      guard let code = kind.errorCode else { continue }
      #expect(ErrorCode(rawValue: code) != nil, "\(code)")
    }
    #expect(FHIRReply.Kind.allCases.count { $0.errorCode == nil } == 3)
  }
}

@Suite struct LocationTests {
  private let base = try? FHIRBaseURL("https://h.example/fhir/r4", allowInsecureLoopback: false)

  @Test(arguments: [
    ("https://h.example/fhir/r4/Patient/1/_history/2", "https://h.example/fhir/r4/Patient/1/_history/2", "2", false),
    ("Patient/1", "https://h.example/fhir/r4/Patient/1", nil, false),
    ("/fhir/r4/Patient/1/_history/2", "https://h.example/fhir/r4/Patient/1/_history/2", "2", false),
    ("http://internal:8080/fhir/Patient/1?x#y", "http://internal:8080/fhir/Patient/1?x#y", nil, true),
    ("HTTPS://H.example:443/FHIR/Patient/1", "HTTPS://H.example:443/FHIR/Patient/1", nil, false),
  ])
  func `an address names its resource, relative or of another base`(
    text: String, url: String, version: String?, elsewhere: Bool
  ) throws {
    let location = try #require(ResourceLocation(text, base: base))
    #expect(location.url == url)
    #expect(location.type == "Patient" && location.id == "1" && location.version == version)
    #expect(location.isElsewhere == elsewhere)
  }

  @Test(arguments: [
    "https://h.example/fhir/r4/$status?id=1", "https://Patient/1", "x", "Patient/%2e%2e%2f", "_history/1",
  ])
  func `an address of something else names none`(text: String) throws {
    let location = try #require(ResourceLocation(text, base: base))
    #expect(location.type == nil && location.id == nil && location.version == nil)
  }

  @Test(arguments: ["", "a b", "a\u{7}", String(repeating: "a", count: 5000)])
  func `what no header may hold is no address`(text: String) { #expect(ResourceLocation(text, base: base) == nil) }
}

@Suite struct ReplyTotalityTests {
  @Test func `R9.10 of five thousand damaged answers none crashes, and each says something`() {
    let originals = [
      patient, outcome("{\"severity\":\"error\",\"code\":\"x\",\"details\":{\"coding\":[{\"display\":\"y\"}]}}"),
      "<html><title>a</title>", "<OperationOutcome><issue><diagnostics value='x'/></issue></OperationOutcome>", "",
    ].map { Array($0.utf8) }
    let headers = [
      "W/\"1\"", "Bearer error=\"invalid_token\"", "https://h/Patient/1/_history/2", "application/json", "120",
    ]
    .map { Array($0.utf8) }
    let statuses = [200, 201, 202, 204, 301, 304, 400, 401, 403, 404, 410, 429, 500, 501, 503, 0, -1, 99999]
    var mutator = Mutator(seed: 11)
    for i in 0..<5000 {
      let value = String(decoding: mutator.mutate(headers[i % headers.count]), as: UTF8.self)
      let question = FHIRReply.Question(
        expects: [.anything, .outcome, .resource(nil), .resource("Patient")][i % 4], isConditional: i % 3 == 0)
      let answer = FHIRReply(
        status: statuses[mutator.below(statuses.count)], header: { _ in value },
        body: mutator.mutate(originals[i % originals.count]), to: question, now: now)
      #expect((answer.sentence == nil) == answer.isSuccess)
      #expect(answer.sentence?.isEmpty != true)
    }
  }
}
