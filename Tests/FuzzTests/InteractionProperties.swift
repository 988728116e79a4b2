/// Answers of FHIR servers: what they are taken for, Bundles as they come, links between pages, paths of raw requests.
import FoundationEssentials

@testable import FHIRInteraction
@testable import SMARTProtocol

extension FuzzTarget {
  static let fhirReply = FuzzTarget(
    "fhir-reply",
    seeds: [
      "200\nContent-Type: application/fhir+json\nETag: W/\"3\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n\n"
        + "{\"resourceType\":\"Patient\",\"id\":\"1\"}",
      "201\nLocation: https://fhir.example.org/r4/Patient/1/_history/2\n\n",
      "403\nWWW-Authenticate: Bearer error=\"insufficient_scope\"\n\n",
      "400\n\n{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"x\",\"details\":"
        + "{\"text\":\"y\"},\"expression\":[\"Patient.name\"]}]}",
      "200\n\n<html><title>Maintenance</title>", "429\nRetry-After: 7\n\n", "304\nETag: 3\n\n",
      "302\nLocation: http://x/y\n\n", "202\nContent-Location: ../$status?id=1\n\n",
    ],
    words: Reply.words + [
      "ETag: ", "W/\"", "Last-Modified: ", "Content-Location: ", "Patient/1", "_history", "OperationOutcome", "issue",
      "severity", "error", "expression", "charset=", "application/fhir+json", "resourceType", "%2e%2e", "maintenance",
    ], folders: ["capability", "oauth"], wrap: { Reply.wrap($0) }
  ) { bytes in
    let reply = Reply(bytes)
    let base = try FHIRBaseURL("https://fhir.example.org/r4", allowInsecureLoopback: false)
    for expects in [FHIRRequest.Expectation.anything, .outcome, .resource(nil), .resource("Patient")] {
      for isConditional in [false, true] {
        let answer = FHIRReply(
          status: reply.status, header: { reply.header($0) }, body: reply.body,
          to: .init(expects: expects, isConditional: isConditional, base: base), now: 1_795_000_000_000)
        try holdAnswer(answer)
        if answer.kind == .success, expects == .resource(nil) {
          try hold(answer.resourceType != nil, "a resource without a type is a success")
        }
      }
    }
    // What is read as it comes is judged by its beginning; the same status stays the same but for what is not yet known.
    let head = FHIRReply(
      status: reply.status, header: { reply.header($0) }, body: reply.body, isWhole: false, to: .init(base: base),
      now: 0)
    try holdAnswer(head)
  }

  private static func holdAnswer(_ answer: FHIRReply) throws {
    try hold((answer.sentence == nil) == answer.isSuccess, "a failure without a word, or a success with one")
    if let sentence = answer.sentence { try holdSentence(sentence, "reply") }
    try hold(answer.findings.count <= 16 && answer.issues.count <= 20, "too much is kept")
    for finding in answer.findings { try holdSentence(finding.sentence, "finding") }
    for issue in answer.issues {
      for text in [issue.text, issue.code, issue.severity].compactMap({ $0 }) + issue.expression {
        try holdSentence(text, "issue")
      }
    }
    if let tag = answer.entityTag {
      try hold(EntityTag(tag.description) == tag, "an entity tag does not make the round trip")
      try RequestHeaders.check(.init("If-Match", tag.description))
    }
    if let date = answer.lastModified { try RequestHeaders.check(.init("If-Modified-Since", date)) }
    for place in [answer.location, answer.contentLocation].compactMap({ $0 }) {
      try hold((place.type == nil) == (place.id == nil), "half a resource is named")
      if let type = place.type, let id = place.id {
        let base = try FHIRBaseURL("https://fhir.example.org/r4", allowInsecureLoopback: false)
        _ = try FHIRRequest(.vread(type: type, id: id, version: place.version ?? "1"), at: base)
      }
    }
  }

