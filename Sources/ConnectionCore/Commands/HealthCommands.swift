/// `health.*`: the daemon, and of each connection its server, what that says of itself, its token endpoint and its grants.
package import FHIRControl
import SMARTProtocol

/// What the loops know of the servers and of themselves.
package protocol HealthSource: Sendable {
  func health(of baseURL: String) async -> ServerHealth
  func metadata(of baseURL: String) async -> MetadataHealth
  /// - Parameter days: today and those before it.
  func history(of baseURL: String, days: Int) async -> ServerHistory
  /// Probes a server now, or waits for the probe that is under way; a server that was asked a moment ago, or has asked to
  /// be left alone, is not asked.
  /// - Returns: false: nobody watches this server.
  func check(_ baseURL: String) async -> Bool
  /// How many servers are in each state.
  func counts() async -> [String: Int]
  func components() async -> [ComponentHealth]
  /// A connection was created, changed or deleted.
  func connectionChanged(_ id: ConnectionID, _ record: ConnectionRecord?) async
}

extension Commands {
  /// Connections of one page: each has its grants looked through.
  static var healthPageMax: Int { 500 }
  static var healthPageDefault: Int { 100 }
  /// Grants of one connection that are looked at for its health.
  static var grantsTalliedMax: Int { 1000 }

  func getHealth(_ parameters: HealthParameters, _ caller: Caller) async throws(ControlError) -> HealthReport {
    if let days = parameters.historyDays {
      guard parameters.connection != nil else {
        throw ControlError(
          .invalidParams, "history_days is for one connection", hint: "name it: connection",
          fields: [FieldError("history_days", "stands without connection")])
      }
      guard (1...HealthParameters.historyDaysMax).contains(days) else {
        throw ControlError.validation([FieldError("history_days", "must be 1 to \(HealthParameters.historyDaysMax)")])
      }
    }
    guard let reference = parameters.connection else { return try await wholeHealth(parameters, caller) }
    guard parameters.limit == nil, parameters.cursor == nil else {
      throw ControlError(
        .invalidParams, "limit and cursor are for the list of connections, not for one connection",
        fields: [FieldError(parameters.limit == nil ? "cursor" : "limit", "stands beside connection")])
    }
    let found = try directory.find(reference, for: .healthGet, caller)
    var report = try await health(of: found, .healthGet, caller)
    if let days = parameters.historyDays {
      report.history = await health.history(of: found.connection.record.baseURL, days: days)
    }
    return report
  }

  func checkHealth(_ parameters: ConnectionReference, _ caller: Caller) async throws(ControlError) -> HealthReport {
    let found = try directory.find(parameters.connection, for: .healthCheck, caller)
    guard await health.check(found.connection.record.baseURL) else {
      guard found.connection.record.fields.health?.enabled == false else {
        throw ControlError(
          .overloaded, "the server of \(found.name.debugDescription) is not watched yet: the daemon is starting",
          hint: "ask again in a moment", retryAfterSeconds: 1)
      }
      throw ControlError(
        .validationFailed, "the server of \(found.name.debugDescription) is not watched: health.enabled is false",
        hint: "fhirctl connection update '\(found.name)' --health; or fhirctl connection test '\(found.name)'",
        fields: [FieldError("connection", "has health.enabled false")])
    }
    return try await health(of: found, .healthCheck, caller)
  }

  private func health(
    of found: Directory.Found, _ method: ControlMethod, _ caller: Caller
  ) async throws(ControlError) -> HealthReport {
    var report = try await daemonHealth()
    let reach = directory.book.policy.reach(of: caller, method: method)
    let connection = try await connectionHealth(found.id, found.connection.record, reach)
    report.server = connection.server
    report.connectionHealth = [connection]
    return report
  }

  private func wholeHealth(_ parameters: HealthParameters, _ caller: Caller) async throws(ControlError) -> HealthReport
  {
    var report = try await daemonHealth()
    let limit = parameters.limit ?? Self.healthPageDefault
    guard (0...Self.healthPageMax).contains(limit) else {
      throw ControlError.validation([FieldError("limit", "must be 0 to \(Self.healthPageMax)")])
    }
    guard limit > 0 else { return report }
    let reach = directory.book.policy.reach(of: caller, method: .healthGet)
    let page = try connections(reach, after: parameters.cursor, limit: limit, listedBy: .healthGet) { _ in true }
    var list: [ConnectionHealth] = []
    for found in page.connections {
      list.append(try await connectionHealth(found.id, found.connection.record, reach))
    }
    report.connectionHealth = list
    report.nextCursor = page.nextCursor
    return report
  }

  private func daemonHealth() async throws(ControlError) -> HealthReport {
    let components = await health.components()
    let worst = ["failed", "degraded"].first { state in components.contains { $0.state == state } } ?? "ok"
    return HealthReport(
      state: worst, version: about.version, startedAt: about.startedAt, components: components,
      connections: try read { () throws(LedgerError) in try ledger.count(of: .connections) },
      grants: try read { () throws(LedgerError) in try ledger.count(of: .grants) },
      servers: await health.counts(), refreshesUnderWay: await engine.refreshesUnderWay, server: nil,
      store: try? store.facts(), warnings: settings.current.warnings)
  }

  // MARK: one connection

  /// - Parameter reach: which grants the caller may hear of.
  private func connectionHealth(
    _ id: ConnectionID, _ record: ConnectionRecord, _ reach: AccessPolicy.Reach
  ) async throws(ControlError) -> ConnectionHealth {
    var token = TokenHealth(state: .off)
    var grants = GrantsHealth(state: .off)
    if record.usesTokens {
      let tally = try tally(id, record, reach)
      let rest = await engine.restingUntil(id, record)
      token = tally.token(restingUntil: rest.map { clock.wall(at: $0) })
      grants = tally.grants(of: record.name, usesLogins: record.usesLogins)
    }
    return ConnectionHealth(
      id: id.description, connectionName: record.name, server: await health.health(of: record.baseURL),
      metadata: await health.metadata(of: record.baseURL), token: token, grants: grants)
  }

  private func tally(
    _ id: ConnectionID, _ record: ConnectionRecord, _ reach: AccessPolicy.Reach
  ) throws(ControlError) -> GrantsTally {
    var tally = GrantsTally()
    let page = try read { () throws(LedgerError) in
      try ledger.page(of: .grants, prefix: id.bytes, after: nil, limit: Self.grantsTalliedMax + 1)
    }
    tally.hasMore = page.count > Self.grantsTalliedMax
    let ownKey = ledger.grantKey(id, subject: "").bytes
    let now = clock.now()
    for stored in page.prefix(Self.grantsTalliedMax) {
      let grant: Versioned<GrantRecord>
      do { grant = try ledger.grant(in: stored) } catch {
        if reach.isWhole { tally.addUnreadable() }
        continue
      }
      guard reach.covers(connection: id, named: record.name, subject: grant.record.subject) else { continue }
      // Logins of people have no default grant until somebody logs in without a subject.
      let isDefault = stored.key == ownKey
      if isDefault, record.usesLogins, grant.record.authorizedAt == nil, page.count > 1 { continue }
      let facts = grant.record.facts(generation: grant.generation, on: clock)
      let isValid = facts.remaining(at: now) > .zero && facts.standing != .dead
      tally.add(
        grant.record.state(isValid: isValid), since: grant.record.stateSince,
        obtainedAt: facts.token.map { clock.wall(at: $0.obtainedAt) }, missingScope: grant.record.missingScope,
        error: grant.record.lastError, isDefault: isDefault)
    }
    return tally
  }
}
