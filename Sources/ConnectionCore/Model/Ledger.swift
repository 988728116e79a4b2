/// Typed access to the sealed records: the one place that knows which table holds what, and under which key.
package import FHIRControl
import FoundationEssentials
import SMARTProtocol

package enum LedgerError: Error, Sendable, Equatable {
  case store(StoreError)
  case vault(VaultError)
  /// The seal holds but the content does not parse.
  case malformed(Table, key: String, detail: String)
}

package struct Ledger: Sendable {
  package let store: any RecordStore
  package let vault: any Vault

  package init(store: any RecordStore, vault: any Vault) {
    self.store = store
    self.vault = vault
  }

  // MARK: addresses

  package func nameAddress(_ name: String) -> RecordAddress {
    // Names are unique without regard to case.
    RecordAddress(.names, vault.hash(.connectionName, Array(name.lowercased().utf8)).bytes)
  }
  package func grantKey(_ connection: ConnectionID, subject: String) -> GrantKey {
    GrantKey(connection: connection, subject: vault.hash(.subject, connection.bytes + Array(subject.utf8)))
  }
  package static func connectionAddress(_ id: ConnectionID) -> RecordAddress { RecordAddress(.connections, id.bytes) }
  package static func secretAddress(_ id: ConnectionID) -> RecordAddress {
    RecordAddress(.keys, id.bytes + Array("client_secret".utf8))
  }
  package static func discoveryAddress(_ id: ConnectionID) -> RecordAddress { RecordAddress(.capabilities, id.bytes) }
  package static func grantAddress(_ key: GrantKey) -> RecordAddress { RecordAddress(.grants, key.bytes) }
  package static func tokenAddress(_ key: GrantKey) -> RecordAddress { RecordAddress(.tokens, key.bytes) }
  package static func refreshAddress(_ key: GrantKey) -> RecordAddress { RecordAddress(.refresh, key.bytes) }
  package static func inFlightAddress(_ key: GrantKey) -> RecordAddress { RecordAddress(.inflight, key.bytes) }

  // MARK: reading

  package func connection(_ id: ConnectionID) throws(LedgerError) -> Versioned<ConnectionRecord>? {
    try json(at: Self.connectionAddress(id), ConnectionRecord.recordVersion)
  }

  /// By id or by name.
  package func connection(matching reference: String) throws(LedgerError) -> (
    id: ConnectionID, Versioned<ConnectionRecord>
  )? {
    guard let id = try connectionID(matching: reference), let found = try connection(id) else { return nil }
    return (id, found)
  }

  package func connectionID(matching reference: String) throws(LedgerError) -> ConnectionID? {
    if let id = ConnectionID(reference) { return id }
    return try open(at: nameAddress(reference), 1) { (_, bytes) in ConnectionID(bytes: bytes) } ?? nil
  }

  /// Where a name that a page has brought leads to; nil when it does not open.
  package func connectionID(in stored: StoredRecord) -> ConnectionID? {
    (try? open(stored.value, at: RecordAddress(.names, stored.key), 1) { (_, bytes) in ConnectionID(bytes: bytes) })
      ?? nil
  }

  package func discovery(_ id: ConnectionID) throws(LedgerError) -> DiscoveryRecord? {
    try json(at: Self.discoveryAddress(id), DiscoveryRecord.recordVersion)?.record
  }

  package func grant(_ key: GrantKey) throws(LedgerError) -> Versioned<GrantRecord>? {
    let address = Self.grantAddress(key)
    return try open(at: address, GrantRecord.recordVersion) { (header, bytes) in
      Result { () throws(RecordMalformed) in Versioned(try GrantRecord(bytes), header.generation) }
    }.map { result throws(LedgerError) in try Self.unwrap(result, at: address) }
  }

  /// Opens a grant that a page has brought.
  package func grant(in stored: StoredRecord) throws(LedgerError) -> Versioned<GrantRecord> {
    let address = RecordAddress(.grants, stored.key)
    let result: Result<Versioned<GrantRecord>, RecordMalformed> = try open(
      stored.value, at: address, GrantRecord.recordVersion
    ) { (header, bytes) in
      Result { () throws(RecordMalformed) in Versioned(try GrantRecord(bytes), header.generation) }
    }
    return try Self.unwrap(result, at: address)
  }

  package func connection(in stored: StoredRecord) throws(LedgerError) -> Versioned<ConnectionRecord> {
    try json(stored.value, at: RecordAddress(.connections, stored.key), ConnectionRecord.recordVersion)
  }

  package func inFlight(in stored: StoredRecord) throws(LedgerError) -> InFlightRecord {
    let address = RecordAddress(.inflight, stored.key)
    let result: Result<InFlightRecord, RecordMalformed> = try open(
      stored.value, at: address, InFlightRecord.recordVersion
    ) { (_, bytes) in Result { () throws(RecordMalformed) in try InFlightRecord(bytes) } }
    return try Self.unwrap(result, at: address)
  }

  package func rule(in stored: StoredRecord) throws(LedgerError) -> AccessRule {
    try json(stored.value, at: RecordAddress(.access, stored.key), 1).record
  }

  /// Lends the client secret for the time of the call; nil when there is none.
  package func withClientSecret<R>(of id: ConnectionID, _ body: (UnsafeRawBufferPointer) -> R) throws(LedgerError) -> R?
  {
    try open(at: Self.secretAddress(id), 1) { (_, bytes) in body(bytes) }
  }

  /// The header of the served token and the members of the answer, for those who are allowed to have it.
  package func withToken<R>(_ key: GrantKey, _ body: (ServedToken, UnsafeRawBufferPointer) -> R) throws(LedgerError)
    -> R?
  {
    try open(at: Self.tokenAddress(key), ServedToken.recordVersion) { (_, bytes) in
      ServedToken(bytes).map {
        body($0, UnsafeRawBufferPointer(rebasing: bytes[ServedToken.headerBytes...]))
      }
    } ?? nil
  }

  package func page(of table: Table, prefix: [UInt8] = [], after: [UInt8]?, limit: Int) throws(LedgerError)
    -> [StoredRecord]
  {
    do { return try store.page(of: table, prefix: prefix, after: after, limit: limit) } catch { throw .store(error) }
  }

  package func keys(of table: Table, prefix: [UInt8] = [], after: [UInt8]?, limit: Int) throws(LedgerError) -> [[UInt8]]
  {
    do { return try store.keys(of: table, prefix: prefix, after: after, limit: limit) } catch { throw .store(error) }
  }

  package func count(of table: Table) throws(LedgerError) -> Int {
    do { return try store.count(of: table) } catch { throw .store(error) }
  }

  // MARK: writing

  package func put(_ address: RecordAddress, _ plaintext: [UInt8], _ version: UInt8, _ generation: Generation)
    -> RecordBatch.Write
  {
    var plaintext = plaintext
    let value = plaintext.withUnsafeBytes {
      vault.seal($0, at: address, recordVersion: version, generation: generation)
    }
    wipe(&plaintext)
    return .put(address, value)
  }

  package func put(_ address: RecordAddress, json record: some Encodable, _ version: UInt8, _ generation: Generation)
    -> RecordBatch.Write
  {
    // Our own value types always encode; a defect here must not pass for an empty record.
    guard let data = try? JSONEncoder().encode(record) else {
      preconditionFailure("a record of \(address.table.rawValue) does not encode")
    }
    return put(address, Array(data), version, generation)
  }

  package func commit(_ batch: RecordBatch) async throws(LedgerError) {
    do { try await store.commit(batch) } catch { throw .store(error) }
  }

  // MARK: opening

  func json<R: Decodable>(at address: RecordAddress, _ version: UInt8) throws(LedgerError) -> Versioned<R>? {
    guard let value = try value(at: address) else { return nil }
    return try json(value, at: address, version)
  }

  func json<R: Decodable>(_ value: [UInt8], at address: RecordAddress, _ version: UInt8) throws(LedgerError)
    -> Versioned<R>
  {
    let decoded: Versioned<R>? = try open(value, at: address, version) { (header, bytes) in
      (try? JSONDecoder().decode(R.self, from: Data(bytes))).map { Versioned($0, header.generation) }
    }
    guard let decoded else { throw .malformed(address.table, key: address.key.hex, detail: "its JSON does not parse") }
    return decoded
  }

  private func value(at address: RecordAddress) throws(LedgerError) -> [UInt8]? {
    do { return try store.value(at: address) } catch { throw .store(error) }
  }

  func open<R>(
    at address: RecordAddress, _ version: UInt8, _ body: (SealedHeader, UnsafeRawBufferPointer) -> R
  ) throws(LedgerError) -> R? {
    guard let value = try value(at: address) else { return nil }
    return try open(value, at: address, version, body)
  }

  func open<R>(
    _ value: [UInt8], at address: RecordAddress, _ version: UInt8,
    _ body: (SealedHeader, UnsafeRawBufferPointer) -> R
  ) throws(LedgerError) -> R {
    do {
      return try vault.withOpened(value, at: address) { (header, bytes) throws(VaultError) in
        guard header.recordVersion == version else {
          throw .recordVersion(address.table, key: address.key.hex, found: header.recordVersion)
        }
        return body(header, bytes)
      }
    } catch { throw .vault(error) }
  }

  static func unwrap<R>(_ result: Result<R, RecordMalformed>, at address: RecordAddress) throws(LedgerError)
    -> R
  {
    do { return try result.get() } catch {
      throw .malformed(address.table, key: address.key.hex, detail: error.detail)
    }
  }
}

extension [UInt8] {
  package var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
