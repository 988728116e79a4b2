/// The records of the table `keys` that hold client keys: one per key, its private half in the sealed value only.
package import FHIRControl

/// A client key without its private half, which is lent where it is needed (`Ledger.withClientKey`) and never part of
/// this value.
package struct ClientKeyRecord: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1

  package var connection: ConnectionID
  package var algorithm: SigningAlgorithm
  /// RFC 7638 thumbprint of the public key.
  package var kid: String
  /// As it is published; the names of `PublicJWK.members` and no others.
  package var publicJWK: [String: String]
  package var createdAt: Timestamp
  package var signsFrom: Timestamp
  /// nil: until it is rotated out.
  package var signsUntil: Timestamp?
  package var publishedUntil: Timestamp?

  package init(_ material: ClientKeyMaterial, of connection: ConnectionID, createdAt: Timestamp, signsFrom: Timestamp) {
    self.connection = connection
    algorithm = material.algorithm
    kid = material.kid
    publicJWK = material.publicJWK.filter { PublicJWK.members.contains($0.key) }
    self.createdAt = createdAt
    self.signsFrom = signsFrom
  }
}

extension ClientKeyRecord {
  private enum Tag {
    static let connection: UInt8 = 1, algorithm: UInt8 = 2, kid: UInt8 = 3, publicJWK: UInt8 = 4
    static let createdAt: UInt8 = 5, signsFrom: UInt8 = 6, signsUntil: UInt8 = 7, publishedUntil: UInt8 = 8
    static let privateHalf: UInt8 = 9
  }

  /// The plaintext to be sealed, private half and all: secret.
  package func encoded(privateHalf: UnsafeRawBufferPointer) -> [UInt8] {
    var out = RecordWriter()
    out.put(Tag.connection, connection.bytes)
    out.put(Tag.algorithm, algorithm.rawValue)
    out.put(Tag.kid, kid)
    // Values are base64url and names of curves and algorithms: neither `=` nor a line end is in them.
    out.put(
      Tag.publicJWK,
      publicJWK.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "\n"))
    out.put(Tag.createdAt, createdAt.milliseconds)
    out.put(Tag.signsFrom, signsFrom.milliseconds)
    if let signsUntil { out.put(Tag.signsUntil, signsUntil.milliseconds) }
    if let publishedUntil { out.put(Tag.publishedUntil, publishedUntil.milliseconds) }
    out.put(Tag.privateHalf, lent: privateHalf)
    return out.bytes
  }

  /// Reads everything but the private half.
  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    connection = try fields.required(fields.bytes(Tag.connection).flatMap { ConnectionID(bytes: $0) }, "connection")
    algorithm = try fields.required(
      fields.text(Tag.algorithm).flatMap(SigningAlgorithm.init(rawValue:)), "algorithm")
    kid = try fields.required(fields.text(Tag.kid), "kid")
    let members = try fields.required(fields.text(Tag.publicJWK), "publicJWK")
    publicJWK = [:]
    for line in members.split(separator: "\n") {
      guard let equals = line.firstIndex(of: "="), PublicJWK.members.contains(String(line[..<equals])) else {
        throw RecordMalformed("publicJWK has a member that is not public")
      }
      publicJWK[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    createdAt = Timestamp(milliseconds: try fields.required(fields.milliseconds(Tag.createdAt), "createdAt"))
    signsFrom = Timestamp(milliseconds: try fields.required(fields.milliseconds(Tag.signsFrom), "signsFrom"))
    signsUntil = fields.milliseconds(Tag.signsUntil).map { Timestamp(milliseconds: $0) }
    publishedUntil = fields.milliseconds(Tag.publishedUntil).map { Timestamp(milliseconds: $0) }
  }

  /// Where the private half lies in an opened record.
  package static func privateHalf(in bytes: UnsafeRawBufferPointer) throws(RecordMalformed) -> UnsafeRawBufferPointer {
    let fields = try RecordReader(bytes)
    return try fields.required(fields.lent(Tag.privateHalf), "the private half")
  }
}
