/// Readers: their slots in LMDB's table, the gate that lets the writer move the map, and the pool that `value` uses.
import CLMDB
import ConnectionCore
import Dispatch
import Glibc
import Synchronization

/// One reader's transaction, used by one thread at a time.
///
/// `@unchecked`: `transaction` is touched only by the thread that set `busy`, or by the writer when it has shut the
/// gate and seen `busy` unset.
@safe final class ReaderSlot: @unchecked Sendable {
  let busy = Atomic<Bool>(false)
  var transaction: OpaquePointer?
}

/// Lets readers in without a lock, and keeps them out for the moments in which the map moves.
///
/// A reader sets its own flag and then looks at the gate; the writer shuts the gate and then looks at every flag. Both
/// orders are sequentially consistent, so one of the two always sees the other.
final class ReaderGate: Sendable {
  private enum State {
    static let open: UInt8 = 0
    static let shut: UInt8 = 1
    static let closed: UInt8 = 2
  }

  /// A read takes microseconds; one that lasts this long hangs in its disk, and the writer gives up. In milliseconds.
  static let drainDeadline = 5_000
  /// A reader's wait for the gate: the drain of other readers and the reopening behind it. In milliseconds.
  static let entryDeadline = 15_000
  /// Between two looks, in microseconds: about one read.
  private static let lookInterval: UInt32 = 100

  private let state = Atomic<UInt8>(State.open)
  private let slots = Mutex<[ReaderSlot]>([])

  func add(_ slot: ReaderSlot) { slots.withLock { $0.append(slot) } }

  /// Takes a slot out of use and gives its place in LMDB's table back. Waits while the gate is shut.
  func remove(_ slot: ReaderSlot) {
    slots.withLock { slots in
      slots.removeAll { $0 === slot }
      slot.endTransaction()
    }
  }

  @inline(__always)
  func enter(_ slot: ReaderSlot) throws(StoreError) {
    precondition(!slot.busy.exchange(true, ordering: .sequentiallyConsistent), "a reader lends one value at a time")
    if state.load(ordering: .sequentiallyConsistent) != State.open { try waitForEntry(slot) }
  }

  @inline(__always)
  func leave(_ slot: ReaderSlot) { slot.busy.store(false, ordering: .releasing) }

  /// Comes back with the slot inside, or throws with the slot outside.
  @inline(never)
  private func waitForEntry(_ slot: ReaderSlot) throws(StoreError) {
    let deadline = Deadline(milliseconds: Self.entryDeadline)
    while true {
      slot.busy.store(false, ordering: .sequentiallyConsistent)
      if state.load(ordering: .sequentiallyConsistent) == State.closed { throw .closed }
      guard !deadline.isOver else {
        throw .io(operation: "read", detail: "the store was being reopened for too long; look at its disk")
      }
      usleep(Self.lookInterval)
      slot.busy.store(true, ordering: .sequentiallyConsistent)
      if state.load(ordering: .sequentiallyConsistent) == State.open { return }
    }
  }

  /// Runs `body` while no reader is inside and no reader's transaction exists. Only the writer's queue calls this.
  func whileShut<R>(
    forGood: Bool = false, _ body: () throws(LMDBFailure) -> R
  ) throws(LMDBFailure) -> R {
    // Shut before the slots are listed: a slot that is added after that finds the gate shut.
    state.store(State.shut, ordering: .sequentiallyConsistent)
    let slots = slots.withLock { $0 }
    defer { state.store(forGood ? State.closed : State.open, ordering: .sequentiallyConsistent) }
    let deadline = Deadline(milliseconds: Self.drainDeadline)
    for slot in slots {
      while slot.busy.load(ordering: .sequentiallyConsistent) {
        guard !deadline.isOver else { throw LMDBFailure(code: EBUSY, operation: "wait for readers") }
        usleep(Self.lookInterval)
      }
    }
    return try self.slots.withLock { (slots) throws(LMDBFailure) in
      for slot in slots { slot.endTransaction() }
      return try body()
    }
  }
}

