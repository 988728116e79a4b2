/// The port `Vault` on libsodium: opens the key ring with the master key, then seals, opens and hashes with it.
import CSodium
package import ConnectionCore
import Glibc

/// Why a vault did not open: the key or the ring, or the store below.
package enum VaultOpenError: Error, Sendable, Equatable {
  case vault(VaultError)
  case store(StoreError)
}

package final class SodiumVault: Vault {
  /// Subkeys of the master key, in this context: what wraps the ring, and what the key is known by.
  private static let masterContext: StaticString = "fhirwrap"
  private static let wrappingSubkey: UInt64 = 1
  private static let identitySubkey: UInt64 = 2

  private let ring: KeyRing
  private let scratch = ScratchPool()

  private init(ring: KeyRing) { self.ring = ring }

  /// Opens the ring of a store, or makes one where there is nothing yet. The master key is wiped afterwards.
  package static func open(
    store: any RecordStore, masterKey: consuming MasterKey
  ) async throws(VaultOpenError) -> SodiumVault {
    let wrapping = LockedMemory(count: Cipher.keyBytes)
    let identity = unsafe masterKey.withBytes { master -> UInt32 in
      unsafe Cipher.derive(wrappingSubkey, masterContext, from: master, into: wrapping.bytes)
      return unsafe Self.identity(of: master)
    }
    if let value = try stored(store) {
      return SodiumVault(ring: try inVault { () throws(VaultError) in try unwrap(value, wrapping, identity) })
    }
    try refuseIfInUse(store)
    let header = SealedHeader(recordVersion: KeyRing.recordVersion, keyID: identity, generation: 1)
    let value = unsafe KeyRing.withFreshPlaintext { plaintext in
      unsafe wrapping.withBytes { key in
        unsafe Cipher.seal(plaintext, at: KeyRing.address, header: header, key: key)
      }
    }
    do throws(StoreError) {
      try await store.commit(
        RecordBatch(conditions: [.init(KeyRing.address, nil)], writes: [.put(KeyRing.address, value)]))
    } catch {
      throw .store(error)
    }
    return SodiumVault(ring: try inVault { () throws(VaultError) in try unwrap(value, wrapping, identity) })
  }

  /// Whether a store was made with a master key. If so, that key is the only one that opens it, and none may be made.
  package static func hasKeyRing(_ store: any RecordStore) throws(StoreError) -> Bool {
    try store.value(at: KeyRing.address) != nil
  }

  // MARK: - Vault

  package func seal(
    _ plaintext: UnsafeRawBufferPointer, at address: RecordAddress, recordVersion: UInt8, generation: Generation
  ) -> [UInt8] {
    guard let key = unsafe ring.sealKey(ring.currentID) else { preconditionFailure("a ring holds its current key") }
    let header = SealedHeader(recordVersion: recordVersion, keyID: ring.currentID, generation: generation)
    return unsafe Cipher.seal(plaintext, at: address, header: header, key: key)
  }

  package func withOpened<R>(
    _ value: [UInt8], at address: RecordAddress, _ body: (SealedHeader, UnsafeRawBufferPointer) throws(VaultError) -> R
  ) throws(VaultError) -> R {
    guard let header = SealedHeader(value) else { throw .truncated(address.table, key: address.keyText) }
    defer { withExtendedLifetime(ring) {} }
    guard let key = unsafe ring.sealKey(header.keyID) else {
      throw .unknownKey(address.table, key: address.keyText, keyID: header.keyID)
    }
    return try unsafe Self.withOpened(value, header, at: address, key: key, scratch, body)
  }

  package func hash(_ purpose: HashPurpose, _ bytes: [UInt8]) -> KeyedHash { ring.hash(purpose, bytes) }

  package func sha256(_ bytes: [UInt8]) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: Int(crypto_hash_sha256_BYTES)) { digest, written in
      unsafe crypto_hash_sha256(digest.baseAddress!, bytes, UInt64(bytes.count))
      written = digest.count
    }
  }

  package func makeSecret(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> SecretBytes {
    let memory = LockedMemory(count: count)
    unsafe fill(memory.bytes)
    return SecretBytes(storage: memory, count: count)
  }

  /// An opener for one thread of the hot path.
  package func makeHotOpener() -> HotOpener { HotOpener(ring: ring) }

  // MARK: - Opening

  private static func withOpened<R>(
    _ value: [UInt8], _ header: SealedHeader, at address: RecordAddress, key: UnsafeRawBufferPointer,
    _ scratch: ScratchPool, _ body: (SealedHeader, UnsafeRawBufferPointer) throws(VaultError) -> R
  ) throws(VaultError) -> R {
    let count = value.count - SealedHeader.byteCount - SealedHeader.tagBytes
    return try unsafe scratch.withBlock(count) { (block) throws(VaultError) in
      let plaintext = unsafe UnsafeMutableRawBufferPointer(rebasing: block[..<count])
      let isOpen = unsafe value.withUnsafeBytes { value in
        unsafe address.key.withUnsafeBytes { place in
          var associated = AssociatedData()
          guard let data = unsafe associated.bytes(address.table, key: place, header: value) else { return false }
          return unsafe Cipher.open(value, associated: data, key: key, into: plaintext)
        }
      }
      guard isOpen else { throw .doesNotOpen(address.table, key: address.keyText) }
      return try unsafe body(header, UnsafeRawBufferPointer(plaintext))
    }
  }

  private static func unwrap(
    _ value: [UInt8], _ wrapping: LockedMemory, _ identity: UInt32
  ) throws(VaultError) -> KeyRing {
    guard let header = SealedHeader(value) else { throw damagedRing("it is too short") }
    guard header.keyID == identity else {
      throw .masterKey(
        detail: "this master key (\(name(identity))) does not open this store, which was sealed with the master key "
          + name(header.keyID),
        cure: "start fhird with the master key that this store was made with; without that key its connections are "
          + "lost: move the store's directory away, start anew and create them again")
    }
    guard header.recordVersion == KeyRing.recordVersion else {
      throw .keyRing(
        detail: "the key ring has version \(header.recordVersion), this fhird knows \(KeyRing.recordVersion)",
        cure: "run the newer fhird that wrote it")
    }
    let ring: KeyRing?
    do throws(VaultError) {
      ring = try unsafe wrapping.withMutableBytes { (key) throws(VaultError) in
        let key = UnsafeRawBufferPointer(key)
        return try unsafe withOpened(value, header, at: KeyRing.address, key: key, ScratchPool()) { _, plaintext in
          unsafe KeyRing(plaintext)
        }
      }
    } catch {
      throw damagedRing("it was altered or damaged")
    }
    guard let ring else { throw damagedRing("what it holds is no key ring of this version") }
    return ring
  }

  private static func damagedRing(_ what: String) -> VaultError {
    .keyRing(
      detail: "the key ring in the table meta does not open: \(what)",
      cure: "stop fhird, put the newest backup of the store's directory in its place, start fhird")
  }

  /// A ring that is missing where there are records is lost, and a fresh one would hide that.
  private static func refuseIfInUse(_ store: any RecordStore) throws(VaultOpenError) {
    for table in Table.allCases {
      let first: [StoredRecord]
      do throws(StoreError) {
        first = try store.page(of: table, prefix: [], after: nil, limit: sealedLookMax)
      } catch {
        throw .store(error)
      }
      // The store's own format number is in `meta` too, and not sealed.
      guard first.contains(where: { table != .meta || SealedHeader($0.value) != nil }) else { continue }
      throw .vault(
        .keyRing(
          detail: "the store has records in the table \(table.rawValue) but no key ring to open them",
          cure: "stop fhird, put the newest backup of the store's directory in its place, start fhird"))
    }
  }

  /// Records that are looked at in a table before it counts as empty: more than are in an empty store's `meta`.
  private static let sealedLookMax = 16

  private static func stored(_ store: any RecordStore) throws(VaultOpenError) -> [UInt8]? {
    do throws(StoreError) { return try store.value(at: KeyRing.address) } catch { throw .store(error) }
  }

  private static func inVault<R>(_ body: () throws(VaultError) -> R) throws(VaultOpenError) -> R {
    do throws(VaultError) { return try body() } catch { throw .vault(error) }
  }

  /// What a master key is known by: derived, so that it says nothing of the key. It stands in the ring's header and
  /// tells a wrong key from a damaged ring.
  private static func identity(of master: UnsafeRawBufferPointer) -> UInt32 {
    let subkey = LockedMemory(count: Cipher.keyBytes)
    return unsafe subkey.withMutableBytes { subkey in
      unsafe Cipher.derive(identitySubkey, masterContext, from: master, into: subkey)
      return unsafe UInt32(littleEndian: subkey.loadUnaligned(as: UInt32.self))
    }
  }

  private static func name(_ identity: UInt32) -> String {
    let digits = String(identity, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}

extension RecordAddress {
  /// The key in hexadecimal digits, for messages: keys hold no name and no subject.
  var keyText: String {
    key.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }
}
