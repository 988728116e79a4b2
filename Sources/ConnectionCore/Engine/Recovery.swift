/// What a start does about what the last process left under way, and how deadlines come onto the heap.
import FHIRControl
import SMARTProtocol

extension Engine {
  /// Settles what a killed process left under way. A client-credentials request that was lost costs nothing: the grant
  /// is simply due again. A refresh token that was on its way may be used up: the replay policy says what comes next.
  package func recover() async throws(LedgerError) {
    try await settleFlights()
    try await endLostLogins()
  }

  private func settleFlights() async throws(LedgerError) {
    let left = try ledger.page(of: .inflight, after: nil, limit: Self.recoveryMax)
    guard !left.isEmpty else { return }
    var lost = 0
    var batch = RecordBatch()
    for stored in left {
      batch.writes.append(.delete(RecordAddress(.inflight, stored.key)))
      guard let key = GrantKey(bytes: stored.key) else { continue }
      do throws(LedgerError) {
        guard let write = try settle(key, try ledger.inFlight(in: stored)) else { continue }
        batch.writes.append(write)
        lost += 1
      } catch { noteUnreadable(RecordAddress(.inflight, stored.key), error) }
    }
    try await ledger.commit(batch)
    log.record(
      .notice, "token requests were under way when the last process ended",
      [.event: "recovered", .count: "\(left.count)", .detail: "\(lost) of them with a refresh token"])
  }

  /// The grant as it must be taken to be; nil: nothing changes.
  private func settle(_ key: GrantKey, _ flight: InFlightRecord) throws(LedgerError) -> RecordBatch.Write? {
    guard let fingerprint = flight.fingerprint, let found = try ledger.grant(key),
      found.generation == flight.generation, let connection = try ledger.connection(key.connection),
      var token = try ledger.refreshToken(key)
    else { return nil }
    defer { token.wipe() }
    guard ledger.fingerprint(token.current) == fingerprint else { return nil }
    var facts = TokenMachine.replyLost(
      found.record.facts(generation: found.generation, on: clock), sentAt: flight.sentAt.instant(on: clock),
      retryAfter: nil, policy: policy(of: connection.record), now: clock.now(), chance: chance())
    facts.generation += 1
    var record = found.record
    record.adopt(facts, on: clock)
    record.lastError = LastError(
      code: .serverUnreachable, message: "fhird ended while a refresh was under way; its reply is lost",
      at: clock.wall(), attempts: facts.failures)
    record.noteState(since: found.record, at: clock.wall())
    return ledger.put(Ledger.grantAddress(key), record.encoded, GrantRecord.recordVersion, facts.generation)
  }

  /// In-flight records at the most: as many as requests can be under way, with room for several crashes in a row.
  static var recoveryMax: Int { 10_000 }

  /// Reads one page of grants and puts their deadlines into the planner.
  /// - Returns: where to go on; nil: that was all.
  package func loadDeadlines(after key: [UInt8]?, limit: Int) throws(LedgerError) -> [UInt8]? {
    let page = try ledger.page(of: .grants, after: key, limit: limit)
    var policies: [ConnectionID: RefreshPolicy] = [:]
    for stored in page {
      guard let key = GrantKey(bytes: stored.key) else { continue }
      do {
        let grant = try ledger.grant(in: stored)
        let policy: RefreshPolicy
        if let known = policies[key.connection] {
          policy = known
        } else {
          guard let connection = try ledger.connection(key.connection) else { continue }
          policy = self.policy(of: connection.record)
          policies[key.connection] = policy
        }
        let facts = grant.record.facts(generation: grant.generation, on: clock)
        scheduler.schedule(key, at: TokenMachine.due(facts: facts, policy: policy, now: clock.now(), chance: chance()))
      } catch {
        noteUnreadable(RecordAddress(.grants, stored.key), error)
      }
    }
    return page.count < limit ? nil : page.last?.key
  }
}
