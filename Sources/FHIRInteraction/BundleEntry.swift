/// What a Bundle says: its entries, one by one, and what stands beside them.
package import SMARTProtocol

package struct BundleEntry: Sendable, Hashable {
  /// Source: FHIR R4, valueset-search-entry-mode; R9.09.
  package enum Mode: String, Sendable, Hashable, CaseIterable {
    case match, include, outcome
    /// The server did not say.
    case unsaid
  }

  /// What a batch or transaction answered.
  package struct Response: Sendable, Hashable {
    /// `201 Created`; its number.
    package var status: Int?
    package var location: String?
    package var entityTag: EntityTag?
    package var issues: [Issue]
  }

  /// The resource as it came, on one line: of the blanks between tokens single spaces are left, nothing else is changed.
  /// nil: there is none.
  package var line: [UInt8]?
  /// Where it stood in the page.
  package var range: Range<Int>?
  package var resourceType: String?
  package var id: String?
  package var fullURL: String?
  package var mode: Mode
  package var response: Response?

  /// Longest text that is kept, in bytes.
  private static let textBytesMax = 4096

  init(_ rest: JSON) {
    func text(_ value: JSON?) -> String? {
      value?.string.flatMap { $0.utf8.count <= Self.textBytesMax ? $0 : nil }
    }
    fullURL = text(rest["fullUrl"])
    mode = rest["search"]?["mode"]?.string.flatMap { Mode(rawValue: $0) } ?? .unsaid
    if let answer = rest["response"], answer.object != nil {
      response = Response(
        status: answer["status"]?.string.flatMap { Int($0.prefix(3)) }, location: text(answer["location"]),
        entityTag: answer["etag"]?.string.flatMap { EntityTag($0) },
        issues: answer["outcome"].map { Issue.all(of: $0) } ?? [])
    }
  }

  /// The usual entry of a search, read without a document: `fullUrl`, `resource` and `search` with nothing but its mode, no
  /// escapes. nil: another one.
  init?(usual bytes: [UInt8]) {
    var reader = UsualEntry(bytes)
    guard reader.read() else { return nil }
    fullURL = reader.fullURL.flatMap { $0.count <= Self.textBytesMax ? String(decoding: $0, as: UTF8.self) : nil }
    mode = reader.mode.flatMap { Mode(rawValue: String(decoding: $0, as: UTF8.self)) } ?? .unsaid
  }

  /// Counted as what was searched for: servers without `search.mode` are believed, unless it is an OperationOutcome.
  package var role: Mode {
    switch mode {
    case .match, .include, .outcome: mode
    case .unsaid: resourceType == "OperationOutcome" ? .outcome : .match
    }
  }
}

/// A Bundle without its entries.
package struct BundleSummary: Sendable, Hashable {
  /// `searchset`, `transaction-response`, …
  package var type: String?
  /// Optional, and an estimate on some servers. Source: R9.09.
  package var total: Int?
  /// The first link of each relation; the addresses as they came.
  package var links: [String: String] = [:]
  package var entries: Int
  package var bytes: Int
  package var findings: [Finding]

  static let findingsMax = 16
  private static let linksMax = 32

  package var next: String? { links["next"] }

  init(_ root: JSON, entries: Int, bytes: Int, findings: [Finding]) {
    self.entries = entries
    self.bytes = bytes
    self.findings = findings
    type = root["type"]?.string.map { Words.clean($0, max: 64) }
    switch root["total"] {
    case .integer(let number)? where number >= 0: total = Int(number)
    case .string(let text)?:
      total = Int(text).flatMap { $0 >= 0 ? $0 : nil }
      note("total-type", "total is a text")
    case nil, .null?: break
    case .integer?, .number?, .bool?, .array?, .object?: note("total-type", "total is no count")
    }
    let links = root["link"].map { $0.object == nil ? $0.elements : [$0] } ?? []
    for link in links.prefix(Self.linksMax) {
      guard let relation = link["relation"]?.string, let url = link["url"]?.string, !url.isEmpty else { continue }
      // HL7's own type is a code; `Next` has been seen.
      let name = Words.clean(relation.lowercased(), max: 64)
      if self.links[name] == nil { self.links[name] = url } else { note("link-twice", "two links have one relation") }
    }
  }

  private mutating func note(_ id: String, _ sentence: String) {
    if findings.count < Self.findingsMax { findings.append(Finding(id, sentence)) }
  }
}
