/// The body of a PEM block in bytes: what may be a private key never becomes a text. Source: RFC 7468 section 3.
import SMARTProtocol

enum PEMBody {
  /// Line ends, blanks and padding allowed; nil for a character that does not belong, padding in the middle, or bits
  /// left over that are not zero.
  static func decoded(_ text: some Sequence<UInt8>) -> [UInt8]? {
    var letters: [UInt8] = []
    defer { wipe(&letters) }
    letters.reserveCapacity(text.underestimatedCount)
    var padding = 0
    for byte in text {
      switch byte {
      case 0x0A, 0x0D, 0x20, 0x09: continue
      case UInt8(ascii: "="): padding += 1
      case _ where padding > 0: return nil
      case UInt8(ascii: "+"): letters.append(UInt8(ascii: "-"))
      case UInt8(ascii: "/"): letters.append(UInt8(ascii: "_"))
      case UInt8(ascii: "-"), UInt8(ascii: "_"): return nil
      default: letters.append(byte)
      }
    }
    return padding <= 2 ? Base64URL.decode(bytes: letters) : nil
  }
}
