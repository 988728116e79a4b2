/// Reads XML from foreign bytes, one event after the other. Only what FHIR needs: UTF-8, elements, attributes, the five
/// entities that XML itself has, and numbers of characters. No DOCTYPE, hence no entity that could grow or fetch.

struct XMLReader {
  enum Event: Sendable, Hashable {
    /// Names without their prefixes; a namespace declaration is no attribute.
    case start(name: String, attributes: [String: String])
    case end
  }

  struct Limits: Sendable {
    var bytes: Int
    var depth: Int
    var elements: Int
    /// As JSON's: a statement of 700 kB has 40,000 elements, and nests about 12 deep.
    static let large = Limits(bytes: 64 << 20, depth: 64, elements: 2_000_000)
  }

  enum Fault: Error, Sendable, Hashable {
    case tooLong(limit: Int)
    case tooDeep(limit: Int)
    case tooManyElements(limit: Int)
    case endsEarly
    case doctype
    case encoding(String)
    case notXML(offset: Int)
    case entity(offset: Int)

    var sentence: String {
      switch self {
      case .tooLong(let limit): "the answer is longer than \(limit) bytes"
      case .tooDeep(let limit): "the XML is nested deeper than \(limit) levels"
      case .tooManyElements(let limit): "the XML holds more than \(limit) elements"
      case .endsEarly: "the XML ends in the middle"
      case .doctype: "the XML has a DOCTYPE, which is not read"
      case .encoding(let name): "the XML is in \(name), not in UTF-8"
      case .notXML(let offset): "the answer is not well-formed XML (byte \(offset))"
      case .entity(let offset): "the XML uses an entity that XML does not have by itself (byte \(offset))"
      }
    }
  }

  private let bytes: [UInt8]
  private let limits: Limits
  private var at = 0
  /// Names of the elements that are open, as they are written.
  private var open: [ArraySlice<UInt8>] = []
  private var elements = 0
  /// An element without content ends right after its start.
  private var endsNow = false

  /// Attributes of one element; FHIR's have three at most.
  private static let attributesMax = 64

  init(_ bytes: [UInt8], limits: Limits) throws(Fault) {
    guard bytes.count <= limits.bytes else { throw .tooLong(limit: limits.bytes) }
    if bytes.starts(with: [0xFE, 0xFF]) || bytes.starts(with: [0xFF, 0xFE]) { throw .encoding("UTF-16") }
    self.bytes = bytes
    self.limits = limits
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
  }

  /// - Returns: nil at the end of the document.
  mutating func next() throws(Fault) -> Event? {
    if endsNow {
      endsNow = false
      open.removeLast()
      return .end
    }
    while true {
      skipText()
      guard at < bytes.count else {
        guard open.isEmpty, elements > 0 else { throw .endsEarly }
        return nil
      }
      if has("<!--") {
        try skip(past: "-->")
      } else if has("<![CDATA[") {
        try skip(past: "]]>")
      } else if has("<?") {
        try instruction()
      } else if has("<!") {
        throw .doctype
      } else if has("</") {
        try endTag()
        return .end
      } else {
        // One root, nothing after it.
        guard !open.isEmpty || elements == 0 else { throw .notXML(offset: at) }
        return try startTag()
      }
    }
  }

  /// Leaves the element whose start came last, with all that is in it.
  mutating func skipElement() throws(Fault) {
    var depth = 1
    while depth > 0 {
      switch try next() {
      case .start?: depth += 1
      case .end?: depth -= 1
      case nil: return
      }
    }
  }

  // MARK: what is between elements

  /// FHIR has its values in attributes; text stands in narratives only.
  private mutating func skipText() {
    while at < bytes.count, bytes[at] != UInt8(ascii: "<") { at += 1 }
  }

  private func has(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard at + count <= bytes.count else { return false }
    return text.withUTF8Buffer { expected in
      for i in 0..<count where bytes[at + i] != expected[i] { return false }
      return true
    }
  }

  private mutating func skip(past mark: StaticString) throws(Fault) {
    while at < bytes.count {
      if has(mark) {
        at += mark.utf8CodeUnitCount
        return
      }
      at += 1
    }
    throw .endsEarly
  }

  private mutating func instruction() throws(Fault) {
    let start = at
    try skip(past: "?>")
    let text = String(decoding: bytes[start..<at], as: UTF8.self).lowercased()
    let words = text.split { "<?=\"' \t\r\n>".contains($0) }
    guard words.first == "xml", let mark = words.firstIndex(of: "encoding"), mark + 1 < words.count else { return }
    let name = words[mark + 1]
    guard ["utf-8", "utf8", "us-ascii", "ascii"].contains(name) else { throw .encoding(String(name.prefix(40))) }
  }

