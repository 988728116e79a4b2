/// Which grants' tokens a resource server has refused lately. Pure.
import SMARTProtocol

struct TokenRefusals {
  /// Beyond so many the old ones are looked through and dropped.
  private static let countMax = 1000

  private var lastAt: [GrantKey: Instant] = [:]

  /// - Parameter floor: of the grant's refreshes.
  /// - Returns: whether this is the first refusal within the floor's time.
  mutating func note(_ key: GrantKey, at now: Instant, floor: Instant.Span) -> Bool {
    if let last = lastAt[key], now < last + floor { return false }
    if lastAt.count >= Self.countMax {
      lastAt = lastAt.filter { now < $0.value + floor }
      // As many grants at once are no accident: none of them has this way round the floor.
      guard lastAt.count < Self.countMax else { return false }
    }
    lastAt[key] = now
    return true
  }
}
