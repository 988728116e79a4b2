/// Keeps the deadlines of all grants and hands those that are due to the engine: one heap, one timer.
import ConnectionCore
import DispatchSupport
import SMARTProtocol
import Synchronization

actor RefreshLoop: RefreshScheduler {
  private nonisolated let executor = QueueExecutor(label: "fhird.refresh")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  private struct Mailbox {
    var changes: [(key: GrantKey, deadline: Instant?)] = []
    /// Somebody is on the way to take what is in it.
    var isTold = false
  }

  /// Grants handed to the engine at a time.
  private static let batch = 256
  /// Grants that the engine may have open before the rest waits: after an outage everybody is due at once.
  private static let openMax = 1024
  /// How long to wait when the engine has that many, in milliseconds.
  private static let crowdedWait = Instant.Span.milliseconds(200)

  private let clock: any Clock
  private let interval: @Sendable () -> Instant.Span
  private nonisolated let mailbox = Mutex(Mailbox())
  private var planner = DeadlinePlanner<GrantKey>()
  private var timer: QueueTimer?
  private var engine: Engine?
  private var isLooking = false

  /// - Parameter interval: the longest time between two looks.
  init(clock: any Clock, interval: @escaping @Sendable () -> Instant.Span) {
    self.clock = clock
    self.interval = interval
  }

  /// From now on what is due is handed to the engine.
  func start(_ engine: Engine) throws(LinuxError) {
    self.engine = engine
    timer = try QueueTimer(on: executor) { [weak self] in
      Task { await self?.look() }
    }
    arm()
  }

  func stop() {
    timer = nil
    engine = nil
  }

  nonisolated func schedule(_ key: GrantKey, at deadline: Instant?) {
    let mustTell = mailbox.withLock { box in
      box.changes.append((key, deadline))
      defer { box.isTold = true }
      return !box.isTold
    }
    if mustTell { Task { await self.takeMailAndArm() } }
  }

  func deadline(of key: GrantKey) -> Instant? {
    takeMail()
    return planner.deadline(of: key)
  }

  /// Answers when the loop turns: what the watchdog asks.
  func ping() {}

  private func takeMail() {
    let changes = mailbox.withLock { box in
      defer { box = Mailbox() }
      return box.changes
    }
    for change in changes { planner.set(change.key, at: change.deadline) }
  }

  private func takeMailAndArm() {
    takeMail()
    arm()
  }

  private func arm() {
    let latest = clock.now() + interval()
    arm(at: min(planner.next ?? latest, latest))
  }

  private func arm(at moment: Instant) {
    // The timer's clock is the kernel's; ours is whatever we were given.
    timer?.arm(afterMilliseconds: max(0, (moment - clock.now()).milliseconds))
  }

  private func look() async {
    guard !isLooking, let engine else { return }
    isLooking = true
    defer { isLooking = false }
    while true {
      takeMail()
      let (keys, _) = planner.due(at: clock.now(), limit: Self.batch)
      guard !keys.isEmpty else { return arm() }
      let open = await engine.refreshDue(keys)
      if open > Self.openMax { return arm(at: clock.now() + Self.crowdedWait) }
    }
  }
}
