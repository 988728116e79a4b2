/// The one writer: batches that arrive while a commit is on its way to the disk share the next one.
import CLMDB
import ConnectionCore
import Dispatch
import Glibc
import Synchronization

/// Owns the write transaction, the map's size and the recovery from failed commits. Everything that touches LMDB here
/// runs on the queue "fhird.store", from begin to commit without a suspension.
final class Writer: Sendable {
  /// Batches in one transaction: what a burst needs, and a bound for what one failure makes us try again singly.
  private static let groupBatchesMax = 1_024
  /// Bytes of values in one transaction, unless a single batch is larger: keeps a shared commit short.
  private static let groupBytesMax = 8 << 20
  /// Doublings of the map for one group: from 1 MiB to beyond any address space.
  private static let growthsMax = 48

  private struct Pending {
    let batch: RecordBatch
    let answer: @Sendable (Outcome) -> Void
  }

  private struct State {
    var pending: [Pending] = []
    var isDraining = false
    var isClosed = false
  }

  typealias Outcome = Result<Void, StoreError>

  private let environment: Environment
  private let gate: ReaderGate
  private let options: LMDBStore.Options
  /// What the file may grow to for what matters most.
  private let essentialBytesMax: Int
  private let queue = DispatchQueue(label: "fhird.store")
  private let state = Mutex(State())

  init(environment: Environment, gate: ReaderGate, options: LMDBStore.Options) {
    self.environment = environment
    self.gate = gate
    self.options = options
    // A store that is above its limit already must be able to lose records: a deletion takes pages before it gives some.
    let used = (try? environment.info())?.usedBytes ?? 0
    essentialBytesMax = min(options.mapBytesMax, max(options.bytesMax, used + used / 100 * Self.reservePercent))
  }

  /// Of a store that is above its limit: what it may grow by.
  private static let reservePercent = 100 - RecordBatch.Purpose.ordinary.rawValue

  /// Returns when the batch is durable, or failed. Not cancellable: a caller that has gone must not undo a commit.
  func commit(_ batch: RecordBatch) async throws(StoreError) {
    let outcome: Outcome = await withCheckedContinuation { continuation in
      submit(batch) { continuation.resume(returning: $0) }
    }
    try outcome.get()
  }

  private func submit(_ batch: RecordBatch, _ answer: @escaping @Sendable (Outcome) -> Void) {
    let (refused, mustStart) = state.withLock { state in
      if state.isClosed { return (true, false) }
      state.pending.append(Pending(batch: batch, answer: answer))
      let mustStart = !state.isDraining
      state.isDraining = true
      return (false, mustStart)
    }
    if refused { return answer(.failure(.closed)) }
    if mustStart { queue.async { self.drain() } }
  }

  /// One group a turn: between two of them others have the queue.
  private func drain() {
    if commitNextGroup() { queue.async { self.drain() } }
  }

  private func commitNextGroup() -> Bool {
    guard let group = nextGroup() else { return false }
    let outcomes = commit(group.map(\.batch))
    for (pending, outcome) in zip(group, outcomes) { pending.answer(outcome) }
    return true
  }

  /// What has arrived in the meantime, up to a group's limits, or nil: nothing has, and the next arrival starts anew.
  private func nextGroup() -> [Pending]? {
    state.withLock { state in
      guard !state.pending.isEmpty else {
        state.isDraining = false
        return nil
      }
      var bytes = 0
      let taken = state.pending.prefix(Self.groupBatchesMax).prefix { pending in
        let fits = bytes < Self.groupBytesMax
        bytes += pending.batch.valueBytes
        return fits
      }
      state.pending.removeFirst(taken.count)
      return Array(taken)
    }
  }

  /// Commits what was handed in before, then closes the environment. Later batches fail with `.closed`.
  func close() {
    state.withLock { $0.isClosed = true }
    queue.sync {
      while commitNextGroup() {}
      // A reader that hangs keeps the environment: unmapping under it would be a crash, and the process ends anyway.
      try? gate.whileShut(forGood: true) { environment.close() }
    }
  }

