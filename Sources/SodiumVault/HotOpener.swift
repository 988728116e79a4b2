/// The opener of the hot path: one record at a time into memory of its own, without a lock or an allocation.
package import ConnectionCore

/// One per thread; not `Sendable`. Made by `SodiumVault.makeHotOpener`.
package final class HotOpener {
  /// What the scratch memory begins with, in bytes: a token of 1.5 KB forty times.
  private static let scratchBytes = 64 << 10
  /// What it may grow to, in bytes: a rendered token is never as large; such a record is opened on the slow path.
  package static let scratchBytesMax = 1 << 20

  private let ring: KeyRing
  private var associated = AssociatedData()
  private var scratch = LockedMemory(count: HotOpener.scratchBytes)
  private var used = 0

  init(ring: KeyRing) { self.ring = ring }

  /// Opens a stored value into memory that is valid until the next call of `open` or `wipe`; nil: this value does not
  /// open here, and `Vault.withOpened` says why.
  package func open(
    _ value: UnsafeRawBufferPointer, table: Table, key: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    wipe()
    guard let header = unsafe SealedHeader(value), let sealKey = unsafe ring.sealKey(header.keyID) else { return nil }
    let count = unsafe Cipher.plaintextBytes(of: value)
    if count > scratch.count {
      guard count <= Self.scratchBytesMax else { return nil }
      scratch = LockedMemory(count: Self.scratchBytesMax)
    }
    guard let data = unsafe associated.bytes(table, key: key, header: value),
      unsafe Cipher.open(value, associated: data, key: sealKey, into: scratch.bytes)
    else { return nil }
    used = count
    return unsafe UnsafeRawBufferPointer(start: scratch.bytes.baseAddress, count: count)
  }

  /// Wipes what the last `open` left.
  package func wipe() {
    guard used > 0 else { return }
    scratch.wipe(used)
    used = 0
  }
}
