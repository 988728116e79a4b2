/// The reader of the hot path: one record, lent in place, without a lock, a copy or an allocation.
import CLMDB
package import ConnectionCore
import Glibc

/// One per thread; not `Sendable`. Made by `LMDBStore.makeHotReader`. It keeps its place in LMDB's reader table while it
/// lives, and holds no pages between two calls.
package final class HotReader {
  private let slot = ReaderSlot()
  private let gate: ReaderGate
  private let environment: Environment

  init(gate: ReaderGate, environment: Environment) {
    self.gate = gate
    self.environment = environment
    gate.add(slot)
  }

  deinit { gate.remove(slot) }

  /// Lends the newest committed value of one record, or nil, for the time of the call. `body` must not read through
  /// this reader again, and must be short: while it runs, the writer cannot let the map grow.
  @inlinable
  package func withValue<R>(
    of table: Table, key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R
  ) throws(StoreError) -> R {
    let value = try unsafe begin(table, key)
    defer { end() }
    return unsafe body(value)
  }

  @usableFromInline
  func begin(_ table: Table, _ key: UnsafeRawBufferPointer) throws(StoreError) -> UnsafeRawBufferPointer? {
    try gate.enter(slot)
    do throws(LMDBFailure) {
      return try unsafe slot.beginRead(in: environment).value(of: table, key: key)
    } catch {
      end()
      return try unsafe beginAgain(after: error, table, key)
    }
  }

  /// MDB_PANIC: a commit failed half-way through its last write; the writer is about to open anew.
  @inline(never)
  private func beginAgain(
    after first: LMDBFailure, _ table: Table, _ key: UnsafeRawBufferPointer
  ) throws(StoreError) -> UnsafeRawBufferPointer? {
    let deadline = Deadline(milliseconds: ReaderGate.recoveryDeadline)
    var failure = first
    while failure.code == MDB_PANIC, !deadline.isOver {
      usleep(ReaderGate.recoveryInterval)
      try gate.enter(slot)
      do throws(LMDBFailure) {
        return try unsafe slot.beginRead(in: environment).value(of: table, key: key)
      } catch {
        end()
        failure = error
      }
    }
    throw failure.storeError(path: environment.path)
  }

  @usableFromInline
  func end() {
    slot.endRead()
    gate.leave(slot)
  }
}
