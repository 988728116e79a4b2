/// The parts of the daemon, put together: what starts in which order, and what ends in which.
import ConnectionCore
import CurlHTTP
import DispatchSupport
import FHIRControl
import Glibc
import JWTSigner
import LMDBStore
import SMARTProtocol
import SodiumVault
import SystemdHost

extension HotReader: HotRecordReader {}
extension HotOpener: HotRecordOpener {}

/// A running daemon. Made by `start`, ended by `stop`.
struct Daemon: Sendable {
  /// How long clients get for what is under way when the daemon stops.
  static let stopGrace = Instant.Span.seconds(8)
  /// How long token requests under way may take after that; systemd kills after 30 s.
  static let drainGrace = Instant.Span.seconds(10)
  /// Grants or connections read at a time after the start.
  private static let loadPage = 200

  let settings: SettingsBox
  let log: JournalLog
  let notifier: Notifier
  private let clock: SystemClock
  private let startedInsecure: Bool
  private let store: LMDBStore
  private let ledger: Ledger
  private let engine: Engine
  private let http: CurlHTTP
  private let refresh: RefreshLoop
  private let health: HealthLoop
  private let cleanup: CleanupLoop
  private let overseer: Overseer
  private let control: ControlServer
  private let commands: Commands

  /// Opens everything and puts it together; nobody is served yet.
  init(_ configuration: DaemonConfiguration, places: Places, seams: Seams, log: JournalLog, notifier: Notifier)
    async throws(StartFailure)
  {
    let clock = SystemClock()
    let entropy = KernelEntropy()
    let names = SystemNames()
    let settings = SettingsBox(configuration)
    var storeOptions = seams.storeOptions
    storeOptions.bytesMax = configuration.storeBytesMax
    let store = try StartFailure.store(in: try places.stateDirectory(), storeOptions)
    let key = try StartFailure.wrap { () throws(VaultError) in try MasterKey.load(places.keySource(store)) }
    if key.wasCreated, let path = places.madeKeyPath {
      log.record(
        .notice, "a master key was made; without it the store cannot be opened: keep a copy in a safe place",
        [.event: "master_key_made", .path: path])
    }
    let vault = try await StartFailure.vault(store, key)
    let ledger = Ledger(store: seams.records(store), vault: vault)
    let book = AccessBook(ledger: ledger, names: names, ownUID: geteuid())
    try StartFailure.wrap { () throws(LedgerError) in try book.load() }
    let http: CurlHTTP
    do { http = try CurlHTTP(options: seams.transport(CurlHTTP.Options(configuration))) } catch {
      throw StartFailure(
        "libcurl cannot be used: \(error)", cure: "check the installation of libcurl4", status: EX_SOFTWARE)
    }
    let exchange = Exchange(http: seams.requests(http), settings: settings)
    let signer = JWTSigner()
    let source = Authorizer(exchange: exchange, ledger: ledger, clock: clock, entropy: entropy, signer: signer)
    let refresh = RefreshLoop(clock: clock) { settings.configuration.tokenRefreshInterval }
    let engine = Engine(
      executor: QueueExecutor(label: "fhird.engine"), ledger: ledger, source: source, scheduler: refresh, book: book,
      clock: clock, entropy: entropy, log: log, options: configuration.engineOptions)
    let overseer = Overseer(engine: engine, ledger: ledger, store: store, notifier: notifier, log: log)
    let directory = Directory(ledger: ledger, book: book, names: names)
    commands = Commands(
      engine: engine, directory: directory, health: overseer,
      tester: ConnectionTester(
        exchange: exchange, source: source, engine: engine, ledger: ledger, clock: clock,
        canReadFile: { unsafe access($0, R_OK) == 0 }),
      authorizer: source, store: store, signer: signer, clock: clock, entropy: entropy, log: log,
      about: Commands.About(version: productVersion, pid: getpid(), startedAt: clock.wall()), settings: settings)
    var options = ControlOptions()
    options.clientsMax = configuration.clientsMax
    do {
      control = try ControlServer(
        listeners: try places.listeners(), options: seams.control(options), handler: seams.handler(commands),
        directory: directory,
        hotPath: StoredTokenHotPath(reader: store.makeHotReader(), opener: vault.makeHotOpener()), clock: clock,
        log: log, unitOf: { UnitLookup.unit(ofProcess: $0) })
    } catch let error as StartFailure {
      throw error
    } catch {
      throw StartFailure("the control server cannot start: \(error)", cure: "look at the journal", status: EX_OSERR)
    }
    self.settings = settings
    self.log = log
    self.notifier = notifier
    self.clock = clock
    startedInsecure = configuration.allowInsecureLoopback
    self.store = store
    self.ledger = ledger
    self.engine = engine
    self.http = http
    self.refresh = refresh
    self.health = HealthLoop(
      probe: HealthProbe(exchange: exchange, ledger: ledger, clock: clock), ledger: ledger, clock: clock,
      entropy: entropy, log: log, settings: settings, changed: { overseer.somethingChanged() })
    self.cleanup = CleanupLoop(store: store, engine: engine, book: book, clock: clock, log: log)
    self.overseer = overseer
  }

