/// How the engine creates, changes and deletes connections: one transaction each, durable before the caller hears of it.
package import FHIRControl
import SMARTProtocol

extension Engine {
  /// - Parameter fields: complete and validated.
  package func createConnection(_ fields: ConnectionFields) async throws(ControlError) -> ConnectionID {
    guard let id = ConnectionID(bytes: entropy.bytes(ConnectionID.byteCount)) else {
      throw ControlError(.internalError, "no random bytes")
    }
    let now = clock.wall()
    let name = fields.connectionName ?? ""
    let record = ConnectionRecord(
      id: id, fields: fields, hasClientSecret: fields.clientSecret != nil, createdAt: now, updatedAt: now)
    let nameAddress = ledger.nameAddress(name)
    let key = ledger.grantKey(id, subject: "")
    var writes = [
      ledger.put(Ledger.connectionAddress(id), json: record, ConnectionRecord.recordVersion, 1),
      ledger.put(nameAddress, id.bytes, 1, 1),
    ]
    if let secret = fields.clientSecret {
      writes.append(ledger.put(Ledger.secretAddress(id), Array(secret.utf8), 1, 1))
    }
    if record.usesTokens {
      var grant = GrantRecord(connection: id, subject: "", renewal: record.firstRenewal)
      grant.noteState(since: nil, at: now)
      writes.append(ledger.put(Ledger.grantAddress(key), grant.encoded, GrantRecord.recordVersion, 1))
    }
    do {
      try await ledger.commit(RecordBatch(conditions: [.init(nameAddress, nil)], writes: writes))
      noteStore(nil)
    } catch { throw changeError(error, conflict: Self.nameTaken(name)) }
    book.bumpEpoch()
    log.record(.notice, "connection created", [.event: "connection_created", .connection: record.id, .name: name])
    if record.usesTokens { scheduler.schedule(key, at: firstLook(of: record)) }
    if record.fields.pkce == "none" { tellOptOut(record) }
    return id
  }

  static func nameTaken(_ name: String) -> ControlError {
    ControlError(
      .connectionExists, "a connection named \(name.debugDescription) exists already",
      hint: "fhirctl connection show '\(name)', or choose another name")
  }

  private func changeError(_ error: LedgerError, conflict: ControlError) -> ControlError {
    if case .store(.conflict) = error { return conflict }
    if case .store(let store) = error { noteStore(store) }
    return ControlError(error)
  }

  /// R4.07: PKCE is left out only where an operator says so, and everybody can see who was told.
  private func tellOptOut(_ record: ConnectionRecord) {
    log.record(
      .warning, "logins of this connection go without PKCE",
      [
        .event: "pkce_disabled", .connection: record.id, .name: record.name,
        .cure: "fhirctl connection update '\(record.name)' --pkce S256, as soon as the server takes it",
      ])
  }

  private func firstLook(of record: ConnectionRecord) -> Instant? {
    if record.usesLogins { return nil }
    return switch policy(of: record).mode {
    case .ahead: clock.now()
    case .onDemand: nil
    }
  }

  /// What an update did to the grants.
  package struct Effect: Sendable {
    package var renewed = 0
    package var needingLogin = 0
  }

