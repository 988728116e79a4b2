/// A server's watch, its history and the sum of a connection's grants, driven by events.
import FHIRControl
import SMARTProtocol
import Testing

@testable import ConnectionCore

private func at(_ seconds: Int64) -> Instant { Instant(milliseconds: seconds * 1000) }
/// 25 November 2026, 00:00 UTC, and so many seconds.
private func wall(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: 1_795_564_800_000 + seconds * 1000) }

private struct FixedClock: Clock {
  var seconds: Int64 = 0
  var bootID: UInt64 = 1
  func now() -> Instant { at(seconds) }
  func wall() -> Timestamp { Timestamp(milliseconds: 1_795_564_800_000 + seconds * 1000) }
  func pause(_ span: Instant.Span) async {}
}

private func report(
  _ server: ProbeResult, _ metadata: MetadataFinding = .readable, retryAfter: Instant.Span? = nil
) -> ProbeReport {
  ProbeReport(
    server: server, metadata: metadata, document: .smartConfiguration, choice: "discovery found it",
    retryAfter: retryAfter)
}

extension ServerWatch {
  @discardableResult
  fileprivate mutating func probed(
    _ server: ProbeResult, _ metadata: MetadataFinding = .readable, at second: Int64, inMaintenance: Bool = false,
    retryAfter: Instant.Span? = nil
  ) -> [HealthHistory.Change] {
    probed(
      report(server, metadata, retryAfter: retryAfter), at: ConnectionCoreTests.at(second),
      wall: ConnectionCoreTests.wall(second), staleAfter: .seconds(3600), inMaintenance: inMaintenance)
  }
}

@Suite struct ServerWatchTests {
  private let well = ProbeResult.healthy(latency: .milliseconds(5))
  private let down = ProbeResult.down(detail: "refused")

