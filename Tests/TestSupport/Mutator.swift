/// Makes wrong documents out of right ones, the same ones in every run: a seeded generator and a dozen ways to damage.

package struct Mutator {
  /// SplitMix64: small, seeded, good enough to choose where to damage.
  private var state: UInt64
  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  package mutating func below(_ bound: Int) -> Int { bound <= 0 ? 0 : Int(next() % UInt64(bound)) }

  private static let pieces: [String] = [
    "\"", "\\", "{", "}", "[", "]", ",", ":", "null", "true", "-", "1e999", "0.", "\\u", "\\ud800", "\\u0000", "//",
    "..",
    "%", "%zz", "@", "#", "?", " ", "\r\n", "\u{0}", "\u{FEFF}", "<html>", "&amp;", "<", ">", "=", "'", ";",
    "[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":", "99999999999999999999", "\"error\":\"invalid_grant\",", "\"access_token\":\"\",", "::",
    "[::1]",
  ]

  package mutating func mutate(_ original: [UInt8]) -> [UInt8] {
    var bytes = original
    for _ in 0...below(4) {
      let at = below(bytes.count + 1)
      switch below(8) {
      case 0: if at < bytes.count { bytes[at] = UInt8(truncatingIfNeeded: next()) }
      case 1: if at < bytes.count { bytes[at] ^= 1 << UInt8(below(8)) }
      case 2: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(8)))
      case 3: bytes = Array(bytes.prefix(at))
      case 4: bytes.insert(contentsOf: Self.pieces[below(Self.pieces.count)].utf8, at: at)
      case 5:
        let end = min(bytes.count, at + 1 + below(40))
        bytes.insert(contentsOf: Array(bytes[at..<end]), at: below(bytes.count + 1))
      case 6: bytes.insert(contentsOf: [UInt8](repeating: UInt8(truncatingIfNeeded: next()), count: below(70)), at: at)
      default:
        let other = below(bytes.count)
        if at < bytes.count, other < bytes.count { bytes.swapAt(at, other) }
      }
    }
    return bytes
  }
}
