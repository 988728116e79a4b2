/// When trouble with a server is no news: windows that come every week or day, or once. Pure: the caller brings the time.
package import FHIRControl

package enum MaintenanceWindow: Sendable, Equatable {
  /// Minutes since Monday 00:00 UTC, and how many minutes it lasts: up to a day.
  case weekly(start: Int, minutes: Int)
  /// Every day: minutes since 00:00 UTC, and how many it lasts.
  case daily(start: Int, minutes: Int)
  case once(Range<Timestamp>)

  /// Windows of one connection; more is no maintenance.
  package static let countMax = 32
  /// Bytes of one window's text; the longest that is sensible has sixty.
  package static let textBytesMax = 100
  /// A single window, in days: what takes longer is another server.
  package static let daysMax: Int64 = 31

  private static let dayMinutes = 1440
  private static let weekMinutes = 7 * dayMinutes
  private static let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

  package struct Problem: Error, Sendable, Equatable {
    /// For people, after the window's own text.
    package var sentence: String
  }

  /// `Sun 02:00-04:00`, `daily 23:30-00:30`, `2026-12-01T22:00Z/2026-12-02T04:00Z`.
  package init(_ text: String) throws(Problem) {
    guard text.utf8.count <= Self.textBytesMax else { throw Problem(sentence: "is too long") }
    if let slash = text.utf8.firstIndex(of: UInt8(ascii: "/")) {
      self = try .once(Self.range(text[..<slash], text[text.utf8.index(after: slash)...]))
      return
    }
    let words = text.split(separator: " ", omittingEmptySubsequences: true)
    guard words.count == 2 else { throw Problem(sentence: Self.expected) }
    let hours = words[1].split(separator: "-", omittingEmptySubsequences: false)
    guard hours.count == 2, let from = Self.minutes(hours[0]), let to = Self.minutes(hours[1]),
      from < Self.dayMinutes
    else { throw Problem(sentence: "has no times like 02:00-04:00") }
    guard from != to else { throw Problem(sentence: "begins when it ends") }
    // An end that is not after the start is on the next day.
    let length = to > from ? to - from : to + Self.dayMinutes - from
    let day = words[0].lowercased()
    if day == "daily" {
      self = .daily(start: from, minutes: length)
    } else if let index = Self.days.firstIndex(of: day) {
      self = .weekly(start: index * Self.dayMinutes + from, minutes: length)
    } else {
      throw Problem(sentence: "names no day: expected Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily")
    }
  }

  private static let expected =
    "is no window: expected Sun 02:00-04:00, daily 23:30-00:30 (both UTC) or 2026-12-01T22:00Z/2026-12-02T04:00Z"

  /// `02:00` to `24:00`.
  private static func minutes(_ text: Substring) -> Int? {
    let bytes = Array(text.utf8)
    guard bytes.count == 5, bytes[2] == UInt8(ascii: ":") else { return nil }
    var digits: [Int] = []
    for index in [0, 1, 3, 4] {
      guard (48...57).contains(bytes[index]) else { return nil }
      digits.append(Int(bytes[index]) - 48)
    }
    let (hour, minute) = (digits[0] * 10 + digits[1], digits[2] * 10 + digits[3])
    guard minute < 60, hour < 24 || (hour == 24 && minute == 0) else { return nil }
    return hour * 60 + minute
  }

  private static func range(_ from: Substring, _ to: Substring) throws(Problem) -> Range<Timestamp> {
    guard let start = time(from), let end = time(to) else {
      throw Problem(sentence: "has no times like 2026-12-01T22:00Z, both with their zone")
    }
    guard start < end else { throw Problem(sentence: "ends before it begins") }
    guard end.milliseconds - start.milliseconds <= daysMax * 86_400_000 else {
      throw Problem(sentence: "lasts longer than \(daysMax) days")
    }
    return start..<end
  }

  /// RFC 3339, also without seconds.
  private static func time(_ text: Substring) -> Timestamp? {
    if let time = Timestamp(text) { return time }
    let bytes = Array(text.utf8)
    guard bytes.count > 16 else { return nil }
    return Timestamp(String(decoding: bytes[..<16] + Array(":00".utf8) + bytes[16...], as: UTF8.self))
  }

  /// The window around this time; nil: it is outside.
  package func span(at time: Timestamp) -> Range<Timestamp>? {
    switch self {
    case .weekly(let start, let minutes): Self.repeated(every: Self.weekMinutes, start, minutes, at: time)
    case .daily(let start, let minutes): Self.repeated(every: Self.dayMinutes, start, minutes, at: time)
    case .once(let range): range.contains(time) ? range : nil
    }
  }

  private static func repeated(every period: Int, _ start: Int, _ minutes: Int, at time: Timestamp) -> Range<Timestamp>?
  {
    // The first of January 1970 was a Thursday: three days into its week.
    let (shift, period) = (Int64(3 * dayMinutes) * 60_000, Int64(period) * 60_000)
    let into = (time.milliseconds % period + shift % period + period) % period
    let since = (into - Int64(start) * 60_000 + period) % period
    guard since < Int64(minutes) * 60_000 else { return nil }
    let begin = Timestamp(milliseconds: time.milliseconds - since)
    return begin..<Timestamp(milliseconds: begin.milliseconds + Int64(minutes) * 60_000)
  }
}

extension [MaintenanceWindow] {
  /// The maintenance that this time is in, windows that overlap or touch taken together; nil: there is none.
  package func span(at time: Timestamp) -> Range<Timestamp>? {
    guard var span = lazy.compactMap({ $0.span(at: time) }).first else { return nil }
    // Bounded: windows that cover every hour would go on for ever.
    for _ in 0..<MaintenanceWindow.countMax {
      let before = Timestamp(milliseconds: span.lowerBound.milliseconds - 1)
      let start = compactMap { $0.span(at: before)?.lowerBound }.min() ?? span.lowerBound
      let end = compactMap { $0.span(at: span.upperBound)?.upperBound }.max() ?? span.upperBound
      guard start < span.lowerBound || end > span.upperBound else { break }
      span = Swift.min(start, span.lowerBound)..<Swift.max(end, span.upperBound)
    }
    return span
  }

  /// Of texts that were checked when they were stored; one that a later version wrote is left out.
  package init(texts: [String]?) {
    self = (texts ?? []).prefix(MaintenanceWindow.countMax).compactMap { try? MaintenanceWindow($0) }
  }
}
