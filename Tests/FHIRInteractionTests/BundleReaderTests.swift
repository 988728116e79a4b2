/// Bundles read as they come: what leaves, in which form, and what is refused by name.
import SMARTProtocol
import TestSupport
import Testing

@testable import FHIRInteraction

private func read(_ text: String, chunk: Int = .max) throws -> ([BundleEntry], BundleSummary) {
  let bytes = Array(text.utf8)
  var reader = BundleReader()
  var entries: [BundleEntry] = []
  var at = 0
  while at < bytes.count {
    let end = chunk < bytes.count - at ? at + chunk : bytes.count
    entries += try reader.feed(Array(bytes[at..<end]))
    at = end
  }
  return (entries, try reader.finish())
}

private func fault(_ text: String) -> BundleReader.Fault? {
  do {
    _ = try read(text)
    return nil
  } catch { return error as? BundleReader.Fault }
}

private func line(_ entry: BundleEntry) -> String? { entry.line.map { String(decoding: $0, as: UTF8.self) } }

private func bundle(_ entries: String, _ rest: String = "") -> String {
  "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\(rest)\"entry\":[\(entries)]}"
}

private let page = """
  {
    "resourceType": "Bundle", "type": "searchset", "total": 2,
    "link": [ { "relation": "self", "url": "https://h/Patient?a=b" }, { "relation": "next", "url": "?p=2" } ],
    "entry": [
      { "fullUrl": "https://h/Patient/1", "resource": {
          "resourceType": "Patient", "id": "1", "x": [ 1.10, -0.0e+2, 12345678901234567890.5 ],
          "text": "a \\" b\\u00e9 \\\\ { [ é", "n": null, "b": true
        }, "search": { "mode": "match" } },
      { "search": { "mode": "include" }, "resource": { "id": "2", "resourceType": "Group", "contained": [
          { "resourceType": "Patient", "id": "inner" } ] } },
      { "resource": { "resourceType": "OperationOutcome", "issue": [] } }
    ]
  }
  """

