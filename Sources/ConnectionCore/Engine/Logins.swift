/// How the engine keeps logins: begun, ended, forgotten; and how a login's tokens become a grant. Each change is durable
/// before anybody hears of it.
import FHIRControl
import SMARTProtocol

extension Engine {
  /// - Throws: OVERLOADED when too many are remembered; the store's errors.
  func beginLogin(_ pending: PendingAuthorization, state: String) async throws(ControlError) {
    let address = ledger.pendingAddress(state: state)
    do throws(LedgerError) {
      if try ledger.count(of: .pending) >= PendingAuthorization.countMax {
        // Those that have ended are remembered for a second callback only.
        var after: [UInt8]?
        repeat { after = try await forgetLogins(after: after, ended: true).next } while after != nil
        guard try ledger.count(of: .pending) < PendingAuthorization.countMax else { throw .store(.conflict(.pending)) }
      }
      try await ledger.commit(
        RecordBatch(
          conditions: [.init(address, nil)],
          writes: [ledger.put(address, json: pending, PendingAuthorization.recordVersion, 1)]))
      noteStore(nil)
    } catch {
      if case .store(.conflict) = error {
        throw ControlError(
          .overloaded, "\(PendingAuthorization.countMax) logins are under way already",
          hint: "wait until some have expired", retryAfterSeconds: 60)
      }
      throw loginError(error)
    }
    log.record(
      .notice, "login begun",
      [
        .event: "login_begun", .connection: pending.connection, .name: pending.connectionName,
        .caller: "uid:\(pending.initiatorUID)",
      ])
  }

  /// Puts a login into its next state; only one of those who try at the same time succeeds (R4.15).
  /// - Returns: the generation it has now; nil: somebody was faster.
  func moveLogin(_ address: RecordAddress, from generation: Generation, to pending: PendingAuthorization)
    async throws(ControlError) -> Generation?
  {
    do {
      try await ledger.commit(
        RecordBatch(
          conditions: [.init(address, generation)],
          writes: [ledger.put(address, json: pending, PendingAuthorization.recordVersion, generation + 1)]))
      noteStore(nil)
    } catch {
      if case .store(.conflict) = error { return nil }
      throw loginError(error)
    }
    switch pending.progress {
    case .failed, .cancelled:
      log.record(
        .warning, "login ended without a grant",
        [
          .event: "login_failed", .connection: pending.connection, .name: pending.connectionName,
          .code: pending.error?.code.rawValue ?? pending.progress.rawValue, .detail: pending.error?.message ?? "",
        ])
    case .pending, .redeeming, .completed, .expired: break
    }
    return generation + 1
  }

  private func loginError(_ error: LedgerError) -> ControlError {
    if case .store(let store) = error { noteStore(store) }
    return ControlError(error)
  }

  /// Makes the grant of a login: the tokens, and the login's end, in one transaction.
  /// - Returns: the grant's generation.
  /// - Throws: GENERATION_CONFLICT when the connection has changed; the store's errors. Nothing has changed then, and
  ///   the caller may try again.
  func adoptLogin(
    _ token: GrantedToken, _ pending: PendingAuthorization, at address: RecordAddress, _ generation: Generation
  )
    async throws(ControlError) -> Generation
  {
    guard let id = ConnectionID(pending.connection) else { throw ControlError.noSuchGrant }
    let key = ledger.grantKey(id, subject: pending.subject)
    do throws(LedgerError) {
      guard let connection = try ledger.connection(id), pending.fits(connection.record) else {
        throw .store(.conflict(.connections))
      }
      let old = try ledger.grant(key)
      let facts = GrantFacts(
        generation: (old?.generation ?? 0) + 1, standing: .valid,
        renewal: token.refreshToken == nil ? .login : .refreshToken(RefreshTokenFacts()),
        token: .init(obtainedAt: token.sentAt, expiresAt: token.sentAt + token.lifetime, lifetime: token.lifetime))
      var record = GrantRecord(connection: id, subject: pending.subject)
      record.adopt(facts, on: clock)
      record.adopt(token)
      record.requestedScope = pending.scope
      record.authorizedAt = clock.wall()
      record.noteState(since: old?.record, at: clock.wall())
      var writes: [RecordBatch.Write] = [
        ledger.put(Ledger.grantAddress(key), record.encoded, GrantRecord.recordVersion, facts.generation),
        put(token, facts, key), .delete(Ledger.inFlightAddress(key)),
        ledger.put(address, json: pending.ended(.completed), PendingAuthorization.recordVersion, generation + 1),
      ]
      let refresh = try refreshWrites(token, facts, key)
      if token.refreshToken == nil { writes.append(.delete(Ledger.refreshAddress(key))) } else { writes += refresh }
      try await ledger.commit(
        RecordBatch(
          conditions: [.init(address, generation), .init(Ledger.connectionAddress(id), connection.generation)],
          writes: writes))
      noteStore(nil)
      supersede(key, ControlError(.generationConflict, "somebody has logged in meanwhile", hint: "try again"))
      book.bumpEpoch()
      log.record(
        .notice, "login completed",
        [
          .event: "login_completed", .connection: pending.connection, .name: connection.record.name,
          .generation: "\(facts.generation)",
        ])
      tellChange(of: connection.record, from: old?.record, to: record)
      scheduler.schedule(
        key,
        at: TokenMachine.due(facts: facts, policy: policy(of: connection.record), now: clock.now(), chance: chance()))
      return facts.generation
    } catch { throw loginError(error) }
  }

