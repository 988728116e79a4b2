/// Serves the control socket: clients, lines, limits and deadlines. What a request means is the commands' business.
import CLinux
package import ConnectionCore
package import DispatchSupport
import FHIRControl
package import SMARTProtocol

/// Lives on a thread of its own (`fhird.control`) with epoll. Valid tokens are answered there; every other request runs in
/// a task elsewhere and comes back as an answer. Nothing here waits.
@safe package actor ControlServer {
  package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

  /// Where the server stands. idle: `start` comes. running: `stop` comes. draining: requests under way are finished, new
  /// ones refused. stopped: the end.
  enum Phase: Equatable {
    case idle
    case running
    case draining(until: Instant)
    case stopped
  }

  nonisolated let loop: EventLoop
  let options: ControlOptions
  let handler: any CommandHandler
  let directory: any HotPathDirectory
  let hotPath: (any HotPath)?
  let clock: any Clock
  let log: any EventLog
  let unitOf: @Sendable (Int32) -> String?

  var phase = Phase.idle
  var listeners: [ControlListener]
  var clients: [ClientConnection?] = []
  /// How often each slot was used: a late event or answer of its former client finds nobody.
  var generations: [UInt32] = []
  var freeSlots: [Int] = []
  /// Clients with lines that wait for their next turn.
  var backlog: [UInt64] = []
  /// Clients with answers to flush.
  var dirty: [UInt64] = []
  var deadlines = Deadlines()
  var lastSerial: UInt64 = 0
  /// Requests without `id` whose client has gone: carried out all the same.
  var orphans: [UInt64: Task<Void, Never>] = [:]
  var moment: HotMoment
  var counts = ControlStatistics()
  /// Memory in all clients' buffers.
  var bufferedBytes = 0
  /// One read of one client, used by all in turn; nonisolated for deinit only, when nobody else has it.
  nonisolated(unsafe) let readBuffer: UnsafeMutableRawBufferPointer
  /// The memory of the output buffer that the next client with an answer takes.
  var spareOutput = ByteBuffer()
  /// Given up to accept, and turn away, one client when there are no descriptors left.
  var reserve: Descriptor?
  var lastRefusalLog: Instant?
  private var drained: [CheckedContinuation<Void, Never>] = []

  /// - Parameters:
  ///   - hotPath: used on the server's thread only; nil: every request takes the long way.
  ///   - unitOf: the systemd unit of a process; called on the server's thread when a client connects.
  package init(
    listeners: [ControlListener], options: ControlOptions = ControlOptions(), handler: any CommandHandler,
    directory: any HotPathDirectory, hotPath: sending (any HotPath)?, clock: any Clock, log: any EventLog,
    unitOf: @escaping @Sendable (Int32) -> String?
  ) throws(LinuxError) {
    loop = try EventLoop(name: "fhird.control")
    self.options = options
    self.handler = handler
    self.directory = directory
    self.hotPath = hotPath
    self.clock = clock
    self.log = log
    self.unitOf = unitOf
    self.listeners = listeners
    moment = HotMoment(now: clock.now(), wall: clock.wall(), bootID: clock.bootID)
    unsafe readBuffer = .allocate(byteCount: ControlOptions.readBytes, alignment: 16)
  }

  deinit { unsafe readBuffer.deallocate() }

  /// From now on clients are accepted and answered.
  package func start() throws(LinuxError) {
    precondition(phase == .idle, "a control server starts once")
    reserve = Self.openReserve()
    for (index, listener) in listeners.enumerated() {
      try loop.add(listener.descriptor.number, .input, token: Self.listenerToken(index))
    }
    phase = .running
    // Span is not escapable, and neither is this closure's use of it.
    loop.setTurn { [weak self] ready in self?.assumeIsolated { $0.turn(ready) } ?? nil }
  }

  /// Stops accepting, refuses new requests with SHUTTING_DOWN, waits up to `gracePeriod` for those under way, answers the
  /// rest with SHUTTING_DOWN, flushes and closes. Returns when the last client is gone.
  package func stop(gracePeriod: Instant.Span) async {
    switch phase {
    case .idle, .running:
      listeners.forEach { $0.removeFile() }
      if phase == .running { acceptThoseWhoWait() }
      listeners.forEach { try? loop.remove($0.descriptor.number) }
      listeners = []
      phase = .draining(until: clock.now() + gracePeriod)
      // What has been sent is answered, be it with a refusal; a stream that just ends says nothing.
      moment = HotMoment(now: clock.now(), wall: clock.wall(), bootID: moment.bootID)
      for case let client? in clients { take(.input, of: client) }
      log.record(.info, "control server is stopping", [.count: "\(counts.underWay)"])
    case .draining: break
    case .stopped: return
    }
    loop.setTurn { [weak self] ready in self?.assumeIsolated { $0.turn(ready) } ?? nil }
    await withCheckedContinuation { drained.append($0) }
  }

  /// Answers when the loop turns: what the watchdog asks.
  package func ping() {}

  package func statistics() -> ControlStatistics { counts }

  // MARK: One turn of the loop

  private func turn(_ ready: Span<EventLoop.Ready>) -> Int64? {
    if phase == .stopped { return nil }
    moment = HotMoment(now: clock.now(), wall: clock.wall(), bootID: moment.bootID)
    for i in ready.indices { take(ready[i]) }
    takeBacklog()
    takeDirty()
    takeDeadlines()
    takeDirty()
    if case .draining(let until) = phase { finishDraining(until: until) }
    if !backlog.isEmpty { return 0 }
    var next = deadlines.next
    if case .draining(let until) = phase { next = min(next ?? until, until) }
    guard let next else { return nil }
    // The loop's clock is the kernel's; ours is whatever we were given.
    return bootMilliseconds() + max(0, (next - clock.now()).milliseconds)
  }

  private func take(_ ready: EventLoop.Ready) {
    if ready.token & Self.listenerBit != 0 {
      accept(on: Int(ready.token & ~Self.listenerBit))
    } else if let client = client(ready.token) {
      take(ready.events, of: client)
    }
  }

  private func takeBacklog() {
    guard !backlog.isEmpty else { return }
    let waiting = backlog
    backlog.removeAll(keepingCapacity: true)
    for token in waiting {
      guard let client = client(token) else { continue }
      client.isQueued = false
      takeInput(client)
      settle(client)
    }
  }

  private func takeDirty() {
    guard !dirty.isEmpty else { return }
    let waiting = dirty
    dirty.removeAll(keepingCapacity: true)
    for token in waiting {
      guard let client = client(token) else { continue }
      client.isDirty = false
      settle(client)
    }
  }

  private func takeDeadlines() {
    while let entry = deadlines.removeDue(at: moment.now) {
      if entry.token & Self.listenerBit != 0 {
        resumeAccepting(on: Int(entry.token & ~Self.listenerBit))
      } else if entry.serial == 0 {
        if let client = client(entry.token) { lookForStall(client) }
      } else {
        requestTimedOut(entry)
      }
    }
    deadlines.sweep(live: counts.underWay + counts.clients) { entry in
      entry.serial == 0 || orphans[entry.serial] != nil || client(entry.token)?.underWay[entry.serial] != nil
    }
  }

  private func finishDraining(until: Instant) {
    let isQuiet = clients.allSatisfy { $0.map { $0.underWay.isEmpty && $0.output.isEmpty && !$0.hasBacklog } ?? true }
    guard moment.now >= until || (isQuiet && orphans.isEmpty) else { return }
    for case let client? in clients { dismiss(client) }
    orphans.values.forEach { $0.cancel() }
    orphans = [:]
    reserve = nil
    phase = .stopped
    log.record(.info, "control server has stopped", [.count: "\(counts.requests)"])
    drained.forEach { $0.resume() }
    drained = []
  }

  // MARK: Tokens

  static let listenerBit: UInt64 = 1 << 63
  static func listenerToken(_ index: Int) -> UInt64 { listenerBit | UInt64(index) }

  func client(_ token: UInt64) -> ClientConnection? {
    let slot = Int(token & 0xFFFF_FFFF)
    guard slot < clients.count, let client = clients[slot], client.token == token else { return nil }
    return client
  }
}
