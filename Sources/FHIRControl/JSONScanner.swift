/// Finds the parts of a JSON text without building a tree: offsets into the bytes as they came. Pure.
///
/// Accepts exactly RFC 8259 in UTF-8, save that nesting is bounded and half a surrogate pair is refused (section 8.2 calls
/// what follows from one unpredictable).
package enum JSONScanner {
  /// Deeper nesting than any request has a use for costs stack in every parser behind this one.
  package static let depthMax = 64

  package enum Failure: Error, Sendable, Hashable {
    /// Not JSON; the offset of the first byte that cannot be.
    case malformed(at: Int)
    case tooDeep
  }

  package static func skipWhitespace(_ bytes: Span<UInt8>, _ at: inout Int) {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x09, 0x0A, 0x0D: at += 1
      default: return
      }
    }
  }

  /// - Parameter depth: how many arrays and objects are open around this value.
  package static func skipValue(_ bytes: Span<UInt8>, _ at: inout Int, depth: Int) throws(Failure) {
    guard at < bytes.count else { throw .malformed(at: at) }
    switch bytes[at] {
    case UInt8(ascii: "\""): _ = try skipString(bytes, &at)
    case UInt8(ascii: "{"):
      var members = try MemberCursor(bytes, at: at, depth: depth)
      while try members.next(bytes) != nil {}
      at = members.at
    case UInt8(ascii: "["): try skipArray(bytes, &at, depth: depth)
    case UInt8(ascii: "t"): try skip("true", bytes, &at)
    case UInt8(ascii: "f"): try skip("false", bytes, &at)
    case UInt8(ascii: "n"): try skip("null", bytes, &at)
    default: try skipNumber(bytes, &at)
    }
  }

  private static func skipArray(_ bytes: Span<UInt8>, _ at: inout Int, depth: Int) throws(Failure) {
    guard depth < depthMax else { throw .tooDeep }
    at += 1
    skipWhitespace(bytes, &at)
    if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
      at += 1
      return
    }
    while true {
      skipWhitespace(bytes, &at)
      try skipValue(bytes, &at, depth: depth + 1)
      skipWhitespace(bytes, &at)
      guard at < bytes.count else { throw .malformed(at: at) }
      switch bytes[at] {
      case UInt8(ascii: ","): at += 1
      case UInt8(ascii: "]"):
        at += 1
        return
      default: throw .malformed(at: at)
      }
    }
  }

  private static func skip(_ word: StaticString, _ bytes: Span<UInt8>, _ at: inout Int) throws(Failure) {
    guard matches(word, bytes, at..<min(at + word.utf8CodeUnitCount, bytes.count)) else { throw .malformed(at: at) }
    at += word.utf8CodeUnitCount
  }

  private static func skipNumber(_ bytes: Span<UInt8>, _ at: inout Int) throws(Failure) {
    if at < bytes.count, bytes[at] == UInt8(ascii: "-") { at += 1 }
    if at < bytes.count, bytes[at] == UInt8(ascii: "0") {
      at += 1
    } else {
      try skipDigits(bytes, &at)
    }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      at += 1
      try skipDigits(bytes, &at)
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      try skipDigits(bytes, &at)
    }
  }

  private static func skipDigits(_ bytes: Span<UInt8>, _ at: inout Int) throws(Failure) {
    let start = at
    while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39 { at += 1 }
    if at == start { throw .malformed(at: at) }
  }

  /// Skips a string with its quotes. - Returns: whether it has escapes.
  package static func skipString(_ bytes: Span<UInt8>, _ at: inout Int) throws(Failure) -> Bool {
    guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw .malformed(at: at) }
    at += 1
    var hasEscapes = false
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        return hasEscapes
      case UInt8(ascii: "\\"):
        hasEscapes = true
        try skipEscape(bytes, &at)
      case 0x00..<0x20: throw .malformed(at: at)
      case 0x20..<0x80: at += 1
      default: try skipMultibyte(bytes, &at)
      }
    }
    throw .malformed(at: at)
  }

  private static func skipEscape(_ bytes: Span<UInt8>, _ at: inout Int) throws(Failure) {
    guard at + 1 < bytes.count else { throw .malformed(at: at) }
    switch bytes[at + 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      at += 2
    case UInt8(ascii: "u"):
      switch codeUnit(bytes, at) {
      case .none, .some(0xDC00..<0xE000): throw .malformed(at: at)
      case .some(0xD800..<0xDC00):
        guard let low = codeUnit(bytes, at + 6), (0xDC00..<0xE000).contains(low) else { throw .malformed(at: at) }
        at += 12
      case .some: at += 6
      }
    default: throw .malformed(at: at)
    }
  }

  /// The value of `\uXXXX` at this place.
  private static func codeUnit(_ bytes: Span<UInt8>, _ at: Int) -> UInt16? {
    guard at + 6 <= bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else { return nil }
    var value: UInt16 = 0
    for i in at + 2..<at + 6 {
      switch bytes[i] {
      case 0x30...0x39: value = value << 4 | UInt16(bytes[i] - 0x30)
      case 0x41...0x46: value = value << 4 | UInt16(bytes[i] - 0x37)
      case 0x61...0x66: value = value << 4 | UInt16(bytes[i] - 0x57)
      default: return nil
      }
    }
    return value
  }

  /// Well-formed UTF-8 only. Source: The Unicode Standard, table 3-7.
  private static func skipMultibyte(_ bytes: Span<UInt8>, _ at: inout Int) throws(Failure) {
    let count: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch bytes[at] {
    case 0xC2...0xDF: count = 2
    case 0xE0: (count, second) = (3, 0xA0...0xBF)
    case 0xED: (count, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: count = 3
    case 0xF0: (count, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: count = 4
    case 0xF4: (count, second) = (4, 0x80...0x8F)
    default: throw .malformed(at: at)
    }
    guard at + count <= bytes.count, second.contains(bytes[at + 1]) else { throw .malformed(at: at) }
    for i in at + 2..<max(at + 2, at + count) where bytes[i] & 0xC0 != 0x80 { throw .malformed(at: at) }
    at += count
  }

  package static func matches(_ word: StaticString, _ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    guard range.count == word.utf8CodeUnitCount else { return false }
    let start = word.utf8Start
    for i in 0..<range.count where bytes[range.lowerBound + i] != start[i] { return false }
    return true
  }

  /// The text of a string that has been scanned; the range is without the quotes.
  package static func text(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String {
    var plain: [UInt8] = []
    plain.reserveCapacity(range.count)
    var at = range.lowerBound
    while at < range.upperBound {
      guard bytes[at] == UInt8(ascii: "\\") else {
        plain.append(bytes[at])
        at += 1
        continue
      }
      switch bytes[at + 1] {
      case UInt8(ascii: "u"):
        var scalar = UInt32(codeUnit(bytes, at) ?? 0xFFFD)
        at += 6
        if (0xD800..<0xDC00).contains(scalar), let low = codeUnit(bytes, at) {
          scalar = 0x10000 + (scalar - 0xD800) << 10 + (UInt32(low) - 0xDC00)
          at += 6
        }
        plain.append(contentsOf: String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
      case let escape:
        plain.append(Self.escapes[escape] ?? escape)
        at += 2
      }
    }
    return String(decoding: plain, as: UTF8.self)
  }

  private static let escapes: [UInt8: UInt8] = [
    UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A, UInt8(ascii: "r"): 0x0D,
    UInt8(ascii: "t"): 0x09,
  ]
}

extension JSONScanner {
  /// One member of an object: where its name (without the quotes) and its value stand.
  package struct Member: Sendable, Hashable {
    package var name: Range<Int>
    package var nameHasEscapes: Bool
    package var value: Range<Int>
  }

  /// Goes through the members of one object, which it checks as it goes.
  package struct MemberCursor: Sendable {
    /// Behind the last thing that was read; after `next` gave nil, behind the object.
    package private(set) var at: Int
    private let depth: Int

    /// - Parameter at: where the object's brace stands.
    package init(_ bytes: Span<UInt8>, at: Int, depth: Int) throws(Failure) {
      guard at < bytes.count, bytes[at] == UInt8(ascii: "{") else { throw .malformed(at: at) }
      guard depth < JSONScanner.depthMax else { throw .tooDeep }
      self.at = at + 1
      self.depth = depth
    }

    package mutating func next(_ bytes: Span<UInt8>) throws(Failure) -> Member? {
      skipWhitespace(bytes, &at)
      guard at < bytes.count else { throw .malformed(at: at) }
      if bytes[at] == UInt8(ascii: "}") {
        at += 1
        return nil
      }
      let start = at
      let hasEscapes = try skipString(bytes, &at)
      let name = start + 1..<at - 1
      skipWhitespace(bytes, &at)
      guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { throw .malformed(at: at) }
      at += 1
      skipWhitespace(bytes, &at)
      let valueStart = at
      try skipValue(bytes, &at, depth: depth + 1)
      let value = valueStart..<at
      skipWhitespace(bytes, &at)
      guard at < bytes.count else { throw .malformed(at: at) }
      switch bytes[at] {
      case UInt8(ascii: ","):
        // A name must follow: `{"a":1,}` is not JSON.
        at += 1
        skipWhitespace(bytes, &at)
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw .malformed(at: at) }
      case UInt8(ascii: "}"): break
      default: throw .malformed(at: at)
      }
      return Member(name: name, nameHasEscapes: hasEscapes, value: value)
    }
  }
}
