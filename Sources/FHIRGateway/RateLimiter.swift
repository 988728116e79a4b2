/// Decides whether an address has asked too often: a token bucket each. Pure: the caller brings the time in seconds.

struct RateLimiter {
  private struct Bucket {
    var tokens: Double
    var at: Double
  }
  private var buckets: [String: Bucket] = [:]

  var addresses: Int { buckets.count }

  /// - Returns: nil when the request may pass; else after how many seconds one will.
  mutating func spend(_ address: String, at now: Double) -> Double? {
    if buckets[address] == nil, buckets.count >= Limits.addressesMax { forget(at: now) }
    var bucket = buckets[address] ?? Bucket(tokens: Limits.burst, at: now)
    bucket.tokens = min(Limits.burst, bucket.tokens + max(0, now - bucket.at) * Limits.requestsPerSecond)
    bucket.at = now
    defer { buckets[address] = bucket }
    guard bucket.tokens >= 1 else { return (1 - bucket.tokens) / Limits.requestsPerSecond }
    bucket.tokens -= 1
    return nil
  }

  /// Drops what is full again; where that is not enough, the half that was silent for the longest time.
  private mutating func forget(at now: Double) {
    let refill = Limits.burst / Limits.requestsPerSecond
    buckets = buckets.filter { now - $0.value.at < refill }
    guard buckets.count >= Limits.addressesMax else { return }
    for (address, _) in buckets.sorted(by: { $0.value.at < $1.value.at }).prefix(buckets.count / 2) {
      buckets[address] = nil
    }
  }
}

/// Who a request is counted for.
enum ClientAddress {
  /// A client of a Unix socket: nobody told its address.
  static let local = "local"

  /// - Parameters:
  ///   - peer: the address of the other end of the connection.
  ///   - forwarded: the values of `X-Forwarded-For`, where a proxy is trusted to have set it.
  /// - Returns: an IPv4 address, or the first 64 bits of an IPv6 one, as a whole network of those has one owner.
  static func key(peer: String?, forwarded: [String]) -> String {
    // The last one is the proxy's own; those before it came with the request and can say anything.
    if let last = forwarded.last?.split(separator: ",").last {
      let text = last.filter { $0 != " " }
      if text.utf8.count <= 45, !text.isEmpty,
        text.utf8.allSatisfy({ isHexadecimal($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") })
      {
        return network(text)
      }
    }
    return peer.map(network) ?? local
  }

  private static func network(_ address: String) -> String {
    guard address.contains(":"), !address.contains(".") else { return address }
    let halves = address.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false)
    var groups = halves[0].split(separator: ":").map(String.init)
    if halves.count == 2 {
      let tail = halves[1].split(separator: ":").map(String.init)
      groups += Array(repeating: "0", count: max(0, 8 - groups.count - tail.count)) + tail
    }
    return groups.prefix(4).joined(separator: ":").lowercased() + "::/64"
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
  }
}
