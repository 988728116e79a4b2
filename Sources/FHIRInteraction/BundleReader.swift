/// Reads a Bundle as its bytes come: each entry's resource leaves as one line of JSON, its numbers and texts untouched,
/// while the next one is still on its way. Memory holds one entry, whatever the page has. Total: any bytes give entries
/// and a summary, or a named fault.
///
/// A pushdown machine over bytes. What is not a resource is kept as two small documents, the Bundle without its entries
/// and the entry without its resource (`null` stands in their place), and read by `JSONDocument` when they are complete.
package import SMARTProtocol

package struct BundleReader: Sendable {
  package struct Limits: Sendable {
    /// Of the whole page; a page of 50 MB has been seen.
    package var pageBytes = 256 << 20
    /// Of one resource: a document with a scan inside.
    package var resourceBytes = 64 << 20
    /// Of an entry without its resource, and of the Bundle without its entries.
    package var otherBytes = 1 << 20
    package var entries = 1_000_000
    package init() {}
  }

  /// Arrays and objects within each other, the Bundle's own three among them; as `JSONDocument.Limits.large`.
  package static let depthMax = 64

  package enum Fault: Error, Sendable, Hashable {
    case json(JSONDocument.Fault)
    case resourceTooLong(limit: Int)
    case entryTooLong(limit: Int)
    case tooManyEntries(limit: Int)
    /// Something else; `found` is its resourceType, where it has one.
    case notABundle(found: String?)

    /// Lower case, no full stop.
    package var sentence: String {
      switch self {
      case .json(let fault): fault.sentence
      case .resourceTooLong(let limit): "a resource is longer than \(limit) bytes"
      case .entryTooLong(let limit): "the Bundle has more than \(limit) bytes beside its resources"
      case .tooManyEntries(let limit): "the Bundle has more than \(limit) entries"
      case .notABundle(let found?): "the answer is a resource of type \(found), not a Bundle"
      case .notABundle(nil): "the answer is no Bundle"
      }
    }
  }

  enum State {
    /// Nothing so far but a part of a byte order mark. Can become: value.
    case start
    /// A value must come. Can become: any of the tokens, keyOrEnd, valueOrEnd.
    case value
    /// Behind `[`.
    case valueOrEnd
    /// Behind `{`.
    case keyOrEnd
    /// Behind a comma in an object.
    case key
    case colon
    /// Behind a value. Can become: value, key, itself, done.
    case commaOrEnd
    case string(isKey: Bool)
    case escape(isKey: Bool)
    /// Hexadecimal digits that are missing.
    case unicode(isKey: Bool, left: Int)
    case number(NumberState)
    /// What is missing of true, false or null, the next byte lowest.
    case literal(rest: UInt32)
    /// The Bundle is complete; blanks may follow.
    case done
  }

  /// Where in the grammar of a number. Source: RFC 8259 section 6.
  enum NumberState { case minus, zero, whole, point, fraction, e, sign, exponent }

  /// In what the machine is; decides where the bytes go.
  enum Place {
    case root
    /// Between the entries.
    case entries
    case entry
    case resource
  }

  /// The blanks at the end of a chunk: whether they stay is told by what follows.
  enum HeldBlanks { case none, space, more }

  enum Key { case other, entry, resource, resourceType, id }

  let limits: Limits
  var state = State.start
  /// Ends everything.
  var fault: Fault?
  var place = Place.root
  /// A bit for each level, 1: an object.
  var levels: UInt64 = 0
  var depth = 0
  /// The depth at which an entry's members stand: 3, or 2 where `entry` is no array.
  var entryDepth = 3
  var lastKey = Key.other
  var heldBlanks = HeldBlanks.none
  /// Where the present string begins in its sink.
  var tokenStart = 0
  /// Bytes of the page before the present chunk.
  var before = 0
  var root: [UInt8] = []
  var entry: [UInt8] = []
  var resource: [UInt8] = []
  var resourceRange: Range<Int>?
  var resourceType: String?
  var resourceID: String?
  /// The resource has bytes beyond ASCII, so its UTF-8 must be looked at.
  var isBeyondASCII = false
  var entryCount = 0
  var markCount = 0
  var findings: [Finding] = []
  var finished: [BundleEntry] = []
  /// The next link, where it stands before the entries, as most servers write it.
  package internal(set) var nextLink: String?
  /// Once a page: `entry` may stand in it often.
  var hasLookedForLink = false

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// The next bytes of the page; the entries that they complete.
  /// - Throws: what is wrong, again at each call that follows. Entries that were given out stay good.
  package mutating func feed(_ bytes: [UInt8]) throws(Fault) -> [BundleEntry] {
    if let fault { throw fault }
    finished.removeAll(keepingCapacity: true)
    do throws(Fault) {
      guard bytes.count <= limits.pageBytes - before else { throw Fault.json(.tooLong(limit: limits.pageBytes)) }
      try scan(bytes)
      before += bytes.count
    } catch {
      fault = error
      // What was complete before the fault is as good as ever.
      if finished.isEmpty { throw error }
    }
    return finished
  }

  /// The page is complete.
  package mutating func finish() throws(Fault) -> BundleSummary {
    if let fault { throw fault }
    switch state {
    case .start: throw .json(.empty)
    case .value where depth == 0: throw .json(.empty)
    case .done: break
    case .value, .valueOrEnd, .keyOrEnd, .key, .colon, .commaOrEnd, .string, .escape, .unicode, .number, .literal:
      throw .json(.endsEarly)
    }
    let document: JSONDocument
    do {
      document = try JSONDocument(
        root, limits: .init(bytes: limits.otherBytes, depth: Self.depthMax, values: 100_000))
    } catch { throw .json(error) }
    let type = document.root["resourceType"]?.string
    guard type == "Bundle" else { throw .notABundle(found: type.map { Words.clean($0, max: 64) }) }
    return BundleSummary(document.root, entries: entryCount, bytes: before, findings: findings)
  }

  /// All of a page at once.
  package static func read(
    _ bytes: [UInt8], limits: Limits = Limits()
  ) throws(Fault) -> (entries: [BundleEntry], summary: BundleSummary) {
    var reader = BundleReader(limits: limits)
    let entries = try reader.feed(bytes)
    return (entries, try reader.finish())
  }

  mutating func note(_ id: String, _ sentence: String) {
    if findings.count < BundleSummary.findingsMax, !findings.contains(where: { $0.id == id }) {
      findings.append(Finding(id, sentence))
    }
  }
}
