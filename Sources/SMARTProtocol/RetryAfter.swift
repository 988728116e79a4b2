/// How long a server asks to be left alone, in any of the ways that servers say it. Source: RFC 9110 section 10.2.3.

package enum RetryAfter {
  /// A day: bulk servers ask for five hours; more than a day is a mistake or an attack.
  package static let max = Instant.Span.seconds(86400)

  /// `Retry-After`, Microsoft's header, then the rate limit families.
  /// - Parameters:
  ///   - status: the rate limit families stand on every answer of some servers; they ask for a pause only with 429 and
  ///     503.
  ///   - header: looks a header up without regard to case.
  ///   - now: wall clock, milliseconds since 1970.
  /// - Returns: 0 to `max`; nil when nothing usable was said.
  package static func parse(
    status: Int = 429, header: (String) -> String?, now wallMilliseconds: Int64
  ) -> Instant.Span? {
    if let text = header("Retry-After"), let wait = secondsOrDate(text, now: wallMilliseconds) { return clamp(wait) }
    if let text = header("x-ms-retry-after-ms"), let ms = number(text) { return clamp(ms) }
    guard status == 429 || status == 503 else { return nil }
    for name in ["RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset"] {
      if let text = header(name), let wait = reset(text, now: wallMilliseconds) { return clamp(wait) }
    }
    if let text = header("RateLimit"), let wait = rateLimit(text) { return clamp(wait) }
    return nil
  }

  private static func clamp(_ milliseconds: Double) -> Instant.Span {
    Instant.Span(milliseconds: Int64(min(Swift.max(milliseconds, 0), Double(max.milliseconds))))
  }

  private static func secondsOrDate(_ text: String, now: Int64) -> Double? {
    if let seconds = number(text) { return seconds * 1000 }
    return HTTPDate.parse(text, now: now).map { Double($0 - now) }
  }

  /// Seconds from now, or a point in time: in seconds, in milliseconds, or as a date.
  private static func reset(_ text: String, now: Int64) -> Double? {
    guard let value = number(text) else { return HTTPDate.parse(text, now: now).map { Double($0 - now) } }
    // Seconds since 1970 passed 10^9 in 2001, milliseconds pass 10^12 with it; nobody waits for 31 years.
    if value >= 1e12 { return value - Double(now) }
    if value >= 1e9 { return value * 1000 - Double(now) }
    return value * 1000
  }

  /// `RateLimit: limit=10, remaining=0, reset=30`, and the newer `"default";r=0;t=30`.
  private static func rateLimit(_ text: String) -> Double? {
    for part in text.split(whereSeparator: { $0 == "," || $0 == ";" }) {
      let pair = part.split(separator: "=", maxSplits: 1)
      guard pair.count == 2 else { continue }
      let name = pair[0].drop { $0 == " " }
      if name == "reset" || name == "t", let seconds = number(String(pair[1])) { return seconds * 1000 }
    }
    return nil
  }

  /// Digits with at most one point; blanks around them.
  private static func number(_ text: String) -> Double? {
    let bytes = text.utf8.drop { $0 == 0x20 || $0 == 0x09 }.prefix { $0 != 0x20 && $0 != 0x09 }
    guard !bytes.isEmpty, bytes.count <= 20, bytes.allSatisfy({ (48...57).contains($0) || $0 == UInt8(ascii: ".") })
    else { return nil }
    return Double(String(decoding: Array(bytes), as: UTF8.self))
  }
}