  /// - Parameters:
  ///   - fields: complete and validated; `clientSecret` only if it changes.
  ///   - secretRemoved: the stored secret goes.
  package func updateConnection(
    _ id: ConnectionID, from old: Versioned<ConnectionRecord>, to fields: ConnectionFields, secretRemoved: Bool
  ) async throws(ControlError) -> Effect {
    let oldName = old.record.name
    let newName = fields.connectionName ?? oldName
    let hasSecret = fields.clientSecret != nil || (old.record.hasClientSecret && !secretRemoved)
    let record = ConnectionRecord(
      id: id, fields: fields, hasClientSecret: hasSecret, createdAt: old.record.createdAt, updatedAt: clock.wall())
    let address = Ledger.connectionAddress(id)
    var batch = RecordBatch(
      conditions: [.init(address, old.generation)],
      writes: [ledger.put(address, json: record, ConnectionRecord.recordVersion, old.generation + 1)])
    let newAddress = ledger.nameAddress(newName)
    let oldAddress = ledger.nameAddress(oldName)
    if newAddress != oldAddress {
      batch.conditions.append(.init(newAddress, nil))
      batch.writes += [.delete(oldAddress), ledger.put(newAddress, id.bytes, 1, 1)]
    }
    if let secret = fields.clientSecret {
      batch.writes.append(ledger.put(Ledger.secretAddress(id), Array(secret.utf8), 1, old.generation + 1))
    } else if secretRemoved {
      batch.writes.append(.delete(Ledger.secretAddress(id)))
    }
    if fields.fhirBaseURL != old.record.fields.fhirBaseURL || fields.issuer != old.record.fields.issuer {
      batch.writes.append(.delete(Ledger.discoveryAddress(id)))
    }
    let key = ledger.grantKey(id, subject: "")
    let dropsAll = record.fields.needsNewToken(since: old.record.fields) || !record.usesTokens
    let effect =
      dropsAll
      ? try dropGrants(id, record, &batch)
      : try renewGrant(key, old.record, record, fields.clientSecret != nil, &batch)
    do {
      try await ledger.commit(batch)
      noteStore(nil)
    } catch {
      throw changeError(
        error,
        conflict: newAddress != oldAddress && (try? ledger.connectionID(matching: newName)) ?? nil != nil
          ? Self.nameTaken(newName)
          : ControlError(
            .generationConflict, "the connection or its grant was changed meanwhile",
            hint: "read it again with fhirctl connection show '\(oldName)', then repeat the change"))
    }
    if dropsAll {
      for other in runs.keys where other.connection == id {
        supersede(other, ControlError(.generationConflict, "the connection was changed meanwhile", hint: "try again"))
      }
    }
    book.bumpEpoch()
    log.record(.notice, "connection updated", [.event: "connection_updated", .connection: record.id, .name: newName])
    if record.fields.pkce == "none", old.record.fields.pkce != "none" { tellOptOut(record) }
    if dropsAll || runs[key] == nil { scheduler.schedule(key, at: nextLook(of: record, key)) }
    return effect
  }

  /// The tokens were given to another client or by another server: all of them go, in the change's own transaction.
  private func dropGrants(_ id: ConnectionID, _ new: ConnectionRecord, _ batch: inout RecordBatch)
    throws(ControlError) -> Effect
  {
    var effect = Effect()
    var after: [UInt8]?
    do throws(LedgerError) {
      while true {
        let page = try ledger.page(of: .grants, prefix: id.bytes, after: after, limit: 1000)
        for stored in page {
          guard let grant = try? ledger.grant(in: stored).record, grant.expiresAt != nil else { continue }
          if new.usesLogins { effect.needingLogin += 1 } else if new.usesTokens { effect.renewed += 1 }
        }
        after = page.last?.key
        if page.count < 1000 { break }
      }
    } catch { throw ControlError(error) }
    batch.writes += [
      .deletePrefix(.grants, id.bytes), .deletePrefix(.tokens, id.bytes), .deletePrefix(.refresh, id.bytes),
      .deletePrefix(.inflight, id.bytes),
    ]
    if new.usesTokens {
      let key = ledger.grantKey(id, subject: "")
      let known = (try? ledger.grant(key)) ?? nil
      var grant = GrantRecord(connection: id, subject: "", renewal: new.firstRenewal)
      grant.noteState(since: known?.record, at: clock.wall())
      batch.writes.append(
        ledger.put(
          Ledger.grantAddress(key), grant.encoded, GrantRecord.recordVersion, (known?.generation ?? 0) + 1))
    }
    return effect
  }

