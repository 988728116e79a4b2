/// The record of the table `tokens`: what `token.get` answers, rendered when the token arrived, so that serving it is
/// one read, one unseal and one copy. Written and deleted in the same transactions as the grant's own record.
package import FHIRControl
package import SMARTProtocol

/// Plaintext layout, little endian: expiry on the boot clock in ms (8), boot id (8), expiry on the wall clock in ms (8),
/// obtained on the wall clock in ms (8), lifetime in ms (8), then the members of the result object, in JSON and without
/// braces: `"access_token":"…","token_type":"Bearer",…`. `expires_at` and `expires_in` are put behind them when it is served.
package struct ServedToken: Sendable {
  package static let recordVersion: UInt8 = 1
  package static let headerBytes = 40

  package var expiresAt: Instant
  package var bootID: UInt64
  package var expiresAtWall: Timestamp
  package var obtainedAtWall: Timestamp
  package var lifetime: Instant.Span

  package init(
    expiresAt: Instant, bootID: UInt64, expiresAtWall: Timestamp, obtainedAtWall: Timestamp, lifetime: Instant.Span
  ) {
    self.expiresAt = expiresAt
    self.bootID = bootID
    self.expiresAtWall = expiresAtWall
    self.obtainedAtWall = obtainedAtWall
    self.lifetime = lifetime
  }

  /// Reads the header of an opened record; nil when it is too short, or has a time that no clock says.
  package init?(_ plaintext: UnsafeRawBufferPointer) {
    guard plaintext.count > Self.headerBytes else { return nil }
    func word(_ offset: Int) -> Int64 {
      Int64(littleEndian: plaintext.loadUnaligned(fromByteOffset: offset, as: Int64.self))
    }
    guard [0, 16, 24, 32].allSatisfy({ RecordReader.isTime(word($0)) }) else { return nil }
    self.init(
      expiresAt: Instant(milliseconds: word(0)), bootID: UInt64(bitPattern: word(8)),
      expiresAtWall: Timestamp(milliseconds: word(16)), obtainedAtWall: Timestamp(milliseconds: word(24)),
      lifetime: Instant.Span(milliseconds: word(32)))
  }

  package var header: [UInt8] {
    UInt64(bitPattern: expiresAt.milliseconds).littleEndianBytes + bootID.littleEndianBytes
      + UInt64(bitPattern: expiresAtWall.milliseconds).littleEndianBytes
      + UInt64(bitPattern: obtainedAtWall.milliseconds).littleEndianBytes
      + UInt64(bitPattern: lifetime.milliseconds).littleEndianBytes
  }

  /// How long the token is still valid. Within the boot that obtained it the boot clock counts, whatever was done to
  /// the wall clock; after a reboot only the wall clock is left, and a token from its future is taken for expired.
  package func remaining(now: Instant, wall: Timestamp, bootID: UInt64) -> Instant.Span {
    if bootID == self.bootID { return expiresAt - now }
    // Five minutes: what clocks of one machine differ by across a reboot and an NTP correction.
    if obtainedAtWall.milliseconds > wall.milliseconds + 300_000 { return .zero }
    return Instant.Span(milliseconds: expiresAtWall.milliseconds - wall.milliseconds)
  }

  /// What a caller's `min_valid_seconds` comes to: never more than half the lifetime, so that a wish beyond what the
  /// server gives does not cause a refresh per request.
  package func effectiveMinimum(_ wanted: Instant.Span) -> Instant.Span {
    min(wanted, Instant.Span(milliseconds: lifetime.milliseconds / 2))
  }

  /// The token itself, out of the members of an answer.
  package static func accessToken(in members: UnsafeRawBufferPointer) -> [UInt8]? {
    var document = [UInt8(ascii: "{")] + Array(members) + [UInt8(ascii: "}")]
    defer { wipe(&document) }
    guard let parsed = try? JSONDocument(document, limits: .small, lifting: ["access_token"]) else { return nil }
    return parsed.lifted["access_token"]
  }
}
