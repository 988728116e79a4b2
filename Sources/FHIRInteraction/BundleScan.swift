/// The bundle reader's machine: one byte after the other, strict in JSON's grammar, lenient only with raw control
/// characters in texts, which it escapes (a line break in a text would break the line that it leaves on).
import SMARTProtocol

/// Where the scan is in a chunk.
struct BundleCursor {
  var at = 0
  /// From here to `at` the bytes are not yet in their sink.
  var run = 0
}

extension BundleReader {
  mutating func scan(_ bytes: [UInt8]) throws(Fault) {
    var cursor = BundleCursor()
    if let first = bytes.first { try releaseBlanks(before: first) }
    while cursor.at < bytes.count {
      switch state {
      case .string(let isKey): try string(bytes, &cursor, isKey: isKey)
      case .number(let number): try self.number(bytes, &cursor, number)
      case .literal(let rest): try literal(bytes, &cursor, rest)
      case .escape(let isKey):
        let byte = bytes[cursor.at]
        guard "\"\\/bfnrtu".utf8.contains(byte) else { throw wrong(cursor) }
        cursor.at += 1
        state = byte == UInt8(ascii: "u") ? .unicode(isKey: isKey, left: 4) : .string(isKey: isKey)
      case .unicode(let isKey, let left):
        guard PathParts.hexValue(bytes[cursor.at]) != nil else { throw wrong(cursor) }
        cursor.at += 1
        state = left == 1 ? .string(isKey: isKey) : .unicode(isKey: isKey, left: left - 1)
      case .start:
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        if markCount < 3, bytes[cursor.at] == mark[markCount] {
          markCount += 1
          cursor.at += 1
          cursor.run = cursor.at
        } else {
          guard markCount == 0 || markCount == 3 else { throw wrong(cursor) }
          state = .value
        }
      case .value, .valueOrEnd, .keyOrEnd, .key, .colon, .commaOrEnd, .done:
        let byte = bytes[cursor.at]
        if Self.isBlank(byte) {
          try blanks(bytes, &cursor)
        } else {
          try structure(byte, bytes, &cursor)
        }
      }
    }
    try flush(bytes, &cursor)
  }

  @inline(__always)
  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

  /// One space alone stays, as most servers write it behind a comma; everything else between tokens goes.
  private mutating func blanks(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    var end = cursor.at
    while end < bytes.count, Self.isBlank(bytes[end]) { end += 1 }
    let isOne = end == cursor.at + 1 && bytes[cursor.at] == 0x20 && heldBlanks == .none
    if isOne, end < bytes.count {
      cursor.at = end
      return
    }
    try flush(bytes, &cursor)
    cursor.at = end
    cursor.run = end
    heldBlanks = end < bytes.count ? .none : isOne ? .space : .more
  }

  /// What a blank at the end of the former chunk was.
  private mutating func releaseBlanks(before byte: UInt8) throws(Fault) {
    guard heldBlanks != .none, !Self.isBlank(byte) else { return }
    if heldBlanks == .space { try append(CollectionOfOne(0x20)) }
    heldBlanks = .none
  }

  private func wrong(_ cursor: BundleCursor) -> Fault { .json(.notJSON(offset: before + cursor.at)) }

  private mutating func structure(
    _ byte: UInt8, _ bytes: [UInt8], _ cursor: inout BundleCursor
  ) throws(Fault) {
    switch state {
    case .valueOrEnd where byte == UInt8(ascii: "]"), .keyOrEnd where byte == UInt8(ascii: "}"):
      try leave(bytes, &cursor)
    case .value, .valueOrEnd: try value(byte, bytes, &cursor)
    case .keyOrEnd, .key:
      guard byte == UInt8(ascii: "\"") else { throw wrong(cursor) }
      begin(string: true, &cursor)
    case .colon:
      guard byte == UInt8(ascii: ":") else { throw wrong(cursor) }
      cursor.at += 1
      state = .value
    case .commaOrEnd:
      let isObject = levels & 1 == 1
      if byte == UInt8(ascii: ",") {
        cursor.at += 1
        state = isObject ? .key : .value
      } else {
        guard byte == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else { throw wrong(cursor) }
        try leave(bytes, &cursor)
      }
    case .done: throw .json(.trailingBytes(offset: before + cursor.at))
    case .start, .string, .escape, .unicode, .number, .literal: preconditionFailure("no structure inside a token")
    }
  }

  private mutating func value(_ byte: UInt8, _ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    if depth == 0, byte != UInt8(ascii: "{") {
      // What could be JSON is not read on: no Bundle begins like this.
      throw "[\"-0123456789tfn".utf8.contains(byte) ? .notABundle(found: nil) : wrong(cursor)
    }
    if byte != UInt8(ascii: "{") { noteOdd(byte) }
    switch byte {
    case UInt8(ascii: "{"): try enter(isObject: true, bytes, &cursor)
    case UInt8(ascii: "["): try enter(isObject: false, bytes, &cursor)
    case UInt8(ascii: "\""): begin(string: false, &cursor)
    case UInt8(ascii: "-"): token(.number(.minus), &cursor)
    case UInt8(ascii: "0"): token(.number(.zero), &cursor)
    case UInt8(ascii: "1")...UInt8(ascii: "9"): token(.number(.whole), &cursor)
    case UInt8(ascii: "t"): token(.literal(rest: 0x65_7572), &cursor)
    case UInt8(ascii: "f"): token(.literal(rest: 0x6573_6C61), &cursor)
    case UInt8(ascii: "n"): token(.literal(rest: 0x6C_6C75), &cursor)
    default: throw wrong(cursor)
    }
  }

