/// Memory for secrets: locked, between guard pages, out of core dumps, wiped when it is freed.
import CSodium
import ConnectionCore
import Glibc
import Synchronization

enum Sodium {
  /// sodium_init is idempotent and thread-safe since 1.0.11; it fails only where there is no source of randomness.
  private static let isReady: Bool = sodium_init() >= 0

  static func start() { precondition(isReady, "libsodium finds no source of randomness") }
}

/// A block of memory with one owner.
///
/// `@unchecked`: the owner decides who writes; after that it is only read (`makeSecret`), or used by one at a time
/// (scratch memory).
@safe final class LockedMemory: @unchecked Sendable, SecretStorage {
  private let start: UnsafeMutableRawPointer
  let count: Int
  private let isGuarded: Bool

  init(count: Int) {
    Sodium.start()
    self.count = count
    // sodium_malloc: guard pages and a canary around the block, mlock, MADV_DONTDUMP, zeroed by sodium_free. It answers
    // NULL when the process has no more mappings or locked memory to give.
    if let guarded = unsafe sodium_malloc(max(count, 1)) {
      unsafe start = guarded
      isGuarded = true
    } else {
      // A secret in plain memory that is wiped is better than a daemon that stops serving everyone.
      unsafe start = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 16)
      unsafe sodium_mlock(start, max(count, 1))
      isGuarded = false
    }
  }

  deinit {
    if isGuarded {
      unsafe sodium_free(start)
    } else {
      // sodium_munlock zeroes before it unlocks.
      unsafe sodium_munlock(start, max(count, 1))
      unsafe start.deallocate()
    }
  }

  var bytes: UnsafeMutableRawBufferPointer {
    @inline(__always) get { unsafe UnsafeMutableRawBufferPointer(start: start, count: count) }
  }

  /// Lends the bytes; the block lives at least until `body` is done, also when nobody names it afterwards.
  func withMutableBytes<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(self) {} }
    return try unsafe body(bytes)
  }

  func wipe(_ used: Int) { unsafe sodium_memzero(start, min(used, count)) }

  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    unsafe withMutableBytes { unsafe body(UnsafeRawBufferPointer($0)) }
  }
}

/// Blocks for plaintext that is lent for the time of a call: guard pages and mlock cost microseconds, so a few are kept.
final class ScratchPool: Sendable {
  /// Bytes of one block: two pages over the largest grant seen; more is allocated for one use.
  private static let blockBytes = 64 << 10
  /// Blocks that are kept: calls at the same time or within each other, as far as that is usual. Locked memory is scarce
  /// (RLIMIT_MEMLOCK is 8 MiB by default).
  private static let blocksKept = 8

  private let idle = Mutex<[LockedMemory]>([])

  /// Lends a block of at least `count` bytes and wipes these afterwards.
  func withBlock<R, E: Error>(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
    if count > Self.blockBytes { return try unsafe LockedMemory(count: count).withMutableBytes(body) }
    let block = idle.withLock { $0.popLast() } ?? LockedMemory(count: Self.blockBytes)
    defer {
      block.wipe(count)
      idle.withLock { if $0.count < Self.blocksKept { $0.append(block) } }
    }
    return try unsafe block.withMutableBytes(body)
  }
}
