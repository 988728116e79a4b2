/// Globs of access rules: `*` for any run of characters, `?` for one. Pure.
package struct Glob: Sendable, Hashable {
  /// Longest pattern, in bytes: names are shorter, and matching costs pattern times text at worst.
  package static let bytesMax = 256
  private let pattern: [UInt8]

  package init?(_ text: String) {
    guard !text.isEmpty, text.utf8.count <= Self.bytesMax, !text.utf8.contains(where: { $0 < 0x20 }) else { return nil }
    pattern = Array(text.utf8)
  }

  package var matchesEverything: Bool { pattern.allSatisfy { $0 == UInt8(ascii: "*") } }

  package func matches(_ text: String) -> Bool {
    let text = Array(text.utf8)
    var p = 0
    var t = 0
    // Where to go back to: behind the last star, and one character further in the text than last time.
    var afterStar = -1
    var resume = 0
    while t < text.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        afterStar = p + 1
        resume = t
        p += 1
      } else if p < pattern.count, pattern[p] == UInt8(ascii: "?") || pattern[p] == text[t] {
        p += 1
        // A question mark stands for a character, not for a byte of one.
        let whole = pattern[p - 1] == UInt8(ascii: "?")
        t += 1
        while whole, t < text.count, text[t] & 0xC0 == 0x80 { t += 1 }
      } else if afterStar >= 0 {
        resume += 1
        t = resume
        p = afterStar
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}
