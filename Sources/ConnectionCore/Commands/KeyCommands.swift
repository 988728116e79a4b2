/// `key.*` and `jwks.get`: client keys are made, brought, rotated and published. Private halves go in and never out.
import FHIRControl
import SMARTProtocol

extension Commands {
  func createKey(_ parameters: KeyCreateParameters, _ caller: Caller) async throws(ControlError) -> KeySummary {
    let found = try directory.find(parameters.connection, for: .keyCreate, caller)
    var algorithm: SigningAlgorithm?
    if let text = parameters.algorithm {
      guard let known = SigningAlgorithm(rawValue: text) else {
        let names = SigningAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
        throw ControlError.validation([FieldError("algorithm", "must be one of \(names)")])
      }
      algorithm = known
    } else if parameters.privateKey == nil {
      algorithm = found.connection.record.fields.signingAlgorithm.flatMap(SigningAlgorithm.init(rawValue:))
    }
    let keys = try keySet(found)
    // Before a key is made: that takes a while, and an import must not be told more than it needs.
    if parameters.privateKey == nil { try refuseSecond(algorithm ?? .es384, keys, found) }
    let kid = try givenKID(parameters)
    var material = try await material(algorithm, parameters.privateKey)
    defer { material.wipe() }
    if let kid { material = material.named(kid) }
    try refuseSecond(material.algorithm, keys, found)
    if let known = keys.plan.records.first(where: { $0.kid == material.kid }) {
      throw ControlError.validation([
        FieldError("private_key", "is the connection's \(keys.plan.state(of: known)) key already")
      ])
    }
    guard keys.plan.published.count < ClientKeyPlan.keysMax else { throw Self.tooManyKeys }
    let now = keys.plan.now
    let record = ClientKeyRecord(material, of: found.id, createdAt: now, signsFrom: now)
    var batch = changing(keys, found)
    batch.conditions.append(.init(Ledger.clientKeyAddress(found.id, kid: record.kid), nil))
    batch.writes.append(ledger.put(record, &material))
    try await commit(batch)
    log.record(
      .notice, "client key created",
      [
        .event: "key_created", .connection: found.id.description, .name: found.name, .caller: "uid:\(caller.uid)",
        .detail: "\(record.kid) \(record.algorithm.rawValue) \(parameters.privateKey == nil ? "made" : "imported")",
      ])
    await engine.reconsider(found.id)
    return record.summary(named: found.name, state: .active)
  }

  func rotateKey(_ parameters: KeyRotateParameters, _ caller: Caller) async throws(ControlError) -> KeyList {
    let found = try directory.find(parameters.connection, for: .keyRotate, caller)
    let overlap = parameters.overlapSeconds ?? KeyRotateParameters.overlapSecondsDefault
    guard overlap >= 0, overlap <= KeyRotateParameters.overlapSecondsMax else {
      throw ControlError(
        .invalidParams, "parameter overlap_seconds must be 0 to \(Int(KeyRotateParameters.overlapSecondsMax))",
        fields: [FieldError("overlap_seconds", "is out of range")])
    }
    let keys = try keySet(found)
    let rotation: ClientKeyPlan.Rotation
    do { rotation = try keys.plan.rotate(overlapSeconds: overlap) } catch {
      throw Self.refusal(error, found)
    }
    var batch = changing(keys, found)
    for record in rotation.changed {
      let address = Ledger.clientKeyAddress(found.id, kid: record.kid)
      guard let generation = keys.generations[record.kid],
        let write = try read({ () throws(LedgerError) in try ledger.put(changed: record, generation + 1) })
      else { throw Self.changedMeanwhile }
      batch.conditions.append(.init(address, generation))
      batch.writes.append(write)
    }
    var made: [String] = []
    for algorithm in rotation.toMake {
      var material = try await material(algorithm, nil)
      let record = ClientKeyRecord(
        material, of: found.id, createdAt: keys.plan.now, signsFrom: rotation.signsFrom)
      batch.conditions.append(.init(Ledger.clientKeyAddress(found.id, kid: record.kid), nil))
      batch.writes.append(ledger.put(record, &material))
      made.append(record.kid)
    }
    try await commit(batch)
    log.record(
      .notice, "client keys rotated",
      [
        .event: "key_rotated", .connection: found.id.description, .name: found.name, .caller: "uid:\(caller.uid)",
        .detail: "new \(made.joined(separator: ",")), changed "
          + "\(rotation.changed.map(\.kid).joined(separator: ",")), signing from \(rotation.signsFrom)",
      ])
    return KeyList(keys: try summaries(of: found))
  }

