/// Foreign bytes made fit for a sentence: what kind of body it is, and text without control characters.

/// What a body looks like, whatever its Content-Type says.
package enum BodyKind: Sendable, Hashable {
  case empty, html, xml, json, text

  package init(_ body: [UInt8]) {
    var at = body.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    while at < body.count, body[at] == 0x20 || (0x09...0x0D).contains(body[at]) { at += 1 }
    guard at < body.count else {
      self = .empty
      return
    }
    // 512: enough for a declaration, comments and the first element's name.
    let head = String(decoding: body[at..<min(at + 512, body.count)], as: UTF8.self).lowercased()
    if head.hasPrefix("{") || head.hasPrefix("[") {
      self = .json
    } else if head.hasPrefix("<!doctype html") || head.contains("<html") || head.contains("<body") {
      self = .html
    } else if head.hasPrefix("<") {
      self = .xml
    } else {
      self = .text
    }
  }

  /// "answered with an HTML page"; nil for what looks like JSON.
  package var answered: String? {
    switch self {
    case .empty: "answered with an empty body"
    case .html: "answered with an HTML page"
    case .xml: "answered with XML"
    case .text: "answered with text that is not JSON"
    case .json: nil
    }
  }
}

package enum Words {
  /// As below. Nearly every text is short and plain ASCII, and stays as it is.
  package static func clean(_ text: String, max: Int) -> String {
    guard text.utf8.count <= max else { return clean(text[...], max: max) }
    // All of it, without an early end: so the processor looks at many bytes at once.
    let isPlain = text.utf8.withContiguousStorageIfAvailable { bytes in
      bytes.reduce(0 as UInt8) { odd, byte in odd | (byte &- 0x20 < 0x5F ? 0 : 1) } == 0
    }
    return isPlain == true ? text : clean(text[...], max: max)
  }

  /// One line: control characters become spaces, the rest is cut at `max` characters.
  package static func clean(_ text: some StringProtocol, max: Int) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(min(text.utf8.count, 4 * max + 3))
    var count = 0
    for byte in text.utf8 {
      // Every other byte goes on with the character before it.
      if byte & 0xC0 != 0x80 {
        guard count < max else { return String(decoding: result, as: UTF8.self) + "…" }
        count += 1
      }
      result.append(byte)
      let hidden = hiddenBytes(at: result)
      if hidden > 0 {
        result.removeLast(hidden)
        result.append(UInt8(ascii: " "))
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// How many bytes at the end are a character that nobody sees: C0, DEL, C1 (U+0080 to U+009F), the separators of lines
  /// and paragraphs, and the marks that turn the direction of what follows in a terminal or a log (U+202A to U+202E,
  /// U+2066 to U+2069).
  private static func hiddenBytes(at bytes: [UInt8]) -> Int {
    let n = bytes.count
    let last = bytes[n - 1]
    switch last {
    case ..<0x20, 0x7F: return 1
    case 0x80...0xAE:
      if n >= 2, bytes[n - 2] == 0xC2, last <= 0x9F { return 2 }
      guard n >= 3, bytes[n - 3] == 0xE2 else { return 0 }
      return bytes[n - 2] == 0x80 && last >= 0xA8 || bytes[n - 2] == 0x81 && (0xA6...0xA9).contains(last) ? 3 : 0
    default: return 0
    }
  }
}
