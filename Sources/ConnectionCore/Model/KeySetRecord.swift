/// The record of an issuer's JWK Set, and how long it is good for. Sealed like everything; it holds public keys.
package import FHIRControl
package import SMARTProtocol

package struct KeySetRecord: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1
  /// A hundred keys with their certificates are half of it, in bytes; a larger set is not read.
  package static let bytesMax = 256 << 10

  // MARK: how long

  /// Without a word of the server's. Issuers that rotate publish the next key days before they use it.
  package static let lifetimeDefault = Instant.Span.seconds(86_400)
  /// `max-age=0` would mean a request with every login.
  package static let lifetimeMin = Instant.Span.seconds(300)
  /// However long the server says, and however long it cannot be reached: a key that the issuer has withdrawn proves
  /// nothing after a week.
  package static let ageMax = Instant.Span.seconds(7 * 86_400)
  /// Between two times that a token makes us ask for a set that is still good: whoever makes up key ids must not make us
  /// ask the issuer with every token.
  package static let doubtInterval = Instant.Span.seconds(60)

  /// Whose keys they are: the `iss` that tokens must have.
  package var issuer: String
  package var url: String
  package var fetchedAt: Timestamp
  package var lifetime: Instant.Span
  /// When a token last made us ask for the set; nil: never.
  package var doubtedAt: Timestamp?
  package var entityTag: String?
  package var lastModified: String?
  package var body: [UInt8]

  package init(issuer: String, url: String, at time: Timestamp, lifetime: Instant.Span, body: [UInt8]) {
    self.issuer = issuer
    self.url = url
    fetchedAt = time
    self.lifetime = lifetime
    self.body = body
  }

  /// Good without asking.
  package func isFresh(at now: Timestamp) -> Bool { Self.isWithin(lifetime, since: fetchedAt, now) }

  /// Good while the issuer cannot be asked.
  package func isUsable(at now: Timestamp) -> Bool { Self.isWithin(Self.ageMax, since: fetchedAt, now) }

  /// A token that the set does not verify may have the issuer asked.
  package func mayBeDoubted(at now: Timestamp) -> Bool {
    doubtedAt.map { !Self.isWithin(Self.doubtInterval, since: $0, now) } ?? true
  }

  /// A time that lies ahead is no time: the clock was set back.
  private static func isWithin(_ span: Instant.Span, since time: Timestamp, _ now: Timestamp) -> Bool {
    (0..<span.milliseconds).contains(now.milliseconds - time.milliseconds)
  }

  /// What `Cache-Control` says, within bounds. Source: RFC 9111 section 5.2.2.
  package static func lifetime(cacheControl: String?) -> Instant.Span {
    let directives = (cacheControl ?? "").lowercased().split(separator: ",").map {
      $0.filter { $0 != " " && $0 != "\"" }
    }
    if directives.contains(where: { $0 == "no-store" || $0 == "no-cache" }) { return lifetimeMin }
    guard let age = directives.first(where: { $0.hasPrefix("max-age=") }), let seconds = UInt32(age.dropFirst(8)) else {
      return lifetimeDefault
    }
    return min(ageMax, max(lifetimeMin, .seconds(Int64(seconds))))
  }

  // MARK: on disk

  private enum Tag {
    static let issuer: UInt8 = 1, url: UInt8 = 2, fetchedAt: UInt8 = 3, lifetime: UInt8 = 4, doubtedAt: UInt8 = 5
    static let entityTag: UInt8 = 6, lastModified: UInt8 = 7, body: UInt8 = 8
  }

  package var encoded: [UInt8] {
    var out = RecordWriter()
    out.put(Tag.issuer, issuer)
    out.put(Tag.url, url)
    out.put(Tag.fetchedAt, fetchedAt.milliseconds)
    out.put(Tag.lifetime, lifetime.milliseconds)
    if let doubtedAt { out.put(Tag.doubtedAt, doubtedAt.milliseconds) }
    if let entityTag { out.put(Tag.entityTag, entityTag) }
    if let lastModified { out.put(Tag.lastModified, lastModified) }
    out.put(Tag.body, body)
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    func time(_ tag: UInt8) -> Timestamp? { fields.milliseconds(tag).map { Timestamp(milliseconds: $0) } }
    issuer = try fields.required(fields.text(Tag.issuer), "issuer")
    url = try fields.required(fields.text(Tag.url), "url")
    fetchedAt = try fields.required(time(Tag.fetchedAt), "fetchedAt")
    lifetime = Instant.Span(milliseconds: try fields.required(fields.milliseconds(Tag.lifetime), "lifetime"))
    doubtedAt = time(Tag.doubtedAt)
    entityTag = fields.text(Tag.entityTag)
    lastModified = fields.text(Tag.lastModified)
    body = try fields.required(fields.bytes(Tag.body), "body")
  }
}

extension Ledger {
  /// Behind the two documents of the connection (`DocumentAge`).
  static let keySetMark: UInt8 = 3

  package static func keySetAddress(_ id: ConnectionID) -> RecordAddress {
    RecordAddress(.capabilities, id.bytes + [keySetMark])
  }

  package func keySet(_ id: ConnectionID) throws(LedgerError) -> KeySetRecord? {
    let address = Self.keySetAddress(id)
    let result = try open(at: address, KeySetRecord.recordVersion) { (_, bytes) in
      Result { () throws(RecordMalformed) in try KeySetRecord(bytes) }
    }
    return try result.map { result throws(LedgerError) in try Self.unwrap(result, at: address) }
  }
}
