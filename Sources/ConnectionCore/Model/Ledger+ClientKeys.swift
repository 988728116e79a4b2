/// Client keys in the ledger: found by connection, lent for a signature, changed without their private half leaving
/// this file.
package import FHIRControl
import SMARTProtocol

/// Why nothing can be signed for a connection.
package enum SigningKeyError: Error, Sendable {
  case ledger(LedgerError)
  /// The connection has no key at all.
  case noKey
  /// It has some, but none for an algorithm that the server takes.
  case noFittingKey(has: [SigningAlgorithm], wanted: [String])
  case key(ClientKeyProblem)
}

extension Ledger {
  /// What a key's address has between the connection and the kid. The table holds client secrets as well.
  private static let marker = Array("jwk".utf8)

  package static func clientKeyAddress(_ id: ConnectionID, kid: String) -> RecordAddress {
    RecordAddress(.keys, id.bytes + marker + Array(kid.utf8))
  }

  /// A record without content whose generation grows with every change of the connection's keys, so that of two
  /// changes at a time one fails.
  package static func clientKeySetAddress(_ id: ConnectionID) -> RecordAddress {
    RecordAddress(.keys, id.bytes + Array("keyset".utf8))
  }

  // MARK: reading

  /// All keys of a connection, the oldest first; few (`ClientKeyPlan.keysMax`).
  package func clientKeys(of id: ConnectionID) throws(LedgerError) -> [Versioned<ClientKeyRecord>] {
    var result: [Versioned<ClientKeyRecord>] = []
    for stored in try page(of: .keys, prefix: id.bytes + Self.marker, after: nil, limit: Self.keysOfOneMax) {
      result.append(try clientKey(in: stored))
    }
    return result.sorted { ($0.record.createdAt, $0.record.kid) < ($1.record.createdAt, $1.record.kid) }
  }

  /// Above `ClientKeyPlan.keysMax`, so that keys that wait to be erased are seen as well.
  private static let keysOfOneMax = 64

  /// Generation of the connection's key set; nil: it never had a key.
  package func clientKeySetGeneration(_ id: ConnectionID) throws(LedgerError) -> Generation? {
    let value: [UInt8]?
    do { value = try store.value(at: Self.clientKeySetAddress(id)) } catch { throw .store(error) }
    return value.flatMap { SealedHeader($0)?.generation }
  }

  /// One page of the table, the keys in it, and where the next page begins; nil: there is none.
  package struct ClientKeyPage: Sendable {
    package var keys: [ClientKeyRecord] = []
    /// Records that do not open, and why.
    package var unreadable: [(address: RecordAddress, error: LedgerError)] = []
    package var next: [UInt8]?
  }

  /// The client keys of everybody, by connection. A record that does not open leaves the others readable.
  package func allClientKeys(after key: [UInt8]?, limit: Int) throws(LedgerError) -> ClientKeyPage {
    var page = ClientKeyPage()
    let stored = try self.page(of: .keys, after: key, limit: limit)
    for record in stored {
      guard record.key.dropFirst(ConnectionID.byteCount).starts(with: Self.marker) else { continue }
      do { page.keys.append(try clientKey(in: record).record) } catch {
        page.unreadable.append((RecordAddress(.keys, record.key), error))
      }
    }
    page.next = stored.count < limit ? nil : stored.last?.key
    return page
  }

  package func clientKey(in stored: StoredRecord) throws(LedgerError) -> Versioned<ClientKeyRecord> {
    try openedKey(stored.value, at: RecordAddress(.keys, stored.key)) { (header, bytes) throws(RecordMalformed) in
      Versioned(try ClientKeyRecord(bytes), header.generation)
    }
  }

  // MARK: signing

  /// Lends a key's private half for the time of the call; nil: there is no such key.
  package func withClientKey<R>(
    _ id: ConnectionID, kid: String, _ body: (ClientKeyRecord, UnsafeRawBufferPointer) -> R
  ) throws(LedgerError) -> R? {
    let address = Self.clientKeyAddress(id, kid: kid)
    let value: [UInt8]?
    do { value = try store.value(at: address) } catch { throw .store(error) }
    guard let value else { return nil }
    return try openedKey(value, at: address) { (_, bytes) throws(RecordMalformed) in
      body(try ClientKeyRecord(bytes), try ClientKeyRecord.privateHalf(in: bytes))
    }
  }

