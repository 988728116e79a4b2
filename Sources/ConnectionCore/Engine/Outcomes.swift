/// How the engine makes an attempt's outcome durable, and only then tells: callers, journal, planner.
import FHIRControl
import SMARTProtocol

extension Engine {
  func commitOutcome(_ key: GrantKey, _ facts: GrantFacts) {
    guard let run = runs[key], let outcome = run.outcome else { return }
    var record = run.record
    record.adopt(facts, on: clock)
    var writes: [RecordBatch.Write] = [.delete(Ledger.inFlightAddress(key))]
    switch outcome.outcome {
    case .granted(let token):
      record.adopt(token)
      writes.append(put(token, facts, key))
      do { writes += try refreshWrites(token, facts, key) } catch { return commitFailed(key, run.serial, error) }
    case .failed(_, let error):
      record.lastError = LastError(
        code: error.data.code, message: error.message, at: clock.wall(), attempts: facts.failures)
      runs[key]?.failure = error
      if outcome.flipsScope {
        record.sendsScope.toggle()
        record.scopeWasFlipped = true
      }
      // R7.07: the server's own word ends it, on disk too.
      if facts.standing == .dead {
        writes += [.delete(Ledger.tokenAddress(key)), .delete(Ledger.refreshAddress(key))]
      }
    }
    record.noteState(since: run.record, at: clock.wall())
    writes.append(ledger.put(Ledger.grantAddress(key), record.encoded, GrantRecord.recordVersion, facts.generation))
    if let discovery = outcome.discovery {
      writes.append(
        ledger.put(
          Ledger.discoveryAddress(run.id), json: discovery, DiscoveryRecord.recordVersion, facts.generation))
    }
    let batch = RecordBatch(
      conditions: [.init(Ledger.grantAddress(key), run.machine.facts.generation)], writes: writes)
    let serial = run.serial
    Task {
      do throws(LedgerError) {
        try await ledger.commit(batch)
        committed(key, serial, record)
      } catch { commitFailed(key, serial, error) }
    }
  }

  /// R7.03, R7.04: a new refresh token replaces the old one in the same transaction; none in the answer keeps it. The one
  /// before is kept for a round.
  func refreshWrites(_ token: GrantedToken, _ facts: GrantFacts, _ key: GrantKey) throws(LedgerError)
    -> [RecordBatch.Write]
  {
    guard let new = token.refreshToken else { return [] }
    var old = try ledger.refreshToken(key)
    defer { old?.wipe() }
    guard old?.current != new else { return [] }
    var record = RefreshTokenRecord(current: new, previous: old?.current)
    defer { record.wipe() }
    return [
      ledger.put(
        Ledger.refreshAddress(key), record.encoded, RefreshTokenRecord.recordVersion, facts.generation)
    ]
  }

  func put(_ token: GrantedToken, _ facts: GrantFacts, _ key: GrantKey) -> RecordBatch.Write {
    let expiresAt = facts.token?.expiresAt ?? clock.now()
    let served = ServedToken(
      expiresAt: expiresAt, bootID: clock.bootID, expiresAtWall: clock.wall(at: expiresAt),
      obtainedAtWall: clock.wall(at: token.sentAt), lifetime: token.lifetime)
    return ledger.put(
      Ledger.tokenAddress(key), served.header + token.members, ServedToken.recordVersion, facts.generation)
  }

  private func committed(_ key: GrantKey, _ serial: UInt64, _ record: GrantRecord) {
    noteStore(nil)
    guard var run = runs[key], run.serial == serial else { return }
    let recovered = run.hadTrouble
    tellChange(of: run.connection, from: run.record, to: record)
    run.record = record
    if case .granted(var token)? = run.outcome.take()?.outcome { token.wipe() }
    let actions = run.machine.committed(at: clock.now(), chance: chance())
    runs[key] = run
    tell(run, recovered: recovered)
    perform(actions, key)
    closeIfIdle(key)
  }

  private func commitFailed(_ key: GrantKey, _ serial: UInt64, _ error: LedgerError) {
    guard var run = runs[key], run.serial == serial else { return }
    if case .store(.conflict) = error {
      supersede(key, ControlError(error))
      scheduler.schedule(key, at: clock.now())
      return
    }
    if case .store(let store) = error { noteStore(store) }
    run.failure = ControlError(error)
    let actions = run.machine.commitFailed(at: clock.now())
    runs[key] = run
    perform(actions, key)
  }

  func answerWaiters(_ key: GrantKey, _ answer: TokenMachine.Answer) {
    guard let run = runs[key] else { return }
    runs[key]?.waiters = []
    switch answer {
    case .served: for waiter in run.waiters { waiter.continuation.resume() }
    case .failed(let retryAt):
      var error = run.failure ?? ControlError(.internalError, "the token request failed")
      error.data.retryAfterSeconds = retryAt.map { max(0, ($0 - clock.now()).seconds.rounded(.up)) }
      for waiter in run.waiters { waiter.continuation.resume(throwing: error) }
    case .storeFailed, .superseded:
      let error = run.failure ?? ControlError(.internalError, "the connection was changed meanwhile")
      for waiter in run.waiters { waiter.continuation.resume(throwing: error) }
    }
  }

  /// The journal's line about an attempt that is settled.
  private func tell(_ run: GrantRun, recovered: Bool) {
    let name = run.connection.name
    let generation = "\(run.machine.facts.generation)"
    switch run.machine.facts.standing {
    case .new: break
    case .valid:
      log.record(
        .info, "token obtained",
        [
          .event: "token_obtained", .connection: run.connection.id, .name: name, .generation: generation,
          .durationMilliseconds: "\(run.record.lifetime.milliseconds)",
        ])
      if recovered {
        log.record(
          .notice, "a grant that had failed works again",
          [.event: "grant_recovered", .connection: run.connection.id, .name: name, .generation: generation])
      }
      if !run.record.missingScope.isEmpty {
        log.record(
          .warning, "the server granted less scope than asked for",
          [
            .event: "scope_degraded", .connection: run.connection.id, .name: name,
            .detail: run.record.missingScope.joined(separator: " "),
          ])
      }
    case .failing, .refused, .unsure, .dead:
      // A subject may be a patient's id: no hint that names one goes into the journal.
      let cure = run.record.subject.isEmpty ? run.failure?.data.hint ?? "" : ""
      let error = run.record.lastError
      log.record(
        run.machine.facts.standing == .failing ? .warning : .error, "token request failed",
        [
          .event: "token_failed", .connection: run.connection.id, .name: name, .generation: generation,
          .attempt: "\(run.record.failures)",
          .code: error?.code.rawValue ?? "", .detail: error?.message ?? "", .cure: cure,
        ])
    }
  }
}
