/// How interactions become requests, and what is refused before anything is sent.
import FHIRInteraction
import FHIRSchema
import SMARTProtocol
import Testing

private let base = try? FHIRBaseURL("https://fhir.example.org/r4/", allowInsecureLoopback: false)

private func request(
  _ interaction: Interaction, _ change: (inout RequestOptions) -> Void = { _ in }
) throws -> FHIRRequest {
  var options = RequestOptions(release: .r4)
  change(&options)
  return try FHIRRequest(interaction, at: try #require(base), options: options)
}

private func problem(
  _ interaction: Interaction, _ change: (inout RequestOptions) -> Void = { _ in }
) -> FHIRRequest.Problem? {
  do {
    _ = try request(interaction, change)
    return nil
  } catch { return error as? FHIRRequest.Problem }
}

private let patient = Interaction.Target.instance(type: "Patient", id: "1")
private let body = Array("{\"resourceType\":\"Patient\"}".utf8)

@Suite struct RequestTests {
  @Test(arguments: [
    (Interaction.read(type: "Patient", id: "a-1.b"), "GET", "/Patient/a-1.b"),
    (.vread(type: "Patient", id: "1", version: "7"), "GET", "/Patient/1/_history/7"),
    (.history(type: nil, id: nil, parameters: []), "GET", "/_history"),
    (.history(type: "Patient", id: nil, parameters: []), "GET", "/Patient/_history"),
    (
      .history(type: "Patient", id: "1", parameters: [SearchParameter("_count", "5")]), "GET",
      "/Patient/1/_history?_count=5"
    ),
    (
      .search(type: nil, in: nil, parameters: [SearchParameter("_type", "Patient,Group")]), "GET",
      "?_type=Patient,Group"
    ),
    (
      .search(type: "Observation", in: .init(type: "Patient", id: "1"), parameters: []), "GET",
      "/Patient/1/Observation"
    ),
    (.search(type: nil, in: .init(type: "Patient", id: "1"), parameters: []), "GET", "/Patient/1/*"),
    (.create(type: "Patient", body: body, ifNoneExist: nil), "POST", "/Patient"),
    (.update(patient, body: body), "PUT", "/Patient/1"),
    (
      .update(.criteria(type: "Patient", [SearchParameter("identifier", "a|b")]), body: body), "PUT",
      "/Patient?identifier=a%7Cb"
    ),
    (.patch(patient, .jsonPatch, body: body), "PATCH", "/Patient/1"),
    (.delete(patient), "DELETE", "/Patient/1"),
    (
      .operation(name: "$everything", type: "Patient", id: "1", parameters: [], body: nil), "GET",
      "/Patient/1/$everything"
    ),
    (.operation(name: "validate", type: "Patient", id: nil, parameters: [], body: body), "POST", "/Patient/$validate"),
    (
      .operation(name: "export", type: nil, id: nil, parameters: [SearchParameter("_type", "Patient")], body: nil),
      "GET", "/$export?_type=Patient"
    ),
    (.bundle(body: body), "POST", ""), (.capabilities, "GET", "/metadata"),
    (.raw(.get, path: "/Patient?name=a%20b&x=a|b", body: nil), "GET", "/Patient?name=a%20b&x=a%7Cb"),
    (.raw(.post, path: "", body: body), "POST", ""),
    (.raw(.get, path: "https://fhir.example.org/r4/Patient/1", body: nil), "GET", "/Patient/1"),
  ])
  func `R9.04 every interaction has its method and its address, with one slash behind the base`(
    interaction: Interaction, method: String, path: String
  ) throws {
    let made = try request(interaction)
    #expect(made.method.rawValue == method)
    #expect(made.url == "https://fhir.example.org/r4" + path)
    #expect(made.findings.isEmpty)
  }

  @Test(arguments: [
    (FHIRRelease.dstu2, false, "application/json+fhir"), (.dstu2, true, "application/json+fhir; fhirVersion=1.0"),
    (.stu3, true, "application/fhir+json; fhirVersion=3.0"), (.r4, false, "application/fhir+json"),
    (.r4, true, "application/fhir+json; fhirVersion=4.0"), (.r4b, true, "application/fhir+json; fhirVersion=4.3"),
    (.r5, true, "application/fhir+json; fhirVersion=5.0"),
  ])
  func `R9.01 the media type is the release's own, without a charset (quirk 15)`(
    release: FHIRRelease, names: Bool, type: String
  ) throws {
    let made = try request(.create(type: "Patient", body: body, ifNoneExist: nil)) {
      $0.release = release
      $0.namesVersion = names
    }
    #expect(made.header("accept") == type)
    #expect(made.header("content-type") == type)
  }

  @Test func `R9.01 metadata is asked for as plain JSON where FHIR's type is refused (quirk 14)`() throws {
    let made = try request(.capabilities) { $0.format = .plain }
    #expect(made.url.hasSuffix("/metadata?_format=json"))
    #expect(made.header("Accept") == "application/json")
    #expect(try request(.read(type: "Patient", id: "1")) { $0.format = .plain }.url.hasSuffix("/Patient/1"))
  }

  @Test func `parameters keep their order, may come twice, and are encoded once`() throws {
    let made = try request(
      .search(
        type: "Observation", in: nil,
        parameters: [
          SearchParameter("date", "ge2020"), SearchParameter("code:in", "http://x/y?a=b&c"),
          SearchParameter("date", "le2021"), SearchParameter("name", "100% é+"),
        ]))
    #expect(made.url.hasSuffix("?date=ge2020&code:in=http://x/y%3Fa%3Db%26c&date=le2021&name=100%25%20%C3%A9%2B"))
    #expect(made.parameters.count == 4)
  }

  @Test func `R9.08 a search that is too long for a URL is posted as a form`() throws {
    let ids = SearchParameter("_id", String(repeating: "a,", count: 1200))
    let made = try request(.search(type: "Patient", in: nil, parameters: [ids]))
    #expect(made.method == .post)
    #expect(made.url == "https://fhir.example.org/r4/Patient/_search")
    #expect(made.header("Content-Type") == "application/x-www-form-urlencoded")
    #expect(made.body == Array("_id=\(ids.value)".utf8))
    #expect(made.repeatability == .safe)
    #expect(
      problem(.search(type: "Patient", in: nil, parameters: [ids])) { $0.searchForm = .get } == .urlTooLong(limit: 2000)
    )
  }

  @Test func `R9.08 a search is posted where policy says so, so that no value stands in a log`() throws {
    let made = try request(.search(type: "Patient", in: nil, parameters: [SearchParameter("name", "Meier")])) {
      $0.searchForm = .post
    }
    #expect(made.method == .post && !made.url.contains("Meier"))
    #expect(
      try request(.search(type: nil, in: nil, parameters: [])) { $0.searchForm = .post }.url
        == "https://fhir.example.org/r4/_search")
  }

  @Test func `R9.18 preferences stand in one header`() throws {
    let made = try request(.search(type: "Patient", in: nil, parameters: [])) {
      $0.handling = .strict
      $0.returns = .minimal
      $0.respondsAsync = true
    }
    #expect(made.header("Prefer") == "return=minimal, handling=strict, respond-async")
  }

  @Test func `R9.13 conditions are sent as the server worded them`() throws {
    let made = try request(.read(type: "Patient", id: "1")) {
      $0.ifNoneMatch = EntityTag("W/\"3\"")
      $0.ifModifiedSince = "Sun, 06 Nov 1994 08:49:37 GMT"
    }
    #expect(made.header("If-None-Match") == "W/\"3\"")
    #expect(made.header("If-Modified-Since") == "Sun, 06 Nov 1994 08:49:37 GMT")
    #expect(made.isConditional)
    #expect(
      try request(.update(patient, body: body)) { $0.ifMatch = EntityTag(version: "3") }.header("If-Match") == "W/\"3\""
    )
    #expect(
      try request(.create(type: "Patient", body: body, ifNoneExist: [SearchParameter("identifier", "a|b c")]))
        .header("If-None-Exist") == "identifier=a%7Cb%20c")
  }

  @Test(arguments: [
    (Interaction.read(type: "Patient", id: "1"), FHIRRequest.Repeatability.safe),
    (.raw(.head, path: "Patient/1", body: nil), .safe), (.raw(.post, path: "Patient/_search", body: []), .safe),
    (.raw(.post, path: "Patient", body: body), .never), (.raw(.delete, path: "Patient/1", body: nil), .idempotent),
    (.raw(.delete, path: "Patient?name=a", body: nil), .never), (.update(patient, body: body), .never),
    (.patch(patient, .fhirPath, body: body), .never), (.delete(patient), .idempotent),
    (.delete(.criteria(type: "Patient", [SearchParameter("name", "a")])), .never), (.bundle(body: body), .never),
    (.create(type: "Patient", body: body, ifNoneExist: [SearchParameter("a", "b")]), .never),
    (.operation(name: "everything", type: "Patient", id: "1", parameters: [], body: nil), .safe),
    (.operation(name: "process-message", type: nil, id: nil, parameters: [], body: body), .never),
  ])
  func `R9.12 what may be sent twice is known beforehand`(
    interaction: Interaction, repeatability: FHIRRequest.Repeatability
  ) throws {
    #expect(try request(interaction).repeatability == repeatability)
  }

  @Test func `R9.12 an update may be sent twice only with If-Match`() throws {
    #expect(
      try request(.update(patient, body: body)) { $0.ifMatch = EntityTag(version: "3") }.repeatability == .idempotent)
  }
}

