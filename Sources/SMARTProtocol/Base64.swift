/// Base64 with padding for headers, base64url without for keys, digests and JWTs; into buffers that are sized first.

package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

  /// With padding. Source: RFC 4648 section 4.
  package static func append(_ bytes: some Collection<UInt8>, to target: inout [UInt8]) {
    append(bytes, alphabet: alphabet, to: &target)
    switch bytes.count % 3 {
    case 1: target.append(contentsOf: [UInt8(ascii: "="), UInt8(ascii: "=")])
    case 2: target.append(UInt8(ascii: "="))
    default: break
    }
  }

  /// Without padding. Every three bytes give four characters; one byte left over gives two, two give three.
  fileprivate static func append(_ bytes: some Collection<UInt8>, alphabet: [UInt8], to target: inout [UInt8]) {
    var bits: UInt32 = 0
    var count: UInt32 = 0
    for byte in bytes {
      bits = bits << 8 | UInt32(byte)
      count += 8
      while count >= 6 {
        count -= 6
        target.append(alphabet[Int(bits >> count & 63)])
      }
    }
    if count > 0 { target.append(alphabet[Int(bits << (6 - count) & 63)]) }
  }
}

/// Without padding. Source: RFC 4648 section 5, RFC 7515 section 2.
package enum Base64URL {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  package static func encodedCount(_ count: Int) -> Int { (count * 4 + 2) / 3 }

  package static func encode(_ bytes: some Collection<UInt8>) -> String {
    String(decoding: encodedBytes(bytes), as: UTF8.self)
  }

  /// The same as bytes, for what may not become a `String`.
  package static func encodedBytes(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var target: [UInt8] = []
    target.reserveCapacity(encodedCount(bytes.count))
    append(bytes, to: &target)
    return target
  }

  static func append(_ bytes: some Collection<UInt8>, to target: inout [UInt8]) {
    Base64.append(bytes, alphabet: alphabet, to: &target)
  }

  /// nil: padding, a character of another alphabet, a length that cannot be, or bits left over that are not zero
  /// (two texts for the same bytes would be two names of one key).
  package static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(bytes: text.utf8) }

  package static func decode(bytes text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    var target: [UInt8] = []
    target.reserveCapacity(text.count / 4 * 3 + 2)
    var bits: UInt32 = 0
    var count: UInt32 = 0
    for character in text {
      guard let value = value(character) else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        target.append(UInt8(truncatingIfNeeded: bits >> count))
      }
    }
    return bits & (1 << count - 1) == 0 ? target : nil
  }

  private static func value(_ character: UInt8) -> UInt8? {
    switch character {
    case 65...90: character - 65
    case 97...122: character - 71
    case 48...57: character + 4
    case UInt8(ascii: "-"): 62
    case UInt8(ascii: "_"): 63
    default: nil
    }
  }
}
