/// `connection.*`
import FHIRControl
import SMARTProtocol

extension Commands {
  func createConnection(_ fields: ConnectionFields, _ caller: Caller) async throws(ControlError) -> ConnectionSummary {
    let checked = settings.validator(tester).complete(fields)
    guard checked.errors.isEmpty else { throw ControlError.validation(checked.errors) }
    let name = checked.fields.connectionName ?? ""
    _ = try directory.require(.connectionCreate, caller, connection: name)
    let id = try await engine.createConnection(checked.fields)
    let found = try directory.find(id.description, for: .connectionCreate, caller)
    await health.connectionChanged(id, found.connection.record)
    return try await summary(id, found.connection)
  }

  func getConnection(_ parameters: ConnectionReference, _ caller: Caller) async throws(ControlError)
    -> ConnectionSummary
  {
    let found = try directory.find(parameters.connection, for: .connectionGet, caller)
    return try await summary(found.id, found.connection)
  }

  /// Connections of one page at the most.
  static var pageMax: Int { 1000 }
  static var pageDefault: Int { 100 }

  func listConnections(_ parameters: ConnectionListParameters, _ caller: Caller) async throws(ControlError)
    -> ConnectionPage
  {
    let limit = parameters.limit ?? Self.pageDefault
    guard (1...Self.pageMax).contains(limit) else {
      throw ControlError(
        .invalidParams, "parameter limit must be 1 to \(Self.pageMax)", fields: [FieldError("limit", "is out of range")]
      )
    }
    let filter = try parameters.filter.map { text throws(ControlError) in
      guard let glob = Glob(text) else {
        throw ControlError(
          .invalidParams, "parameter filter is not a glob of 1 to \(Glob.bytesMax) bytes",
          fields: [FieldError("filter", "is not a glob")])
      }
      return glob
    }
    let reach = directory.book.policy.reach(of: caller, method: .connectionList)
    let found = try connections(reach, after: parameters.cursor, limit: limit, listedBy: .connectionList) {
      filter?.matches($0.name) ?? true
    }
    var page = ConnectionPage(connections: [], nextCursor: found.nextCursor)
    for connection in found.connections {
      page.connections.append(try await summary(connection.id, connection.connection))
    }
    page.unreadable = found.unreadable.isEmpty ? nil : found.unreadable
    return page
  }

  struct FoundPage {
    var connections: [Directory.Found] = []
    var unreadable: [UnreadableRecord] = []
    var nextCursor: String?
  }

  /// A page of the connections that a caller may see.
  /// - Parameter cursor: `nextCursor` of the page before.
  func connections(
    _ reach: AccessPolicy.Reach, after cursor: String?, limit: Int, listedBy method: ControlMethod,
    where isWanted: (ConnectionRecord) -> Bool
  ) throws(ControlError) -> FoundPage {
    var after: [UInt8]?
    if let text = cursor {
      guard let id = ConnectionID(text) else {
        throw ControlError(
          .invalidParams, "parameter cursor is not one that \(method.rawValue) gave",
          fields: [FieldError("cursor", "is malformed")])
      }
      after = id.bytes
    }
    var page = FoundPage()
    scan: while true {
      let from = after
      let records = try read { () throws(LedgerError) in try ledger.page(of: .connections, after: from, limit: limit) }
      for (index, stored) in records.enumerated() {
        after = stored.key
        guard let id = ConnectionID(bytes: stored.key) else { continue }
        do throws(LedgerError) {
          let connection = try ledger.connection(in: stored)
          guard isWanted(connection.record), reach.covers(connection: id, named: connection.record.name, subject: "")
          else { continue }
          page.connections.append(Directory.Found(id: id, connection: connection))
        } catch {
          guard reach.isWhole else { continue }
          page.unreadable.append(
            UnreadableRecord(id: id.description, detail: error.sentence, hint: ControlError(error).data.hint ?? ""))
        }
        if page.connections.count == limit {
          if index == records.count - 1, records.count < limit { after = nil }
          break scan
        }
      }
      if records.count < limit {
        after = nil
        break
      }
    }
    page.nextCursor = after.flatMap { ConnectionID(bytes: $0)?.description }
    return page
  }

  func updateConnection(_ parameters: ConnectionUpdateParameters, _ caller: Caller) async throws(ControlError)
    -> ConnectionUpdateResult
  {
    let found = try directory.find(parameters.connection, for: .connectionUpdate, caller)
    if let wanted = parameters.ifGeneration, wanted != found.connection.generation {
      throw ControlError(
        .generationConflict,
        "the connection has generation \(found.connection.generation), not \(wanted)",
        hint: "read it again with fhirctl connection show '\(found.name)', then repeat the change")
    }
    let old = found.connection.record
    let secretRemoved = parameters.fields.clientSecret?.isEmpty == true
    let merged = old.fields.changed(by: parameters.fields)
    let checked = settings.validator(tester).complete(merged, hasSecret: old.hasClientSecret && !secretRemoved)
    guard checked.errors.isEmpty else { throw ControlError.validation(checked.errors) }
    if let name = checked.fields.connectionName, name != old.name {
      _ = try directory.require(.connectionUpdate, caller, connection: name)
    }
    let effect = try await engine.updateConnection(
      found.id, from: found.connection, to: checked.fields, secretRemoved: secretRemoved)
    guard let now = try read({ () throws(LedgerError) in try ledger.connection(found.id) }) else {
      throw ControlError(.connectionNotFound, "the connection was deleted meanwhile", hint: "fhirctl connection list")
    }
    await health.connectionChanged(found.id, now.record)
    return ConnectionUpdateResult(
      connection: try await summary(found.id, now), grantsToRenew: effect.renewed,
      grantsNeedingLogin: effect.needingLogin)
  }