  /// Adds to a login's grant what its `id_token` came to, unless the grant has gone on since: then it is left out, rather
  /// than disturb a refresh.
  func adopt(
    _ identity: Identity, _ token: GrantedToken, _ pending: PendingAuthorization, _ generation: Generation
  ) async {
    guard let id = ConnectionID(pending.connection) else { return }
    let key = ledger.grantKey(id, subject: pending.subject)
    var token = token
    defer { token.wipe() }
    token.add(identity.claims)
    do throws(LedgerError) {
      // From here to the commit nobody else has a turn; a refresh that begins meanwhile finds its own commit refused
      // before it has sent anything.
      guard runs[key] == nil, let old = try ledger.grant(key), old.generation == generation else { return }
      var record = old.record
      record.identity = identity.words
      record.context = token.context
      var facts = record.facts(generation: generation + 1, on: clock)
      facts.generation = generation + 1
      try await ledger.commit(
        RecordBatch(
          conditions: [.init(Ledger.grantAddress(key), generation)],
          writes: [
            ledger.put(Ledger.grantAddress(key), record.encoded, GrantRecord.recordVersion, facts.generation),
            put(token, facts, key),
          ]))
      book.bumpEpoch()
    } catch {
      log.record(
        .warning, "who logged in cannot be stored",
        [
          .event: "identity_lost", .connection: pending.connection, .name: pending.connectionName,
          .detail: error.sentence,
        ])
    }
  }

  /// Erases a grant's tokens; the grant stays and needs a login, or asks anew where the client can.
  /// - Returns: what was there: `access_token`, `refresh_token`.
  func eraseTokens(_ key: GrantKey) async throws(ControlError) -> [String] {
    do throws(LedgerError) {
      guard let old = try ledger.grant(key), let connection = try ledger.connection(key.connection) else {
        throw .store(.conflict(.grants))
      }
      var erased: [String] = []
      if var token = try ledger.refreshToken(key) {
        erased.append("refresh_token")
        token.wipe()
      }
      if old.record.expiresAt != nil { erased.append("access_token") }
      var record = GrantRecord(
        connection: key.connection, subject: old.record.subject, renewal: connection.record.firstRenewal)
      record.noteState(since: old.record, at: clock.wall())
      try await ledger.commit(
        RecordBatch(
          conditions: [.init(Ledger.grantAddress(key), old.generation)],
          writes: [
            ledger.put(Ledger.grantAddress(key), record.encoded, GrantRecord.recordVersion, old.generation + 1),
            .delete(Ledger.tokenAddress(key)), .delete(Ledger.refreshAddress(key)),
            .delete(Ledger.inFlightAddress(key)),
          ]))
      noteStore(nil)
      supersede(key, ControlError(.tokenExpired, "the tokens were revoked", hint: "log in again"))
      scheduler.schedule(key, at: nil)
      log.record(
        .notice, "tokens erased",
        [.event: "tokens_erased", .connection: connection.record.id, .name: connection.record.name])
      tellChange(of: connection.record, from: old.record, to: record)
      return erased
    } catch {
      if case .store(.conflict) = error {
        throw ControlError(.generationConflict, "the grant was changed meanwhile", hint: "try again")
      }
      throw loginError(error)
    }
  }

  /// Ends the logins whose code was on its way when the last process ended: a code is good once, and nobody has its answer.
  /// Before anybody is served, so that all that are found are the last process's.
  func endLostLogins() async throws(LedgerError) {
    var batch = RecordBatch()
    var after: [UInt8]?
    repeat {
      let page = try ledger.page(of: .pending, after: after, limit: 500)
      after = page.count < 500 ? nil : page.last?.key
      for stored in page {
        // One that does not open cannot be completed either; it is forgotten in its time.
        guard let found = try? ledger.pending(in: stored), found.record.progress == .redeeming else { continue }
        var ended = found.record.ended(.failed)
        ended.error = LastError(
          code: .needsLogin, message: "fhird ended while the login was being completed; log in again",
          at: clock.wall(), attempts: 1)
        batch.writes.append(
          ledger.put(
            RecordAddress(.pending, stored.key), json: ended, PendingAuthorization.recordVersion, found.generation + 1))
      }
    } while after != nil
    guard !batch.writes.isEmpty else { return }
    try await ledger.commit(batch)
    log.record(
      .warning, "logins were being completed when the last process ended; they must begin anew",
      [.event: "logins_lost", .count: "\(batch.writes.count)"])
  }

  /// Forgets logins that ended or expired long enough ago, a page of them.
  /// - Parameter ended: all that have ended, however short ago.
  package func forgetLogins(after key: [UInt8]?, ended: Bool = false) async throws(LedgerError) -> CleanupStep {
    let now = clock.wall()
    let page = try ledger.page(of: .pending, after: key, limit: Self.loginsPage)
    let forgotten = page.filter { stored in
      // One that does not open is of no use to anybody.
      guard let pending = try? ledger.pending(in: stored).record else { return true }
      return switch pending.progress(at: now) {
      case .pending, .redeeming: pending.isForgotten(at: now)
      case .completed, .failed, .cancelled, .expired: ended || pending.isForgotten(at: now)
      }
    }
    if !forgotten.isEmpty {
      try await ledger.commit(RecordBatch(writes: forgotten.map { .delete(RecordAddress(.pending, $0.key)) }))
    }
    return CleanupStep(removed: forgotten.count, next: page.count < Self.loginsPage ? nil : page.last?.key)
  }

  /// Logins looked at in one transaction.
  private static var loginsPage: Int { 500 }
}
