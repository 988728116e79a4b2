/// Reads a query string strictly: known names once, bounded, well encoded; the rest of the names is ignored.

/// Why a query is refused. Holds names only, never a value.
enum QueryError: Error, Hashable {
  case repeated(String)
  case tooLong(String)
  /// Not percent-encoded UTF-8, or a control character in it.
  case malformed(String)
}

enum Query {
  /// - Parameters:
  ///   - text: without the question mark.
  ///   - bytesMax: the known names and the longest value of each, decoded.
  /// - Returns: the known names that are there and not empty. Source: RFC 6749 section 3.1: a parameter without a value
  ///   is as if it were left out, an unrecognized one is ignored, none is included more than once.
  static func read(_ text: Substring, bytesMax: [String: Int]) throws(QueryError) -> [String: String] {
    var values: [String: String] = [:]
    var seen: Set<String> = []
    for piece in text.utf8.split(separator: UInt8(ascii: "&")) {
      let end = piece.firstIndex(of: UInt8(ascii: "=")) ?? piece.endIndex
      // Decoded before it is compared: "st%61te" is the same parameter to everybody else.
      guard let name = decoded(piece[..<end]), let longest = bytesMax[name] else { continue }
      guard seen.insert(name).inserted else { throw .repeated(name) }
      let raw = end == piece.endIndex ? piece[end...] : piece[piece.index(after: end)...]
      guard let value = decoded(raw) else { throw .malformed(name) }
      guard value.utf8.count <= longest else { throw .tooLong(name) }
      if !value.isEmpty { values[name] = value }
    }
    return values
  }

  /// `application/x-www-form-urlencoded`; nil where a percent sign is not followed by two digits, where the bytes are not
  /// UTF-8, and where a control character is among them.
  static func decoded(_ text: Substring.UTF8View) -> String? {
    var bytes: [UInt8] = []
    var rest = text
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
      case UInt8(ascii: "%"):
        guard let high = digit(rest.popFirst()), let low = digit(rest.popFirst()) else { return nil }
        bytes.append(high << 4 | low)
      default: bytes.append(byte)
      }
    }
    guard let result = String(validating: bytes, as: UTF8.self),
      !result.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else { return nil }
    return result
  }

  private static func digit(_ byte: UInt8?) -> UInt8? {
    switch byte {
    case .some(let byte) where byte >= 0x30 && byte <= 0x39: byte - 0x30
    case .some(let byte) where byte >= 0x41 && byte <= 0x46: byte - 0x41 + 10
    case .some(let byte) where byte >= 0x61 && byte <= 0x66: byte - 0x61 + 10
    case .some, .none: nil
    }
  }
}