  private mutating func token(_ next: State, _ cursor: inout BundleCursor) {
    cursor.at += 1
    state = next
  }

  private mutating func begin(string isKey: Bool, _ cursor: inout BundleCursor) {
    tokenStart = sinkCount + cursor.at - cursor.run
    cursor.at += 1
    state = .string(isKey: isKey)
  }

  /// A value that is no object, where one is expected.
  private mutating func noteOdd(_ byte: UInt8) {
    switch place {
    case .root:
      if depth == 1, lastKey == .entry, byte != UInt8(ascii: "["), byte != UInt8(ascii: "n") {
        note("entry-type", "entry is no array")
      }
    case .entries: if depth == 2 { note("entry-type", "an entry is no object") }
    case .entry:
      if depth == entryDepth, lastKey == .resource, byte != UInt8(ascii: "n") {
        note("resource-type", "an entry's resource is no object")
      }
    case .resource: return
    }
  }

  // Levels ------------------------------------------------------------------------------------------------------------

  private mutating func enter(isObject: Bool, _ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    guard depth < Self.depthMax else { throw .json(.tooDeep(limit: Self.depthMax)) }
    switch place {
    case .root:
      if depth == 1, lastKey == .entry {
        try moveOut(bytes, &cursor)
        if !hasLookedForLink { nextLink = nextLinkSoFar() }
        hasLookedForLink = true
        if isObject {
          note("entry-type", "entry is no array")
          try beginEntry(at: 2)
        } else {
          place = .entries
        }
      }
    case .entries:
      if depth == 2, isObject {
        try flush(bytes, &cursor)
        try beginEntry(at: 3)
      }
    case .entry:
      if depth == entryDepth, lastKey == .resource, isObject {
        try moveOut(bytes, &cursor)
        place = .resource
        if resourceRange != nil { note("resource-twice", "an entry has two resources; the last one counts") }
        resource.removeAll(keepingCapacity: true)
        resourceRange = (before + cursor.at)..<(before + cursor.at)
        resourceType = nil
        resourceID = nil
        isBeyondASCII = false
      }
    case .resource: break
    }
    levels = levels << 1 | (isObject ? 1 : 0)
    depth += 1
    cursor.at += 1
    state = isObject ? .keyOrEnd : .valueOrEnd
  }

  /// What stands before the entries is a document as soon as it is closed.
  private func nextLinkSoFar() -> String? {
    let limits = JSONDocument.Limits(bytes: limits.otherBytes, depth: Self.depthMax, values: 100_000)
    guard let head = try? JSONDocument(root + [UInt8(ascii: "}")], limits: limits) else { return nil }
    return BundleSummary(head.root, entries: 0, bytes: 0, findings: []).next
  }

  private mutating func beginEntry(at depth: Int) throws(Fault) {
    guard entryCount < limits.entries else { throw .tooManyEntries(limit: limits.entries) }
    entryCount += 1
    place = .entry
    entryDepth = depth
    entry.removeAll(keepingCapacity: true)
    resource.removeAll(keepingCapacity: true)
    resourceRange = nil
    resourceType = nil
    resourceID = nil
  }

  /// The value that begins here goes elsewhere: `null` stands in its place.
  private mutating func moveOut(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    try flush(bytes, &cursor)
    try append("null".utf8)
  }

  private mutating func leave(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    levels >>= 1
    depth -= 1
    cursor.at += 1
    state = depth == 0 ? .done : .commaOrEnd
    switch place {
    case .root: break
    case .entries:
      if depth == 1 {
        try flush(bytes, &cursor)
        place = .root
      }
    case .entry:
      if depth == entryDepth - 1 {
        try flush(bytes, &cursor)
        finishEntry()
        place = depth == 1 ? .root : .entries
      }
    case .resource:
      if depth == entryDepth {
        try flush(bytes, &cursor)
        resourceRange = (resourceRange?.lowerBound ?? 0)..<(before + cursor.at)
        place = .entry
      }
    }
  }

  private mutating func finishEntry() {
    var result = BundleEntry(usual: entry) ?? readEntry()
    if let range = resourceRange {
      if isBeyondASCII, String(validating: resource, as: UTF8.self) == nil {
        note("text-not-utf8", "a resource has bytes that are not UTF-8; they were replaced")
        resource = Array(String(decoding: resource, as: UTF8.self).utf8)
      }
      result.line = resource
      result.range = range
      result.resourceType = resourceType
      result.id = resourceID
      let usual = resource.count
      resource = []
      resource.reserveCapacity(usual)
    } else if result.response == nil {
      note("entry-without-resource", "an entry has no resource")
    }
    finished.append(result)
  }

  private mutating func readEntry() -> BundleEntry {
    do {
      let limits = JSONDocument.Limits(bytes: limits.otherBytes, depth: Self.depthMax, values: 100_000)
      return BundleEntry(try JSONDocument(entry, limits: limits).root)
    } catch {
      note("entry-unread", "what stands beside a resource cannot be read: \(error.sentence)")
      return BundleEntry(.null)
    }
  }
}
