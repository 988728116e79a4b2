/// A `token.get` of the usual form, read from the line's own bytes. Pure.
import FHIRControl
package import SMARTProtocol

/// Members in any order and any white space. Whatever is unusual (escapes, other members, `timeout_seconds`, a member given
/// twice, a value of another kind or out of range) gives nil: the long way has the full parser and the proper error.
package struct HotRequest: Hashable {
  /// Without the quotes; not empty.
  package private(set) var connection: Range<Int> = 0..<0
  /// Without the quotes; empty: the default grant.
  package private(set) var subject: Range<Int> = 0..<0
  package private(set) var minimum = Instant.Span(
    milliseconds: Int64(TokenGetParameters.minValidSecondsDefault) * 1000)

  /// Longer names are looked up the long way, in bytes: they would only fill the client's cache.
  package static let nameBytesMax = 512

  /// - Parameter params: where the object stands in the line, which has been checked.
  package init?(_ line: Span<UInt8>, params: Range<Int>) {
    do {
      var members = try JSONScanner.MemberCursor(line, at: params.lowerBound, depth: 1)
      var seen = Seen()
      while let member = try members.next(line) {
        guard take(member, line, &seen) else { return nil }
      }
    } catch {
      return nil
    }
    if connection.isEmpty { return nil }
  }

  private struct Seen {
    var subject = false
    var minimum = false
  }

  private mutating func take(_ member: JSONScanner.Member, _ line: Span<UInt8>, _ seen: inout Seen) -> Bool {
    if JSONScanner.matches("connection", line, member.name), connection.isEmpty {
      guard let name = Self.plainText(line, member.value), !name.isEmpty else { return false }
      connection = name
    } else if JSONScanner.matches("subject", line, member.name), !seen.subject {
      guard let name = Self.plainText(line, member.value) else { return false }
      subject = name
      seen.subject = true
    } else if JSONScanner.matches("min_valid_seconds", line, member.name), !seen.minimum {
      guard let milliseconds = Self.milliseconds(line, member.value) else { return false }
      minimum = Instant.Span(milliseconds: milliseconds)
      seen.minimum = true
    } else {
      return false
    }
    return true
  }

  /// The inside of a text without escapes.
  private static func plainText(_ line: Span<UInt8>, _ value: Range<Int>) -> Range<Int>? {
    guard line[value.lowerBound] == UInt8(ascii: "\""), value.count - 2 <= nameBytesMax else { return nil }
    let inside = value.lowerBound + 1..<value.upperBound - 1
    for i in inside where line[i] == UInt8(ascii: "\\") { return nil }
    return inside
  }

  /// `12` or `12.5` seconds, with at most three digits behind the point; in milliseconds.
  private static func milliseconds(_ line: Span<UInt8>, _ value: Range<Int>) -> Int64? {
    var whole: Int64 = 0
    var at = value.lowerBound
    while at < value.upperBound, line[at] >= 0x30, line[at] <= 0x39 {
      whole = whole * 10 + Int64(line[at] - 0x30)
      if whole > Int64(TokenGetParameters.minValidSecondsMax) { return nil }
      at += 1
    }
    guard at > value.lowerBound else { return nil }
    var fraction: Int64 = 0
    if at < value.upperBound, line[at] == UInt8(ascii: ".") {
      at += 1
      var scale: Int64 = 100
      while at < value.upperBound, line[at] >= 0x30, line[at] <= 0x39, scale > 0 {
        fraction += Int64(line[at] - 0x30) * scale
        scale /= 10
        at += 1
      }
    }
    let milliseconds = whole * 1000 + fraction
    guard at == value.upperBound, milliseconds <= Int64(TokenGetParameters.minValidSecondsMax) * 1000 else {
      return nil
    }
    return milliseconds
  }
}
