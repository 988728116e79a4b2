/// Reads one JSON document from foreign bytes: bounded in size, depth and number of values; total, never recursive
/// beyond its limit. Lenient only in what live servers get wrong in text (raw control characters, broken UTF-8).

package struct JSONDocument: Sendable {
  package struct Limits: Sendable {
    /// Bytes of the whole text.
    package var bytes: Int
    /// Arrays and objects within each other.
    package var depth: Int
    /// Values in the whole document: a hundred thousand empty arrays cost more than their bytes.
    package var values: Int
    package init(bytes: Int, depth: Int, values: Int) {
      self.bytes = bytes
      self.depth = depth
      self.values = values
    }
    /// Token responses, errors and metadata: the largest seen is 6 kB.
    package static let small = Limits(bytes: 1 << 20, depth: 32, values: 20_000)
    /// CapabilityStatements: 723 kB and 40,000 values have been seen; profiles nest about 12 deep.
    package static let large = Limits(bytes: 64 << 20, depth: 64, values: 4_000_000)
  }

  package enum Fault: Error, Sendable, Hashable {
    case empty
    case tooLong(limit: Int)
    case tooDeep(limit: Int)
    case tooManyValues(limit: Int)
    /// The text ends before the value does.
    case endsEarly
    case notJSON(offset: Int)
    /// A complete value, and then something else.
    case trailingBytes(offset: Int)

    package var sentence: String {
      switch self {
      case .empty: "the answer is empty"
      case .tooLong(let limit): "the answer is longer than \(limit) bytes"
      case .tooDeep(let limit): "the JSON is nested deeper than \(limit) levels"
      case .tooManyValues(let limit): "the JSON holds more than \(limit) values"
      case .endsEarly: "the JSON ends in the middle"
      case .notJSON(let offset): "the answer is not JSON (byte \(offset))"
      case .trailingBytes(let offset): "something follows the JSON (byte \(offset))"
      }
    }
  }

  package private(set) var root: JSON
  /// Top-level string members that were asked for as bytes, so that a secret never becomes a `String`.
  package private(set) var lifted: [String: [UInt8]]
  /// Names that stand twice in one object, of the outermost object only; the last one counts.
  package private(set) var topLevelDuplicates: Set<String>
  /// Objects further in where a name stands twice.
  package private(set) var hasInnerDuplicates: Bool
  /// Text held bytes that are not UTF-8, or unpaired surrogates: replaced by U+FFFD.
  package private(set) var repairedText: Bool

  /// - Parameter lifting: names of top-level members that, when they are strings, come back in `lifted` only.
  package init(_ bytes: [UInt8], limits: Limits, lifting: Set<String> = []) throws(Fault) {
    guard bytes.count <= limits.bytes else { throw .tooLong(limit: limits.bytes) }
    var reader = JSONReader(bytes: bytes, limits: limits, lifting: lifting)
    root = try reader.document()
    lifted = reader.lifted
    topLevelDuplicates = reader.topLevelDuplicates
    hasInnerDuplicates = reader.hasInnerDuplicates
    repairedText = reader.repairedText
  }
}

/// The reader's state: where it is and what it noticed.
private struct JSONReader {
  let bytes: [UInt8]
  let limits: JSONDocument.Limits
  let lifting: Set<String>
  var at = 0
  var depth = 0
  var values = 0
  var lifted: [String: [UInt8]] = [:]
  var topLevelDuplicates: Set<String> = []
  var hasInnerDuplicates = false
  var repairedText = false

  /// Digits of one number; more is an attack on the conversion.
  static let numberBytesMax = 400

  init(bytes: [UInt8], limits: JSONDocument.Limits, lifting: Set<String>) {
    self.bytes = bytes
    self.limits = limits
    self.lifting = lifting
  }

