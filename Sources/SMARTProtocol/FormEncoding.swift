/// application/x-www-form-urlencoded and base64, into buffers that are sized first: a growing array would leave copies
/// of a secret behind.

package enum FormEncoding {
  /// A copy for comparisons; the caller wipes it.
  package static func encoded(_ bytes: [UInt8]) -> [UInt8] {
    var target: [UInt8] = []
    target.reserveCapacity(encodedCount(bytes))
    append(bytes, to: &target)
    return target
  }

  /// Bytes that stand for themselves. `~` is kept too: every decoder reads it as itself, and servers that compare the
  /// raw pair of `client_secret_basic` see it unchanged.
  static func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
    default: false
    }
  }

  static func encodedCount(_ bytes: some Collection<UInt8>) -> Int {
    bytes.reduce(0) { $0 + (isUnreserved($1) || $1 == 0x20 ? 1 : 3) }
  }

  /// Source: RFC 6749 appendix B; a space becomes `+`.
  static func append(_ bytes: some Collection<UInt8>, to target: inout [UInt8]) {
    let hex = StaticHex.upper
    for byte in bytes {
      if isUnreserved(byte) {
        target.append(byte)
      } else if byte == 0x20 {
        target.append(UInt8(ascii: "+"))
      } else {
        target.append(UInt8(ascii: "%"))
        target.append(hex[Int(byte >> 4)])
        target.append(hex[Int(byte & 15)])
      }
    }
  }
}

private enum StaticHex {
  static let upper = Array("0123456789ABCDEF".utf8)
}

enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

  /// With padding. Source: RFC 4648 section 4.
  static func append(_ bytes: [UInt8], to target: inout [UInt8]) {
    var at = 0
    while at < bytes.count {
      let rest = bytes.count - at
      let word =
        UInt32(bytes[at]) << 16 | (rest > 1 ? UInt32(bytes[at + 1]) << 8 : 0) | (rest > 2 ? UInt32(bytes[at + 2]) : 0)
      target.append(alphabet[Int(word >> 18)])
      target.append(alphabet[Int(word >> 12 & 63)])
      target.append(rest > 1 ? alphabet[Int(word >> 6 & 63)] : UInt8(ascii: "="))
      target.append(rest > 2 ? alphabet[Int(word & 63)] : UInt8(ascii: "="))
      at += 3
    }
  }
}

/// Overwrites the bytes of an array that has one owner. Of an array with more owners only this one's copy changes.
/// Not inlined: a store before a release that the optimizer can see is a store that it may leave out.
@inline(never)
package func wipe(_ bytes: inout [UInt8]) {
  for i in bytes.indices { bytes[i] = 0 }
  bytes = []
}