  static let bundle = FuzzTarget(
    "bundle", bytesMax: 8192,
    seeds: [
      "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":1,\"link\":[{\"relation\":\"next\",\"url\":\"?p=2\"}],"
        + "\"entry\":[{\"fullUrl\":\"urn:x\",\"resource\":{\"resourceType\":\"Patient\",\"id\":\"1\",\"x\":[1.10,-0e5,true]},"
        + "\"search\":{\"mode\":\"match\"}},\n{\"response\":{\"status\":\"201\",\"etag\":\"W/\\\"1\\\"\"}}]}",
      "\u{FEFF}{\"entry\" : { \"resource\" : { \"t\" : \"\\u00e9\\n\u{7}\" } } , \"resourceType\" : \"Bundle\" }",
      "{\"resourceType\":\"Bundle\",\"entry\":[1,null,[{}],{\"resource\":[]},{\"resource\":{},\"resource\":{\"id\":\"2\"}}]}",
      "[]", "{}", "",
    ],
    words: [
      "{\"", "\":", "},{", "]}", "[[[[", "\"entry\":[", "\"resource\":{", "\"id\":\"", "\"resourceType\":\"Bundle\"",
      "\"link\":", "\"search\":{\"mode\":\"include\"}", "\"total\":", "null", "true", "false", "1e5", "-0.", "\\u",
      "\\\"",
      "\u{FEFF}", "\u{7}", "\u{E9}",
    ], folders: ["capability"]
  ) { bytes in
    let whole = result(bytes, chunk: max(1, bytes.count))
    for chunk in [1, 5] {
      let pieces = result(bytes, chunk: chunk)
      try hold(pieces.entries == whole.entries, "in pieces of \(chunk) there are other entries")
      try hold(pieces.end == whole.end, "in pieces of \(chunk) it ends otherwise")
    }
    let document = try? JSONDocument(
      bytes, limits: .init(bytes: 1 << 20, depth: BundleReader.depthMax, values: 100_000))
    for entry in whole.entries {
      guard let line = entry.line, let range = entry.range else { continue }
      try hold(!line.contains { $0 < 0x20 }, "a control character in a line")
      try hold(String(validating: line, as: UTF8.self) != nil, "a line that is not UTF-8")
      // Numbers of 400 digits apart.
      let limits = JSONDocument.Limits(bytes: 1 << 20, depth: 64, values: 100_000)
      guard document != nil else { continue }
      let own = try JSONDocument(line, limits: limits).root
      try hold(own == (try JSONDocument(Array(bytes[range]), limits: limits).root), "a line says something else")
      try hold(own.object != nil, "a resource that is no object")
    }
    guard let document else { return }
    switch whole.end {
    case .success(let summary):
      try hold(document.root["resourceType"]?.string == "Bundle", "what is no Bundle was read")
      let hasOddKeys = bytes.contains(UInt8(ascii: "\\"))
      if !hasOddKeys, document.topLevelDuplicates.isEmpty, case .array(let entries)? = document.root["entry"] {
        try hold(
          summary.entries == entries.count { $0.object != nil }, "\(summary.entries) entries of \(entries.count)")
      }
    case .failure(let fault):
      try holdSentence(fault.sentence, "fault")
      switch fault {
      case .notABundle: try hold(document.root["resourceType"]?.string != "Bundle", "a Bundle was refused")
      case .json, .resourceTooLong, .entryTooLong, .tooManyEntries:
        throw Violation(description: "\(fault) of sound JSON")
      }
    }
  }

  private static func result(
    _ bytes: [UInt8], chunk: Int
  ) -> (entries: [BundleEntry], end: Result<BundleSummary, BundleReader.Fault>) {
    var reader = BundleReader()
    var entries: [BundleEntry] = []
    var at = 0
    do throws(BundleReader.Fault) {
      while at < bytes.count {
        entries += try reader.feed(Array(bytes[at..<min(at + chunk, bytes.count)]))
        at += chunk
      }
      return (entries, .success(try reader.finish()))
    } catch { return (entries, .failure(error)) }
  }

  static let pageLink = FuzzTarget(
    "page-link", bytesMax: 1024,
    seeds: [
      "https://fhir.example.org/r4?sessionID=a%2fB&x={y}|z", "?page=2", "/r4/Patient?p=2", "http://hapi:8080/r4?p=2",
      "//evil.example/x", "https://fhir.example.org:443:443/x", "https://a@fhir.example.org/x", "Patient/1/_history/2",
      "a/%2e%2e/b", "$everything?_count=5",
    ],
    words: [
      "https://", "http://", "//", "\\", "@", ":443", "?", "#", "%2e", "%25", "..", "/", ";", "fhir.example.org",
      "hapi",
      "evil.example", "/r4", "\u{E9}", " ",
    ]
  ) { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    let base = try FHIRBaseURL("https://fhir.example.org/r4", allowInsecureLoopback: false)
    let inner = try unwrap(Origin(of: "http://hapi:8080"), "an origin")
    func printable(_ url: String) -> Bool { url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } }
    if let link = try? PageLink(
      text, from: "https://fhir.example.org/r4/Patient?a=b", rewrites: [.init(from: inner, to: base.origin)])
    {
      try hold(link.origin.scheme == "https" || link.origin.isLoopback, "a link without TLS")
      try hold(printable(link.url), "a link that HTTP cannot carry")
      // Foundation reads the same host, where it reads one at all.
      if let host = URL(string: link.url)?.host() {
        try hold(
          "[\(host.lowercased())]" == link.origin.host || host.lowercased() == link.origin.host,
          "\(host) is another host")
      }
    }
    if let request = try? FHIRRequest(.raw(.get, path: text, body: nil), at: base) {
      try hold(printable(request.url), "a URL that HTTP cannot carry")
      // With its dots resolved too, it is the base or below it.
      for url in [request.url, URLReference.resolve(request.url, against: base.text)] {
        let target = try FHIRPageURL(url)
        try hold(target.origin == base.origin, "a request to \(target.origin)")
        try hold(target.path == "/r4" || target.path.hasPrefix("/r4/"), "a request to \(target.path)")
      }
    }
  }
}
