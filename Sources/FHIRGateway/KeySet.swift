/// The public keys as the gateway serves them, and the last good ones for a while. Pure: the caller brings the time.
import FHIRControl
import FoundationEssentials

struct KeySet: Sendable, Hashable {
  let body: String
  /// Changes with the body. A checksum, not a signature: nobody gains anything by two sets with the same one.
  let tag: String

  /// The members of a private or symmetric key. Source: RFC 7518 sections 6.2.2, 6.3.2 and 6.4.
  /// The daemon sends none; should it ever, they end here.
  private static let privateMembers: Set<String> = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

  init(_ set: JWKSet) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let open = JWKSet(keys: set.keys.map { key in key.filter { !Self.privateMembers.contains($0.key) } })
    body = String(decoding: try encoder.encode(open), as: UTF8.self)
    // FNV-1a, 64 bits.
    let sum = body.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    tag = "\"\(String(sum, radix: 16))\""
  }

  /// Source: RFC 9110 section 13.1.2: a list of tags or `*`, compared weakly.
  func matches(ifNoneMatch header: String) -> Bool {
    header.split(separator: ",").contains { piece in
      var text = piece.drop { $0 == " " || $0 == "\t" }
      while text.last == " " || text.last == "\t" { text.removeLast() }
      return text == "*" || text == tag || text == "W/\(tag)"
    }
  }
}

struct KeySetCache {
  enum Found {
    case fresh(KeySet)
    /// Only where the daemon cannot be asked.
    case stale(KeySet)
    case none
  }
  private var last: (set: KeySet, at: Double)?

  mutating func keep(_ set: KeySet, at now: Double) { last = (set, now) }

  func find(at now: Double) -> Found {
    guard let last, now - last.at < Limits.keysStaleSeconds else { return .none }
    return now - last.at < Limits.keysFreshSeconds ? .fresh(last.set) : .stale(last.set)
  }
}
