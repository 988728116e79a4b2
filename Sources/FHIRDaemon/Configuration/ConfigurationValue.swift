/// Reads and writes the values of settings: durations, sizes, numbers, switches.

enum ConfigurationValue {
  /// Milliseconds. Plain seconds, or numbers with units as systemd.time(7) writes them: `5min`, `1h 30min`, `1.5s`.
  static func duration(_ text: String) -> Int64? {
    guard let parts = numbersWithUnits(text) else { return nil }
    if parts.count > 1, parts.contains(where: { $0.unit.isEmpty }) { return nil }
    var total = 0.0
    for part in parts {
      guard let factor = durationUnits[part.unit] else { return nil }
      total += part.number * factor
    }
    // 2^53: beyond it a Double counts no milliseconds.
    return total < 9e15 ? Int64(total.rounded()) : nil
  }

  /// Bytes. K, M and G are powers of 1024, as in systemd and as KiB, MiB and GiB; kB, MB and GB are powers of 1000.
  static func bytes(_ text: String) -> Int? {
    guard let parts = numbersWithUnits(text), parts.count == 1, let factor = byteUnits[parts[0].unit] else {
      return nil
    }
    let total = parts[0].number * factor
    return total < 9e15 && total == total.rounded() ? Int(total) : nil
  }

  static func count(_ text: String) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int(text)
  }

  static func boolean(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "true", "yes", "on", "1": true
    case "false", "no", "off", "0": false
    default: nil
    }
  }

  /// In the largest unit that leaves no fraction.
  static func text(duration milliseconds: Int64) -> String {
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)] as [(String, Int64)]
    where milliseconds >= size && milliseconds % size == 0 {
      return "\(milliseconds / size)\(unit)"
    }
    return "\(milliseconds)ms"
  }

  static func text(bytes: Int) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where bytes >= size && bytes % size == 0
    {
      return "\(bytes / size)\(unit)"
    }
    return "\(bytes)"
  }

  private static let durationUnits: [String: Double] = [
    "": 1000, "ms": 1, "msec": 1, "s": 1000, "sec": 1000, "second": 1000, "seconds": 1000, "m": 60_000, "min": 60_000,
    "minute": 60_000, "minutes": 60_000, "h": 3_600_000, "hr": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
    "d": 86_400_000, "day": 86_400_000, "days": 86_400_000, "w": 604_800_000, "week": 604_800_000, "weeks": 604_800_000,
  ]

  private static let byteUnits: [String: Double] = [
    "": 1, "B": 1, "K": 1024, "M": 1_048_576, "G": 1_073_741_824, "KiB": 1024, "MiB": 1_048_576, "GiB": 1_073_741_824,
    "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
  ]

  /// `1h 30min` as [(1, "h"), (30, "min")]; nil for anything else, signs and exponents included.
  private static func numbersWithUnits(_ text: String) -> [(number: Double, unit: String)]? {
    var parts: [(number: Double, unit: String)] = []
    var rest = text[...].drop { $0 == " " }
    // 8: more parts than there are units is a mistake.
    while !rest.isEmpty, parts.count < 8 {
      let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      guard digits.count <= 20, digits.first != ".", digits.last != ".", let number = Double(digits) else { return nil }
      rest = rest[digits.endIndex...].drop { $0 == " " }
      let unit = rest.prefix { $0.isASCII && $0.isLetter }
      parts.append((number, String(unit)))
      rest = rest[unit.endIndex...].drop { $0 == " " }
    }
    return parts.isEmpty || !rest.isEmpty ? nil : parts
  }
}