  /// What a lesser change means for the default grant: the token at hand stays good; what the server said of the old
  /// configuration no longer counts. A request under way is left alone: its answer may hold a new refresh token.
  private func renewGrant(
    _ key: GrantKey, _ old: ConnectionRecord, _ new: ConnectionRecord, _ secretChanged: Bool,
    _ batch: inout RecordBatch
  ) throws(ControlError) -> Effect {
    var effect = Effect()
    let found: Versioned<GrantRecord>?
    do { found = try ledger.grant(key) } catch { throw ControlError(error) }
    if found?.record.standing == .dead { effect.needingLogin = 1 }
    guard runs[key] == nil,
      secretChanged || found == nil || new.fields.deservesNewAttempt(since: old.fields)
    else { return effect }
    var grant = found?.record ?? GrantRecord(connection: key.connection, subject: "", renewal: new.firstRenewal)
    switch grant.standing {
    // Nothing of the configuration decides over these.
    case .dead, .unsure: break
    case .new, .valid, .failing, .refused:
      // A lost reply is not undone by another certificate.
      if grant.lostReplies == 0 {
        grant.standing = grant.expiresAt == nil ? .new : .valid
        grant.failures = 0
        grant.nextAttemptAt = nil
        grant.lastError = nil
      }
    }
    grant.noteState(since: found?.record, at: clock.wall())
    let address = Ledger.grantAddress(key)
    batch.conditions.append(.init(address, found?.generation))
    batch.writes += [
      .delete(Ledger.inFlightAddress(key)),
      ledger.put(address, grant.encoded, GrantRecord.recordVersion, (found?.generation ?? 0) + 1),
    ]
    return effect
  }

  /// When the default grant is looked at after a change.
  private func nextLook(of record: ConnectionRecord, _ key: GrantKey) -> Instant? {
    guard record.usesTokens else { return nil }
    guard let grant = (try? ledger.grant(key)) ?? nil else { return firstLook(of: record) }
    return TokenMachine.due(
      facts: grant.record.facts(generation: grant.generation, on: clock), policy: policy(of: record), now: clock.now(),
      chance: chance())
  }

  /// Erases the connection and everything that hangs on it.
  /// - Returns: how many grants went with it.
  /// - Parameter name: nil when the record does not open.
  package func deleteConnection(_ id: ConnectionID, name: String?) async throws(ControlError) -> Int {
    var grants: [StoredRecord] = []
    do {
      // Every page is looked through: a deadline that stays behind would find nothing and go away by itself.
      while true {
        let page = try ledger.page(of: .grants, prefix: id.bytes, after: grants.last?.key, limit: 1000)
        grants += page.map { StoredRecord(key: $0.key, value: []) }
        if page.count < 1000 { break }
      }
    } catch { throw ControlError(error) }
    let address = Ledger.connectionAddress(id)
    do throws(LedgerError) {
      let names: [RecordAddress]
      if let name { names = [ledger.nameAddress(name)] } else { names = try namesLeadingTo(id) }
      try await ledger.commit(
        RecordBatch(
          writes: names.map { .delete($0) } + [
            .delete(address), .deletePrefix(.capabilities, id.bytes),
            .deletePrefix(.grants, id.bytes), .deletePrefix(.tokens, id.bytes), .deletePrefix(.inflight, id.bytes),
            .deletePrefix(.refresh, id.bytes), .deletePrefix(.keys, id.bytes),
          ]))
      noteStore(nil)
    } catch {
      throw changeError(error, conflict: ControlError(.generationConflict, "the connection was changed meanwhile"))
    }
    book.bumpEpoch()
    for grant in grants {
      guard let key = GrantKey(bytes: grant.key) else { continue }
      supersede(key, ControlError(.connectionNotFound, "the connection was deleted", hint: "fhirctl connection list"))
      scheduler.schedule(key, at: nil)
    }
    forgetUnreadable(id)
    log.record(
      .notice, "connection deleted", [.event: "connection_deleted", .connection: id.description, .name: name ?? ""])
    return grants.count
  }

  /// The names of a connection whose own record does not open; found by looking at every name.
  private func namesLeadingTo(_ id: ConnectionID) throws(LedgerError) -> [RecordAddress] {
    var found: [RecordAddress] = []
    var after: [UInt8]?
    while true {
      let page = try ledger.page(of: .names, after: after, limit: 1000)
      found += page.filter { ledger.connectionID(in: $0) == id }.map { RecordAddress(.names, $0.key) }
      guard page.count == 1000 else { return found }
      after = page.last?.key
    }
  }
}
