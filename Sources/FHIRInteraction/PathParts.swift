/// The pieces of a FHIR URL: what may stand in them, and how they are encoded. A path never leaves the base, however a
/// proxy on the way reads it.
import SMARTProtocol

enum PathParts {
  /// FHIR's ids have 64 characters at most; servers have longer ones.
  static let idBytesMax = 256
  private static let idBytesOfFHIR = 64
  private static let typeBytesMax = 64
  private static let operationBytesMax = 128

  /// `Patient`. Types that no release knows are let through: a server may have its own.
  static func isResourceType(_ text: some StringProtocol) -> Bool {
    guard let first = text.utf8.first, (65...90).contains(first), text.utf8.count <= typeBytesMax else { return false }
    return text.utf8.allSatisfy { (97...122).contains($0 | 0x20) }
  }

  /// The grammar of FHIR: letters, digits, - and ., 1 to 64 of them.
  static func isID(_ text: some StringProtocol) -> Bool {
    (1...idBytesOfFHIR).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (97...122).contains($0 | 0x20) || (48...57).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
      }
  }

  static func type(_ text: String) throws(FHIRRequest.Problem) -> String {
    guard isResourceType(text) else { throw .resourceType }
    return text
  }

  /// An id as a segment of the path; odd ones are encoded and told.
  static func id(_ text: String, _ findings: inout [Finding]) throws(FHIRRequest.Problem) -> String {
    guard !text.isEmpty, text.utf8.count <= idBytesMax, !isDots(text),
      text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && !#"/\%"#.utf8.contains($0) })
    else { throw .id }
    if !isID(text) {
      findings.append(
        Finding("id-grammar", "an id is not one of FHIR's (1 to 64 letters, digits, - and .); it is sent all the same"))
    }
    return encoded(text, keeping: ":@")
  }

  /// `$everything`, with or without its dollar.
  static func operation(_ text: String) throws(FHIRRequest.Problem) -> String {
    let name = text.hasPrefix("$") ? text.dropFirst() : Substring(text)
    guard !name.isEmpty, name.utf8.count <= operationBytesMax, !isDots(String(name)),
      name.utf8.allSatisfy({ (97...122).contains($0 | 0x20) || (48...57).contains($0) || "-_.".utf8.contains($0) })
    else { throw .operationName }
    return "$" + name
  }

  /// `name=value&…`, in the order given. `:` of a modifier and `,` of alternatives stay readable; servers decode both.
  static func query(_ parameters: [SearchParameter]) throws(FHIRRequest.Problem) -> String {
    var result = ""
    for parameter in parameters {
      guard !parameter.name.isEmpty else { throw .emptyParameterName }
      if !result.isEmpty { result += "&" }
      result += encoded(parameter.name, keeping: ":") + "=" + encoded(parameter.value, keeping: ":,/")
    }
    return result
  }

  /// RFC 3986: everything but the unreserved characters and `kept` as %XX; a space as %20, which every server reads.
  static func encoded(_ text: String, keeping kept: String) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
      switch byte {
      case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
        bytes.append(byte)
      case _ where kept.utf8.contains(byte): bytes.append(byte)
      default: appendEscape(byte, to: &bytes)  // a byte of any other kind
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func appendEscape(_ byte: UInt8, to bytes: inout [UInt8]) {
    let hex = Array("0123456789ABCDEF".utf8)
    bytes += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
  }

  /// A caller's path and query: escapes stay as they are, what a URL cannot hold is encoded.
  /// - Returns: without a slash at its front.
  static func raw(_ text: String) throws(FHIRRequest.Problem) -> String {
    guard !text.hasPrefix("//"), !text.hasPrefix("/\\"), !URLReference.isAbsolute(text) else { throw .absoluteURL }
    let bytes = Array((text.hasPrefix("/") ? text.dropFirst() : text[...]).utf8)
    let mark = bytes.firstIndex(of: UInt8(ascii: "?")) ?? bytes.count
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    for (i, byte) in bytes.enumerated() {
      switch byte {
      case 0..<0x20, 0x7F: throw .pathCharacter(offset: i)
      case UInt8(ascii: "#"): throw .fragment
      case UInt8(ascii: "\\") where i < mark: throw .pathTraversal
      case UInt8(ascii: "%"):
        guard i + 2 < bytes.count, hexValue(bytes[i + 1]) != nil, hexValue(bytes[i + 2]) != nil else {
          throw .pathEscape(offset: i)
        }
        result.append(byte)
      case 0x21, 0x24...0x3B, 0x3D, 0x3F...0x5A, 0x5F, 0x61...0x7A, 0x7E: result.append(byte)
      default: appendEscape(byte, to: &result)  // space, quotes, |, brackets, and everything beyond ASCII
      }
    }
    guard !climbs(bytes[..<mark]) else { throw .pathTraversal }
    return String(decoding: result, as: UTF8.self)
  }

  /// Whether a segment is . or .., or holds a slash, as it stands or decoded once or twice: what one server takes for a
  /// name, a proxy before it resolves. Tomcat cuts a segment at its semicolon first.
  static func climbs(_ path: some Collection<UInt8>) -> Bool {
    var decoded = Array(path)
    for round in 0...2 {
      for segment in decoded.split(separator: UInt8(ascii: "/")) {
        let name = segment.prefix { $0 != UInt8(ascii: ";") }
        if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) { return true }
        if segment.contains(where: { $0 == UInt8(ascii: "\\") || $0 < 0x20 }) { return true }
      }
      let next = unescaped(decoded)
      if next == decoded { return false }
      if round < 2, next.count(where: { $0 == UInt8(ascii: "/") }) != decoded.count(where: { $0 == UInt8(ascii: "/") })
      {
        return true
      }
      decoded = next
    }
    return false
  }

  private static func isDots(_ text: String) -> Bool { text == "." || text == ".." }

  /// %XX as its byte; what is no escape stays.
  static func unescaped(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.contains(UInt8(ascii: "%")) else { return bytes }
    var result: [UInt8] = []
    var at = 0
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = hexValue(bytes[at + 1]),
        let low = hexValue(bytes[at + 2])
      {
        result.append(high << 4 | low)
        at += 3
      } else {
        result.append(bytes[at])
        at += 1
      }
    }
    return result
  }

  /// The value of an ASCII hexadecimal digit, or nil.
  static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
  }
}
