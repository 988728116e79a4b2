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
    let span = text.utf8.span
    guard span.count <= max else { return clean(text[...], max: max) }
    for i in span.indices where span[i] < 0x20 || span[i] >= 0x7F { return clean(text[...], max: max) }
    return text
  }

  /// One line: control characters become spaces, the rest is cut at `max` characters.
  package static func clean(_ text: some StringProtocol, max: Int) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
      guard count < max else { return result + "…" }
      // C0, DEL, C1, and the marks that turn the direction of what follows in a terminal or a log.
      let isHidden =
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x202A...0x202E).contains(scalar.value)
        || (0x2066...0x2069).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029
      result.unicodeScalars.append(isHidden ? " " : scalar)
      count += 1
    }
    return result
  }
}
