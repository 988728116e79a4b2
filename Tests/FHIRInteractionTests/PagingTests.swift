/// How pages follow one another, through what came and what is done next.
import FHIRInteraction
import FHIRSchema
import SMARTProtocol
import Testing

private let base = try? FHIRBaseURL("https://fhir.example.org/r4", allowInsecureLoopback: false)
private let elsewhere = "https://other.example.org"

private func search(_ parameters: [SearchParameter] = [], post: Bool = false) throws -> FHIRRequest {
  var options = RequestOptions(release: .r4)
  if post { options.searchForm = .post }
  return try FHIRRequest(
    .search(type: "Patient", in: nil, parameters: parameters), at: try #require(base), options: options)
}

/// A page with these ids and links.
private func page(
  _ ids: [String], next: String? = nil, self link: String? = nil, total: Int? = nil, mode: String = "match"
) throws -> (BundleSummary, PageTally) {
  func quoted(_ text: String) -> String { JSON.string(text).text }
  var links: [String] = []
  if let link { links.append("{\"relation\":\"self\",\"url\":\(quoted(link))}") }
  if let next { links.append("{\"relation\":\"next\",\"url\":\(quoted(next))}") }
  let entries = ids.map {
    "{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"\($0)\"},\"search\":{\"mode\":\"\(mode)\"}}"
  }
  let text =
    "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\(total.map { "\"total\":\($0)," } ?? "")"
    + "\"link\":[\(links.joined(separator: ","))],\"entry\":[\(entries.joined(separator: ","))]}"
  let (read, summary) = try BundleReader.read(Array(text.utf8))
  var tally = PageTally()
  for entry in read { tally.add(entry) }
  return (summary, tally)
}

extension Paging {
  fileprivate mutating func arrived(
    _ ids: [String], next: String? = nil, self link: String? = nil, total: Int? = nil, mode: String = "match"
  ) throws -> Action {
    let (summary, tally) = try page(ids, next: next, self: link, total: total, mode: mode)
    return pageArrived(summary, tally)
  }
}

private func refusal(_ status: Int) -> FHIRReply {
  FHIRReply(status: status, header: { _ in nil }, body: [], to: .init(), now: 0)
}

