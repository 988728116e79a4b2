/// A wall-clock time on the control protocol: RFC 3339 in UTC on the wire, milliseconds since 1970 inside.
public struct Timestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
  public var milliseconds: Int64
  public init(milliseconds: Int64) { self.milliseconds = milliseconds }
  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.milliseconds < b.milliseconds }

  /// `2026-11-23T18:00:00Z`; whole seconds, rounded down. Source: RFC 3339 section 5.6.
  public var description: String {
    var text = [UInt8](repeating: 0, count: Self.textBytes)
    text.withUnsafeMutableBytes { write(into: $0) }
    return String(decoding: text, as: UTF8.self)
  }

  /// Length of the text that `write(into:)` makes.
  public static let textBytes = 20

  /// Writes the twenty bytes of `description` without allocating.
  /// - Parameter target: at least `textBytes` long.
  public func write(into target: UnsafeMutableRawBufferPointer) {
    let seconds = milliseconds / 1000 - (milliseconds % 1000 < 0 ? 1 : 0)
    let days = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
    let second = Int(seconds - days * 86400)
    // Civil date from a day count: Howard Hinnant, "chrono-compatible low-level date algorithms".
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let mp = (5 * dayOfYear + 2) / 153
    let day = Int(dayOfYear - (153 * mp + 2) / 5 + 1)
    let month = Int(mp < 10 ? mp + 3 : mp - 9)
    let year = Int(yearOfEra + era * 400 + (month <= 2 ? 1 : 0))
    func digits(_ value: Int, _ count: Int, at offset: Int) {
      var rest = value
      for i in stride(from: offset + count - 1, through: offset, by: -1) {
        target[i] = UInt8(48 + rest % 10)
        rest /= 10
      }
    }
    digits(min(max(year, 0), 9999), 4, at: 0)
    target[4] = UInt8(ascii: "-")
    digits(month, 2, at: 5)
    target[7] = UInt8(ascii: "-")
    digits(day, 2, at: 8)
    target[10] = UInt8(ascii: "T")
    digits(second / 3600, 2, at: 11)
    target[13] = UInt8(ascii: ":")
    digits(second / 60 % 60, 2, at: 14)
    target[16] = UInt8(ascii: ":")
    digits(second % 60, 2, at: 17)
    target[19] = UInt8(ascii: "Z")
  }

  /// Reads an RFC 3339 time with any offset and any number of fraction digits (kept to the millisecond).
  public init?(_ text: some StringProtocol) {
    let b = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int64? {
      guard range.upperBound <= b.count else { return nil }
      var n: Int64 = 0
      for i in range {
        guard b[i] >= 48, b[i] <= 57 else { return nil }
        n = n * 10 + Int64(b[i] - 48)
      }
      return n
    }
    guard b.count >= 20, b[4] == 45, b[7] == 45, b[10] | 0x20 == 116, b[13] == 58, b[16] == 58,
      let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
      let minute = number(14..<16), let second = number(17..<19),
      (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    var at = 19
    var fraction: Int64 = 0
    if b[at] == 46 {
      at += 1
      var scale: Int64 = 100
      let start = at
      while at < b.count, b[at] >= 48, b[at] <= 57 {
        fraction += Int64(b[at] - 48) * scale
        scale /= 10
        at += 1
      }
      guard at > start else { return nil }
    }
    guard at < b.count else { return nil }
    var offset: Int64 = 0
    if b[at] | 0x20 == 122 {
      at += 1
    } else {
      guard b[at] == 43 || b[at] == 45, at + 6 <= b.count, b[at + 3] == 58,
        let h = number(at + 1..<at + 3), let m = number(at + 4..<at + 6), h < 24, m < 60
      else { return nil }
      offset = (h * 60 + m) * (b[at] == 43 ? 60 : -60)
      at += 6
    }
    guard at == b.count else { return nil }
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    self.init(milliseconds: (days * 86400 + hour * 3600 + minute * 60 + second - offset) * 1000 + fraction)
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Timestamp(text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time: \(text)")
    }
    self = value
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
