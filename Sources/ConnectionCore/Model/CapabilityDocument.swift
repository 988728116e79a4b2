/// The record of a server's CapabilityStatement as it came, beside what discovery found: the present one, and the one before
/// it changed. Sealed like everything.
package import FHIRControl

package struct CapabilityDocument: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1
  /// A longer document is used and not kept, in bytes: the largest that was seen has a twentieth.
  package static let bytesMax = 16 << 20

  package var url: String
  package var fetchedAt: Timestamp
  package var changedAt: Timestamp
  package var entityTag: String?
  package var lastModified: String?
  package var body: [UInt8]

  package init(url: String, at time: Timestamp, body: [UInt8]) {
    self.url = url
    fetchedAt = time
    changedAt = time
    self.body = body
  }

  private enum Tag {
    static let url: UInt8 = 1, fetchedAt: UInt8 = 2, changedAt: UInt8 = 3, entityTag: UInt8 = 4
    static let lastModified: UInt8 = 5, body: UInt8 = 6
  }

  package var encoded: [UInt8] {
    var out = RecordWriter()
    out.put(Tag.url, url)
    out.put(Tag.fetchedAt, fetchedAt.milliseconds)
    out.put(Tag.changedAt, changedAt.milliseconds)
    if let entityTag { out.put(Tag.entityTag, entityTag) }
    if let lastModified { out.put(Tag.lastModified, lastModified) }
    out.put(Tag.body, body)
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    guard let url = fields.text(Tag.url), let fetched = fields.milliseconds(Tag.fetchedAt),
      let changed = fields.milliseconds(Tag.changedAt), let body = fields.bytes(Tag.body)
    else { throw RecordMalformed("a capability document lacks a field") }
    self.url = url
    fetchedAt = Timestamp(milliseconds: fetched)
    changedAt = Timestamp(milliseconds: changed)
    entityTag = fields.text(Tag.entityTag)
    lastModified = fields.text(Tag.lastModified)
    self.body = body
  }
}

extension Ledger {
  package enum DocumentAge: UInt8, Sendable, CaseIterable { case present = 1, previous = 2 }

  package static func documentAddress(_ id: ConnectionID, _ age: DocumentAge) -> RecordAddress {
    RecordAddress(.capabilities, id.bytes + [age.rawValue])
  }

  package func document(_ id: ConnectionID, _ age: DocumentAge = .present) throws(LedgerError) -> CapabilityDocument? {
    let address = Self.documentAddress(id, age)
    let result = try open(at: address, CapabilityDocument.recordVersion) { (_, bytes) in
      Result { () throws(RecordMalformed) in try CapabilityDocument(bytes) }
    }
    return try result.map { result throws(LedgerError) in try Self.unwrap(result, at: address) }
  }
}