@Suite struct RequestRefusalTests {
  @Test(arguments: ["", "patient", "Patient/1", "../Patient", "Pat ient", "P\u{E4}", String(repeating: "A", count: 65)])
  func `a resource type is a word`(type: String) {
    #expect(problem(.read(type: type, id: "1")) == .resourceType)
  }

  @Test(arguments: ["", ".", "..", "a/b", "a\\b", "a%2e", "a\nb", "\u{0}", String(repeating: "a", count: 257)])
  func `an id never leaves its segment`(id: String) {
    #expect(problem(.read(type: "Patient", id: id)) == .id)
    #expect(problem(.vread(type: "Patient", id: "1", version: id)) == .id)
  }

  @Test(arguments: [("a b?", "a%20b%3F"), ("urn:x", "urn:x"), ("é", "%C3%A9"), ("a_b", "a_b")])
  func `an odd id is encoded, sent and told`(id: String, segment: String) throws {
    let made = try request(.read(type: "Patient", id: id))
    #expect(made.url == "https://fhir.example.org/r4/Patient/\(segment)")
    #expect(made.findings.map(\.id) == ["id-grammar"])
  }

  @Test(arguments: [
    ("https://evil.example/x", FHIRRequest.Problem.foreignOrigin(Origin(of: "https://evil.example")!)),
    ("http://fhir.example.org/r4/x", .foreignOrigin(Origin(of: "http://fhir.example.org")!)),
    ("https://fhir.example.org/admin", .foreignOrigin(Origin(of: "https://fhir.example.org")!)),
    ("https://fhir.example.org/r4evil/x", .foreignOrigin(Origin(of: "https://fhir.example.org")!)),
    ("https://fhir.example.org/r4/../admin", .pathTraversal), ("https://a@fhir.example.org/r4/x", .badURL(.host)),
    ("file:///etc/passwd", .badURL(.scheme("file"))), ("urn:x", .badURL(.notAbsolute)),
    ("//evil.example/x", .absoluteURL),
    ("/\\evil.example", .absoluteURL), ("../admin", .pathTraversal), ("a/../b", .pathTraversal),
    ("a/%2e%2E/b", .pathTraversal), ("a/%252e%252e/b", .pathTraversal), ("a/..;x/b", .pathTraversal),
    ("a%2f..%2fb", .pathTraversal), ("a\\b", .pathTraversal), ("a%5cb", .pathTraversal), ("a%00b", .pathTraversal),
    ("a#b", .fragment), ("a%zz", .pathEscape(offset: 1)), ("a\r\nb", .pathCharacter(offset: 1)),
  ])
  func `R9.06 a raw request stays below the base`(path: String, expected: FHIRRequest.Problem) {
    #expect(problem(.raw(.get, path: path, body: nil)) == expected)
  }

