/// An absolute URL that a server gave: its origin is read strictly, the rest is opaque. Unlike the URLs that people set
/// it may be long (quirk 19) and have characters in its query that no URL should.
package import SMARTProtocol

package struct FHIRPageURL: Sendable, Hashable {
  /// Longest link that is followed, in bytes; what is longer than 4 kB is refused by many a server's own front.
  package static let bytesMax = 64 << 10

  /// Printable ASCII: what HTTP cannot carry is written as %XX, the rest as it came.
  package let text: String
  package let origin: Origin
  package let path: String
  package let hasFragment: Bool
  /// Something had to be written as %XX.
  package let wasEscaped: Bool

  package init(_ text: String) throws(URLProblem) {
    let bytes = Array(text.utf8)
    guard !bytes.isEmpty else { throw .empty }
    guard bytes.count <= Self.bytesMax else { throw .tooLong(limit: Self.bytesMax) }
    if let at = bytes.firstIndex(where: { $0 < 0x20 || $0 == 0x7F }) { throw .badCharacter(offset: at) }
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), bytes[(colon + 1)...].starts(with: "//".utf8) else {
      throw .notAbsolute
    }
    let end =
      bytes[(colon + 3)...].firstIndex { "/?#".utf8.contains($0) } ?? bytes.count
    // The front alone decides where it goes; it is read as strictly as the operator's own URLs.
    let front = try FHIRBaseURLFront(String(decoding: bytes[..<end], as: UTF8.self))
    origin = front.origin
    let rest = bytes[end...]
    let mark = rest.firstIndex { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") } ?? rest.endIndex
    path = String(decoding: rest[..<mark], as: UTF8.self)
    hasFragment = rest.contains(UInt8(ascii: "#"))
    let isPlain = bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    wasEscaped = !isPlain
    self.text = isPlain ? text : Self.escaped(bytes)
  }

  private static func escaped(_ bytes: [UInt8]) -> String {
    let hex = Array("0123456789ABCDEF".utf8)
    var result: [UInt8] = []
    for byte in bytes {
      if byte > 0x20, byte < 0x7F {
        result.append(byte)
      } else {
        result += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

/// `https://host:port`, and nothing behind it.
private struct FHIRBaseURLFront {
  let origin: Origin

  init(_ text: String) throws(URLProblem) {
    let lower = text.lowercased()
    guard lower.hasPrefix("https://") || lower.hasPrefix("http://") else {
      throw .scheme(Words.clean(lower.prefix { $0 != ":" }, max: 20))
    }
    guard let origin = Origin(of: text) else { throw .host }
    self.origin = origin
  }
}
