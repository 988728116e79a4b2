/// The little of DER that imported keys need: a PKCS#1 key from its numbers, and which curve a key names.
import ConnectionCore
import SMARTProtocol

enum DER {
  /// An RSA private key from its numbers, big endian, for the library's own parser, which checks that they belong
  /// together. Source: RFC 8017 appendix A.1.2. The caller wipes the result.
  static func pkcs1(_ numbers: [[UInt8]]) -> [UInt8] { sequence([[0]] + numbers) }

  /// A sequence of whole numbers, none of them negative.
  static func sequence(_ numbers: [[UInt8]]) -> [UInt8] {
    var body: [UInt8] = []
    defer { wipe(&body) }
    // Each with its tag, its length and a zero in front, so that the body never moves and leaves a copy behind.
    body.reserveCapacity(numbers.reduce(0) { $0 + $1.count + 8 })
    for number in numbers {
      var coded = integer(number)
      body += coded
      wipe(&coded)
    }
    return [0x30] + length(body.count) + body
  }

  private static func integer(_ number: [UInt8]) -> [UInt8] {
    var digits = number.drop { $0 == 0 }
    // A leading one bit would make it negative; nothing at all is zero.
    if digits.first ?? 0x80 >= 0x80 { digits = [0] + digits }
    return [0x02] + length(digits.count) + digits
  }

  private static func length(_ count: Int) -> [UInt8] {
    if count < 0x80 { return [UInt8(count)] }
    let digits = UInt64(count).bigEndianBytes.drop { $0 == 0 }
    return [0x80 | UInt8(digits.count)] + digits
  }

  /// Object identifiers, with tag and length. Source: RFC 5480 section 2.1.1, RFC 8410 section 3.
  static let p384: [UInt8] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]
  static let p256: [UInt8] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]
  static let ecPublicKey: [UInt8] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]
  static let edwards: [UInt8] = [0x06, 0x03, 0x2b, 0x65]

  /// Whether these bytes stand anywhere in the key. An identifier says what a key claims to be; whether it is so is
  /// checked by who parses it.
  static func names(_ identifier: [UInt8], in der: [UInt8]) -> Bool {
    guard der.count >= identifier.count else { return false }
    return (0...der.count - identifier.count).contains { der[$0..<$0 + identifier.count].elementsEqual(identifier) }
  }
}
