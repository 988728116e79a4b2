/// Dates in HTTP headers, in all three forms that RFC 9110 section 5.6.7 asks recipients to read, and the clock skew
/// that a server's `Date` tells of.

package enum HTTPDate {
  /// - Parameter now: milliseconds since 1970; decides the century of a year with two digits.
  /// - Returns: milliseconds since 1970.
  package static func parse(_ text: String, now: Int64) -> Int64? {
    guard text.utf8.count <= 64 else { return nil }
    let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
    switch words.count {
    case 6 where words[0].hasSuffix(","):  // Sun, 06 Nov 1994 08:49:37 GMT
      guard isUTC(words[5]) else { return nil }
      return point(year: number(words[3], 4...4), month: month(words[2]), day: number(words[1], 1...2), time: words[4])
    case 4 where words[0].hasSuffix(","):  // Sunday, 06-Nov-94 08:49:37 GMT
      let date = words[1].split(separator: "-").map(String.init)
      guard date.count == 3, isUTC(words[3]) else { return nil }
      let year = number(date[2], 2...2).map { century($0, now: now) } ?? number(date[2], 4...4)
      return point(year: year, month: month(date[1]), day: number(date[0], 1...2), time: words[2])
    case 5:  // Sun Nov  6 08:49:37 1994
      return point(year: number(words[4], 4...4), month: month(words[1]), day: number(words[2], 1...2), time: words[3])
    default: return nil
    }
  }

  private static func isUTC(_ zone: String) -> Bool { ["GMT", "UTC", "Z", "+0000"].contains(zone.uppercased()) }

  private static func number(_ text: String, _ length: ClosedRange<Int>) -> Int64? {
    guard length.contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int64(text)
  }

  private static func month(_ text: String) -> Int64? {
    let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    return names.firstIndex(of: text.lowercased()).map { Int64($0 + 1) }
  }

  /// RFC 9110: what would lie more than 50 years ahead is the last year that ended in these digits.
  private static func century(_ twoDigits: Int64, now: Int64) -> Int64 {
    let year = 1970 + now / 31_556_952_000
    let candidate = year / 100 * 100 + twoDigits
    return candidate > year + 50 ? candidate - 100 : candidate
  }

  private static func point(year: Int64?, month: Int64?, day: Int64?, time: String) -> Int64? {
    let parts = time.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard let year, let month, let day, parts.count == 3, let hour = number(parts[0], 1...2),
      let minute = number(parts[1], 2...2), let second = number(parts[2], 2...2), (1...9999).contains(year),
      (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    // Days from a civil date: Howard Hinnant, "chrono-compatible low-level date algorithms".
    let y = month <= 2 ? year - 1 : year
    let era = y / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    return (days * 86400 + hour * 3600 + minute * 60 + second) * 1000
  }
}

package enum ServerDate {
  /// How far the server's clock is ahead of ours (negative: behind), to about a second and half the round trip.
  /// - Parameters:
  ///   - header: the value of `Date`.
  ///   - sentAt, receivedAt: our wall clock around the request, milliseconds since 1970.
  package static func skew(header: String?, sentAt: Int64, receivedAt: Int64) -> Instant.Span? {
    guard let header, receivedAt >= sentAt, let server = HTTPDate.parse(header, now: receivedAt) else { return nil }
    // The header has whole seconds, cut off: on average the true time is half a second later.
    return Instant.Span(milliseconds: server + 500 - (sentAt + (receivedAt - sentAt) / 2))
  }
}
