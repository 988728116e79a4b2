/// The records of the tables `inflight` and `refresh`: what may be out, and what it was asked with.
import SMARTProtocol

/// The record of the table `inflight`: a token request may be out. Written before the request, gone with its outcome.
package struct InFlightRecord: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1
  package var generation: Generation
  package var sentAt: Moment
  /// Keyed hash of the refresh token that is about to be used; nil where the request uses none.
  package var fingerprint: KeyedHash?

  package init(generation: Generation, sentAt: Moment, fingerprint: KeyedHash?) {
    self.generation = generation
    self.sentAt = sentAt
    self.fingerprint = fingerprint
  }

  package var encoded: [UInt8] {
    var out = RecordWriter()
    out.put(1, generation)
    out.put(2, sentAt.bytes)
    if let fingerprint { out.put(3, fingerprint.bytes) }
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    generation = try fields.required(fields.word(1), "generation")
    sentAt = try fields.required(Moment(fields.bytes(2)), "sentAt")
    fingerprint = fields.bytes(3).flatMap { KeyedHash(bytes: $0) }
  }
}

/// The record of the table `refresh`: the refresh token in force, and the one before it for one round. Secret: opened
/// for a request, wiped afterwards.
package struct RefreshTokenRecord: Sendable, CustomStringConvertible {
  package static let recordVersion: UInt8 = 1
  package var current: [UInt8]
  package var previous: [UInt8]?

  package init(current: [UInt8], previous: [UInt8]?) {
    self.current = current
    self.previous = previous
  }

  package var encoded: [UInt8] {
    var out = RecordWriter()
    out.put(1, current)
    if let previous { out.put(2, previous) }
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    current = try fields.required(fields.bytes(1), "current")
    previous = fields.bytes(2)
  }

  package mutating func wipe() {
    SMARTProtocol.wipe(&current)
    if var bytes = previous.take() { SMARTProtocol.wipe(&bytes) }
  }

  package var description: String { "refresh token(\(current.count) bytes)" }
}