  /// Runs `body` on the writer's queue, between two commits; batches that come meanwhile wait.
  func alone<R: Sendable>(
    _ body: @escaping @Sendable () throws(StoreError) -> R
  ) async throws(StoreError) -> R {
    let result: Result<R, StoreError> = await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: self.now(body)) }
    }
    return try result.get()
  }

  private func now<R>(_ body: () throws(StoreError) -> R) -> Result<R, StoreError> {
    if state.withLock({ $0.isClosed }) { return .failure(.closed) }
    do throws(StoreError) { return .success(try body()) } catch { return .failure(error) }
  }
}

// MARK: - On the queue

extension Writer {
  /// One transaction for all; when that fails for one of them, one transaction for each, so that every batch holds or
  /// fails on its own. (LMDB's nested transactions could do this too, at a cost for every batch that succeeds.)
  private func commit(_ group: [RecordBatch]) -> [Outcome] {
    do throws(LMDBFailure) {
      return try commitRecovering(group)
    } catch {
      guard group.count > 1 else { return [.failure(storeError(error, group[0]))] }
    }
    return group.map { batch in
      do throws(LMDBFailure) { return try commitRecovering([batch])[0] } catch {
        return .failure(storeError(error, batch))
      }
    }
  }

  private func commitRecovering(_ group: [RecordBatch]) throws(LMDBFailure) -> [Outcome] {
    var growths = 0
    var reopened = false
    while true {
      do throws(LMDBFailure) {
        return try commitOnce(group)
      } catch {
        switch error.code {
        case MDB_MAP_FULL where growths < Self.growthsMax && environment.mapBytes < mapBytesMax(for: group):
          growths += 1
          try grow(for: group)
        case MDB_PANIC where !reopened:
          reopened = true
          try reopen(mapBytes: environment.mapBytes)
        default:
          let failure = explained(error)
          reopenIfGivenUp()
          throw failure
        }
      }
    }
  }

  /// Each batch sees what the ones before it wrote, as if they had been committed one by one.
  private func commitOnce(_ group: [RecordBatch]) throws(LMDBFailure) -> [Outcome] {
    guard let handle = unsafe environment.handle else { throw LMDBFailure(code: MDB_PANIC, operation: "begin a write") }
    let transaction = try unsafe WriteTransaction(in: handle)
    var outcomes: [Outcome] = []
    for batch in group {
      if let table = try transaction.firstConflict(of: batch) {
        outcomes.append(.failure(.conflict(table)))
      } else if let refusal = try refusal(of: batch, in: transaction) {
        outcomes.append(.failure(refusal))
      } else {
        for write in batch.writes { try transaction.apply(write) }
        outcomes.append(.success(()))
      }
    }
    #if FAULT_POINTS
      for case (let batch, .success) in zip(group, outcomes) { options.written?(batch) }
    #endif
    try transaction.commit()
    return outcomes
  }

  /// nil: there is room for it under the limit for such batches.
  private func refusal(
    of batch: RecordBatch, in transaction: borrowing WriteTransaction
  ) throws(LMDBFailure) -> StoreError? {
    let purpose = batch.purpose
    guard options.bytesMax < .max, purpose != .essential else { return nil }
    let inUse = try transaction.bytesInUse()
    let allowed = options.bytesMax(for: purpose)
    return inUse + batch.valueBytes > allowed ? nearlyFull(inUse, purpose) : nil
  }

  private func nearlyFull(_ inUse: Int, _ purpose: RecordBatch.Purpose) -> StoreError {
    .nearlyFull(
      detail: "\(inUse) bytes are in use of \(options.bytesMax) (FHIRD_STORE_BYTES_MAX), and what is above "
        + "\(purpose.rawValue) % is kept for tokens")
  }

