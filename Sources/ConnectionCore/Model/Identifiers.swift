/// The names of stored things. Pure: the caller brings the randomness and the keyed hashes.

/// The identity of a connection: 16 random bytes, for ever; shown as a UUID.
package struct ConnectionID: Sendable, Hashable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// - Parameter bytes: exactly 16 bytes, or nil comes back.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    var words: (UInt64, UInt64) = (0, 0)
    for (i, byte) in bytes.enumerated() {
      if i < 8 { words.0 = words.0 << 8 | UInt64(byte) } else { words.1 = words.1 << 8 | UInt64(byte) }
    }
    self.init(high: words.0, low: words.1)
  }

  /// Reads the UUID form, in either case; anything else is nil.
  package init?(_ text: some StringProtocol) {
    var bytes: [UInt8] = []
    var digits = 0
    var value: UInt8 = 0
    for (i, c) in text.utf8.enumerated() {
      if i == 8 || i == 13 || i == 18 || i == 23 {
        guard c == UInt8(ascii: "-") else { return nil }
        continue
      }
      guard let digit = c.hexDigit else { return nil }
      value = value << 4 | digit
      digits += 1
      if digits % 2 == 0 { bytes.append(value) }
    }
    guard text.utf8.count == 36 else { return nil }
    self.init(bytes: bytes)
  }

  package static let byteCount = 16

  package var bytes: [UInt8] { high.bigEndianBytes + low.bigEndianBytes }

  package var description: String {
    let hex = bytes.map { byte in
      let digits = Array("0123456789abcdef")
      return "\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
    }
    return [hex[0..<4], hex[4..<6], hex[6..<8], hex[8..<10], hex[10..<16]].map { $0.joined() }.joined(separator: "-")
  }
}

/// The identity of a grant in the store: the connection and the keyed hash of the subject, so that no subject
/// (which can be a patient's id) stands in a key. 32 bytes, no allocation: heaps of deadlines hold 100,000 of them.
package struct GrantKey: Sendable, Hashable {
  package let connection: ConnectionID
  package let subject: KeyedHash

  package init(connection: ConnectionID, subject: KeyedHash) {
    self.connection = connection
    self.subject = subject
  }

  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount, let connection = ConnectionID(bytes: bytes.prefix(16)),
      let subject = KeyedHash(bytes: bytes.dropFirst(16))
    else { return nil }
    self.init(connection: connection, subject: subject)
  }

  package static let byteCount = 32
  package var bytes: [UInt8] { connection.bytes + subject.bytes }
}

/// 16 bytes of keyed BLAKE2b: how a name or a subject is found without standing in the store.
package struct KeyedHash: Sendable, Hashable {
  package let high: UInt64
  package let low: UInt64

  package init?(bytes: some Collection<UInt8>) {
    guard let words = ConnectionID(bytes: bytes) else { return nil }
    high = words.high
    low = words.low
  }

  package var bytes: [UInt8] { high.bigEndianBytes + low.bigEndianBytes }
}

/// Grows with every change of a grant or of what it depends on; a reply asked under an older one is dropped.
package typealias Generation = UInt64

extension UInt64 {
  package var bigEndianBytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> (56 - 8 * UInt64($0))) } }
}

extension UInt8 {
  /// The value of an ASCII hexadecimal digit, or nil.
  package var hexDigit: UInt8? {
    switch self {
    case 48...57: self - 48
    case 65...70: self - 55
    case 97...102: self - 87
    default: nil
    }
  }
}
