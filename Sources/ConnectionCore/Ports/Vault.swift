/// The vault as the core sees it: seals and opens records, hashes names under a key, keeps secrets in memory of their own.

/// The clear beginning of every stored value; all of it is part of the associated data.
///
/// Layout, little endian: format (1 byte), record version (1), reserved (2, zero), key id (4), generation (8), nonce (24).
/// The sealed bytes with their 16-byte tag follow.
package struct SealedHeader: Sendable, Equatable {
  package static let format: UInt8 = 1
  package static let byteCount = 40
  /// Offset of the nonce; the bytes before it are associated data.
  package static let nonceOffset = 16
  package static let tagBytes = 16

  package var recordVersion: UInt8
  package var keyID: UInt32
  package var generation: Generation

  package init(recordVersion: UInt8, keyID: UInt32, generation: Generation) {
    self.recordVersion = recordVersion
    self.keyID = keyID
    self.generation = generation
  }

  /// nil when the bytes are too short for a header and a tag, or have another format.
  package init?(_ value: UnsafeRawBufferPointer) {
    guard value.count >= Self.byteCount + Self.tagBytes, value[0] == Self.format else { return nil }
    recordVersion = value[1]
    keyID = UInt32(littleEndian: value.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    generation = UInt64(littleEndian: value.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }

  package init?(_ value: [UInt8]) {
    guard let header = value.withUnsafeBytes({ SealedHeader($0) }) else { return nil }
    self = header
  }

  /// The sixteen bytes before the nonce.
  package var prefix: [UInt8] {
    [Self.format, recordVersion, 0, 0] + keyID.littleEndianBytes + generation.littleEndianBytes
  }
}

package enum VaultError: Error, Sendable, Equatable {
  /// The record is shorter than a header and a tag, or of an unknown format.
  case truncated(Table, key: String)
  /// Altered, moved from another place, or sealed under another key ring.
  case doesNotOpen(Table, key: String)
  /// Sealed under a key that the ring does not hold.
  case unknownKey(Table, key: String, keyID: UInt32)
  case recordVersion(Table, key: String, found: UInt8)
  /// The master key is missing, malformed, too widely readable, or not the one that wraps the key ring.
  case masterKey(detail: String, cure: String)
  case keyRing(detail: String, cure: String)
}

/// What a keyed hash is for: hashes of one purpose say nothing of another.
package enum HashPurpose: UInt8, Sendable {
  case connectionName = 1
  case subject = 2
  case tokenFingerprint = 3
  case authorizationState = 4
  case serverURL = 5
}

package protocol Vault: Sendable {
  /// Seals `plaintext` for this place and no other. The result begins with a `SealedHeader`.
  func seal(
    _ plaintext: UnsafeRawBufferPointer, at address: RecordAddress, recordVersion: UInt8, generation: Generation
  )
    -> [UInt8]

  /// Opens a value and lends the plaintext for the time of the call; the memory is wiped afterwards.
  func withOpened<R>(
    _ value: [UInt8], at address: RecordAddress, _ body: (SealedHeader, UnsafeRawBufferPointer) throws(VaultError) -> R
  ) throws(VaultError) -> R

  func hash(_ purpose: HashPurpose, _ bytes: [UInt8]) -> KeyedHash

  /// SHA-256, without a key: for PKCE.
  func sha256(_ bytes: [UInt8]) -> [UInt8]

  /// Locked memory of its own for `count` bytes; `fill` writes them.
  func makeSecret(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> SecretBytes
}

/// Memory that holds a secret: locked, kept out of dumps, wiped when the last owner lets go.
package protocol SecretStorage: AnyObject, Sendable {
  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R
}

/// A secret with one owner. It is lent, never returned, and cannot be printed.
package struct SecretBytes: ~Copyable, Sendable {
  private let storage: any SecretStorage
  package let count: Int

  package init(storage: any SecretStorage, count: Int) {
    self.storage = storage
    self.count = count
  }

  package func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { storage.withBytes(body) }
}

/// A secret that a request carries while it is under way: several tasks may hold it, nobody can copy or print it.
package final class SharedSecret: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
  private let secret: SecretBytes
  package init(_ secret: consuming SecretBytes) { self.secret = secret }
  package var count: Int { secret.count }
  package func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { secret.withBytes(body) }
  package var description: String { "secret(\(count) bytes)" }
  package var debugDescription: String { description }
}

extension FixedWidthInteger where Self: UnsignedInteger {
  package var littleEndianBytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> Self(8 * $0)) }
  }
}
