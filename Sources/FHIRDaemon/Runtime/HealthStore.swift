/// What the health loop keeps in the store: a sealed record for each server, written when something changed and otherwise
/// hourly, erased with the last connection or when it is 90 days old.
import ConnectionCore
import FHIRControl
import SMARTProtocol

extension HealthLoop {
  /// Without a change a record is written this often.
  private static let saveInterval = Instant.Span.seconds(3600)
  /// Old records are looked for this often.
  private static let sweepInterval = Instant.Span.seconds(86_400)
  /// The first time after a start: not while everything else begins.
  private static let firstSweep = Instant.Span.seconds(600)
  /// Records that one transaction writes, or that are read at a time: 200 KiB each at the most.
  private static let batch = 50

  /// What the process before knew; a record that does not open is told and done without.
  func restored(_ url: String) -> Server {
    do throws(LedgerError) {
      guard var record = try ledger.health(url, on: clock), record.baseURL == url else { return Server() }
      record.watch.trimHistory(at: clock.wall())
      return Server(watch: record.watch, savedAt: clock.now())
    } catch {
      log.record(
        .error, "what was known of a server's health does not open; it begins anew",
        [.event: "health_unreadable", .path: url, .detail: error.sentence])
      return Server()
    }
  }

  func saveIfDue(_ url: String, hasChanged: Bool) {
    guard let server = servers[url] else { return }
    let isDue = server.savedAt.map { clock.now() - $0 >= Self.saveInterval } ?? true
    guard hasChanged || isDue else { return }
    servers[url]?.savedAt = clock.now()
    let write = put(url, server)
    Task { await commit([write]) { self.servers[url]?.savedAt = nil } }
  }

  private func put(_ url: String, _ server: Server) -> RecordBatch.Write {
    ledger.put(HealthRecord(baseURL: url, savedAt: clock.wall(), watch: server.watch), on: clock)
  }

  /// - Parameter failed: the write is tried again with the next probe.
  private func commit(_ writes: [RecordBatch.Write], failed: () -> Void = {}) async {
    do throws(LedgerError) {
      try await ledger.commit(RecordBatch(writes: writes))
      storeFails = false
    } catch {
      failed()
      guard !storeFails else { return }
      storeFails = true
      log.record(
        .warning, "the health of servers cannot be stored; a restart would forget it",
        [.event: "health_not_stored", .detail: error.sentence])
    }
  }

  /// At a stop.
  func saveAll() async {
    let probed = servers.filter { $0.value.watch.server.lastProbeAt != nil }.map { put($0.key, $0.value) }
    for start in stride(from: 0, to: probed.count, by: Self.batch) {
      await commit(Array(probed[start..<min(start + Self.batch, probed.count)]))
      // The disk is full: every further one would only take the same time.
      if storeFails { return }
    }
  }

  func erase(_ url: String) async { await commit([.delete(ledger.healthAddress(url))]) }

  func history(of baseURL: String, days: Int) -> ServerHistory {
    let history = servers[baseURL]?.watch.history ?? restored(baseURL).watch.history
    return history.report(days: days, at: clock.wall())
  }

  /// Erases what nobody has written to for 90 days, and what does not open.
  func sweepIfDue() async {
    let due = nextSweep ?? clock.now() + Self.firstSweep
    nextSweep = clock.now() >= due ? clock.now() + Self.sweepInterval : due
    guard clock.now() >= due else { return }
    let oldest = clock.wall().milliseconds - Int64(HealthHistory.daysMax) * 86_400_000
    var after: [UInt8]?
    var erased: [RecordBatch.Write] = []
    do throws(LedgerError) {
      repeat {
        let page = try ledger.page(of: .health, after: after, limit: Self.batch)
        after = page.count < Self.batch ? nil : page.last?.key
        for stored in page {
          let record = try? ledger.health(in: stored, on: clock)
          if let record, record.savedAt.milliseconds >= oldest || servers[record.baseURL] != nil { continue }
          erased.append(.delete(RecordAddress(.health, stored.key)))
        }
      } while after != nil
    } catch {
      log.record(.warning, "old health records cannot be looked for", [.detail: error.sentence])
    }
    guard !erased.isEmpty else { return }
    await commit(erased)
    log.record(.info, "old health records are erased", [.event: "health_erased", .count: "\(erased.count)"])
  }
}