  @Test func `server and metadata change apart, each after three equal results`() {
    var watch = ServerWatch()
    #expect(watch.probed(well, at: 0).map(\.aspect) == [.server, .metadata])
    for second in 1...2 { #expect(watch.probed(well, .trouble("a page"), at: Int64(second)).isEmpty) }
    let changes = watch.probed(well, .trouble("a page"), at: 3)
    #expect(changes == [.init(at: wall(3), aspect: .metadata, from: .healthy, to: .degraded, reason: "a page")])
    #expect(watch.server.state == .healthy && watch.server.since == at(0))
    #expect(watch.metadata.state == .degraded && watch.metadata.since == at(3))
  }

  @Test func `a document that cannot be asked for is stale after its lifetime, not before`() {
    var watch = ServerWatch()
    watch.probed(well, at: 0)
    for second in [600, 1200, 1800, 2400] as [Int64] { watch.probed(down, .unread("refused"), at: second) }
    #expect(watch.server.state == .down && watch.metadata.state == .healthy)
    for second in [3601, 4200, 4800] { watch.probed(down, .unread("refused"), at: Int64(second)) }
    #expect(watch.metadata.state == .degraded)
    #expect(watch.metadata.reason == "stale: last read at 2026-11-25T00:00:00Z; refused")
    #expect(watch.lastReadAt == at(0))
  }

  @Test func `of a server that never answered nothing is known but why`() {
    var watch = ServerWatch()
    #expect(watch.probed(down, .unread("refused"), at: 0).map(\.aspect) == [.server])
    #expect(watch.metadata.state == .unknown && watch.metadata.reason == "refused")
    #expect(watch.probed(well, at: 10).map(\.aspect) == [.metadata])
  }

  @Test func `in a maintenance window nothing changes, and the time is counted as such`() {
    var watch = ServerWatch()
    watch.probed(well, at: 0)
    for second in 1...10 {
      #expect(watch.probed(down, .unread("refused"), at: Int64(second) * 60, inMaintenance: true).isEmpty)
    }
    #expect(watch.server.state == .healthy && watch.server.detail == "refused" && watch.server.track.isSettled)
    let patient = watch.next(after: at(600), interval: .seconds(300), chance: 0.5, inMaintenance: true)
    #expect(patient == at(900))
    // After it the machine goes on: three results, as ever.
    for second in [660, 720] as [Int64] { #expect(watch.probed(down, .unread("refused"), at: second).isEmpty) }
    #expect(watch.probed(down, .unread("refused"), at: 780).map(\.to) == [.down])
    let day = watch.history.report(days: 1, at: wall(780)).days.first
    #expect(day?.maintenanceSeconds == 600 && day?.healthySeconds == 180 && day?.downSeconds == 0)
  }

  @Test func `a server that asked to be left alone is, and one asked a moment ago is not asked again`() {
    var watch = ServerWatch()
    #expect(watch.mayBeAsked(at: at(0), floor: .seconds(5)))
    watch.probed(
      .degraded(detail: "answers with HTTP 429", latency: .zero), .unread("429"), at: 0, retryAfter: .seconds(900))
    #expect(!watch.mayBeAsked(at: at(899), floor: .seconds(5)))
    #expect(watch.mayBeAsked(at: at(900), floor: .seconds(5)))
    let next = watch.next(after: at(0), interval: .seconds(300), chance: 0.5, inMaintenance: false)
    #expect(next > at(900) && next < at(902))
    watch.probed(well, at: 901)
    #expect(!watch.mayBeAsked(at: at(905), floor: .seconds(5)))
    #expect(watch.mayBeAsked(at: at(906), floor: .seconds(5)))
  }

  @Test(arguments: [1, 2] as [UInt64])
  func `another process goes on from what was stored, and nothing has changed`(bootID: UInt64) throws {
    var watch = ServerWatch()
    watch.probed(well, at: 0)
    for second in 1...3 { watch.probed(down, .trouble("a page"), at: Int64(second)) }
    // On the way to another change; that is forgotten.
    watch.probed(well, at: 4)
    watch.memory.turn(to: .smartConfiguration)
    watch.memory.etag = "\"7\""
    watch.memory.lacksSMART = true
    let record = HealthRecord(baseURL: "https://h/R4", savedAt: wall(4), watch: watch)
    let later = FixedClock(seconds: 100, bootID: bootID)
    let bytes = record.encoded(on: FixedClock(seconds: 4))
    let again = try bytes.withUnsafeBytes { try HealthRecord($0, on: later) }
    #expect(again.baseURL == "https://h/R4")
    #expect(again.watch.server.state == .down && again.watch.server.since == at(3))
    #expect(again.watch.server.track.reason == "refused")
    #expect(again.watch.metadata.state == .degraded && again.watch.metadata.reason == "a page")
    #expect(again.watch.memory == watch.memory && again.watch.history == watch.history)
    #expect(again.watch.lastReadAt == at(4))
    var restored = again.watch
    #expect(restored.probed(down, .trouble("a page"), at: 100).isEmpty)
    // The time between was watched by nobody.
    #expect(restored.history.report(days: 1, at: wall(100)).days.first?.downSeconds == 1)
  }

  @Test func `a record that is cut off anywhere does not open, or opens as something bounded`() {
    var watch = ServerWatch()
    for second in 0..<40 { watch.probed(second / 4 % 2 == 0 ? well : down, at: Int64(second)) }
    let bytes = HealthRecord(baseURL: "https://h/R4", savedAt: wall(0), watch: watch).encoded(on: FixedClock())
    for count in 0..<bytes.count {
      _ = Array(bytes[..<count]).withUnsafeBytes { try? HealthRecord($0, on: FixedClock()) }
    }
  }
}

@Suite struct HealthHistoryTests {
  @Test func `time is split at midnight, and a day knows its probes`() {
    var history = HealthHistory()
    history.watched(.healthy, for: .seconds(7200), until: wall(3600))
    history.watched(.down, for: .seconds(60), until: wall(3660))
    for latency in [10, 20, 60] { history.probed(latency: .milliseconds(Int64(latency)), at: wall(3660)) }
    history.probed(latency: nil, at: wall(3660))
    let days = history.report(days: 90, at: wall(3660)).days
    #expect(days.map(\.day) == ["2026-11-24", "2026-11-25"])
    #expect(days.map(\.healthySeconds) == [3600, 3600])
    #expect(days[1].downSeconds == 60 && days[1].probes == 4)
    #expect(days[1].latency == HealthDay.Latency(min: 10, mean: 30, max: 60))
    #expect(days[0].latency == nil)
  }

  @Test func `ninety days are kept, and no more`() {
    var history = HealthHistory()
    for day in 0..<400 {
      history.probed(latency: .milliseconds(1), at: wall(Int64(day) * 86_400))
      history.changed(
        .init(at: wall(Int64(day) * 86_400), aspect: .server, from: .healthy, to: .down, reason: "x"))
    }
    #expect(history.days.count == 90)
    #expect(history.changes.count <= 91)
    #expect(history.report(days: 7, at: wall(399 * 86_400)).days.count == 7)
    #expect(history.report(days: 7, at: wall(399 * 86_400)).changes.count == 7)
  }

  @Test func `changes beyond the bound are counted, and long reasons cut`() {
    var history = HealthHistory()
    for second in 0..<300 {
      history.changed(
        .init(
          at: wall(Int64(second)), aspect: .metadata, from: .healthy, to: .down,
          reason: String(repeating: "é", count: 5000)))
    }
    let report = history.report(days: 1, at: wall(300))
    #expect(report.changes.count == HealthHistory.changesMax && report.changesDropped == 300 - HealthHistory.changesMax)
    #expect(report.changes.allSatisfy { ($0.reason ?? "").count <= HealthHistory.reasonCharactersMax + 1 })
    #expect(report.changes.last?.at == wall(299))
  }

  @Test func `a full history stays within its space`() {
    var watch = ServerWatch()
    for minute in 0..<(100 * 24) {
      let words = String(repeating: "w", count: 500)
      for repeated in 0..<3 {
        watch.probed(
          minute % 2 == 0 ? .down(detail: words) : .healthy(latency: .milliseconds(3)),
          minute % 2 == 0 ? .trouble(words) : .readable, at: Int64(minute * 3600 + repeated))
      }
    }
    let record = HealthRecord(baseURL: "https://h/R4", savedAt: wall(0), watch: watch)
    #expect(record.encoded(on: FixedClock()).count < 300_000)
    #expect(watch.history.changesDropped > 0)
  }

  @Test func `a clock that was set ahead, and back, leaves no day in the future`() {
    var history = HealthHistory()
    history.probed(latency: nil, at: wall(30 * 86_400))
    history.probed(latency: nil, at: wall(0))
    #expect(history.report(days: 90, at: wall(0)).days.map(\.day) == ["2026-11-25"])
  }
}

@Suite struct GrantsTallyTests {
  private func tally(
    _ states: [GrantState], missing: [String] = [], error: LastError? = nil, obtained: Bool = true
  ) -> GrantsTally {
    var tally = GrantsTally()
    for (index, state) in states.enumerated() {
      tally.add(
        state, since: wall(Int64(index)), obtainedAt: obtained ? wall(100) : nil, missingScope: missing, error: error,
        isDefault: index == 0)
    }
    return tally
  }

  private let trouble = LastError(code: .serverUnreachable, message: "refused", at: wall(50), attempts: 3)

  @Test func `less scope than asked for is degraded, and which is told`() {
    let tally = tally([.degraded], missing: ["system/Observation.rs"])
    let grants = tally.grants(of: "c", usesLogins: false)
    #expect(grants.state == .degraded && grants.missingScope == ["system/Observation.rs"])
    #expect(grants.reason == "granted less scope than asked for: system/Observation.rs")
    #expect(tally.token(restingUntil: nil).state == .healthy)
  }

  @Test func `a lost grant is down where it is the only one, degraded among others, and says what to do`() {
    let one = tally([.needsLogin]).grants(of: "c", usesLogins: true)
    #expect(one.state == .down && one.hint == "fhirctl login 'c'" && one.reason == "the grant needs a login")
    let some = tally([.active, .needsLogin, .needsLogin]).grants(of: "c", usesLogins: true)
    #expect(some.state == .degraded && some.hint == "fhirctl token list 'c' --state needs_login")
    #expect(some.reason == "2 of 3 grants need a login" && some.since == wall(1))
  }

  @Test func `a token endpoint that fails is degraded, one that refuses the client or is left alone is down`() {
    #expect(tally([.retrying], error: trouble).token(restingUntil: nil).state == .degraded)
    #expect(tally([.misconfigured], error: trouble).token(restingUntil: nil).state == .down)
    let resting = tally([.retrying], error: trouble).token(restingUntil: wall(60))
    #expect(resting.state == .down && resting.restingUntil == wall(60))
    #expect(
      resting.reason == "the token endpoint is left alone until 2026-11-25T00:01:00Z; SERVER_UNREACHABLE: refused")
    // The server answered; only this grant is over.
    #expect(tally([.needsLogin], error: trouble).token(restingUntil: nil).state == .healthy)
  }

  @Test func `where nobody has asked yet nothing is known`() {
    let new = tally([.new], obtained: false)
    #expect(new.token(restingUntil: nil).state == .unknown)
    #expect(new.grants(of: "c", usesLogins: false).state == .unknown)
    let none = GrantsTally().grants(of: "c", usesLogins: true)
    #expect(none.state == .unknown && none.hint == "fhirctl login 'c'")
  }
}