  /// Serves from now on; tells systemd so. What the store holds is loaded afterwards: a start does not take longer for
  /// 10,000 connections.
  func start() async throws(StartFailure) {
    do throws(LedgerError) { try await engine.recover() } catch {
      // The disk may be full: tokens are served all the same, and what was left under way is cleared the next time.
      log.record(.error, "the start could not tidy up the store", [.detail: error.sentence])
    }
    do throws(LinuxError) {
      try await refresh.start(engine)
      try await health.start()
      try await cleanup.start()
      try await overseer.start(parts(), loop: health, cleanup: cleanup)
      try await control.start()
    } catch {
      throw StartFailure("\(error)", cure: "raise the limit of open files of fhird", status: EX_OSERR)
    }
    commands.resumeDeviceLogins()
    let status = await overseer.serving()
    notifier.ready(status: status)
    log.record(
      .notice, "fhird serves", [.event: "started", .detail: "version \(productVersion)", .count: "\(connectionCount)"])
    Task { await load() }
  }

  private var connectionCount: Int { (try? ledger.count(of: .connections)) ?? 0 }

  private func parts() -> [Overseer.Part] {
    [
      Overseer.Part("engine") { [engine] in await engine.ping() },
      Overseer.Part("refresh_loop") { [refresh] in await refresh.ping() },
      Overseer.Part("health_loop") { [health] in await health.ping() },
      Overseer.Part("control_server") { [control] in await control.ping() },
      Overseer.Part("http") { [http] in _ = await http.ping(timeout: .seconds(30)) },
    ]
  }

  /// Puts every grant's deadline and every server's probe on the heaps, a page at a time.
  private func load() async {
    var after: [UInt8]?
    do throws(LedgerError) {
      repeat { after = try await engine.loadDeadlines(after: after, limit: Self.loadPage) } while after != nil
      repeat {
        let page = try ledger.page(of: .connections, after: after, limit: Self.loadPage)
        for stored in page {
          guard let id = ConnectionID(bytes: stored.key) else { continue }
          do throws(LedgerError) { await health.loaded(id, try ledger.connection(in: stored).record) } catch {
            await engine.noteUnreadable(RecordAddress(.connections, stored.key), error)
          }
        }
        after = page.count < Self.loadPage ? nil : page.last?.key
      } while after != nil
    } catch {
      log.record(
        .critical, "the store cannot be read to its end; tokens that are asked for are obtained all the same",
        [.event: "load_failed", .detail: error.sentence])
    }
    overseer.somethingChanged()
  }

  /// The reload has ended, well or not.
  func reloaded() async { notifier.ready(status: await overseer.serving()) }

  /// Puts a checked configuration in force.
  func apply(_ configuration: DaemonConfiguration) async {
    let former = settings.configuration
    let pending = configuration.needingRestart(since: former, startedInsecure: startedInsecure)
    var configuration = configuration
    // The transport was made without it, if the start was without it.
    if !startedInsecure { configuration.allowInsecureLoopback = false }
    settings.configuration = configuration
    log.minimumLevel = configuration.logLevel
    await engine.apply(configuration.engineOptions)
    if !pending.isEmpty {
      log.record(
        .warning, "some settings take effect with the next start only",
        [
          .event: "restart_needed", .detail: pending.map(\.name).joined(separator: " "),
          .cure: "systemctl restart fhird",
        ])
    }
  }

  /// New requests are refused, those under way finished; then everything is closed. Ends before systemd loses patience.
  func stop() async {
    await overseer.stopping()
    notifier.stopping(status: "stopping")
    log.record(.notice, "fhird stops", [.event: "stopping"])
    async let drained: Void = engine.stop()
    await control.stop(gracePeriod: Self.stopGrace)
    let http = http
    let cut = Task {
      try? await Task.sleep(nanoseconds: UInt64(Self.drainGrace.milliseconds) * 1_000_000)
      if !Task.isCancelled { await http.stop(deadline: .seconds(2)) }
    }
    await drained
    cut.cancel()
    await refresh.stop()
    await health.stop()
    await cleanup.stop()
    await http.stop(deadline: .seconds(2))
    await overseer.stop()
    store.close()
    log.record(.notice, "fhird has stopped", [.event: "stopped"])
  }
}

extension CurlHTTP.Options {
  fileprivate init(_ configuration: DaemonConfiguration) {
    self.init()
    allowInsecureLoopback = configuration.allowInsecureLoopback
    userAgent = "fhird/\(productVersion)"
  }
}
