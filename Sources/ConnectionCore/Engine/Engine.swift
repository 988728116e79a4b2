/// The one actor that changes connections and grants. It steps the machines and runs their actions; it never waits for
/// a server itself: requests leave it and come back as events with the generation under which they were asked.
package import FHIRControl
package import SMARTProtocol

package actor Engine {
  package struct Options: Sendable {
    /// Token requests under way in all, and to one endpoint.
    package var concurrency: Int
    package var concurrencyPerHost: Int
    /// The largest margin before expiry where a connection says nothing.
    package var expiryBuffer: Instant.Span
    package init(concurrency: Int = 256, concurrencyPerHost: Int = 8, expiryBuffer: Instant.Span = .seconds(600)) {
      self.concurrency = concurrency
      self.concurrencyPerHost = concurrencyPerHost
      self.expiryBuffer = expiryBuffer
    }
  }

  private let executor: any SerialExecutor
  package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  let ledger: Ledger
  let clock: any Clock
  let log: any EventLog
  let entropy: any Entropy
  let book: AccessBook
  let scheduler: any RefreshScheduler
  let source: any TokenSource
  var options: Options

  var runs: [GrantKey: GrantRun] = [:]
  var gates: EndpointGates
  /// Who wants no new token requests for a while.
  var holders = 0
  private var refusals = TokenRefusals()
  private var serials: UInt64 = 0
  private var isStopping = false
  private var stopWaiters: [CheckedContinuation<Void, Never>] = []
  /// Health of the store as the last write found it; nil: well.
  private var storeTrouble: StoreError?
  /// Records that did not open, by table and key; everything else is served on.
  private var unreadable: Set<RecordAddress> = []

  package init(
    executor: any SerialExecutor, ledger: Ledger, source: any TokenSource, scheduler: any RefreshScheduler,
    book: AccessBook, clock: any Clock, entropy: any Entropy, log: any EventLog, options: Options = Options()
  ) {
    self.executor = executor
    self.ledger = ledger
    self.source = source
    self.scheduler = scheduler
    self.book = book
    self.clock = clock
    self.entropy = entropy
    self.log = log
    self.options = options
    gates = EndpointGates(perEndpointMax: options.concurrencyPerHost, totalMax: options.concurrency)
  }

  // MARK: for everybody

  /// Returns when a token valid for `minimum` is durable in the store. Everybody who asks meanwhile joins the same
  /// request. Cancelling the task takes the caller out of the queue, nothing else.
  /// - Parameter forced: a new token even if the one at hand is good.
  /// - Parameter isRefused: by a resource server, the token at hand: the floor between refreshes does not hold, once in its time.
  package func obtainToken(
    _ key: GrantKey, minimum: Instant.Span, forced: Bool, isRefused: Bool = false
  ) async throws(ControlError) {
    guard !isStopping else { throw ControlError.shuttingDown }
    try openRun(key)
    guard var run = runs[key] else { return }
    let now = clock.now()
    let isFirst = isRefused && refusals.note(key, at: now, floor: policy(of: run.connection).minInterval)
    let (verdict, actions) = run.machine.tokenWanted(minimum: minimum, forced: forced, isRefused: isFirst, at: now)
    runs[key] = run
    switch verdict {
    case .serve: closeIfIdle(key)
    case .wait:
      serials += 1
      let waiter = serials
      do {
        try await withTaskCancellationHandler {
          try await withCheckedThrowingContinuation { continuation in
            runs[key]?.waiters.append(.init(id: waiter, continuation: continuation))
            perform(actions, key)
            if Task.isCancelled { dropWaiter(waiter, of: key) }
          }
        } onCancel: {
          Task { await self.dropWaiter(waiter, of: key) }
        }
      } catch { throw error as? ControlError ?? ControlError.cancelled }
    case .backingOff(let until):
      let refusal = backoffError(run, until: until)
      closeIfIdle(key)
      throw refusal
    case .refused, .dead:
      let refusal = standingError(run)
      closeIfIdle(key)
      throw refusal
    }
  }

  /// The planner's deadlines that have come.
  /// - Returns: how many grants are open now, under way or waiting for their turn.
  package func refreshDue(_ keys: [GrantKey]) -> Int {
    guard !isStopping else { return runs.count }
    for key in keys {
      do { try openRun(key) } catch {
        // Told once a look, at the pace of the daemon's own interval; the record's cure is in the journal.
        log.record(.error, "a grant cannot be refreshed", [.event: "grant_unreadable", .detail: error.message])
        continue
      }
      guard var run = runs[key] else { continue }
      let actions = run.machine.refreshDue(at: clock.now(), chance: chance())
      runs[key] = run
      perform(actions, key)
      closeIfIdle(key)
    }
    return runs.count
  }

  /// Settings that a reload has changed; requests under way keep theirs.
  package func apply(_ options: Options) {
    self.options = options
    gates.perEndpointMax = options.concurrencyPerHost
    if holders == 0 { gates.totalMax = options.concurrency }
  }

  /// Whether a refresh of this grant is under way.
  package func isUnderWay(_ key: GrantKey) -> Bool { runs[key]?.machine.isUnderWay ?? false }

  /// When the grant is looked at next.
  package func nextLook(at key: GrantKey) async -> Instant? { await scheduler.deadline(of: key) }

  package var refreshesUnderWay: Int { gates.underWay }

  package var storeState: StoreError? { storeTrouble }
  package var unreadableCount: Int { unreadable.count }
  /// Told once for each record; the count stays until the record is gone.
  package func noteUnreadable(_ address: RecordAddress, _ error: LedgerError) {
    guard unreadable.insert(address).inserted else { return }
    log.record(
      .error, "a record does not open; everything else is served on",
      [
        .event: "record_unreadable",
        .connection: ConnectionID(bytes: Array(address.key.prefix(ConnectionID.byteCount)))?.description ?? "",
        .path: "\(address.table.rawValue)/\(address.key.hex)", .detail: error.sentence,
        .cure: ControlError(error).data.hint ?? "",
      ])
  }

  /// The connection's records are erased.
  func forgetUnreadable(_ id: ConnectionID) {
    unreadable = unreadable.filter { !$0.key.starts(with: id.bytes) }
  }

  /// Writes one record anew if the last write failed, so that a store that takes writes again is known as well.
  package func probeStore(_ write: @Sendable () async throws(StoreError) -> Void) async {
    guard storeTrouble != nil else { return }
    do throws(StoreError) {
      try await write()
      noteStore(nil)
    } catch { noteStore(error) }
  }

  package func ping() {}

  /// No new attempts; returns when those under way have ended.
  package func stop() async {
    isStopping = true
    for key in runs.keys where runs[key]?.isQueued == true { supersede(key, ControlError.shuttingDown) }
    guard gates.underWay > 0 else { return }
    await withCheckedContinuation { stopWaiters.append($0) }
  }

  // MARK: runs

  /// Reads the grant and what it depends on, unless a run is open already.
  private func openRun(_ key: GrantKey) throws(ControlError) {
    guard runs[key] == nil else { return }
    let found: (grant: Versioned<GrantRecord>, connection: Versioned<ConnectionRecord>)
    do {
      guard let grant = try ledger.grant(key), let connection = try ledger.connection(key.connection) else {
        throw ControlError.noSuchGrant
      }
      found = (grant, connection)
    } catch let error as LedgerError {
      throw ControlError(error)
    } catch { throw error as? ControlError ?? .noSuchGrant }
    serials += 1
    runs[key] = GrantRun(
      serial: serials, key: key, id: key.connection, connection: found.connection.record,
      endpoint: source.endpointKey(of: key.connection, found.connection.record), record: found.grant.record,
      machine: TokenMachine(
        facts: found.grant.record.facts(generation: found.grant.generation, on: clock),
        policy: policy(of: found.connection.record)))
  }

  func policy(of connection: ConnectionRecord) -> RefreshPolicy {
    let fields = connection.fields.refresh
    return RefreshPolicy(
      mode: fields?.mode.flatMap(RefreshPolicy.Mode.init(rawValue:)) ?? .ahead,
      marginMax: fields?.marginSeconds.map { .milliseconds(Int64($0 * 1000)) } ?? options.expiryBuffer,
      minInterval: fields?.minIntervalSeconds.map { .milliseconds(Int64($0 * 1000)) } ?? RefreshPolicy().minInterval,
      keepAlive: fields?.keepAliveSeconds.map { .milliseconds(Int64($0 * 1000)) } ?? RefreshPolicy.keepAliveDefault,
      replay: ReplayPolicy(
        mode: fields?.replay.flatMap(ReplayPolicy.Mode.init(rawValue:)) ?? .once,
        within: fields?.replayWithinSeconds.map { .milliseconds(Int64($0 * 1000)) }))
  }

  func closeIfIdle(_ key: GrantKey) {
    if let run = runs[key], run.machine.isIdle, run.waiters.isEmpty { runs[key] = nil }
  }

  private func dropWaiter(_ id: UInt64, of key: GrantKey) {
    guard let index = runs[key]?.waiters.firstIndex(where: { $0.id == id }) else { return }
    runs[key]?.waiters.remove(at: index).continuation.resume(throwing: ControlError.cancelled)
  }

  /// Ends what is under way for a grant, because the ground under it has changed.
  func supersede(_ key: GrantKey, _ error: ControlError) {
    guard var run = runs[key] else { return }
    _ = run.machine.superseded()
    for waiter in run.waiters { waiter.continuation.resume(throwing: error) }
    runs[key] = nil
  }

  /// 0 up to 1.
  func chance() -> Double {
    let word = entropy.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Double(word >> 11) / Double(UInt64(1) << 53)
  }

  func noteStore(_ error: StoreError?) {
    // Said to whoever was refused; what is more important is written.
    if case .nearlyFull = error { return }
    if let error, storeTrouble != error {
      log.record(
        .critical, "the store does not take writes",
        [.event: "store_trouble", .detail: error.sentence, .cure: error.cure])
    } else if error == nil, storeTrouble != nil {
      log.record(.notice, "the store takes writes again", [.event: "store_recovered"])
    }
    storeTrouble = error
  }

  // MARK: actions

  func perform(_ actions: [TokenMachine.Action], _ key: GrantKey) {
    for action in actions {
      switch action {
      case .recordInFlight: enter(key)
      case .sendTokenRequest: break  // `attempt` goes on by itself: one task walks through the steps of one attempt.
      case .commit(let facts): commitOutcome(key, facts)
      case .answerWaiters(let answer): answerWaiters(key, answer)
      case .schedule(let deadline): scheduler.schedule(key, at: deadline)
      case .dropped: break
      }
    }
  }

  /// Asks the gate; whoever has to wait there comes back by `leaveGate`.
  func enter(_ key: GrantKey) {
    guard let run = runs[key] else { return }
    switch gates.enter(run.endpoint, key, urgent: !run.waiters.isEmpty, at: clock.now()) {
    case .admitted:
      runs[key]?.isQueued = false
      let serial = run.serial
      Task { await self.attempt(key, serial) }
    case .queued: runs[key]?.isQueued = true
    case .closed(let until):
      guard var run = runs[key] else { return }
      run.isQueued = false
      run.failure = ControlError.endpointResting(until: until, now: clock.now(), last: run.record.lastError)
      // Everybody's deadline at once would be a stampede: each comes back a little later, by chance.
      let spread = Instant.Span(milliseconds: Int64(5000 * chance()))
      let actions = run.machine.postponed(until: until + spread)
      runs[key] = run
      perform(actions, key)
      closeIfIdle(key)
    }
  }

  /// One attempt from the in-flight record to the reply. Nothing of the engine is held across its awaits: after each,
  /// the run is looked up again, and a run with another serial means that this attempt is for nothing.
  private func attempt(_ key: GrantKey, _ serial: UInt64) async {
    guard let run = runs[key], run.serial == serial else { return leaveGate(nil, key, .unused) }
    let endpoint = run.endpoint
    let inFlight: InFlightRecord
    do {
      inFlight = try inFlightRecord(run)
      try await ledger.commit(
        RecordBatch(
          conditions: [.init(Ledger.grantAddress(key), inFlight.generation)],
          writes: [
            ledger.put(
              Ledger.inFlightAddress(key), inFlight.encoded, InFlightRecord.recordVersion, inFlight.generation)
          ]))
      noteStore(nil)
    } catch {
      leaveGate(endpoint, key, .unused)
      return recordingFailed(key, serial, error)
    }
    guard var run = runs[key], run.serial == serial else { return leaveGate(endpoint, key, .unused) }
    let actions = run.machine.inFlightRecorded()
    runs[key] = run
    guard actions.contains(.sendTokenRequest(generation: inFlight.generation)) else {
      return leaveGate(endpoint, key, .unused)
    }
    log.record(
      .debug, "token requested",
      [
        .event: "token_requested", .connection: run.connection.id, .name: run.connection.name,
        .generation: "\(inFlight.generation)",
      ])
    let reply = await source.obtain(TokenAsk(run.id, run.connection, run.askKind))
    replied(reply, asked: inFlight.generation, key, serial, endpoint)
  }

  /// Which refresh token is about to be used stands in it, so that a start after a crash knows whether it is still the
  /// one in force.
  private func inFlightRecord(_ run: GrantRun) throws(LedgerError) -> InFlightRecord {
    var fingerprint: KeyedHash?
    if run.record.renewal == .refreshToken, var token = try ledger.refreshToken(run.key) {
      fingerprint = ledger.fingerprint(token.current)
      token.wipe()
    }
    return InFlightRecord(
      generation: run.machine.facts.generation, sentAt: Moment(clock.now(), on: clock), fingerprint: fingerprint)
  }

  private func recordingFailed(_ key: GrantKey, _ serial: UInt64, _ error: LedgerError) {
    guard var run = runs[key], run.serial == serial else { return }
    if case .store(.conflict) = error {
      // Somebody else changed the grant: begin anew from what the store says now.
      supersede(key, ControlError(error))
      scheduler.schedule(key, at: clock.now())
      return
    }
    if case .store(let store) = error { noteStore(store) }
    run.failure = ControlError(error)
    let actions = run.machine.recordingFailed(at: clock.now())
    runs[key] = run
    perform(actions, key)
    closeIfIdle(key)
  }

  private func leaveGate(_ endpoint: String?, _ key: GrantKey, _ verdict: EndpointGates.Verdict) {
    var next: [GrantKey] = []
    if let endpoint {
      let wasTripped = gates.isTripped(endpoint)
      next = gates.left(endpoint, verdict, at: clock.now(), chance: chance())
      tell(endpoint, wasTripped: wasTripped, verdict)
    }
    while let key = next.popLast() {
      if runs[key]?.isQueued == true {
        enter(key)
      } else if let another = gates.nudge() {
        next.append(another)
      }
    }
    if isStopping, gates.underWay == 0 {
      for waiter in stopWaiters { waiter.resume() }
      stopWaiters = []
    }
  }

  private func replied(
    _ attempt: TokenAttempt, asked generation: Generation, _ key: GrantKey, _ serial: UInt64, _ endpoint: String
  ) {
    if isStopping, attempt.wasCutOff {
      // Cut off by the stop: it says nothing of the server. The in-flight record stays and is read at the next start.
      supersede(key, ControlError.shuttingDown)
      return leaveGate(endpoint, key, .unused)
    }
    let result: AttemptResult
    var verdict = EndpointGates.Verdict.answered
    switch attempt.outcome {
    case .granted(let token):
      result = .granted(lifetime: token.lifetime, sentAt: token.sentAt, rotated: token.rotated)
    case .failed(let failure, _):
      result = failure
      switch failure {
      case .trouble, .replyLost: verdict = .failed
      case .throttled(let retryAfter):
        let wait = Backoff.serverTrouble.delay(failures: 3, retryAfter: retryAfter, chance: chance())
        verdict = .throttled(until: clock.now() + wait)
      case .granted, .grantDead, .clientRefused: break
      }
    }
    if var run = runs[key], run.serial == serial {
      let actions = run.machine.replied(result, asked: generation, at: clock.now(), chance: chance())
      run.outcome = attempt
      runs[key] = run
      perform(actions, key)
    }
    leaveGate(endpoint, key, verdict)
  }
}