  private func mapBytesMax(for group: [RecordBatch]) -> Int {
    let isEssential = group.allSatisfy { $0.purpose == .essential }
    return isEssential ? essentialBytesMax : min(options.mapBytesMax, options.bytesMax(for: .ordinary))
  }

  private func grow(for group: [RecordBatch]) throws(LMDBFailure) {
    let needed = group.reduce(0) { $0 + $1.valueBytes }
    let wanted = min(mapBytesMax(for: group), max(environment.mapBytes * 2, environment.mapBytes + needed * 2))
    let before = environment.mapBytes
    try reopen(mapBytes: wanted)
    // No more address space is to be had: the same as a full map.
    guard environment.mapBytes > before else { throw LMDBFailure(code: MDB_MAP_FULL, operation: "grow the map") }
  }

  private func reopen(mapBytes: Int) throws(LMDBFailure) {
    try gate.whileShut { () throws(LMDBFailure) in try environment.reopen(mapBytes: mapBytes) }
  }

  /// mdb_txn_commit that fails in its last write (the meta page) makes the whole environment answer MDB_PANIC, to readers
  /// too, until it is opened again. Do that at once and not with the next batch: readers wait.
  private func reopenIfGivenUp() {
    do throws(LMDBFailure) {
      guard let handle = unsafe environment.handle else {
        throw LMDBFailure(code: MDB_PANIC, operation: "begin a write")
      }
      _ = try unsafe WriteTransaction(in: handle)
    } catch {
      // A failure here stays: the next batch tries again, and readers say what is wrong.
      if error.code == MDB_PANIC { try? reopen(mapBytes: environment.mapBytes) }
    }
  }

  /// LMDB turns a short write into EIO ("short write, filesystem full?"). Asks the file system whether it is full.
  private func explained(_ failure: LMDBFailure) -> LMDBFailure {
    guard failure.code == EIO, let descriptor = try? environment.dataDescriptor() else { return failure }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { return failure }
    let code = posix_fallocate(descriptor, status.st_size, Self.probeBytes)
    // Gives the room back; a page past the last one that LMDB counts belongs to nobody.
    ftruncate(descriptor, status.st_size)
    let probed = LMDBFailure(code: code, operation: failure.operation)
    return probed.isFull ? probed : failure
  }

  /// The room that the probe asks for, in bytes: a small transaction's worth.
  private static let probeBytes = 1 << 20

  private func storeError(_ failure: LMDBFailure, _ batch: RecordBatch) -> StoreError {
    // Free pages may be too scattered for it; what is left at the end of the file is not for such batches.
    if failure.code == MDB_MAP_FULL, options.bytesMax < .max, batch.purpose != .essential,
      let info = try? environment.info()
    {
      return nearlyFull(info.usedBytes, batch.purpose)
    }
    return failure.storeError(path: environment.path)
  }
}

extension WriteTransaction {
  /// The table of the first condition that does not hold, or nil: all hold.
  fileprivate borrowing func firstConflict(of batch: RecordBatch) throws(LMDBFailure) -> Table? {
    for condition in batch.conditions {
      let wanted: StoredGeneration =
        if let generation = condition.generation { .generation(generation) } else { .absent }
      if try generation(at: condition.address) != wanted { return condition.address.table }
    }
    return nil
  }

  fileprivate borrowing func apply(_ write: RecordBatch.Write) throws(LMDBFailure) {
    switch write {
    case .put(let address, let value): try put(address, value)
    case .delete(let address): try delete(address)
    case .deletePrefix(let table, let prefix): try deletePrefix(table, prefix)
    }
  }
}

extension LMDBStore.Options {
  /// What batches of a purpose may fill; `Int.max` stays what it is: no limit.
  func bytesMax(for purpose: RecordBatch.Purpose) -> Int {
    bytesMax == .max ? .max : bytesMax / 100 * purpose.rawValue
  }
}

extension RecordBatch {
  fileprivate var valueBytes: Int {
    writes.reduce(0) { sum, write in
      if case .put(_, let value) = write { sum + value.count } else { sum }
    }
  }
}