extension ReaderSlot {
  fileprivate func endTransaction() {
    guard let transaction = unsafe transaction else { return }
    unsafe self.transaction = nil
    unsafe mdb_txn_abort(transaction)
  }

  /// A view of the newest committed state; the slot is inside the gate. Ends with `endRead`.
  @inline(__always)
  func beginRead(in environment: Environment) throws(LMDBFailure) -> ReadTransaction {
    if let transaction = unsafe transaction {
      try check(unsafe mdb_txn_renew(transaction), "begin a read")
      return unsafe ReadTransaction(renewed: transaction)
    }
    return try beginFirstRead(in: environment)
  }

  @inline(never)
  private func beginFirstRead(in environment: Environment) throws(LMDBFailure) -> ReadTransaction {
    guard let handle = unsafe environment.handle else { throw LMDBFailure(code: MDB_PANIC, operation: "begin a read") }
    var begun: OpaquePointer?
    try check(unsafe mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &begun), "begin a read")
    guard let begun = unsafe begun else { throw LMDBFailure(code: MDB_BAD_TXN, operation: "begin a read") }
    unsafe transaction = begun
    return unsafe ReadTransaction(renewed: begun)
  }

  /// lmdb.h: a reset transaction keeps its place in the reader table and holds no pages back.
  @inline(__always)
  func endRead() {
    if let transaction = unsafe transaction { unsafe mdb_txn_reset(transaction) }
  }
}

/// A moment on the monotonic clock.
struct Deadline {
  private let end: UInt64
  init(milliseconds: Int) { end = Self.now + UInt64(milliseconds) * 1_000_000 }
  var isOver: Bool { Self.now >= end }
  private static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }
}

/// A bounded set of readers for everyone but the hot path; whoever comes when all are out waits, with a deadline.
final class ReaderPool: Sendable {
  /// How long a read waits for its turn, in milliseconds: reads take microseconds, pages a few milliseconds.
  private static let turnDeadline = 10_000

  private let gate: ReaderGate
  private let environment: Environment
  private let idle = Mutex<[ReaderSlot]>([])
  private let turns: DispatchSemaphore

  init(gate: ReaderGate, environment: Environment, readersMax: Int) {
    self.gate = gate
    self.environment = environment
    turns = DispatchSemaphore(value: readersMax)
  }

  func read<R>(_ body: (ReadTransaction) throws(LMDBFailure) -> R) throws(StoreError) -> R {
    guard turns.wait(timeout: .now() + .milliseconds(Self.turnDeadline)) == .success else {
      throw .io(operation: "read", detail: "no reader was free in time; look at the store's disk")
    }
    defer { turns.signal() }
    let slot = idle.withLock { $0.popLast() } ?? makeSlot()
    defer { idle.withLock { $0.append(slot) } }
    return try gate.read(slot, in: environment, body)
  }

  private func makeSlot() -> ReaderSlot {
    let slot = ReaderSlot()
    gate.add(slot)
    return slot
  }
}

extension ReaderGate {
  /// How long a reader waits for the writer to reopen an environment that LMDB has given up, in milliseconds.
  static let recoveryDeadline = 2_000
  /// Between two looks, in microseconds: a part of what reopening takes.
  static let recoveryInterval: UInt32 = 500

  fileprivate func read<R>(
    _ slot: ReaderSlot, in environment: Environment, _ body: (ReadTransaction) throws(LMDBFailure) -> R
  ) throws(StoreError) -> R {
    let deadline = Deadline(milliseconds: Self.recoveryDeadline)
    while true {
      try enter(slot)
      defer { leave(slot) }
      do throws(LMDBFailure) {
        let read = try slot.beginRead(in: environment)
        defer { slot.endRead() }
        return try body(read)
      } catch {
        // MDB_PANIC: a commit failed half-way through its last write; the writer is about to open anew.
        guard error.code == MDB_PANIC, !deadline.isOver else { throw error.storeError(path: environment.path) }
        usleep(Self.recoveryInterval)
      }
    }
  }
}
