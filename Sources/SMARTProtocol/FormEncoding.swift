/// application/x-www-form-urlencoded, both ways, into buffers that are sized first: a growing array would leave copies
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

  /// How a space is written. Every server reads `%20`; `+` is what the form encoding says.
  enum Space { case plus, percent }

  static func encodedCount(_ bytes: some Collection<UInt8>) -> Int {
    bytes.reduce(0) { $0 + (isUnreserved($1) || $1 == 0x20 ? 1 : 3) }
  }

  /// Source: RFC 6749 appendix B.
  static func append(_ bytes: some Collection<UInt8>, to target: inout [UInt8], space: Space = .plus) {
    let hex = StaticHex.upper
    for byte in bytes {
      if isUnreserved(byte) {
        target.append(byte)
      } else if byte == 0x20, space == .plus {
        target.append(UInt8(ascii: "+"))
      } else {
        target.append(UInt8(ascii: "%"))
        target.append(hex[Int(byte >> 4)])
        target.append(hex[Int(byte & 15)])
      }
    }
  }

  /// Appends `name=value`, after `&` where something stands before it.
  static func appendPair(
    _ name: String, _ value: some Collection<UInt8>, to target: inout [UInt8], space: Space = .plus
  ) {
    if !target.isEmpty { target.append(UInt8(ascii: "&")) }
    append(name.utf8, to: &target, space: space)
    target.append(UInt8(ascii: "="))
    append(value, to: &target, space: space)
  }

  /// `+` becomes a space, `%XX` its byte, everything else stays. nil: a `%` without two hexadecimal digits.
  static func decoded(_ bytes: some Collection<UInt8>) -> [UInt8]? {
    var target: [UInt8] = []
    target.reserveCapacity(bytes.count)
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "+"): target.append(0x20)
      case UInt8(ascii: "%"):
        guard let high = rest.popFirst().flatMap(hexValue), let low = rest.popFirst().flatMap(hexValue) else {
          SMARTProtocol.wipe(&target)
          return nil
        }
        target.append(high << 4 | low)
      default: target.append(byte)
      }
    }
    return target
  }
}

private enum StaticHex {
  static let upper = Array("0123456789ABCDEF".utf8)
}

/// Overwrites the bytes of an array that has one owner. Of an array with more owners only this one's copy changes.
/// Not inlined: a store before a release that the optimizer can see is a store that it may leave out.
@inline(never)
package func wipe(_ bytes: inout [UInt8]) {
  for i in bytes.indices { bytes[i] = 0 }
  bytes = []
}
