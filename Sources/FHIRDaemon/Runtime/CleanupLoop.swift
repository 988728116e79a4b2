/// What is done every minute: readers that died are cleared away, users and groups looked up again, a store that failed
/// is tried; and every hour: client keys that nobody reads any more are erased.
import ConnectionCore
import DispatchSupport
import LMDBStore
import SMARTProtocol

actor CleanupLoop {
  /// Its queue may wait for a name service; nothing else runs there.
  private nonisolated let executor = QueueExecutor(label: "fhird.cleanup")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  private static let interval = Instant.Span.seconds(60)
  /// A store that does not take writes is tried this often.
  private static let storeInterval = Instant.Span.seconds(5)
  /// Every key is opened for it; a key that is gone may wait this long.
  private static let keyInterval = Instant.Span.seconds(3600)

  private let store: LMDBStore
  private let ledger: Ledger
  private let engine: Engine
  private let book: AccessBook
  private let clock: any Clock
  private let log: any EventLog
  private var timer: QueueTimer?
  private var nextRound: Instant
  private var nextKeyRound: Instant

  init(
    store: LMDBStore, ledger: Ledger, engine: Engine, book: AccessBook, clock: any Clock, log: any EventLog
  ) {
    self.store = store
    self.ledger = ledger
    self.engine = engine
    self.book = book
    self.clock = clock
    self.log = log
    nextRound = clock.now() + Self.interval
    nextKeyRound = clock.now() + Self.interval
  }

  func start() throws(LinuxError) {
    timer = try QueueTimer(on: executor) { [weak self] in
      Task { await self?.look() }
    }
    timer?.arm(afterMilliseconds: Self.storeInterval.milliseconds)
  }

  func stop() { timer = nil }

  private func look() async {
    let store = store
    await engine.probeStore { () throws(StoreError) in try await store.probeWritable() }
    if clock.now() >= nextRound {
      nextRound = clock.now() + Self.interval
      clean()
      await engine.forgetLogins()
    }
    if clock.now() >= nextKeyRound {
      nextKeyRound = clock.now() + Self.keyInterval
      await eraseKeys()
    }
    timer?.arm(afterMilliseconds: Self.storeInterval.milliseconds)
  }

  private func clean() {
    book.resolveAgain()
    do throws(StoreError) {
      let cleared = try store.clearStaleReaders()
      if cleared > 0 {
        log.record(.info, "readers that died were cleared away", [.event: "stale_readers", .count: "\(cleared)"])
      }
    } catch {
      log.record(.warning, "stale readers cannot be cleared away", [.detail: error.sentence, .cure: error.cure])
    }
  }

  private func eraseKeys() async {
    do throws(LedgerError) {
      let erased = try await ledger.eraseGoneClientKeys(now: clock.wall())
      if erased > 0 {
        log.record(.info, "client keys that were rotated out are erased", [.event: "keys_erased", .count: "\(erased)"])
      }
    } catch {
      log.record(.warning, "client keys cannot be erased", [.event: "keys_not_erased", .detail: error.sentence])
    }
  }
}
