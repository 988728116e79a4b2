/// A store in memory and a vault that seals nothing: for tests of what is read and written, not of how.
import ConnectionCore
import Synchronization
import Testing

final class MemoryStore: RecordStore {
  private let records = Mutex<[RecordAddress: [UInt8]]>([:])
  /// The largest number of writes that one batch brought.
  let writesMax = Mutex(0)

  func value(at address: RecordAddress) throws(StoreError) -> [UInt8]? { records.withLock { $0[address] } }

  func page(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [StoredRecord] {
    let all = records.withLock { $0 }.filter { $0.key.table == table && $0.key.key.starts(with: prefix) }
    let sorted = all.map { StoredRecord(key: $0.key.key, value: $0.value) }
      .sorted { $0.key.lexicographicallyPrecedes($1.key) }
    return Array(sorted.filter { stored in key.map { $0.lexicographicallyPrecedes(stored.key) } ?? true }.prefix(limit))
  }

  func keys(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [[UInt8]] {
    try page(of: table, prefix: prefix, after: key, limit: limit).map(\.key)
  }

  func count(of table: Table) throws(StoreError) -> Int { records.withLock { $0.keys.count { $0.table == table } } }

  func commit(_ batch: RecordBatch) async throws(StoreError) {
    writesMax.withLock { $0 = max($0, batch.writes.count) }
    let conflict = records.withLock { records -> Table? in
      for condition in batch.conditions
      where records[condition.address].flatMap({ SealedHeader($0)?.generation }) != condition.generation {
        return condition.address.table
      }
      for write in batch.writes {
        switch write {
        case .put(let address, let value): records[address] = value
        case .delete(let address): records[address] = nil
        case .deletePrefix(let table, let prefix):
          records = records.filter { $0.key.table != table || !$0.key.key.starts(with: prefix) }
        }
      }
      return nil
    }
    if let conflict { throw .conflict(conflict) }
  }
}

struct ClearVault: Vault {
  func seal(
    _ plaintext: UnsafeRawBufferPointer, at _: RecordAddress, recordVersion: UInt8, generation: Generation
  ) -> [UInt8] {
    SealedHeader(recordVersion: recordVersion, keyID: 1, generation: generation).prefix
      + [UInt8](repeating: 0, count: SealedHeader.byteCount - SealedHeader.nonceOffset + SealedHeader.tagBytes)
      + plaintext
  }

  func withOpened<R>(
    _ value: [UInt8], at address: RecordAddress, _ body: (SealedHeader, UnsafeRawBufferPointer) throws(VaultError) -> R
  ) throws(VaultError) -> R {
    guard let header = SealedHeader(value) else { throw .truncated(address.table, key: address.key.hex) }
    let plaintext = Array(value.dropFirst(SealedHeader.byteCount + SealedHeader.tagBytes))
    let result: Result<R, VaultError> = plaintext.withUnsafeBytes { bytes in
      do throws(VaultError) { return .success(try body(header, bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  func hash(_: HashPurpose, _: [UInt8]) -> KeyedHash { preconditionFailure("this test must not hash") }
  func sha256(_: [UInt8]) -> [UInt8] { preconditionFailure("this test must not hash") }
  func makeSecret(count _: Int, _: (UnsafeMutableRawBufferPointer) -> Void) -> SecretBytes {
    preconditionFailure("this test must not make a secret")
  }
}
