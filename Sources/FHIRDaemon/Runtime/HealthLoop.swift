/// Probes every distinct FHIR server that connections point to, and tells when one changes its state.
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

  private struct Server {
    var machine = HealthMachine()
    var memory = HealthProbe.Memory()
    /// Connections whose health is on, with their own interval; the shortest counts.
    var connections: [ConnectionID: Instant.Span?] = [:]
    var isUnderWay = false
  }

  private let probe: HealthProbe
  private let clock: any Clock
  private let entropy: any Entropy
  private let log: any EventLog
  private let settings: any SettingsSource
  /// Called when a state has changed.
  private let changed: @Sendable () -> Void

  private var servers: [String: Server] = [:]
  /// Which server a connection counts for.
  private var places: [ConnectionID: String] = [:]
  private var planner = DeadlinePlanner<String>()
  private var underWay = 0
  private var timer: QueueTimer?
  private var lastPlanned: Instant?

  init(
    probe: HealthProbe, clock: any Clock, entropy: any Entropy, log: any EventLog, settings: any SettingsSource,
    changed: @escaping @Sendable () -> Void
  ) {
    self.probe = probe
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

  func stop() { timer = nil }

  /// Answers when the loop turns: what the watchdog asks.
  func ping() {}

  // MARK: What connections there are

  /// A connection that was there at the start: its first probe has time.
  func loaded(_ id: ConnectionID, _ record: ConnectionRecord) {
    let now = clock.now()
    let next = max(now, (lastPlanned ?? now) + Self.pace)
    if place(id, record, firstAt: next) { lastPlanned = next }
    arm()
  }

  func connectionChanged(_ id: ConnectionID, _ record: ConnectionRecord?) {
    leave(id)
    if let record { _ = place(id, record, firstAt: clock.now()) }
    arm()
  }

  /// - Returns: whether this server is new here.
  private func place(_ id: ConnectionID, _ record: ConnectionRecord, firstAt: Instant) -> Bool {
    guard record.fields.health?.enabled != false else { return false }
    let url = record.baseURL
    let isNew = servers[url] == nil
    let interval = record.fields.health?.intervalSeconds.map { Instant.Span(milliseconds: Int64($0 * 1000)) }
    servers[url, default: Server()].connections[id] = .some(interval)
    places[id] = url
    if isNew { planner.set(url, at: firstAt) }
    return isNew
  }

  private func leave(_ id: ConnectionID) {
    guard let url = places.removeValue(forKey: id) else { return }
    servers[url]?.connections[id] = nil
    if servers[url]?.connections.isEmpty == true {
      servers[url] = nil
      planner.remove(url)
    }
  }

  // MARK: Looking

  private func arm() {
    let now = clock.now()
    // With every place taken, the end of a probe arms again.
    let next = underWay < Self.concurrency ? planner.next : nil
    timer?.arm(afterMilliseconds: max(0, (min(next ?? now + Self.idleWait, now + Self.idleWait) - now).milliseconds))
  }

  private func look() {
    guard timer != nil else { return }
    let (due, _) = planner.due(at: clock.now(), limit: Self.concurrency - underWay)
    for url in due {
      guard let server = servers[url], !server.isUnderWay, let id = server.connections.keys.first else { continue }
      servers[url]?.isUnderWay = true
      underWay += 1
      let memory = server.memory
      Task {
        var memory = memory
        let result = await probe.probe(id, &memory)
        probed(url, result, memory)
      }
    }
    arm()
  }

  private func probed(_ url: String, _ result: ProbeResult?, _ memory: HealthProbe.Memory) {
    underWay -= 1
    defer { arm() }
    guard var server = servers[url] else { return }
    server.isUnderWay = false
    server.memory = memory
    let former = result.flatMap { server.machine.probed($0, at: clock.now()) }
    servers[url] = server
    let chance = Double(entropy.bytes(2).reduce(0) { $0 << 8 | Int($1) }) / 65_536
    let shortest = server.connections.values.compactMap(\.self).min()
    let wait = server.machine.wait(interval: shortest ?? settings.current.healthInterval, chance: chance)
    planner.set(url, at: clock.now() + wait)
    if let former { tell(url, server, former) }
  }

  private func tell(_ url: String, _ server: Server, _ former: HealthState) {
    let machine = server.machine
    defer { changed() }
    // A server that is well at the first look is no news.
    if former == .unknown, machine.state == .healthy { return }
    let level: LogLevel = machine.state == .healthy ? .notice : .warning
    log.record(
      level, "a FHIR server's health changed",
      [
        .event: "server_health", .path: url, .status: machine.state.rawValue, .outcome: "was \(former.rawValue)",
        .detail: machine.detail ?? "", .count: "\(server.connections.count)",
      ])
  }

  // MARK: Telling

  func health(of baseURL: String) -> ServerHealth {
    guard let server = servers[baseURL] else { return ServerHealth(state: .off) }
    var health = ServerHealth(state: server.machine.state)
    health.since = server.machine.since.map { clock.wall(at: $0) }
    health.lastProbeAt = server.machine.lastProbeAt.map { clock.wall(at: $0) }
    health.nextProbeAt = planner.deadline(of: baseURL).map { clock.wall(at: $0) }
    health.latencyMilliseconds = server.machine.latency.map { Double($0.milliseconds) }
    health.detail = server.machine.detail
    return health
  }

  func counts() -> [String: Int] {
    servers.values.reduce(into: [:]) { $0[$1.machine.state.rawValue, default: 0] += 1 }
  }
}