  /// Lends the key that signs for a connection now. What the body returns must not be the private half.
  /// - Parameters:
  ///   - supported: `token_endpoint_auth_signing_alg_values_supported`; nil: the server does not say.
  ///   - preferred: taken where the server takes several; nil: the order of `SigningAlgorithm`.
  package func withSigningKey<R>(
    of id: ConnectionID, now: Timestamp, algorithms supported: [String]?, preferred: SigningAlgorithm? = nil,
    _ body: (ClientKeyRecord, UnsafeRawBufferPointer) throws(ClientKeyProblem) -> R
  ) throws(SigningKeyError) -> R {
    let plan: ClientKeyPlan
    do { plan = ClientKeyPlan(try clientKeys(of: id).map(\.record), now: now) } catch { throw .ledger(error) }
    guard let chosen = plan.signing(algorithms: supported, preferred: preferred) else {
      guard !plan.published.isEmpty else { throw .noKey }
      throw .noFittingKey(has: plan.published.map(\.algorithm), wanted: supported ?? [])
    }
    let result: Result<R, ClientKeyProblem>?
    do {
      result = try withClientKey(id, kid: chosen.kid) { (record, bytes) in
        Result { () throws(ClientKeyProblem) in try body(record, bytes) }
      }
    } catch { throw .ledger(error) }
    // Erased between the two looks: another rotation has just ended.
    guard let result else { throw .noKey }
    do { return try result.get() } catch { throw .key(error) }
  }

  // MARK: writing

  /// The write of a new key; the material's private half is wiped.
  package func put(_ record: ClientKeyRecord, _ material: inout ClientKeyMaterial) -> RecordBatch.Write {
    defer { material.wipe() }
    let plaintext = material.privateBytes.withUnsafeBytes { record.encoded(privateHalf: $0) }
    return put(
      Self.clientKeyAddress(record.connection, kid: record.kid), plaintext, ClientKeyRecord.recordVersion, 1)
  }

  /// The write that gives a stored key other times; nil: there is no such key any more.
  package func put(changed record: ClientKeyRecord, _ generation: Generation) throws(LedgerError)
    -> RecordBatch.Write?
  {
    try withClientKey(record.connection, kid: record.kid) { (_, bytes) in
      put(
        Self.clientKeyAddress(record.connection, kid: record.kid), record.encoded(privateHalf: bytes),
        ClientKeyRecord.recordVersion, generation)
    }
  }

  /// Erases what is published no more, so that no private half lies about longer than it is of use; a page of it.
  package func eraseGoneClientKeys(after key: [UInt8]?, now: Timestamp) async throws(LedgerError) -> CleanupStep {
    let page = try allClientKeys(after: key, limit: Self.erasePage)
    let gone = page.keys.filter { ClientKeyPlan.state(of: $0, at: now) == .gone }
    if !gone.isEmpty {
      try await commit(
        RecordBatch(writes: gone.map { .delete(Self.clientKeyAddress($0.connection, kid: $0.kid)) }))
    }
    return CleanupStep(removed: gone.count, next: page.next)
  }

  private static let erasePage = 200

  private func openedKey<R>(
    _ value: [UInt8], at address: RecordAddress,
    _ body: (SealedHeader, UnsafeRawBufferPointer) throws(RecordMalformed) -> R
  ) throws(LedgerError) -> R {
    let result: Result<R, RecordMalformed>
    do {
      result = try vault.withOpened(value, at: address) { (header, bytes) throws(VaultError) in
        guard header.recordVersion == ClientKeyRecord.recordVersion else {
          throw .recordVersion(address.table, key: address.key.hex, found: header.recordVersion)
        }
        return Result { () throws(RecordMalformed) in try body(header, bytes) }
      }
    } catch { throw .vault(error) }
    do { return try result.get() } catch {
      throw .malformed(address.table, key: address.key.hex, detail: error.detail)
    }
  }
}
