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
      record.scope = token.scope
      record.missingScope = token.missingScope
      record.lastError = nil
      writes.append(put(token, facts, key))
    case .failed(_, let error):
      record.lastError = LastError(
        code: error.data.code, message: error.message, at: clock.wall(), attempts: facts.failures)
      runs[key]?.failure = error
      if facts.standing == .dead { writes.append(.delete(Ledger.tokenAddress(key))) }
    }
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

  private func put(_ token: GrantedToken, _ facts: GrantFacts, _ key: GrantKey) -> RecordBatch.Write {
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
    run.record = record
    if case .granted(var token)? = run.outcome?.outcome { wipe(&token.members) }
    run.outcome = nil
    let actions = run.machine.committed(at: clock.now(), chance: chance())
    runs[key] = run
    tell(run)
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
  private func tell(_ run: GrantRun) {
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
      if !run.record.missingScope.isEmpty {
        log.record(
          .warning, "the server granted less scope than asked for",
          [
            .event: "scope_degraded", .connection: run.connection.id, .name: name,
            .detail: run.record.missingScope.joined(separator: " "),
          ])
      }
    case .failing, .refused, .dead:
      let error = run.record.lastError
      log.record(
        run.machine.facts.standing == .failing ? .warning : .error, "token request failed",
        [
          .event: "token_failed", .connection: run.connection.id, .name: name, .generation: generation,
          .attempt: "\(run.record.failures)",
          .code: error?.code.rawValue ?? "", .detail: error?.message ?? "", .cure: run.failure?.data.hint ?? "",
        ])
    }
  }
}
