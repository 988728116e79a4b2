/// What grows by itself and is taken away again: one task for each kind of record that ages.
package import FHIRControl
package import SMARTProtocol

package struct CleanupTask: Sendable {
  /// In the journal and in `health.get`: `old logins`.
  package var name: String
  package var interval: Instant.Span
  /// A step of bounded work; see `CleanupSchedule`.
  package var step: @Sendable (_ after: [UInt8]?) async throws(LedgerError) -> CleanupStep

  package init(
    _ name: String, every interval: Instant.Span,
    step: @escaping @Sendable (_ after: [UInt8]?) async throws(LedgerError) -> CleanupStep
  ) {
    self.name = name
    self.interval = interval
    self.step = step
  }
}

extension Engine {
  /// A new kind of record that must not stay for ever gets a line here.
  package nonisolated var cleanupTasks: [CleanupTask] {
    let (engine, ledger, clock) = (self, self.ledger, self.clock)
    return [
      CleanupTask("old logins", every: .seconds(60)) { (after) async throws(LedgerError) in
        try await engine.forgetLogins(after: after)
      },
      CleanupTask("client keys that were rotated out", every: .seconds(3600)) { (after) async throws(LedgerError) in
        try await ledger.eraseGoneClientKeys(after: after, now: clock.wall())
      },
      CleanupTask("records without a connection", every: .seconds(3600)) { (after) async throws(LedgerError) in
        try await ledger.removeOrphans(after: after)
      },
      CleanupTask("unused caches", every: .seconds(3600)) { (after) async throws(LedgerError) in
        try await ledger.removeUnusedCaches(after: after, now: clock.wall())
      },
    ]
  }
}

extension Ledger {
  /// Tables whose keys begin with a connection's id.
  private static let connectionTables: [Table] = [.capabilities, .grants, .tokens, .refresh, .inflight, .keys]
  /// Keys looked at in one step: a few milliseconds.
  private static let orphansPage = 500
  /// Caches opened in one step: each may have megabytes.
  private static let cachesPage = 20
  /// A cache that nobody has had asked for in this time is of no use to anybody; far above every lifetime of a cache.
  package static let cacheAgeMax = Instant.Span.seconds(90 * 86_400)

  /// Records of connections that are gone: an answer came after the connection had been deleted, and was kept.
  package func removeOrphans(after place: [UInt8]?) async throws(LedgerError) -> CleanupStep {
    // A place is the table's number and the last key in it.
    let index = Int(place?.first ?? 0)
    guard Self.connectionTables.indices.contains(index) else { return CleanupStep() }
    let table = Self.connectionTables[index]
    let last = place.map { Array($0.dropFirst()) } ?? []
    let keys = try keys(of: table, after: last.isEmpty ? nil : last, limit: Self.orphansPage)
    var removed = 0
    var known: (id: ConnectionID, exists: Bool)?
    var orphans: [ConnectionID: [RecordBatch.Write]] = [:]
    for key in keys {
      guard let id = ConnectionID(bytes: Array(key.prefix(ConnectionID.byteCount))) else { continue }
      if known?.id != id {
        known = (id, try !self.keys(of: .connections, prefix: id.bytes, after: nil, limit: 1).isEmpty)
      }
      if known?.exists == false { orphans[id, default: []].append(.delete(RecordAddress(table, key))) }
    }
    for (id, writes) in orphans {
      try await commit(RecordBatch(conditions: [.init(Self.connectionAddress(id), nil)], writes: writes))
      removed += writes.count
    }
    if keys.count == Self.orphansPage, let key = keys.last {
      return CleanupStep(removed: removed, next: [UInt8(index)] + key)
    }
    let isLast = index + 1 == Self.connectionTables.count
    return CleanupStep(removed: removed, next: isLast ? nil : [UInt8(index + 1)])
  }

  package func removeUnusedCaches(after key: [UInt8]?, now: Timestamp) async throws(LedgerError) -> CleanupStep {
    let keys = try keys(of: .capabilities, after: key, limit: Self.cachesPage)
    var writes: [RecordBatch.Write] = []
    for key in keys {
      guard let time = cacheTime(key), now.milliseconds - time.milliseconds > Self.cacheAgeMax.milliseconds else {
        continue
      }
      writes.append(.delete(RecordAddress(.capabilities, key)))
    }
    if !writes.isEmpty { try await commit(RecordBatch(writes: writes)) }
    return CleanupStep(removed: writes.count, next: keys.count < Self.cachesPage ? nil : keys.last)
  }

  /// When a record of the table `capabilities` was last fetched; nil: it does not open, or is none of these.
  private func cacheTime(_ key: [UInt8]) -> Timestamp? {
    guard let id = ConnectionID(bytes: Array(key.prefix(ConnectionID.byteCount))) else { return nil }
    switch key.dropFirst(ConnectionID.byteCount).first {
    case nil: return nil  // what discovery found is small, and used as long as the connection is
    case Self.keySetMark: return ((try? keySet(id)) ?? nil)?.fetchedAt
    // The former document is kept as long as the present one.
    case DocumentAge.present.rawValue, DocumentAge.previous.rawValue:
      return (((try? document(id)) ?? nil) ?? ((try? document(id, .previous)) ?? nil))?.fetchedAt
    default: return nil  // a later version's
    }
  }
}
