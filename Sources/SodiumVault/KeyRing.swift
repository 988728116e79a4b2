/// The key ring: the keys that seal records and hash names, wrapped by the master key in the table `meta`.
import CSodium
import ConnectionCore

/// Kept open for as long as the vault lives, in locked memory: for each ring key the subkey that seals records, and for
/// each purpose the subkey that hashes.
///
/// The ring's plaintext, little endian: version (1 byte), zero (3), current key's id (4), number of keys (4), the key
/// that hashes (32), then per key its id (4), zero (4), and the key (32). Several keys are there while records are sealed
/// anew; every record names its key in its header. The key that hashes stays: names are found by it.
final class KeyRing: Sendable {
  static let address = RecordAddress(.meta, Array("keyring".utf8))
  static let recordVersion: UInt8 = 1

  private static let version: UInt8 = 1
  private static let headBytes = 12 + Cipher.keyBytes
  private static let entryBytes = 8 + Cipher.keyBytes
  /// Keys in one ring: rotations whose records are not yet sealed anew. Far more than that is a damaged ring.
  private static let keysMax = 64
  /// Key ids begin here; 0 is no key.
  private static let firstID: UInt32 = 1

  /// Subkeys are numbered within these contexts: a record's by 1, a hash's by its purpose.
  private static let sealContext: StaticString = "fhirseal"
  private static let hashContext: StaticString = "fhirhash"

  let currentID: UInt32
  private let ids: [UInt32]
  private let sealKeys: LockedMemory
  private let hashKeys: LockedMemory

  /// Reads a ring's plaintext; nil when it is not one.
  init?(_ plaintext: UnsafeRawBufferPointer) {
    guard plaintext.count >= Self.headBytes, unsafe plaintext[0] == Self.version else { return nil }
    func word(_ offset: Int) -> UInt32 {
      unsafe UInt32(littleEndian: plaintext.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    let count = Int(word(8))
    guard (1...Self.keysMax).contains(count), plaintext.count == Self.headBytes + count * Self.entryBytes else {
      return nil
    }
    currentID = word(4)
    ids = (0..<count).map { word(Self.headBytes + $0 * Self.entryBytes) }
    guard ids.contains(currentID), Set(ids).count == count, !ids.contains(0) else { return nil }
    sealKeys = LockedMemory(count: count * Cipher.keyBytes)
    for index in 0..<count {
      let key = unsafe UnsafeRawBufferPointer(
        rebasing: plaintext[(Self.headBytes + index * Self.entryBytes + 8)...].prefix(Cipher.keyBytes))
      unsafe Cipher.derive(
        1, Self.sealContext, from: key, into: Self.slot(index, of: sealKeys.bytes))
    }
    hashKeys = LockedMemory(count: Self.purposes.count * Cipher.keyBytes)
    let hashKey = unsafe UnsafeRawBufferPointer(rebasing: plaintext[12..<Self.headBytes])
    for (index, purpose) in Self.purposes.enumerated() {
      unsafe Cipher.derive(
        UInt64(purpose.rawValue), Self.hashContext, from: hashKey, into: Self.slot(index, of: hashKeys.bytes))
    }
  }

  private static let purposes: [HashPurpose] = [
    .connectionName, .subject, .tokenFingerprint, .authorizationState, .serverURL,
  ]

  private static func slot(_ index: Int, of keys: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(rebasing: keys[(index * Cipher.keyBytes)...].prefix(Cipher.keyBytes))
  }

  /// The plaintext of a fresh ring with one key, lent for the time of the call.
  static func withFreshPlaintext<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    let memory = LockedMemory(count: headBytes + entryBytes)
    return unsafe memory.withMutableBytes { bytes in
      unsafe randombytes_buf(bytes.baseAddress!, bytes.count)
      unsafe bytes.copyBytes(from: [version, 0, 0, 0] + firstID.littleEndianBytes + UInt32(1).littleEndianBytes)
      unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[headBytes...]).copyBytes(
        from: firstID.littleEndianBytes + [0, 0, 0, 0])
      return unsafe body(UnsafeRawBufferPointer(bytes))
    }
  }

  /// The key that seals and opens records with this key id, or nil: the ring does not hold it.
  @inline(__always)
  func sealKey(_ id: UInt32) -> UnsafeRawBufferPointer? {
    guard let index = ids.firstIndex(of: id) else { return nil }
    return unsafe UnsafeRawBufferPointer(Self.slot(index, of: sealKeys.bytes))
  }

  func hash(_ purpose: HashPurpose, _ bytes: [UInt8]) -> KeyedHash {
    guard let index = Self.purposes.firstIndex(of: purpose) else { preconditionFailure("a purpose without a key") }
    let key = unsafe UnsafeRawBufferPointer(Self.slot(index, of: hashKeys.bytes))
    let digest = unsafe [UInt8](unsafeUninitializedCapacity: ConnectionID.byteCount) { digest, written in
      unsafe crypto_generichash(
        digest.baseAddress!, digest.count, bytes, UInt64(bytes.count),
        key.baseAddress!.assumingMemoryBound(to: UInt8.self), key.count)
      written = ConnectionID.byteCount
    }
    guard let hash = KeyedHash(bytes: digest) else { preconditionFailure("a keyed hash has 16 bytes") }
    return hash
  }
}
