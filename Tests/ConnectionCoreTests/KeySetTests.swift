/// How long a key set is good for, and that its record comes back as it was.
import ConnectionCore
import FHIRControl
import SMARTProtocol
import Testing

@Suite struct KeySetRecordTests {
  private let start = Timestamp(milliseconds: 1_800_000_000_000)

  private func later(_ span: Instant.Span, less milliseconds: Int64 = 0) -> Timestamp {
    Timestamp(milliseconds: start.milliseconds + span.milliseconds - milliseconds)
  }

  private func set(_ lifetime: Instant.Span = KeySetRecord.lifetimeDefault) -> KeySetRecord {
    KeySetRecord(
      issuer: "https://issuer.example", url: "https://issuer.example/jwks", at: start, lifetime: lifetime,
      body: Array(#"{"keys":[]}"#.utf8))
  }

  @Test func `a set is fresh for its lifetime and usable for a week, each to the millisecond`() {
    let set = set()
    #expect(set.isFresh(at: start))
    #expect(set.isFresh(at: later(KeySetRecord.lifetimeDefault, less: 1)))
    #expect(!set.isFresh(at: later(KeySetRecord.lifetimeDefault)))
    #expect(set.isUsable(at: later(KeySetRecord.ageMax, less: 1)))
    #expect(!set.isUsable(at: later(KeySetRecord.ageMax)))
  }

  @Test func `a clock that was set back makes a set old, not young for ever`() {
    let before = Timestamp(milliseconds: start.milliseconds - 1)
    #expect(!set().isFresh(at: before))
    #expect(!set().isUsable(at: before))
    var doubted = set()
    doubted.doubtedAt = start
    #expect(doubted.mayBeDoubted(at: before))
  }

  @Test func `it is doubted at once, and then not more often than once in an interval`() {
    var set = set()
    #expect(set.mayBeDoubted(at: start))
    set.doubtedAt = start
    #expect(!set.mayBeDoubted(at: start))
    #expect(!set.mayBeDoubted(at: later(KeySetRecord.doubtInterval, less: 1)))
    #expect(set.mayBeDoubted(at: later(KeySetRecord.doubtInterval)))
  }

  @Test(
    arguments: [
      (nil, KeySetRecord.lifetimeDefault), ("public", KeySetRecord.lifetimeDefault),
      ("public, max-age=3600", .seconds(3600)), ("MAX-AGE=\"7200\", must-revalidate", .seconds(7200)),
      ("max-age=0", KeySetRecord.lifetimeMin), ("max-age=1", KeySetRecord.lifetimeMin),
      ("max-age=31536000", KeySetRecord.ageMax), ("no-store", KeySetRecord.lifetimeMin),
      ("no-cache, max-age=3600", KeySetRecord.lifetimeMin), ("max-age=-5", KeySetRecord.lifetimeDefault),
      ("max-age=99999999999999999999", KeySetRecord.lifetimeDefault), ("max-age=", KeySetRecord.lifetimeDefault),
    ] as [(String?, Instant.Span)])
  func `the server says how long, within bounds`(_ header: String?, _ lifetime: Instant.Span) {
    #expect(KeySetRecord.lifetime(cacheControl: header) == lifetime)
  }

  @Test func `a record comes back as it was, and a cut one does not`() throws {
    var set = set(.seconds(3600))
    set.doubtedAt = later(.seconds(5))
    set.entityTag = #"W/"1""#
    set.lastModified = "Mon, 01 Jan 2029 00:00:00 GMT"
    let bytes = set.encoded
    #expect(try bytes.withUnsafeBytes { try KeySetRecord($0) } == set)
    for count in 0..<bytes.count {
      #expect(throws: RecordMalformed.self) {
        _ = try bytes.prefix(count).withUnsafeBytes { try KeySetRecord(UnsafeRawBufferPointer($0)) }
      }
    }
  }
}

@Suite struct CleanupScheduleTests {
  private let start = Instant(milliseconds: 1_000_000)

  @Test func `a round goes on at once where it stopped, and the next begins an interval after its end`() {
    var schedule = CleanupSchedule(interval: .seconds(60), firstRound: start)
    #expect(!schedule.isDue(at: start - .milliseconds(1)))
    #expect(schedule.isDue(at: start))
    #expect(schedule.stepped(CleanupStep(removed: 2, next: [1]), at: start) == nil)
    #expect(schedule.isDue(at: start))
    #expect(schedule.after == [1])
    #expect(schedule.stepped(CleanupStep(removed: 3), at: start + .seconds(5)) == 5)
    #expect(schedule.after == nil)
    #expect(!schedule.isDue(at: start + .seconds(64)))
    #expect(schedule.isDue(at: start + .seconds(65)))
    #expect(schedule.stepped(CleanupStep(), at: start + .seconds(65)) == 0)
    #expect(schedule.removed == 5)
  }

  @Test func `after a failure the next round begins anew, an interval later`() {
    var schedule = CleanupSchedule(interval: .seconds(60), firstRound: start)
    _ = schedule.stepped(CleanupStep(removed: 1, next: [9]), at: start)
    schedule.failed(at: start)
    #expect(schedule.after == nil)
    #expect(!schedule.isDue(at: start + .seconds(59)))
    #expect(schedule.stepped(CleanupStep(removed: 1), at: start + .seconds(60)) == 1)
  }
}