@Suite struct BundleReaderTests {
  @Test func `resources leave on one line each, numbers and escapes as they came`() throws {
    let (entries, summary) = try read(page)
    #expect(
      entries.map(line) == [
        "{\"resourceType\": \"Patient\", \"id\": \"1\", \"x\": [ 1.10, -0.0e+2, 12345678901234567890.5 ],"
          + "\"text\": \"a \\\" b\\u00e9 \\\\ { [ é\", \"n\": null, \"b\": true}",
        "{ \"id\": \"2\", \"resourceType\": \"Group\", \"contained\": [{ \"resourceType\": \"Patient\", \"id\": \"inner\" } ] }",
        "{ \"resourceType\": \"OperationOutcome\", \"issue\": [] }",
      ])
    #expect(entries.map(\.resourceType) == ["Patient", "Group", "OperationOutcome"])
    #expect(entries.map(\.id) == ["1", "2", nil])
    #expect(entries.first?.fullURL == "https://h/Patient/1")
    #expect(summary.type == "searchset" && summary.total == 2 && summary.entries == 3)
    #expect(summary.links == ["self": "https://h/Patient?a=b", "next": "?p=2"])
    #expect(summary.findings.isEmpty)
  }

  @Test func `R9.09 the mode of an entry is kept, and one that is not said is told from the resource`() throws {
    let (entries, _) = try read(page)
    #expect(entries.map(\.mode) == [.match, .include, .unsaid])
    #expect(entries.map(\.role) == [.match, .include, .outcome])
  }

  @Test func `the range of a resource is where it stood in the page`() throws {
    let bytes = Array(page.utf8)
    for entry in try read(page).0 {
      let range = try #require(entry.range)
      #expect(bytes[range.lowerBound] == UInt8(ascii: "{") && bytes[range.upperBound - 1] == UInt8(ascii: "}"))
      #expect(
        try JSONDocument(Array(bytes[range]), limits: .small).root
          == JSONDocument(entry.line ?? [], limits: .small).root)
    }
  }

  @Test(arguments: [1, 2, 3, 7, 16, 61, 200])
  func `a page in pieces is the same page`(chunk: Int) throws {
    let (whole, pieces) = (try read(page), try read(page, chunk: chunk))
    #expect(whole.0 == pieces.0)
    #expect(whole.1 == pieces.1)
    #expect(try read("\u{FEFF}" + page, chunk: chunk).0.map(\.line) == whole.0.map(\.line))
  }

  @Test func `entries are there as soon as they are complete`() throws {
    var reader = BundleReader()
    #expect(try reader.feed(Array("{\"entry\":[{\"resource\":{\"id\":\"1\"}".utf8)).isEmpty)
    #expect(try reader.feed(Array("},{\"resource\":{\"id\":\"2\"}},".utf8)).map(\.id) == ["1", "2"])
    #expect(
      try reader.feed(Array("{\"resource\":{\"id\":\"3\"}}],\"resourceType\":\"Bundle\"}".utf8)).map(\.id) == ["3"])
    #expect(try reader.finish().entries == 3)
  }

  @Test func `entries before a fault stay good, and the fault stays`() throws {
    var reader = BundleReader()
    #expect(try reader.feed(Array("{\"entry\":[{\"resource\":{\"id\":\"1\"}},x".utf8)).map(\.id) == ["1"])
    #expect(throws: BundleReader.Fault.json(.notJSON(offset: 34))) { try reader.feed(Array("]}".utf8)) }
    #expect(throws: BundleReader.Fault.json(.notJSON(offset: 34))) { try reader.finish() }
  }

  @Test func `a line break in a text is escaped, because it would break the line`() throws {
    let (entries, summary) = try read(bundle("{\"resource\":{\"text\":\"a\nb\t\u{1}\"}}"))
    #expect(line(entries[0]) == "{\"text\":\"a\\nb\\t\\u0001\"}")
    #expect(summary.findings.map(\.id) == ["control-character"])
  }

  @Test func `bytes that are not UTF-8 are replaced and told`() throws {
    let parts = bundle("{\"resource\":{\"text\":\"~\"}}").utf8.map { $0 == UInt8(ascii: "~") ? 0xFF : $0 }
    let (entries, summary) = try BundleReader.read(parts)
    #expect(line(entries[0]) == "{\"text\":\"\u{FFFD}\"}")
    #expect(summary.findings.map(\.id) == ["text-not-utf8"])
  }

  @Test func `a transaction's answer keeps status, place, tag and issues`() throws {
    let (entries, summary) = try read(
      "{\"resourceType\":\"Bundle\",\"type\":\"transaction-response\",\"entry\":[{\"response\":{\"status\":\"201 Created\","
        + "\"location\":\"Patient/1/_history/1\",\"etag\":\"W/\\\"1\\\"\",\"outcome\":{\"resourceType\":"
        + "\"OperationOutcome\",\"issue\":[{\"code\":\"informational\"}]}}}]}")
    let response = try #require(entries.first?.response)
    #expect(response.status == 201 && response.location == "Patient/1/_history/1")
    #expect(response.entityTag?.opaque == "1" && response.issues.map(\.code) == ["informational"])
    #expect(entries[0].line == nil && summary.findings.isEmpty)
  }

  @Test(arguments: [
    (
      bundle("{\"resource\":[1]},7,null,[{\"resource\":{}}],{}"), 2,
      ["resource-type", "entry-without-resource", "entry-type"]
    ),
    ("{\"resourceType\":\"Bundle\",\"entry\":{\"resource\":{\"id\":\"1\"}}}", 1, ["entry-type"]),
    ("{\"resourceType\":\"Bundle\",\"entry\":\"x\"}", 0, ["entry-type"]),
    ("{\"resourceType\":\"Bundle\",\"entry\":null,\"total\":\"7\"}", 0, ["total-type"]),
    ("{\"resourceType\":\"Bundle\",\"total\":-1,\"link\":7}", 0, ["total-type"]),
    (bundle("{\"resource\":{\"id\":\"1\"},\"resource\":{\"id\":\"2\"}}"), 1, ["resource-twice"]),
  ])
  func `odd shapes become findings`(text: String, count: Int, findings: [String]) throws {
    let (entries, summary) = try read(text)
    #expect(entries.count == count)
    #expect(Set(summary.findings.map(\.id)) == Set(findings))
  }

  @Test func `R9.09 total is optional, and a link without its array is a link`() throws {
    let summary = try read("{\"resourceType\":\"Bundle\",\"link\":{\"relation\":\"Next\",\"url\":\"x\"}}").1
    #expect(summary.total == nil && summary.next == "x")
  }

  @Test(arguments: [
    ("", BundleReader.Fault.json(.empty)), (" \n", .json(.empty)), ("<html>", .json(.notJSON(offset: 0))),
    ("[]", .notABundle(found: nil)), ("{}", .notABundle(found: nil)),
    ("{\"resourceType\":\"OperationOutcome\"}", .notABundle(found: "OperationOutcome")), ("{", .json(.endsEarly)),
    ("{\"a\":1", .json(.endsEarly)), ("{\"resourceType\":\"Bundle\"}x", .json(.trailingBytes(offset: 25))),
    ("{\"a\":01}", .json(.notJSON(offset: 6))), ("{\"a\":1.}", .json(.notJSON(offset: 7))),
    ("{\"a\":-}", .json(.notJSON(offset: 6))), ("{\"a\":1e}", .json(.notJSON(offset: 7))),
    ("{\"a\":\"\\x\"}", .json(.notJSON(offset: 7))), ("{\"a\":\"\\u12g4\"}", .json(.notJSON(offset: 10))),
    ("{\"a\":tru}", .json(.notJSON(offset: 8))), ("{\"a\" 1}", .json(.notJSON(offset: 5))),
    ("{\"a\":1,}", .json(.notJSON(offset: 7))), ("{\"a\":[1,]}", .json(.notJSON(offset: 8))),
    ("{\"a\":[1}", .json(.notJSON(offset: 7))), ("{a:1}", .json(.notJSON(offset: 1))),
    ("{\"a\":" + String(repeating: "[", count: 70), .json(.tooDeep(limit: 64))),
  ])
  func `what is no Bundle is refused by name`(text: String, expected: BundleReader.Fault) {
    #expect(fault(text) == expected)
  }

  @Test func `size and number are bounded`() {
    var limits = BundleReader.Limits()
    limits.resourceBytes = 50
    limits.otherBytes = 100
    limits.entries = 2
    limits.pageBytes = 1000
    func fault(_ text: String) -> BundleReader.Fault? {
      do {
        _ = try BundleReader.read(Array(text.utf8), limits: limits)
        return nil
      } catch { return error }
    }
    let long = String(repeating: "a", count: 60)
    #expect(fault(bundle("{\"resource\":{\"a\":\"\(long)\"}}")) == .resourceTooLong(limit: 50))
    #expect(fault(bundle("{\"a\":\"\(long)\(long)\"}")) == .entryTooLong(limit: 100))
    #expect(fault(bundle("", "\"a\":\"\(long)\",")) == .entryTooLong(limit: 100))
    // The limit of entries is met inside the piece that has good ones; it comes with the next call.
    #expect(fault(bundle("{},{},{}")) == .tooManyEntries(limit: 2))
    #expect(fault(String(repeating: " ", count: 1001)) == .json(.tooLong(limit: 1000)))
  }

  @Test func `of five thousand damaged Bundles none crashes, and every line that leaves is JSON`() {
    let original = Array(page.utf8)
    var mutator = Mutator(seed: 9)
    for _ in 0..<5000 {
      var reader = BundleReader()
      let bytes = mutator.mutate(original)
      let cut = mutator.below(bytes.count + 1)
      var entries: [BundleEntry] = []
      var end: BundleReader.Fault?
      do throws(BundleReader.Fault) {
        entries += try reader.feed(Array(bytes[..<cut]))
        entries += try reader.feed(Array(bytes[cut...]))
        _ = try reader.finish()
      } catch { end = error }
      #expect(end?.sentence.isEmpty != true)
      for line in entries.compactMap(\.line) {
        #expect((try? JSONDocument(line, limits: .small))?.root.object != nil)
        #expect(!line.contains(0x0A))
      }
    }
  }

  @Test func `the next link is known before the entries, where it stands before them`() throws {
    let link = "\"link\":[{\"relation\":\"self\",\"url\":\"a\"},{\"relation\":\"next\",\"url\":\"b?c=d\"}]"
    var reader = BundleReader()
    _ = try reader.feed(Array("{\"resourceType\":\"Bundle\",\(link),\"entry\": [{\"resource\":{".utf8))
    #expect(reader.nextLink == "b?c=d")
    var late = BundleReader()
    _ = try late.feed(Array("{\"resourceType\":\"Bundle\",\"entry\":[],\(link)}".utf8))
    #expect(late.nextLink == nil)
    #expect(try late.finish().next == "b?c=d")
  }

  @Test(arguments: [
    "\"fullUrl\":\"https://h/Patient/1\",\"resource\":{},\"search\":{\"mode\":\"include\"}",
    "\"resource\": {} , \"fullUrl\": \"a\\u0062\" ,\"search\":{\"mode\":\"match\",\"score\":1}", "\"resource\":{}",
    "\"search\":{\"mode\":\"outcome\"},\"resource\":{}", "\"fullUrl\":\"a\",\"fullUrl\":\"b\",\"resource\":{}",
    "\"resource\":{},\"search\":{}", "\"resource\":{},\"search\":{\"mode\":7}", "\"resource\":{},\"search\":null",
    "\"resource\":{},\"link\":[{\"relation\":\"x\",\"url\":\"y\"}],\"fullUrl\":\"z\"",
    "\"resource\":{},\"search\":{\"mode\":\"match\"},\"search\":{\"mode\":\"include\"}",
    "\"resource\":null,\"fullUrl\":\"q\"",
    "\"response\":{\"status\":\"201 Created\",\"location\":\"Patient/1\"},\"resource\":{}",
    "\"fullUrl\":7,\"resource\":{}",
  ])
  func `what stands beside a resource is the same, read quickly or as a document`(members: String) throws {
    let (entries, _) = try read(bundle("{\(members)}"))
    let entry = try #require(entries.first)
    let rest = members.replacing("{}", with: "null", maxReplacements: 1)
    let slow = BundleEntry(try JSONDocument(Array("{\(rest)}".utf8), limits: .small).root)
    #expect(entry.fullURL == slow.fullURL && entry.mode == slow.mode && entry.response == slow.response)
  }

  @Test func `texts of every length end where they end`() throws {
    for length in 0..<40 {
      for odd in ["", "\\\"", "\\\\", "é", "\u{7F}", "{", "]"] {
        let text = String(repeating: "x", count: length) + odd + String(repeating: "y", count: length % 9)
        let (entries, _) = try read(bundle("{\"resource\":{\"t\":\"\(text)\",\"id\":\"\(length)\"}}"))
        #expect(entries.map(line) == ["{\"t\":\"\(text)\",\"id\":\"\(length)\"}"])
        #expect(entries.first?.id == "\(length)")
      }
    }
  }
}