  func listKeys(_ parameters: KeyListParameters, _ caller: Caller) async throws(ControlError) -> KeyList {
    KeyList(keys: try await keys(parameters, .keyList, caller))
  }

  func jwks(_ parameters: KeyListParameters, _ caller: Caller) async throws(ControlError) -> JWKSet {
    var kids: Set<String> = []
    // One key may serve several connections; a set names each once. Source: RFC 7517 section 4.5.
    return JWKSet(keys: try await keys(parameters, .jwksGet, caller).filter { kids.insert($0.kid).inserted }.map(\.jwk))
  }

  // MARK: reading

  private func keys(_ parameters: KeyListParameters, _ method: ControlMethod, _ caller: Caller)
    async throws(ControlError) -> [KeySummary]
  {
    if let reference = parameters.connection {
      return try summaries(of: directory.find(reference, for: method, caller))
    }
    let reach = try directory.require(method, caller)
    let now = clock.wall()
    var result: [KeySummary] = []
    var names: [ConnectionID: String?] = [:]
    var after: [UInt8]?
    repeat {
      let from = after
      let page = try read { () throws(LedgerError) in try ledger.allClientKeys(after: from, limit: Self.keyPage) }
      for (address, error) in page.unreadable { await engine.noteUnreadable(address, error) }
      for record in page.keys {
        guard let state = ClientKeyPlan.state(of: record, at: now).published else { continue }
        let id = record.connection
        let known = names[id] ?? ((try? ledger.connection(id)) ?? nil)?.record.name
        names[id] = .some(known)
        guard let name = known, reach.covers(connection: id, named: name, subject: "") else { continue }
        result.append(record.summary(named: name, state: state))
      }
      after = page.next
    } while after != nil
    return result
  }

  /// Records of the table `keys` that are read at a time.
  private static var keyPage: Int { 200 }

  func summaries(of found: Directory.Found) throws(ControlError) -> [KeySummary] {
    let now = clock.wall()
    return try read { () throws(LedgerError) in try ledger.clientKeys(of: found.id) }.compactMap { key in
      ClientKeyPlan.state(of: key.record, at: now).published.map { key.record.summary(named: found.name, state: $0) }
    }
  }

  // MARK: changing

  /// The keys of one connection as they were read, and under which generations.
  private struct KeySet {
    var plan: ClientKeyPlan
    var generations: [String: Generation]
    /// Of the set as a whole; nil: the connection never had a key.
    var generation: Generation?
  }

  private func keySet(_ found: Directory.Found) throws(ControlError) -> KeySet {
    // The set's generation first: keys that change after it was read make the commit fail.
    let generation = try read { () throws(LedgerError) in try ledger.clientKeySetGeneration(found.id) }
    let keys = try read { () throws(LedgerError) in try ledger.clientKeys(of: found.id) }
    return KeySet(
      plan: ClientKeyPlan(keys.map(\.record), now: clock.wall()),
      generations: Dictionary(keys.map { ($0.record.kid, $0.generation) }, uniquingKeysWith: { first, _ in first }),
      generation: generation)
  }

  /// What every change of a connection's keys has: it holds only while the connection and its set of keys are what
  /// they were, and it erases what is no longer published.
  private func changing(_ keys: KeySet, _ found: Directory.Found) -> RecordBatch {
    let set = Ledger.clientKeySetAddress(found.id)
    return RecordBatch(
      conditions: [
        .init(Ledger.connectionAddress(found.id), found.connection.generation), .init(set, keys.generation),
      ],
      writes: [ledger.put(set, [], 1, (keys.generation ?? 0) + 1)]
        + keys.plan.erasable.map { .delete(Ledger.clientKeyAddress(found.id, kid: $0.kid)) })
  }

  private func commit(_ batch: RecordBatch) async throws(ControlError) {
    do { try await ledger.commit(batch) } catch {
      if case .store(.conflict) = error { throw Self.changedMeanwhile }
      throw ControlError(error)
    }
  }

