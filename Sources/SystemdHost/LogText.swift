/// Text of foreign origin as one line may carry it: bounded, and with nothing in it that a terminal or a reader obeys.
enum LogText {
  /// Of one value, before escaping. More is an answer of a server that found its way into an error.
  static let valueBytesMax = 2048

  /// The value with control, format and line separating characters escaped (`\n`, `\u{1b}`), as the journal gets it.
  static func appendEscaped(_ value: String, to bytes: inout [UInt8]) {
    append(value, quoted: false, to: &bytes)
  }

  /// The value as logfmt: bare where no reader can misunderstand it, else in double quotes.
  static func appendLogfmt(_ value: String, to bytes: inout [UInt8]) {
    let isBare =
      !value.isEmpty
      && value.unicodeScalars.allSatisfy {
        $0 != " " && $0 != "\"" && $0 != "=" && $0 != "\\" && !isEscaped($0)
      }
    if !isBare { bytes.append(UInt8(ascii: "\"")) }
    append(value, quoted: !isBare, to: &bytes)
    if !isBare { bytes.append(UInt8(ascii: "\"")) }
  }

  /// At most `bytesMax` bytes, cut between characters; what would be escaped is a space.
  static func plain(_ text: String, bytesMax: Int) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
      count += UTF8.width(scalar)
      if count > bytesMax { break }
      result.unicodeScalars.append(isEscaped(scalar) ? " " : scalar)
    }
    return result
  }

  private static func append(_ value: String, quoted: Bool, to bytes: inout [UInt8]) {
    var count = 0
    for scalar in value.unicodeScalars {
      count += UTF8.width(scalar)
      if count > valueBytesMax {
        bytes.append(contentsOf: "…".utf8)
        return
      }
      switch scalar {
      case "\n": bytes.append(contentsOf: #"\n"#.utf8)
      case "\r": bytes.append(contentsOf: #"\r"#.utf8)
      case "\t": bytes.append(contentsOf: #"\t"#.utf8)
      case "\"" where quoted: bytes.append(contentsOf: #"\""#.utf8)
      case "\\" where quoted: bytes.append(contentsOf: #"\\"#.utf8)
      case _ where isEscaped(scalar):
        bytes.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".utf8)
      default: bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      }
    }
  }

  /// Escape sequences (also the one-byte ones of U+0080 to U+009F), line separators, reversed text, invisible tags.
  private static func isEscaped(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar.value < 0x20 || scalar.value == 0x7F }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: return true
    default: return false
    }
  }
}
