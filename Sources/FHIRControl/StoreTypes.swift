/// What the store comes to, and what a compaction did.

/// How large the store is and may become; in bytes.
public struct StoreFacts: Codable, Sendable, Hashable {
  /// Of the data file.
  public var bytes: Int
  /// Of these, in pages that hold nothing: used again before the file grows, given back by `store.compact`.
  public var bytesFree: Int
  /// What the file may grow to (`FHIRD_STORE_BYTES_MAX`).
  public var bytesMax: Int
  public var records: Int
  public init(bytes: Int, bytesFree: Int, bytesMax: Int, records: Int) {
    self.bytes = bytes
    self.bytesFree = bytesFree
    self.bytesMax = bytesMax
    self.records = records
  }
  /// Bytes that hold something.
  public var bytesInUse: Int { max(0, bytes - bytesFree) }

  enum CodingKeys: String, CodingKey {
    case bytes, records
    case bytesFree = "bytes_free"
    case bytesMax = "bytes_max"
  }
}

/// The answer of `store.compact`.
public struct StoreCompaction: Codable, Sendable, Hashable {
  /// Of the data file.
  public var bytesBefore: Int
  public var bytesAfter: Int
  public var records: Int
  /// How long writers waited.
  public var seconds: Double
  public init(bytesBefore: Int, bytesAfter: Int, records: Int, seconds: Double) {
    self.bytesBefore = bytesBefore
    self.bytesAfter = bytesAfter
    self.records = records
    self.seconds = seconds
  }

  enum CodingKeys: String, CodingKey {
    case records, seconds
    case bytesBefore = "bytes_before"
    case bytesAfter = "bytes_after"
  }
}
