/// XChaCha20-Poly1305 over one record: the header's layout, the associated data, and the two calls into libsodium.
import CSodium
import ConnectionCore

/// Bound into every sealed record: table name, a zero byte, key, the sixteen bytes before the nonce. A record that is
/// moved to another place, or whose header is altered, does not open.
@safe struct AssociatedData: ~Copyable {
  /// The longest table name, a zero byte, the longest key (511), the header's prefix.
  static let bytesMax = 16 + 1 + 511 + SealedHeader.nonceOffset

  private let buffer: UnsafeMutableRawBufferPointer
  private var table: Table?
  /// Bytes of the table's name and its zero byte.
  private var nameBytes = 0

  init() {
    unsafe buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bytesMax, alignment: 16)
  }

  deinit { unsafe buffer.deallocate() }

  /// - Returns: the associated data, in memory of this value, until the next call; nil: the key is too long for a key.
  @inline(__always)
  mutating func bytes(
    _ table: Table, key: UnsafeRawBufferPointer, header: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    if self.table != table { setTable(table) }
    let count = nameBytes + key.count + SealedHeader.nonceOffset
    guard count <= Self.bytesMax, let start = unsafe buffer.baseAddress, let header = header.baseAddress else {
      return nil
    }
    if let key = key.baseAddress, count > nameBytes {
      unsafe (start + nameBytes).copyMemory(from: key, byteCount: count - nameBytes - SealedHeader.nonceOffset)
    }
    unsafe (start + count - SealedHeader.nonceOffset).copyMemory(from: header, byteCount: SealedHeader.nonceOffset)
    return unsafe UnsafeRawBufferPointer(start: start, count: count)
  }

  private mutating func setTable(_ table: Table) {
    self.table = table
    nameBytes = 0
    for byte in table.rawValue.utf8 {
      unsafe buffer[nameBytes] = byte
      nameBytes += 1
    }
    unsafe buffer[nameBytes] = 0
    nameBytes += 1
  }
}

enum Cipher {
  static let keyBytes = 32

  /// A whole value: header with a fresh random nonce, sealed bytes, tag.
  static func seal(
    _ plaintext: UnsafeRawBufferPointer, at address: RecordAddress, header: SealedHeader,
    key: UnsafeRawBufferPointer
  ) -> [UInt8] {
    let count = SealedHeader.byteCount + plaintext.count + SealedHeader.tagBytes
    let prefix = header.prefix
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { value, written in
      let value = UnsafeMutableRawBufferPointer(value)
      unsafe value.copyBytes(from: prefix)
      let nonce = unsafe value.baseAddress! + SealedHeader.nonceOffset
      unsafe randombytes_buf(nonce, SealedHeader.byteCount - SealedHeader.nonceOffset)
      var associated = AssociatedData()
      unsafe address.key.withUnsafeBytes { place in
        guard let data = unsafe associated.bytes(address.table, key: place, header: UnsafeRawBufferPointer(value))
        else {
          preconditionFailure("a record's key has at most 511 bytes")
        }
        let sealed = unsafe (value.baseAddress! + SealedHeader.byteCount).assumingMemoryBound(to: UInt8.self)
        unsafe crypto_aead_xchacha20poly1305_ietf_encrypt(
          sealed, nil, plaintext.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(plaintext.count),
          data.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(data.count), nil,
          nonce.assumingMemoryBound(to: UInt8.self), key.baseAddress!.assumingMemoryBound(to: UInt8.self))
      }
      written = count
    }
  }

  /// Opens the sealed bytes of a value into `plaintext`, which has room for them. False, and nothing to be read in
  /// `plaintext`, when the value, its place or the key is not the one that it was sealed with.
  @inline(__always)
  static func open(
    _ value: UnsafeRawBufferPointer, associated: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
    into plaintext: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard value.count >= SealedHeader.byteCount + SealedHeader.tagBytes,
      unsafe plaintext.count >= plaintextBytes(of: value), key.count == keyBytes, let start = value.baseAddress
    else { return false }
    return unsafe crypto_aead_xchacha20poly1305_ietf_decrypt(
      plaintext.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, nil,
      (start + SealedHeader.byteCount).assumingMemoryBound(to: UInt8.self),
      UInt64(value.count - SealedHeader.byteCount),
      associated.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(associated.count),
      (start + SealedHeader.nonceOffset).assumingMemoryBound(to: UInt8.self),
      key.baseAddress!.assumingMemoryBound(to: UInt8.self)) == 0
  }

  @inline(__always)
  static func plaintextBytes(of value: UnsafeRawBufferPointer) -> Int {
    value.count - SealedHeader.byteCount - SealedHeader.tagBytes
  }

  /// A key for one purpose, from a key of which nothing else may be made. The context keeps families of keys apart.
  static func derive(
    _ id: UInt64, _ context: StaticString, from key: UnsafeRawBufferPointer, into subkey: UnsafeMutableRawBufferPointer
  ) {
    precondition(context.utf8CodeUnitCount == Int(crypto_kdf_CONTEXTBYTES) && key.count == keyBytes)
    unsafe context.utf8Start.withMemoryRebound(to: CChar.self, capacity: Int(crypto_kdf_CONTEXTBYTES)) { context in
      _ = unsafe crypto_kdf_derive_from_key(
        subkey.baseAddress!.assumingMemoryBound(to: UInt8.self), subkey.count, id, context,
        key.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
  }
}
