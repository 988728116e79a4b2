/// What the pages of a search gave, counted as they came.
package import SMARTProtocol

/// One page's entries, counted as they pass; nothing of them is kept.
package struct PageTally: Sendable, Hashable {
  package private(set) var matches = 0
  package private(set) var includes = 0
  package private(set) var outcomes = 0
  package private(set) var entries = 0
  /// Of types and ids in their order: two pages that have the same are the same.
  package private(set) var fingerprint = PageTally.offset
  /// The words of what the server says about the search itself.
  package private(set) var issues: [Issue] = []

  package init() {}

  package mutating func add(_ entry: BundleEntry) {
    entries += 1
    switch entry.role {
    case .match, .unsaid: matches += 1
    case .include: includes += 1
    case .outcome:
      outcomes += 1
      if let line = entry.line, issues.count < Issue.countMax,
        let root = try? JSONDocument(line, limits: .small).root
      {
        issues += Issue.all(of: root).prefix(Issue.countMax - issues.count)
      }
    }
    // Versions differ where ids do not (a history): without an id the resource itself counts.
    fingerprint = Self.hash((entry.fullURL ?? entry.id ?? "").utf8, fingerprint)
    fingerprint = Self.hash(head: entry.line ?? [], fingerprint)
  }

  /// The beginning of a resource has its type, id and version.
  private static let hashedBytesMax = 256

  /// Eight bytes at a time.
  private static func hash(head line: [UInt8], _ start: UInt64) -> UInt64 {
    var hash = start
    let raw = line.span.bytes
    let count = min(line.count, hashedBytesMax)
    for at in stride(from: 0, to: count & ~7, by: 8) {
      hash = (hash ^ raw.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x9E37_79B9_7F4A_7C15
      hash ^= hash >> 29
    }
    return Self.hash(line[(count & ~7)..<count], hash)
  }
  /// FNV-1a, 64 bits: small, the same in every run. A server that makes it collide ends its own pages.
  private static let offset: UInt64 = 0xCBF2_9CE4_8422_2325

  static func hash(_ bytes: some Sequence<UInt8>, _ start: UInt64 = offset) -> UInt64 {
    var hash = start
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    // A separator, so that ab+c is not a+bc.
    return (hash ^ 0xFF) &* 0x100_0000_01B3
  }
}

package struct PagingResult: Sendable, Hashable {
  package enum Total: Sendable, Hashable {
    /// The server does not say.
    case unknown
    case said(Int)
    /// It changed while the pages were read, or is not what came.
    case estimate(Int)
  }

  package var pages = 0
  package var matches = 0
  package var includes = 0
  package var outcomes = 0
  package var bytes = 0
  package var total = Total.unknown
  /// What the server says about the search itself, from entries of mode `outcome`.
  package var issues: [Issue] = []
  package var findings: [Finding] = []
  /// Set when it is over.
  package var end: Paging.End?
  /// The link to go on with.
  package var resume: String?
  /// Pages before these were read by a former run.
  var isContinued = false

  /// Findings that are kept.
  private static let findingsMax = 32

  mutating func note(_ id: String, _ sentence: String) {
    let finding = Finding(id, sentence)
    if findings.count < Self.findingsMax, !findings.contains(finding) { findings.append(finding) }
  }

  mutating func count(_ page: BundleSummary, _ tally: PageTally) {
    pages += 1
    matches += tally.matches
    includes += tally.includes
    outcomes += tally.outcomes
    bytes += page.bytes
    issues += tally.issues.prefix(max(0, Issue.countMax - issues.count))
    for finding in page.findings { note(finding.id, finding.sentence) }
    if let type = page.type, !["searchset", "history"].contains(type) {
      note("bundle-type", "a page is a Bundle of type \(type)")
    }
    switch (total, page.total) {
    case (_, nil), (.estimate, _): break
    case (.unknown, let number?): total = .said(number)
    case (.said(let before), let number?):
      if before != number {
        total = .estimate(number)
        note("total-changed", "total changed from page to page: it is an estimate")
      }
    }
  }

  mutating func finish(_ end: Paging.End) {
    self.end = end
    // A search for the count alone has a total and nothing else.
    if case .said(let number) = total, end == .complete, !isContinued, matches > 0, number != matches {
      total = .estimate(number)
      note("total-differs", "total says \(number), and \(matches) matches came")
    }
  }

  // The self link -----------------------------------------------------------------------------------------------------

  /// They ask for a form, not for resources; servers leave them out.
  private static let formal: Set<String> = ["_format", "_pretty"]
  /// Parameters of every search: a self link that has others beside these, and none that was asked for, is a handle
  /// (`?sessionID=`, `?_getpages=`) and tells nothing.
  private static let general: Set<String> = [
    "_id", "_lastUpdated", "_count", "_sort", "_include", "_revinclude", "_summary", "_total", "_elements",
    "_contained", "_containedType", "_format", "_pretty", "_type", "_offset",
  ]

  /// The self link says what the server used: what is missing there was ignored. Source: R9.18.
  mutating func compare(_ asked: [SearchParameter], with link: String?, against url: String) {
    let wanted = asked.filter { !Self.formal.contains($0.name) }
    guard !wanted.isEmpty else { return }
    guard let link, !link.isEmpty else {
      note("self-link-missing", "the page has no self link: whether all parameters were used cannot be told")
      return
    }
    let absolute = URLReference.isAbsolute(link) ? link : URLReference.resolve(link, against: url)
    var used: [String: Int] = [:]
    for name in Self.names(absolute) { used[name, default: 0] += 1 }
    let names = Set(wanted.map(\.name))
    if names.isDisjoint(with: used.keys), used.keys.contains(where: { !Self.general.contains($0) }) {
      note("self-link-opaque", "the self link does not repeat the search: whether it was all used cannot be told")
      return
    }
    for parameter in wanted {
      if let left = used[parameter.name], left > 0 {
        used[parameter.name] = left - 1
      } else {
        note("parameter-ignored", "the server did not use the parameter \(Words.clean(parameter.name, max: 100))")
      }
    }
  }

  /// Names of a query, decoded, in their order.
  private static func names(_ url: String) -> [String] {
    guard let mark = url.firstIndex(of: "?") else { return [] }
    let query = url[url.index(after: mark)...].prefix { $0 != "#" }
    return query.utf8.split(separator: UInt8(ascii: "&")).prefix(1000).map { pair in
      let name = pair.prefix { $0 != UInt8(ascii: "=") }.map { $0 == UInt8(ascii: "+") ? 0x20 : $0 }
      return String(decoding: PathParts.unescaped(name), as: UTF8.self)
    }
  }
}
