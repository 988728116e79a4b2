/// Asks every part of the daemon whether it still turns: feeds the watchdog, answers `health.get`, writes the status line.
import ConnectionCore
import DispatchSupport
import FHIRControl
import SMARTProtocol
import SystemdHost

actor Overseer: HealthSource {
  /// Of its own: a part that hangs must not hang the one that says so.
  private nonisolated let executor = QueueExecutor(label: "fhird.watchdog")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  struct Part: Sendable {
    /// As in `health.get`.
    var name: String
    var ping: @Sendable () async -> Void
    init(_ name: String, ping: @escaping @Sendable () async -> Void) {
      self.name = name
      self.ping = ping
    }
  }

  /// A part is asked at least this often.
  private static let tickMax = Instant.Span.seconds(5)
  /// The watchdog's time has this many ticks, so that a slow one or two are no death.
  private static let ticksPerWatchdog: Int64 = 5
  /// Ticks without an answer after which a part counts as hanging: then the watchdog is not fed.
  private static let ticksMissedMax = 2

  private let engine: Engine
  private let ledger: Ledger
  private let store: any StoreMaintenance
  private let notifier: Notifier
  private let log: any EventLog
  private var loop: HealthLoop?
  private var cleanup: CleanupLoop?
  private var parts: [Part] = []
  /// By name: ticks since a part was asked and did not answer.
  private var missed: [String: Int] = [:]
  private var asked: Set<String> = []
  private var timer: QueueTimer?
  private var tick = tickMax
  private var lastStatus = ""
  private var isServing = false

  init(engine: Engine, ledger: Ledger, store: any StoreMaintenance, notifier: Notifier, log: any EventLog) {
    self.engine = engine
    self.ledger = ledger
    self.store = store
    self.notifier = notifier
    self.log = log
  }

  /// The store is watched through the engine, which knows how the last write went.
  func start(_ parts: [Part], loop: HealthLoop, cleanup: CleanupLoop) throws(LinuxError) {
    self.parts = parts
    self.loop = loop
    self.cleanup = cleanup
    if let watchdog = notifier.watchdogInterval {
      tick = min(tick, Instant.Span(milliseconds: max(1, watchdog.milliseconds / Self.ticksPerWatchdog)))
    }
    timer = try QueueTimer(on: executor) { [weak self] in
      Task { await self?.look() }
    }
    look()
  }

  /// No more status lines; the watchdog goes on until the process ends.
  func stopping() { isServing = false }

  func stop() { timer = nil }

  /// From now on the status line follows what happens.
  /// - Returns: the first one.
  func serving() async -> String {
    isServing = true
    lastStatus = await statusText()
    return lastStatus
  }

  // MARK: Watchdog

  private func look() {
    timer?.arm(afterMilliseconds: tick.milliseconds)
    let isWell = parts.allSatisfy { missed[$0.name, default: 0] < Self.ticksMissedMax }
    if isWell { notifier.watchdog() }
    for part in parts {
      guard asked.insert(part.name).inserted else {
        missed[part.name, default: 0] += 1
        if missed[part.name] == Self.ticksMissedMax {
          log.record(
            .critical, "a part of the daemon does not answer",
            [.event: "part_hangs", .detail: part.name, .cure: "the watchdog restarts fhird"])
        }
        continue
      }
      Task {
        await part.ping()
        answered(part.name)
      }
    }
    Task { await showStatus() }
  }

  private func answered(_ name: String) {
    asked.remove(name)
    missed[name] = 0
  }

  // MARK: Status line

  /// Something that the status line shows has changed.
  nonisolated func somethingChanged() {
    Task { await self.showStatus() }
  }

  private func showStatus() async {
    guard isServing else { return }
    let text = await statusText()
    guard isServing, text != lastStatus else { return }
    lastStatus = text
    notifier.status(text)
  }

  private func statusText() async -> String {
    let connections = (try? ledger.count(of: .connections)) ?? 0
    let servers = await counts()
    let order: [HealthState] = [.healthy, .degraded, .down, .maintenance, .unknown]
    let health = order.compactMap { state in servers[state.rawValue].map { "\($0) \(state.rawValue)" } }
    var text = "serving \(connections) connection\(connections == 1 ? "" : "s")"
    if !health.isEmpty { text += "; servers: " + health.joined(separator: ", ") }
    let trouble = await components().filter { $0.state != "ok" }
    for component in trouble { text += "; \(component.name) \(component.state)" }
    return text
  }

  // MARK: HealthSource

  func health(of baseURL: String) async -> ServerHealth {
    await loop?.health(of: baseURL) ?? ServerHealth(state: .unknown)
  }

  func metadata(of baseURL: String) async -> MetadataHealth {
    await loop?.metadata(of: baseURL) ?? MetadataHealth(state: .unknown)
  }

  func history(of baseURL: String, days: Int) async -> ServerHistory {
    await loop?.history(of: baseURL, days: days) ?? ServerHistory(days: [], changes: [], changesDropped: 0)
  }

  func check(_ baseURL: String) async -> Bool { await loop?.check(baseURL) ?? false }

  func counts() async -> [String: Int] { await loop?.counts() ?? [:] }

  func connectionChanged(_ id: ConnectionID, _ record: ConnectionRecord?) async {
    await loop?.connectionChanged(id, record)
    somethingChanged()
  }

  func components() async -> [ComponentHealth] {
    var list = parts.map { part in
      let hangs = missed[part.name, default: 0] >= Self.ticksMissedMax
      return ComponentHealth(
        name: part.name, state: hangs ? "failed" : "ok", detail: hangs ? "does not answer" : nil)
    }
    list.append(await storeHealth())
    // Not a part: its queue may wait for a name service.
    if let cleanup { list.append(cleanup.component) }
    return list
  }

  private func storeHealth() async -> ComponentHealth {
    if missed["engine", default: 0] >= Self.ticksMissedMax {
      return ComponentHealth(name: "store", state: "failed", detail: "the engine does not answer")
    }
    if let trouble = await engine.storeState {
      return ComponentHealth(name: "store", state: "degraded", detail: "\(trouble.sentence); \(trouble.cure)")
    }
    var findings: [String] = []
    let unreadable = await engine.unreadableCount
    if unreadable > 0 { findings.append("\(unreadable) records do not open; the journal names them") }
    if let fullness = (try? store.facts())?.fullness { findings.append(fullness) }
    return ComponentHealth(
      name: "store", state: findings.isEmpty ? "ok" : "degraded",
      detail: findings.isEmpty ? nil : findings.joined(separator: "; "))
  }
}

extension StoreFacts {
  /// Who is refused because of the store's limit; nil: nobody.
  fileprivate var fullness: String? {
    let purposes = RecordBatch.Purpose.allCases.filter { bytesInUse > bytesMax / 100 * $0.rawValue }
    guard let refused = purposes.last else { return nil }
    let who =
      switch refused {
      case .cache: "caches are not written any more"
      case .ordinary: "only tokens are written any more"
      case .essential: "nothing is certain to be written any more"
      }
    return "\(bytesInUse) of \(bytesMax) bytes (FHIRD_STORE_BYTES_MAX) are in use: \(who); "
      + StoreError.nearlyFull(detail: "").cure
  }
}