  mutating func document() throws(JSONDocument.Fault) -> JSON {
    // RFC 8259 section 8.1: parsers may ignore a byte order mark.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
    skipSpace()
    guard at < bytes.count else { throw .empty }
    let root = try value()
    skipSpace()
    guard at == bytes.count else { throw .trailingBytes(offset: at) }
    return root
  }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x09, 0x0A, 0x0D: at += 1
      default: return
      }
    }
  }

  private func peek() throws(JSONDocument.Fault) -> UInt8 {
    guard at < bytes.count else { throw .endsEarly }
    return bytes[at]
  }

  private mutating func value() throws(JSONDocument.Fault) -> JSON {
    values += 1
    guard values <= limits.values else { throw .tooManyValues(limit: limits.values) }
    switch try peek() {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try text())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw .notJSON(offset: at)
    }
  }

  private mutating func word(_ expected: String, _ value: JSON) throws(JSONDocument.Fault) -> JSON {
    for byte in expected.utf8 {
      guard try peek() == byte else { throw .notJSON(offset: at) }
      at += 1
    }
    return value
  }

  private mutating func array() throws(JSONDocument.Fault) -> JSON {
    depth += 1
    guard depth <= limits.depth else { throw .tooDeep(limit: limits.depth) }
    at += 1
    var elements: [JSON] = []
    skipSpace()
    if try peek() == UInt8(ascii: "]") {
      at += 1
      depth -= 1
      return .array([])
    }
    while true {
      skipSpace()
      elements.append(try value())
      skipSpace()
      let next = try peek()
      guard next == UInt8(ascii: ",") || next == UInt8(ascii: "]") else { throw .notJSON(offset: at) }
      at += 1
      if next == UInt8(ascii: "]") { break }
    }
    depth -= 1
    return .array(elements)
  }

  private mutating func object() throws(JSONDocument.Fault) -> JSON {
    depth += 1
    guard depth <= limits.depth else { throw .tooDeep(limit: limits.depth) }
    at += 1
    var members: [String: JSON] = [:]
    skipSpace()
    if try peek() == UInt8(ascii: "}") {
      at += 1
      depth -= 1
      return .object([:])
    }
    // Most objects have two to six members; growing by one after the other costs more than the room.
    members.reserveCapacity(4)
    while true {
      skipSpace()
      guard try peek() == UInt8(ascii: "\"") else { throw .notJSON(offset: at) }
      let name = try text()
      skipSpace()
      guard try peek() == UInt8(ascii: ":") else { throw .notJSON(offset: at) }
      at += 1
      skipSpace()
      try member(name, into: &members)
      skipSpace()
      let next = try peek()
      guard next == UInt8(ascii: ",") || next == UInt8(ascii: "}") else { throw .notJSON(offset: at) }
      at += 1
      if next == UInt8(ascii: "}") { break }
    }
    depth -= 1
    return .object(members)
  }

  private mutating func member(_ name: String, into members: inout [String: JSON]) throws(JSONDocument.Fault) {
    guard depth == 1 else {
      if members.updateValue(try value(), forKey: name) != nil { hasInnerDuplicates = true }
      return
    }
    if members[name] != nil || lifted[name] != nil { topLevelDuplicates.insert(name) }
    if lifting.contains(name), try peek() == UInt8(ascii: "\"") {
      values += 1
      lifted[name] = try string()
      members[name] = nil
    } else {
      lifted[name] = nil
      members[name] = try value()
    }
  }

  /// A string as text. Invalid UTF-8 becomes U+FFFD and is noted.
  private mutating func text() throws(JSONDocument.Fault) -> String {
    let start = at + 1
    var end = start
    var seen: UInt8 = 0
    while end < bytes.count, bytes[end] != UInt8(ascii: "\""), bytes[end] != UInt8(ascii: "\\") {
      seen |= bytes[end]
      end += 1
    }
    // Nearly every string is ASCII without escapes, and needs no copy of its bytes.
    if end < bytes.count, bytes[end] == UInt8(ascii: "\""), seen < 0x80 {
      at = end + 1
      return String(decoding: bytes[start..<end], as: UTF8.self)
    }
    let raw = try string()
    if let exact = String(validating: raw, as: UTF8.self) { return exact }
    repairedText = true
    return String(decoding: raw, as: UTF8.self)
  }

  /// The bytes between the quotes, escapes resolved. Capacity first: a growing array would leave copies of a secret.
  private mutating func string() throws(JSONDocument.Fault) -> [UInt8] {
    at += 1
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
    guard at < bytes.count else { throw .endsEarly }
    if bytes[at] == UInt8(ascii: "\"") {
      at += 1
      return Array(bytes[start..<at - 1])
    }
    var result: [UInt8] = []
    result.reserveCapacity(try lengthToQuote() + at - start)
    result.append(contentsOf: bytes[start..<at])
    while true {
      switch try peek() {
      case UInt8(ascii: "\""):
        at += 1
        return result
      case UInt8(ascii: "\\"): try escape(into: &result)
      case let byte:
        result.append(byte)
        at += 1
      }
    }
  }

  /// How many bytes the string still has in the text: at least as many as it has when its escapes are resolved.
  private func lengthToQuote() throws(JSONDocument.Fault) -> Int {
    var end = at
    while end < bytes.count, bytes[end] != UInt8(ascii: "\"") { end += bytes[end] == UInt8(ascii: "\\") ? 2 : 1 }
    guard end < bytes.count else { throw .endsEarly }
    return end - at
  }

  private mutating func escape(into result: inout [UInt8]) throws(JSONDocument.Fault) {
    at += 1
    let kind = try peek()
    at += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(kind)
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0C)
    case UInt8(ascii: "n"): result.append(0x0A)
    case UInt8(ascii: "r"): result.append(0x0D)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexDigits()
      if code & 0xFC00 == 0xD800, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
        bytes[at + 1] == UInt8(ascii: "u")
      {
        let back = at
        at += 2
        let low = try hexDigits()
        if low & 0xFC00 == 0xDC00 {
          code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
        } else {
          at = back
        }
      }
      if let scalar = Unicode.Scalar(code) {
        result.append(contentsOf: String(Character(scalar)).utf8)
      } else {
        repairedText = true
        result.append(contentsOf: [0xEF, 0xBF, 0xBD])
      }
    default: throw .notJSON(offset: at - 1)
    }
  }

  private mutating func hexDigits() throws(JSONDocument.Fault) -> UInt32 {
    guard at + 4 <= bytes.count else { throw .endsEarly }
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = hexValue(bytes[at]) else { throw .notJSON(offset: at) }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }

  private mutating func number() throws(JSONDocument.Fault) -> JSON {
    let start = at
    func digits(_ at: inout Int) -> Int {
      let first = at
      while at < bytes.count, bytes[at] >= 48, bytes[at] <= 57 { at += 1 }
      return at - first
    }
    if bytes[at] == UInt8(ascii: "-") { at += 1 }
    let leading = at
    let whole = digits(&at)
    guard whole > 0 else { throw at < bytes.count ? .notJSON(offset: at) : .endsEarly }
    guard whole == 1 || bytes[leading] != UInt8(ascii: "0") else { throw .notJSON(offset: leading) }
    var isWhole = true
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isWhole = false
      at += 1
      guard digits(&at) > 0 else { throw at < bytes.count ? .notJSON(offset: at) : .endsEarly }
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      guard digits(&at) > 0 else { throw at < bytes.count ? .notJSON(offset: at) : .endsEarly }
    }
    guard at - start <= Self.numberBytesMax else { throw .notJSON(offset: start) }
    let literal = String(decoding: bytes[start..<at], as: UTF8.self)
    if isWhole, let integer = Int64(literal) { return .integer(integer) }
    guard let value = Double(literal) else { throw .notJSON(offset: start) }
    if value.isInfinite { return .number(value < 0 ? -.greatestFiniteMagnitude : .greatestFiniteMagnitude) }
    return .number(value)
  }
}

/// The value of an ASCII hexadecimal digit, or nil.
func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 48...57: byte - 48
  case 65...70: byte - 55
  case 97...102: byte - 87
  default: nil
  }
}
