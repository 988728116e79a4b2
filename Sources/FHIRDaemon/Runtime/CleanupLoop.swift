/// Tidies up: what has aged is taken away in small steps, users and groups are looked up again, a store that failed is
/// tried.
import ConnectionCore
import DispatchSupport
import FHIRControl
import LMDBStore
import SMARTProtocol
import Synchronization

actor CleanupLoop {
  /// Its queue may wait for a name service; nothing else runs there.
  private nonisolated let executor = QueueExecutor(label: "fhird.cleanup")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  /// Between two looks: a store that does not take writes is tried, and each task that is due makes one step.
  private static let lookInterval = Instant.Span.seconds(5)
  /// Of names, and of readers that died.
  private static let interval = Instant.Span.seconds(60)

  private struct Entry {
    let task: CleanupTask
    var schedule: CleanupSchedule
  }

  private let store: LMDBStore
  private let engine: Engine
  private let book: AccessBook
  private let clock: any Clock
  private let log: any EventLog
  private var timer: QueueTimer?
  private var entries: [Entry]
  private var nextNames: Instant
  /// What has been removed since the start, by the tasks' names. For those who must not wait for this queue.
  private nonisolated let removed = Mutex<[(name: String, count: Int)]>([])

  init(store: LMDBStore, engine: Engine, book: AccessBook, clock: any Clock, log: any EventLog) {
    self.store = store
    self.engine = engine
    self.book = book
    self.clock = clock
    self.log = log
    let first = clock.now() + Self.interval
    nextNames = first
    let readers = CleanupTask("readers that died", every: Self.interval) { (_) async throws(LedgerError) in
      do throws(StoreError) { return CleanupStep(removed: try store.clearStaleReaders()) } catch { throw .store(error) }
    }
    entries = ([readers] + engine.cleanupTasks).map { task in
      Entry(task: task, schedule: CleanupSchedule(interval: task.interval, firstRound: first))
    }
  }

  func start() throws(LinuxError) {
    timer = try QueueTimer(on: executor) { [weak self] in
      Task { await self?.look() }
    }
    timer?.arm(afterMilliseconds: Self.lookInterval.milliseconds)
  }

  func stop() { timer = nil }

  /// For `health.get`.
  nonisolated var component: ComponentHealth {
    let words = removed.withLock { $0.filter { $0.count > 0 }.map { "\($0.count) \($0.name)" } }
    return ComponentHealth(
      name: "cleanup", state: "ok",
      detail: words.isEmpty ? nil : "removed since the start: \(words.joined(separator: ", "))")
  }

  private func look() async {
    let store = store
    await engine.probeStore { () throws(StoreError) in try await store.probeWritable() }
    if clock.now() >= nextNames {
      nextNames = clock.now() + Self.interval
      book.resolveAgain()
    }
    for index in entries.indices where entries[index].schedule.isDue(at: clock.now()) { await step(index) }
    timer?.arm(afterMilliseconds: Self.lookInterval.milliseconds)
  }

  private func step(_ index: Int) async {
    let task = entries[index].task
    do throws(LedgerError) {
      let step = try await task.step(entries[index].schedule.after)
      let inRound = entries[index].schedule.stepped(step, at: clock.now())
      let all = entries.map { (name: $0.task.name, count: $0.schedule.removed) }
      removed.withLock { $0 = all }
      guard let inRound, inRound > 0 else { return }
      log.record(.info, "cleaned up", [.event: "cleaned_up", .detail: task.name, .count: "\(inRound)"])
    } catch {
      entries[index].schedule.failed(at: clock.now())
      log.record(.warning, "cannot clean up", [.event: "cleanup_failed", .detail: "\(task.name): \(error.sentence)"])
    }
  }
}