  // MARK: tags

  private mutating func skipSpace() {
    while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
  }

  private func peek() throws(Fault) -> UInt8 {
    guard at < bytes.count else { throw .endsEarly }
    return bytes[at]
  }

  /// Letters, digits, `_ . - :` and all that is not ASCII: wider than XML's names, and safe.
  private mutating func name() throws(Fault) -> ArraySlice<UInt8> {
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case 65...90, 97...122, 48...57, 0x5F, 0x2E, 0x2D, 0x3A, 0x80...: at += 1
      default:
        guard at > start else { throw .notXML(offset: at) }
        return bytes[start..<at]
      }
    }
    throw .endsEarly
  }

  private static func local(_ name: ArraySlice<UInt8>) -> String {
    let from = name.lastIndex(of: UInt8(ascii: ":")).map { $0 + 1 } ?? name.startIndex
    return String(decoding: name[from...], as: UTF8.self)
  }

  private mutating func endTag() throws(Fault) {
    let start = at
    at += 2
    let name = try name()
    skipSpace()
    guard try peek() == UInt8(ascii: ">"), let last = open.popLast(), last == name else {
      throw .notXML(offset: start)
    }
    at += 1
  }

  private mutating func startTag() throws(Fault) -> Event {
    elements += 1
    guard elements <= limits.elements else { throw .tooManyElements(limit: limits.elements) }
    guard open.count < limits.depth else { throw .tooDeep(limit: limits.depth) }
    at += 1
    let element = try name()
    var attributes: [String: String] = [:]
    while true {
      let before = at
      skipSpace()
      switch try peek() {
      case UInt8(ascii: ">"):
        at += 1
        open.append(element)
        return .start(name: Self.local(element), attributes: attributes)
      case UInt8(ascii: "/"):
        at += 1
        guard try peek() == UInt8(ascii: ">") else { throw .notXML(offset: at) }
        at += 1
        open.append(element)
        endsNow = true
        return .start(name: Self.local(element), attributes: attributes)
      default:
        guard at > before, attributes.count < Self.attributesMax else { throw .notXML(offset: at) }
        try attribute(into: &attributes)
      }
    }
  }

  private mutating func attribute(into attributes: inout [String: String]) throws(Fault) {
    let name = try name()
    skipSpace()
    guard try peek() == UInt8(ascii: "=") else { throw .notXML(offset: at) }
    at += 1
    skipSpace()
    let quote = try peek()
    guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else { throw .notXML(offset: at) }
    at += 1
    var value: [UInt8] = []
    while try peek() != quote {
      switch bytes[at] {
      case UInt8(ascii: "<"): throw .notXML(offset: at)
      case UInt8(ascii: "&"): value.append(contentsOf: try reference())
      case let byte:
        value.append(byte)
        at += 1
      }
    }
    at += 1
    guard !name.starts(with: "xmlns".utf8) else { return }
    let local = Self.local(name)
    guard attributes[local] == nil else { throw .notXML(offset: at) }
    attributes[local] = String(decoding: value, as: UTF8.self)
  }

  /// `&amp;`, `&#233;`, `&#xE9;`.
  private mutating func reference() throws(Fault) -> [UInt8] {
    let start = at
    // The longest is &#x10FFFF; leading zeros are no use to anybody.
    guard let end = bytes[at..<min(at + 12, bytes.count)].firstIndex(of: UInt8(ascii: ";")) else {
      throw .entity(offset: start)
    }
    let name = String(decoding: bytes[at + 1..<end], as: UTF8.self)
    at = end + 1
    switch name {
    case "amp": return [UInt8(ascii: "&")]
    case "lt": return [UInt8(ascii: "<")]
    case "gt": return [UInt8(ascii: ">")]
    case "quot": return [UInt8(ascii: "\"")]
    case "apos": return [UInt8(ascii: "'")]
    default:
      let isHex = name.hasPrefix("#x")
      guard name.hasPrefix("#"), let code = UInt32(name.dropFirst(isHex ? 2 : 1), radix: isHex ? 16 : 10),
        code != 0, let scalar = Unicode.Scalar(code)
      else { throw .entity(offset: start) }
      return Array(String(Character(scalar)).utf8)
    }
  }
}
