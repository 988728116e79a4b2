/// The store as the engine sees it: sealed records by table and key, read one by one or in pages, written in batches
/// that hold only while the records still have the generations that the writer saw.

/// One table of the store. The raw value is the name on disk and part of every record's associated data.
package enum Table: String, Sendable, CaseIterable {
  case connections, names, grants, tokens, refresh, inflight, pending, capabilities, jobs, audit, access, keys, meta,
    health
}

/// Where a record is. Keys hold no name and no subject: ids and keyed hashes only. 1 to 511 bytes.
package struct RecordAddress: Sendable, Hashable {
  package var table: Table
  package var key: [UInt8]
  package init(_ table: Table, _ key: [UInt8]) {
    self.table = table
    self.key = key
  }
}

package struct StoredRecord: Sendable {
  package var key: [UInt8]
  /// The whole value as stored: header and sealed bytes (`SealedHeader`).
  package var value: [UInt8]
  package init(key: [UInt8], value: [UInt8]) {
    self.key = key
    self.value = value
  }
}

/// What one transaction does: all of it or nothing.
package struct RecordBatch: Sendable {
  package enum Write: Sendable {
    case put(RecordAddress, [UInt8])
    case delete(RecordAddress)
    /// Every record of the table whose key begins with these bytes.
    case deletePrefix(Table, [UInt8])
  }
  /// The batch holds only if the record has this generation in its header; nil: only if there is no such record.
  package struct Condition: Sendable {
    package var address: RecordAddress
    package var generation: Generation?
    package init(_ address: RecordAddress, _ generation: Generation?) {
      self.address = address
      self.generation = generation
    }
  }
  package var conditions: [Condition] = []
  package var writes: [Write] = []
  package init(conditions: [Condition] = [], writes: [Write] = []) {
    self.conditions = conditions
    self.writes = writes
  }
}

package enum StoreError: Error, Sendable, Equatable {
  /// The disk or the map limit is full; nothing of the batch was written, readers go on.
  case full(detail: String)
  /// The batch was refused to leave room for what is more important; such batches are still written.
  case nearlyFull(detail: String)
  case readOnly(path: String)
  /// A batch's condition did not hold; nothing was written.
  case conflict(Table)
  /// The files are not what this program wrote. `cure` says what to do.
  case corrupt(detail: String, cure: String)
  case alreadyOpen(path: String, pid: Int32?)
  case unknownFormat(found: UInt32, supported: UInt32)
  /// The directory or a file can be written or read by others.
  case unsafePermissions(path: String, detail: String)
  case closed
  case io(operation: String, detail: String)
}

package protocol RecordStore: Sendable {
  /// The value of one record, or nil. A snapshot of what is committed; never waits for the writer.
  func value(at address: RecordAddress) throws(StoreError) -> [UInt8]?

  /// Up to `limit` records in key order, after `key` (exclusive; nil: from the start) and with this prefix.
  func page(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [StoredRecord]

  /// The keys of up to `limit` records, as `page` has them: values may be large.
  func keys(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [[UInt8]]

  func count(of table: Table) throws(StoreError) -> Int

  /// Returns when the batch is durable on disk. Batches that arrive while another commits share the next commit;
  /// each holds or fails on its own.
  func commit(_ batch: RecordBatch) async throws(StoreError)
}
