/// Base64 as keys and tokens carry it, in bytes: what may be a secret never becomes a text.

enum Base64Text {
  enum Alphabet {
    /// `+` and `/`, line ends and padding allowed: the body of a PEM block. Source: RFC 7468 section 3.
    case pem
    /// `-` and `_`, no padding. Source: RFC 7515 section 2.
    case url
  }

  /// nil for a character that does not belong, padding in the middle, or bits left over that are not zero.
  static func decoded(_ text: some Sequence<UInt8>, _ alphabet: Alphabet) -> [UInt8]? {
    var result: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    var padding = 0
    for byte in text {
      if alphabet == .pem, byte == 0x0a || byte == 0x0d || byte == 0x20 || byte == 0x09 { continue }
      if alphabet == .pem, byte == UInt8(ascii: "=") {
        padding += 1
        continue
      }
      guard padding == 0, let value = value(of: byte, alphabet) else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    // Six bits alone are no byte; what is left of a byte must be zero, so that one key has one spelling.
    guard count < 6, padding <= 2, bits & (1 << UInt32(count) - 1) == 0 else { return nil }
    return result
  }

  static func urlEncoded(_ bytes: some Sequence<UInt8>) -> String {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var text: [UInt8] = []
    var bits: UInt32 = 0
    var count: UInt32 = 0
    for byte in bytes {
      bits = bits << 8 | UInt32(byte)
      count += 8
      while count >= 6 {
        count -= 6
        text.append(letters[Int(bits >> count & 63)])
      }
    }
    if count > 0 { text.append(letters[Int(bits << (6 - count) & 63)]) }
    return String(decoding: text, as: UTF8.self)
  }

  private static func value(of byte: UInt8, _ alphabet: Alphabet) -> UInt8? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 52
    case UInt8(ascii: "+") where alphabet == .pem: 62
    case UInt8(ascii: "/") where alphabet == .pem: 63
    case UInt8(ascii: "-") where alphabet == .url: 62
    case UInt8(ascii: "_") where alphabet == .url: 63
    default: nil
    }
  }
}