@Suite struct PagingTests {
  @Test func `R9.05 R9.06 only a page that will be followed is foreseen`() throws {
    var paging = Paging(try search(), limits: .init(pages: 2))
    #expect(paging.foreseen("?page=2") == "https://fhir.example.org/r4/Patient?page=2")
    #expect(paging.foreseen("https://fhir.example.org/r4/Patient") == nil, "it was there before")
    #expect(paging.foreseen(elsewhere + "/x") == nil && paging.foreseen("http://fhir.example.org/x") == nil)
    #expect(
      try paging.arrived(["1"], next: "?page=2")
        == .fetch(url: "https://fhir.example.org/r4/Patient?page=2", withToken: true))
    #expect(paging.foreseen("?page=3") == nil, "two pages were wanted")
    let origin = try #require(Origin(of: elsewhere))
    let allowed = Paging(try search(), allowed: [origin: .withToken])
    #expect(allowed.foreseen(elsewhere + "/x") == elsewhere + "/x")
    #expect(Paging(try search(), allowed: [origin: .withoutToken]).foreseen(elsewhere + "/x") == nil)
  }

  @Test func `R9.05 pages follow their next links verbatim and end without one`() throws {
    var paging = Paging(try search())
    let link = "https://fhir.example.org/R4/?sessionID=a%2fB&&x={y}|z"
    #expect(try paging.arrived(["1", "2"], next: link) == .fetch(url: link, withToken: true))
    #expect(try paging.arrived(["3"]) == .stop(.complete))
    #expect(paging.result.pages == 2 && paging.result.matches == 3 && paging.result.end == .complete)
    #expect(paging.result.resume == nil)
  }

  @Test(arguments: [
    ("?page=2", "https://fhir.example.org/r4/Patient?page=2"), ("/r4?page=2", "https://fhir.example.org/r4?page=2"),
    ("Patient?page=2", "https://fhir.example.org/r4/Patient?page=2"),
    ("//fhir.example.org/x", "https://fhir.example.org/x"),
    ("HTTPS://FHIR.example.org:443/x", "HTTPS://FHIR.example.org:443/x"),
    ("/x y\u{E9}", "https://fhir.example.org/x%20y%C3%A9"),
  ])
  func `R9.06 a relative link belongs to the address that was asked (quirk 18)`(link: String, url: String) throws {
    var paging = Paging(try search())
    #expect(try paging.arrived(["1"], next: link) == .fetch(url: url, withToken: true))
  }

  @Test func `R9.05 a link of many kilobytes is followed (quirk 19)`() throws {
    var paging = Paging(try search())
    let link = "https://fhir.example.org/r4?ct=" + String(repeating: "a", count: 6000)
    #expect(try paging.arrived(["1"], next: link) == .fetch(url: link, withToken: true))
  }

  @Test func `R9.06 another origin hears the token only with permission (quirk 17)`() throws {
    let origin = try #require(Origin(of: elsewhere))
    var paging = Paging(try search())
    #expect(try paging.arrived(["1"], next: elsewhere + "/p2") == .askPermission(origin: origin))
    #expect(paging.permissionGiven(.withoutToken) == .fetch(url: elsewhere + "/p2", withToken: false))
    #expect(try paging.arrived(["2"], next: "/p3") == .fetch(url: elsewhere + "/p3", withToken: false))

    var denied = Paging(try search())
    _ = try denied.arrived(["1"], next: elsewhere + "/p2")
    #expect(denied.permissionDenied() == .stop(.permissionDenied(origin: origin)))
    #expect(denied.result.resume == elsewhere + "/p2")

    var allowed = Paging(try search(), allowed: [origin: .withToken])
    #expect(try allowed.arrived(["1"], next: elsewhere + "/p2") == .fetch(url: elsewhere + "/p2", withToken: true))
  }

  @Test(arguments: [
    "http://fhir.example.org/r4?p=2", "https://fhir.example.org:443:443/r4", "https://a@fhir.example.org/r4",
    "ftp://x/y",
    "https:///r4", "https://fhir.example.org\\@evil.example/", "javascript:x", "https://h\n/x",
  ])
  func `R9.06 a link that cannot be followed safely ends the pages with what was got (quirk 18)`(link: String) throws {
    var paging = Paging(try search())
    guard case .stop(.linkUnusable(let sentence)) = try paging.arrived(["1"], next: link) else {
      Issue.record("\(link) was followed")
      return
    }
    #expect(!sentence.isEmpty && paging.result.matches == 1)
  }

  @Test func `R9.06 a rule makes the server's inner name its outer one (quirk 18)`() throws {
    let inner = try #require(Origin(of: "http://hapi:8080"))
    let outer = try #require(Origin(of: "https://fhir.example.org"))
    var paging = Paging(try search(), rewrites: [.init(from: inner, to: outer)])
    #expect(
      try paging.arrived(["1"], next: "http://hapi:8080/r4?p=2#x")
        == .fetch(url: "https://fhir.example.org/r4?p=2#x", withToken: true))
    #expect(paging.result.findings.map(\.id) == ["link-rewritten"])
  }

  @Test func `R9.05 a link that comes again ends the pages`() throws {
    var paging = Paging(try search())
    _ = try paging.arrived(["1"], next: "?p=2")
    _ = try paging.arrived(["2"], next: "?p=3")
    #expect(try paging.arrived(["3"], next: "?p=2") == .stop(.loop))
    var itself = Paging(try search())
    #expect(try itself.arrived(["1"], next: "https://fhir.example.org/r4/Patient") == .stop(.loop))
  }

  @Test func `R9.05 the same page under new links ends the pages (quirk 19)`() throws {
    var paging = Paging(try search())
    _ = try paging.arrived(["1", "2"], next: "?p=2")
    #expect(try paging.arrived(["1", "2"], next: "?p=3") == .stop(.loop))
  }

  @Test func `R9.05 empty pages are gone through, but not for ever`() throws {
    var paging = Paging(try search())
    for i in 1..<Paging.emptyPagesMax {
      guard case .fetch = try paging.arrived([], next: "?p=\(i)") else { return #expect(Bool(false)) }
    }
    #expect(try paging.arrived([], next: "?p=x") == .stop(.emptyPages))
  }

  @Test func `R9.05 limits of pages, resources and bytes keep the link to go on with`() throws {
    for (limits, end) in [
      (Paging.Limits(pages: 1), Paging.End.pageLimit), (.init(resources: 2), .resourceLimit),
      (.init(bytes: 10), .byteLimit),
    ] {
      var paging = Paging(try search(), limits: limits)
      #expect(try paging.arrived(["1", "2"], next: "?p=2") == .stop(end))
      let link = try #require(paging.result.resume)
      var rest = Paging(resuming: link, of: try search())
      #expect(try rest.arrived(["3"]) == .stop(.complete))
    }
    var last = Paging(try search(), limits: .init(pages: 1))
    #expect(try last.arrived(["1"]) == .stop(.complete))
  }

  @Test(arguments: [400, 404, 410])
  func `R9.07 a server that forgot the search is told so, with what was got`(status: Int) throws {
    var paging = Paging(try search())
    _ = try paging.arrived(["1"], next: "?p=2")
    #expect(paging.pageRefused(refusal(status)) == .stop(.stateLost(status: status)))
    #expect(paging.result.matches == 1 && paging.result.resume == nil)
    #expect(paging.result.end?.sentence.hasPrefix("paging state lost") == true)
    var first = Paging(try search())
    guard case .stop(.failed) = first.pageRefused(refusal(status)) else { return #expect(Bool(false)) }
  }

  @Test func `R9.07 a page that failed can be asked for again`() throws {
    var paging = Paging(try search())
    _ = try paging.arrived(["1"], next: "?p=2")
    guard case .stop(.failed) = paging.pageRefused(refusal(503)) else { return #expect(Bool(false)) }
    #expect(paging.result.resume == "https://fhir.example.org/r4/Patient?p=2")
    // Late words change nothing.
    #expect(
      paging.permissionGiven(.withToken) == .stop(.failed(sentence: "the server answered 503 with an empty body")))
    #expect(try paging.arrived(["2"]) == .stop(.failed(sentence: "the server answered 503 with an empty body")))
    #expect(paging.result.matches == 1)
  }

  @Test func `R9.09 a total that is no truth is an estimate`() throws {
    var exact = Paging(try search())
    _ = try exact.arrived(["1"], total: 1)
    #expect(exact.result.total == .said(1) && exact.result.findings.isEmpty)
    var wrong = Paging(try search())
    _ = try wrong.arrived(["1"], total: 7)
    #expect(wrong.result.total == .estimate(7) && wrong.result.findings.map(\.id) == ["total-differs"])
    var moving = Paging(try search())
    _ = try moving.arrived(["1"], next: "?p=2", total: 2)
    _ = try moving.arrived(["2"], total: 3)
    #expect(moving.result.total == .estimate(3) && moving.result.findings.map(\.id) == ["total-changed"])
    var count = Paging(try search([SearchParameter("_summary", "count")]))
    _ = try count.arrived([], self: "Patient?_summary=count", total: 70)
    #expect(count.result.total == .said(70) && count.result.findings.isEmpty)
    var rest = Paging(resuming: "https://fhir.example.org/r4/Patient?p=2", of: try search())
    _ = try rest.arrived(["3"], total: 3)
    #expect(rest.result.total == .said(3) && rest.result.findings.isEmpty)
    var silent = Paging(try search())
    _ = try silent.arrived(["1"])
    #expect(silent.result.total == .unknown)
  }

  @Test func `R9.09 what was included is counted apart`() throws {
    var paging = Paging(try search(), limits: .init(resources: 1))
    #expect(try paging.arrived(["a", "b"], next: "?p=2", mode: "include") != .stop(.resourceLimit))
    #expect(paging.result.includes == 2 && paging.result.matches == 0)
  }
}

@Suite struct SelfLinkTests {
  private func findings(_ asked: [SearchParameter], _ link: String?, post: Bool = false) throws -> [Finding] {
    var paging = Paging(try search(asked, post: post))
    _ = try paging.arrived(["1"], self: link)
    return paging.result.findings
  }

  private let asked = [
    SearchParameter("name", "a"), SearchParameter("birthdate", "ge2000"), SearchParameter("birthdate", "le2001"),
    SearchParameter("_format", "json"),
  ]

  @Test(arguments: [
    "https://fhir.example.org/r4/Patient?name=a&birthdate=ge2000&birthdate=le2001",
    "?birthdate=x&birthdate=y&name=z&_count=9",
    "http://inner/Patient?n%61me=a&birthdate=1&birthdate=2",
  ])
  func `R9.18 a self link with all that was asked is silent`(link: String) throws {
    #expect(try findings(asked, link).isEmpty)
    #expect(try findings(asked, link, post: true).isEmpty)
  }

  @Test func `R9.18 a parameter that the self link has not was ignored`() throws {
    #expect(
      try findings(asked, "Patient?name=a&birthdate=ge2000")
        == [Finding("parameter-ignored", "the server did not use the parameter birthdate")])
    #expect(try findings([SearchParameter("name:exact", "a")], "Patient?_count=20").map(\.id) == ["parameter-ignored"])
    #expect(try findings([SearchParameter("name", "a")], "Patient").map(\.id) == ["parameter-ignored"])
  }

  @Test func `R9.18 a self link that tells nothing is said to tell nothing`() throws {
    #expect(try findings(asked, nil).map(\.id) == ["self-link-missing"])
    #expect(try findings(asked, "?sessionID=7").map(\.id) == ["self-link-opaque"])
    #expect(try findings([], nil).isEmpty)
  }
}