  func testConnection(_ parameters: ConnectionTestParameters, _ caller: Caller) async throws(ControlError)
    -> ConnectionTestResult
  {
    if let reference = parameters.connection {
      guard parameters.fields == ConnectionFields() else {
        throw ControlError(
          .invalidParams, "give either connection or the fields of one that is not saved, not both",
          fields: [FieldError("connection", "stands beside other fields")])
      }
      let found = try directory.find(reference, for: .connectionTest, caller)
      return await tester.test(found.id, found.connection.record, secret: nil)
    }
    // Fields of one's own choice make the daemon connect anywhere: only for those who may test everything.
    try directory.requireWhole(.connectionTest, caller)
    let checked = settings.validator(tester).complete(parameters.fields, nameRequired: false)
    guard checked.errors.isEmpty else { throw ControlError.validation(checked.errors) }
    guard let id = ConnectionID(bytes: entropy.bytes(ConnectionID.byteCount)) else {
      throw ControlError(.internalError, "no random bytes")
    }
    let secret = checked.fields.clientSecret.map { text in
      let bytes = Array(text.utf8)
      return SharedSecret(ledger.vault.makeSecret(count: bytes.count) { $0.copyBytes(from: bytes) })
    }
    let record = ConnectionRecord(
      id: id, fields: checked.fields, hasClientSecret: secret != nil, createdAt: clock.wall(), updatedAt: clock.wall())
    return await tester.test(nil, record, secret: secret)
  }

  func deleteConnection(_ parameters: ConnectionDeleteParameters, _ caller: Caller) async throws(ControlError)
    -> ConnectionDeleteResult
  {
    let found: Directory.Found
    do { found = try directory.find(parameters.connection, for: .connectionDelete, caller) } catch {
      // A record that does not open must not stay for ever: it can be deleted by its id.
      guard error.data.code == .storeCorrupt, let id = ConnectionID(parameters.connection) else { throw error }
      let grants = try await engine.deleteConnection(id, name: nil)
      return ConnectionDeleteResult(
        id: id.description, connectionName: "", grantsErased: grants, revocation: "not_asked",
        revocationDetail: "the record could not be read")
    }
    let record = found.connection.record
    var parts: [TokenRevokeResult.Part]?
    if parameters.revoke ?? true, record.usesTokens { parts = try await revokeAll(found.id, record) }
    let grants = try await engine.deleteConnection(found.id, name: record.name)
    await health.connectionChanged(found.id, nil)
    return ConnectionDeleteResult(found.id, name: record.name, grants: grants, parts)
  }

  /// Grants whose tokens are given back before a connection is erased; more would keep the caller waiting for hours.
  static var revokedWithConnectionMax: Int { 100 }

  private func revokeAll(_ id: ConnectionID, _ record: ConnectionRecord) async throws(ControlError)
    -> [TokenRevokeResult.Part]
  {
    let page = try read { () throws(LedgerError) in
      try ledger.page(of: .grants, prefix: id.bytes, after: nil, limit: Self.revokedWithConnectionMax + 1)
    }
    var parts: [TokenRevokeResult.Part] = []
    for stored in page.prefix(Self.revokedWithConnectionMax) {
      guard let grant = try? ledger.grant(in: stored).record else { continue }
      let more = await authorizer.revoke(id, record, subject: grant.subject)
      parts += more
      // A server that does not answer is not asked a hundred times.
      if more.contains(where: { $0.outcome != "revoked" }) { break }
    }
    if page.count > Self.revokedWithConnectionMax {
      parts.append(
        .init(
          token: "refresh_token", outcome: "failed",
          detail: "only the first \(Self.revokedWithConnectionMax) grants were revoked at the server"))
    }
    return parts
  }

  /// The connection as everybody may see it.
  func summary(_ id: ConnectionID, _ connection: Versioned<ConnectionRecord>) async throws(ControlError)
    -> ConnectionSummary
  {
    let record = connection.record
    let discovery = try read { () throws(LedgerError) in try ledger.discovery(id) }
    var endpoints = discovery?.endpoints ?? [:]
    let configured = [
      ("token_url", record.fields.tokenURL), ("auth_url", record.fields.authURL),
      ("revocation_url", record.fields.revocationURL), ("introspection_url", record.fields.introspectionURL),
    ]
    for case (let name, let url?) in configured { endpoints[name] = Endpoint(url: url, source: "configured") }
    let findings = (discovery?.findings ?? []) + Advice.findings(record, discovery)
    return ConnectionSummary(
      id: id.description, generation: connection.generation, fields: record.fields,
      hasClientSecret: record.hasClientSecret, createdAt: record.createdAt, updatedAt: record.updatedAt,
      endpoints: endpoints, findings: findings.isEmpty ? nil : findings, token: await status(of: id, record),
      serverHealth: await health.health(of: record.baseURL), grants: try grantCount(id, record))
  }
}

extension Commands {
  /// Named grants come by the hundred thousand: a summary counts to here.
  static var grantsCounted: Int { 10_000 }

  fileprivate func grantCount(_ id: ConnectionID, _ record: ConnectionRecord) throws(ControlError) -> Int {
    guard record.usesLogins else { return record.usesTokens ? 1 : 0 }
    return try read { () throws(LedgerError) in
      try ledger.page(of: .grants, prefix: id.bytes, after: nil, limit: Self.grantsCounted).count
    }
  }
}

extension SettingsSource {
  func validator(_ tester: ConnectionTester) -> ConnectionValidator {
    ConnectionValidator(allowInsecureLoopback: current.allowInsecureLoopback, canReadFile: tester.canReadFile)
  }
}
