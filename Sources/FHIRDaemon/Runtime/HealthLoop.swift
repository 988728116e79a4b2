/// Probes every distinct FHIR server that connections point to, one probe a server at a time, and tells when one changes its
/// state.
import ConnectionCore
import DispatchSupport
import FHIRControl
import SMARTProtocol

actor HealthLoop {
  private nonisolated let executor = QueueExecutor(label: "fhird.health")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  /// Probes under way at the same time.
  private static let concurrency = 32
  /// At a start the first probes are this far apart: thousands of servers are not asked in one moment.
  private static let pace = Instant.Span.milliseconds(20)
  /// The longest wait of the timer.
  private static let idleWait = Instant.Span.seconds(30)
  /// `health.check` within this time of a probe tells what that found.
  private static let checkFloor = Instant.Span.seconds(5)

  /// What a connection wants of the watch over its server.
  fileprivate struct Watcher {
    var isEnabled: Bool
    /// nil: the daemon's own.
    var interval: Instant.Span?
    var windows: [MaintenanceWindow]

    init(_ record: ConnectionRecord) {
      let fields = record.fields.health
      isEnabled = fields?.enabled != false
      interval = fields?.intervalSeconds.map { Instant.Span(milliseconds: Int64($0 * 1000)) }
      windows = [MaintenanceWindow](texts: fields?.maintenance)
    }
  }

  struct Server {
    var watch: ServerWatch
    fileprivate var watchers: [ConnectionID: Watcher] = [:]
    fileprivate var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    /// When its record was written last, or read; nil: it has none, or the last write failed.
    var savedAt: Instant?

    init(watch: ServerWatch = ServerWatch(), savedAt: Instant? = nil) {
      self.watch = watch
      self.savedAt = savedAt
    }

    /// One of the connections wants it watched.
    fileprivate var isWatched: Bool { watchers.values.contains(where: \.isEnabled) }

    /// A window of one connection counts for its server.
    fileprivate func maintenance(at time: Timestamp) -> Range<Timestamp>? {
      watchers.values.flatMap(\.windows).span(at: time)
    }
  }

  let ledger: Ledger
  let clock: any Clock
  let log: any EventLog
  private let probe: HealthProbe
  private let entropy: any Entropy
  private let settings: any SettingsSource
  /// Called when a state has changed.
  private let changed: @Sendable () -> Void

  var servers: [String: Server] = [:]
  /// Which server a connection counts for.
  private var places: [ConnectionID: String] = [:]
  private var planner = DeadlinePlanner<String>()
  /// Servers whose probe is under way, also when nobody watches them any more.
  private var probing: Set<String> = []
  private var timer: QueueTimer?
  private var lastPlanned: Instant?
  private var serials: UInt64 = 0
  /// The last write of a record failed: told once.
  var storeFails = false
  /// When old records are erased next.
  var nextSweep: Instant?

  init(
    probe: HealthProbe, ledger: Ledger, clock: any Clock, entropy: any Entropy, log: any EventLog,
    settings: any SettingsSource, changed: @escaping @Sendable () -> Void
  ) {
    self.probe = probe
    self.ledger = ledger
    self.clock = clock
    self.entropy = entropy
    self.log = log
    self.settings = settings
    self.changed = changed
  }

  func start() throws(LinuxError) {
    timer = try QueueTimer(on: executor) { [weak self] in
      Task { await self?.look() }
    }
    arm()
  }

  /// What is known is written, so that the next start goes on from it.
  func stop() async {
    timer = nil
    for url in servers.keys { resumeWaiters(of: url) }
    await saveAll()
  }

  /// Answers when the loop turns: what the watchdog asks.
  func ping() {}

  // MARK: What connections there are

  /// A connection that was there at the start: its first probe has time.
  func loaded(_ id: ConnectionID, _ record: ConnectionRecord) {
    let next = max(clock.now(), (lastPlanned ?? clock.now()) + Self.pace)
    if place(id, record, firstAt: next) { lastPlanned = next }
    arm()
  }

  func connectionChanged(_ id: ConnectionID, _ record: ConnectionRecord?) async {
    let former = places[id]
    if let record { _ = place(id, record, firstAt: clock.now()) } else { places[id] = nil }
    if let former, former != record?.baseURL { await leave(id, former) }
    arm()
  }

  /// - Returns: whether this server is probed from now on, and was not before.
  private func place(_ id: ConnectionID, _ record: ConnectionRecord, firstAt: Instant) -> Bool {
    let url = record.baseURL
    var server = servers[url] ?? restored(url)
    let wasWatched = server.isWatched
    server.watchers[id] = Watcher(record)
    servers[url] = server
    places[id] = url
    guard server.isWatched else {
      planner.remove(url)
      resumeWaiters(of: url)
      return false
    }
    // A change may be the cure; but what was asked a moment ago, also by the process before, is not asked at once.
    let earliest = server.watch.server.lastProbeAt.map { $0 + HealthMachine.shortestWait }
    let soon = [firstAt, earliest, server.watch.restUntil].compactMap(\.self).max() ?? firstAt
    planner.set(url, at: min(soon, planner.deadline(of: url) ?? soon))
    return !wasWatched
  }

  /// The connection points elsewhere, or is gone.
  private func leave(_ id: ConnectionID, _ url: String) async {
    servers[url]?.watchers[id] = nil
    guard let server = servers[url], !server.isWatched else { return }
    planner.remove(url)
    resumeWaiters(of: url)
    guard server.watchers.isEmpty else { return }
    servers[url] = nil
    await erase(url)
  }

  // MARK: Looking

  private func arm() {
    let now = clock.now()
    // With every place taken, the end of a probe arms again.
    let next = probing.count < Self.concurrency ? planner.next : nil
    timer?.arm(afterMilliseconds: max(0, (min(next ?? now + Self.idleWait, now + Self.idleWait) - now).milliseconds))
  }

  /// One of the watchers, as the ledger knows it now: a connection that was changed or deleted while this actor heard of an
  /// older state of it watches no longer. nil: none can be asked for now; the server has its next turn.
  private func prober(of url: String) async -> ConnectionID? {
    for (id, watcher) in servers[url]?.watchers ?? [:] where watcher.isEnabled {
      let found: Versioned<ConnectionRecord>?
      // One that does not open may open again.
      do { found = try ledger.connection(id) } catch { continue }
      if found?.record.baseURL == url { return id }
      if places[id] == url { places[id] = nil }
      await leave(id, url)
    }
    if let server = servers[url], server.isWatched { planner.set(url, at: next(server)) }
    resumeWaiters(of: url)
    return nil
  }

  private func look() async {
    guard timer != nil else { return }
    let (due, _) = planner.due(at: clock.now(), limit: Self.concurrency - probing.count)
    for url in due {
      // The end of the probe under way plans the next one; one may have begun while a watcher was looked for.
      guard !probing.contains(url), let id = await prober(of: url), !probing.contains(url), let server = servers[url]
      else { continue }
      probing.insert(url)
      let memory = server.watch.memory
      Task {
        var memory = memory
        let report = await probe.probe(id, &memory)
        probed(url, report, memory)
      }
    }
    arm()
    await sweepIfDue()
  }

  private func probed(_ url: String, _ report: ProbeReport?, _ memory: ProbeMemory) {
    probing.remove(url)
    defer { arm() }
    guard var server = servers[url] else { return }
    let wall = clock.wall()
    var changes: [HealthHistory.Change] = []
    if let report {
      server.watch.memory = memory
      changes = server.watch.probed(
        report, at: clock.now(), wall: wall, staleAfter: settings.current.capabilityLifetime,
        inMaintenance: server.maintenance(at: wall) != nil)
    }
    servers[url] = server
    planner.set(url, at: server.isWatched ? next(server) : nil)
    resumeWaiters(of: url)
    for change in changes { tell(url, change, connections: server.watchers.count) }
    if !changes.isEmpty { changed() }
    saveIfDue(url, hasChanged: !changes.isEmpty)
  }

  private func next(_ server: Server) -> Instant {
    let chance = Double(entropy.bytes(2).reduce(0) { $0 << 8 | Int($1) }) / 65_536
    let shortest = server.watchers.values.filter(\.isEnabled).map { $0.interval ?? settings.current.healthInterval }
      .min()
    return server.watch.next(
      after: clock.now(), interval: shortest ?? settings.current.healthInterval, chance: chance,
      inMaintenance: server.maintenance(at: clock.wall()) != nil)
  }

  private func tell(_ url: String, _ change: HealthHistory.Change, connections: Int) {
    // A server that is well at the first look is no news.
    if change.from == .unknown, !change.to.isTrouble { return }
    let level: LogLevel = change.to.isTrouble ? .warning : .notice
    switch change.aspect {
    case .server:
      log.record(
        level, "a FHIR server's health changed",
        [
          .event: "server_health", .path: url, .status: change.to.rawValue, .outcome: "was \(change.from.rawValue)",
          .detail: change.reason ?? "", .count: "\(connections)",
        ])
    case .metadata:
      log.record(
        level, "the health of a FHIR server's metadata changed",
        [
          .event: "metadata_health", .path: url, .status: change.to.rawValue, .outcome: "was \(change.from.rawValue)",
          .detail: change.reason ?? "", .count: "\(connections)",
        ])
    }
  }

  // MARK: Checking

  /// The server is probed now, once, whoever asks meanwhile; or the last result has to do.
  /// - Returns: false: nobody watches this server.
  func check(_ url: String) async -> Bool {
    guard let server = servers[url], server.isWatched else { return false }
    if !probing.contains(url) {
      guard server.watch.mayBeAsked(at: clock.now(), floor: Self.checkFloor) else { return true }
      planner.set(url, at: clock.now())
      arm()
    }
    serials += 1
    let serial = serials
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if Task.isCancelled || timer == nil {
          continuation.resume()
        } else {
          servers[url]?.waiters[serial] = continuation
        }
      }
    } onCancel: {
      Task { await self.dropWaiter(serial, of: url) }
    }
    return true
  }

  private func dropWaiter(_ serial: UInt64, of url: String) {
    servers[url]?.waiters.removeValue(forKey: serial)?.resume()
  }

  private func resumeWaiters(of url: String) {
    for waiter in servers[url]?.waiters.values ?? [:].values { waiter.resume() }
    servers[url]?.waiters = [:]
  }

  // MARK: Telling

  /// A maintenance window's own words; nil: there is none now.
  private func maintenance(_ server: Server) -> (since: Timestamp, reason: String)? {
    server.maintenance(at: clock.wall()).map { ($0.lowerBound, "maintenance window until \($0.upperBound)") }
  }

  func health(of baseURL: String) -> ServerHealth {
    guard let server = servers[baseURL], server.isWatched else { return ServerHealth(state: .off) }
    let machine = server.watch.server
    var health = ServerHealth(state: machine.state)
    health.reason = machine.track.reason
    health.since = machine.since.map { clock.wall(at: $0) }
    if let maintenance = maintenance(server) {
      health.state = .maintenance
      (health.since, health.reason) = maintenance
    }
    health.lastProbeAt = machine.lastProbeAt.map { clock.wall(at: $0) }
    health.nextProbeAt = planner.deadline(of: baseURL).map { clock.wall(at: $0) }
    health.latencyMilliseconds = machine.latency.map { Double($0.milliseconds) }
    health.detail = machine.detail
    return health
  }

  func metadata(of baseURL: String) -> MetadataHealth {
    guard let server = servers[baseURL], server.isWatched else { return MetadataHealth(state: .off) }
    let track = server.watch.metadata
    var health = MetadataHealth(state: track.state)
    health.reason = track.reason
    health.since = track.since.map { clock.wall(at: $0) }
    if let maintenance = maintenance(server) {
      health.state = .maintenance
      (health.since, health.reason) = maintenance
    }
    health.document = server.watch.document?.name
    health.documentChoice = server.watch.choice
    health.lastReadAt = server.watch.lastReadAt.map { clock.wall(at: $0) }
    return health
  }

  func counts() -> [String: Int] {
    servers.values.reduce(into: [:]) { counts, server in
      guard server.isWatched else { return }
      let state = maintenance(server) == nil ? server.watch.server.state : .maintenance
      counts[state.rawValue, default: 0] += 1
    }
  }
}
