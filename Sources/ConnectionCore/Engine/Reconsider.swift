/// A client that was refused gets another chance when what it proves itself with has changed.
import FHIRControl
import SMARTProtocol

extension Engine {
  /// Grants looked through at a time.
  private static var reconsideredPage: Int { 500 }

  /// What the server said of the connection's former keys no longer counts: refused grants are due at once.
  func reconsider(_ id: ConnectionID) async {
    do throws(LedgerError) {
      guard let connection = try ledger.connection(id) else { return }
      var after: [UInt8]?
      repeat {
        let page = try ledger.page(of: .grants, prefix: id.bytes, after: after, limit: Self.reconsideredPage)
        after = page.count < Self.reconsideredPage ? nil : page.last?.key
        try await reconsider(page, connection.record)
      } while after != nil
    } catch {
      // They are tried again by themselves, only later.
      log.record(
        .warning, "refused grants could not be made due", [.event: "reconsider_failed", .detail: error.sentence])
    }
  }

  private func reconsider(_ page: [StoredRecord], _ connection: ConnectionRecord) async throws(LedgerError) {
    for stored in page {
      guard let key = GrantKey(bytes: stored.key), runs[key] == nil, let found = try? ledger.grant(in: stored),
        found.record.standing == .refused
      else { continue }
      var grant = found.record
      grant.standing = grant.expiresAt == nil ? .new : .valid
      grant.failures = 0
      grant.nextAttemptAt = nil
      grant.lastError = nil
      grant.noteState(since: found.record, at: clock.wall())
      let address = Ledger.grantAddress(key)
      do throws(LedgerError) {
        try await ledger.commit(
          RecordBatch(
            conditions: [.init(address, found.generation)],
            writes: [ledger.put(address, grant.encoded, GrantRecord.recordVersion, found.generation + 1)]))
      } catch {
        // Somebody was faster: the grant is being tried already.
        if case .store(.conflict) = error { continue }
        throw error
      }
      let facts = grant.facts(generation: found.generation + 1, on: clock)
      scheduler.schedule(
        key, at: TokenMachine.due(facts: facts, policy: policy(of: connection), now: clock.now(), chance: chance()))
    }
  }
}