  @Test func `an origin that the operator allowed may be asked`() throws {
    let other = try #require(Origin(of: "https://files.example.org"))
    let made = try request(.raw(.get, path: "https://files.example.org/x?y=../z", body: nil)) {
      $0.allowedOrigins = [other]
    }
    #expect(made.url == "https://files.example.org/x?y=../z")
  }

  @Test(arguments: [
    "Authorization", "authorization", "Host", "Cookie", "Content-Length", "Transfer-Encoding", "Proxy-Authorization",
    "X-HTTP-Method-Override", "Accept-Encoding",
  ])
  func `a caller does not set what the daemon answers for`(name: String) {
    #expect(
      problem(.raw(.get, path: "Patient", body: nil)) { $0.headers = [.init(name, "x")] } == .headerNotAllowed(name))
  }

  @Test func `nothing gets into a header by a line break`() {
    let raw = Interaction.raw(.get, path: "Patient", body: nil)
    #expect(problem(raw) { $0.headers = [.init("X-A", "b\r\nAuthorization: c")] } == .headerValue("X-A"))
    #expect(problem(raw) { $0.headers = [.init("X-A: b\r\nX", "c")] } == .headerName)
    #expect(problem(raw) { $0.headers = [.init("", "c")] } == .headerName)
    #expect(problem(raw) { $0.ifModifiedSince = "x\ny" } == .headerValue("If-Modified-Since"))
    #expect(EntityTag("a\r\nb") == nil)
  }

  @Test func `a caller's Accept replaces ours`() throws {
    let made = try request(.raw(.get, path: "Binary/1", body: nil)) { $0.headers = [.init("accept", "image/png")] }
    #expect(made.headers == [FHIRRequest.Header("accept", "image/png")])
  }

  @Test func `a conditional request without criteria would match everything`() {
    #expect(problem(.delete(.criteria(type: "Patient", []))) == .noCriteria)
    #expect(problem(.create(type: "Patient", body: body, ifNoneExist: [])) == .noCriteria)
    #expect(problem(.update(patient, body: [])) == .noBody)
    #expect(problem(.search(type: "Patient", in: nil, parameters: [.init("", "x")])) == .emptyParameterName)
    #expect(problem(.history(type: nil, id: "1", parameters: [])) == .historyWithoutType)
    #expect(problem(.operation(name: "$../x", type: nil, id: nil, parameters: [], body: nil)) == .operationName)
  }

  @Test(arguments: [
    ("W/\"3\"", true, "3", "W/\"3\""), ("\"3\"", false, "3", "\"3\""), (" w/\"a-b\" ", true, "a-b", "W/\"a-b\""),
    ("3", false, "3", "\"3\""), ("W/3", true, "3", "W/\"3\""),
  ])
  func `R9.14 an entity tag makes the round trip`(text: String, weak: Bool, opaque: String, back: String) throws {
    let tag = try #require(EntityTag(text))
    #expect(tag.isWeak == weak && tag.opaque == opaque && tag.description == back)
  }

  @Test(arguments: ["", "\"\"", "W/", "\"a\"b\"", "a b", String(repeating: "a", count: 600)])
  func `R9.14 what is no entity tag is none`(text: String) { #expect(EntityTag(text) == nil) }
}