  /// A `kid` is the server's business; it only has to fit into a header and a record's key.
  private func givenKID(_ parameters: KeyCreateParameters) throws(ControlError) -> String? {
    guard let kid = parameters.kid else { return nil }
    guard parameters.privateKey != nil else {
      throw ControlError.validation([FieldError("kid", "goes with private_key: a key made here has its thumbprint")])
    }
    guard (1...Self.kidBytesMax).contains(kid.utf8.count), kid.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ControlError.validation([
        FieldError("kid", "must be 1 to \(Self.kidBytesMax) visible ASCII characters")
      ])
    }
    return kid
  }

  /// Longer ones have not been seen; a thumbprint has 43.
  static var kidBytesMax: Int { 128 }

  private func material(_ algorithm: SigningAlgorithm?, _ privateKey: String?) async throws(ControlError)
    -> ClientKeyMaterial
  {
    do throws(ClientKeyProblem) {
      guard let privateKey else { return try await signer.makeKey(algorithm ?? .es384) }
      var text = Array(privateKey.utf8)
      defer { wipe(&text) }
      return try signer.importKey(text, algorithm: algorithm)
    } catch { throw ControlError(error) }
  }

  private func refuseSecond(_ algorithm: SigningAlgorithm, _ keys: KeySet, _ found: Directory.Found)
    throws(ControlError)
  {
    let current = keys.plan.keys(in: .active, algorithm) + keys.plan.keys(in: .next, algorithm)
    guard let key = current.first else { return }
    throw ControlError(
      .validationFailed, "\(found.name.debugDescription) has a key for \(algorithm.rawValue) already",
      detail: "its kid is \(key.kid)", hint: "fhirctl key rotate '\(found.name)'",
      fields: [FieldError("connection", "has a key for \(algorithm.rawValue) already")])
  }

  private static func refusal(_ refusal: ClientKeyPlan.RotationRefusal, _ found: Directory.Found) -> ControlError {
    switch refusal {
    case .noKey:
      ControlError(
        .validationFailed, "\(found.name.debugDescription) has no client key",
        hint: "fhirctl key create '\(found.name)'", fields: [FieldError("connection", "has no client key")])
    case .underWay(let until):
      ControlError(
        .validationFailed, "a rotation is under way: the new key signs from \(until)",
        hint: "wait, or end it now: fhirctl key rotate '\(found.name)' --overlap 0",
        fields: [FieldError("connection", "has a rotation under way")])
    case .tooMany: tooManyKeys
    }
  }

  private static var tooManyKeys: ControlError {
    ControlError(
      .overloaded, "\(ClientKeyPlan.keysMax) keys of the connection are published already",
      hint: "wait until the retired ones are gone: fhirctl key list",
      retryAfterSeconds: Double(ClientKeyPlan.retiredGraceSeconds))
  }

  private static var changedMeanwhile: ControlError {
    ControlError(.generationConflict, "the connection or its keys were changed meanwhile", hint: "try again")
  }
}

extension ClientKeyPlan.State {
  /// As callers hear of it; nil: they do not.
  var published: KeyState? {
    switch self {
    case .next: .next
    case .active: .active
    case .retired: .retired
    case .gone: nil
    }
  }
}

extension ClientKeyRecord {
  func summary(named name: String, state: KeyState) -> KeySummary {
    KeySummary(
      kid: kid, connectionName: name, connectionID: connection.description, algorithm: algorithm.rawValue,
      state: state, createdAt: createdAt, signsFrom: signsFrom, publishedUntil: publishedUntil,
      jwk: publicJWK.filter { PublicJWK.members.contains($0.key) }.mapValues { .string($0) })
  }
}

extension ControlError {
  init(_ problem: ClientKeyProblem) {
    let field: String
    switch problem {
    case .wrongAlgorithm: field = "algorithm"
    case .notAKey, .encrypted, .publicOnly, .unsupportedKey, .tooShort, .tooLong, .cannotSign: field = "private_key"
    }
    self.init(
      .validationFailed, "the key \(problem.sentence)", hint: problem.cure,
      fields: [FieldError(field, problem.sentence)])
  }

  /// For a request that had to be signed.
  /// - Parameter name: of the connection.
  package init(_ error: SigningKeyError, connection name: String) {
    switch error {
    case .ledger(let ledger): self.init(ledger)
    case .noKey:
      self.init(
        .invalidClient, "\(name.debugDescription) has no client key to sign with",
        hint: "fhirctl key create '\(name)', then register the key set with the server: fhirctl key jwks '\(name)'")
    case .noFittingKey(let has, let wanted):
      self.init(
        .invalidClient,
        "the server takes \(wanted.joined(separator: ", ")), and \(name.debugDescription) has keys for "
          + has.map(\.rawValue).joined(separator: ", "),
        hint: Self.keyCure(name, wanted))
    case .key(let problem):
      self.init(.invalidClient, "the key \(problem.sentence)", hint: problem.cure)
    }
  }

  private static func keyCure(_ name: String, _ wanted: [String]) -> String {
    guard let algorithm = SigningAlgorithm.allCases.first(where: { wanted.contains($0.rawValue) }) else {
      return "this server needs another way to authenticate the client"
    }
    return "fhirctl key create '\(name)' --algorithm \(algorithm.rawValue), then register the key set again"
  }
}
