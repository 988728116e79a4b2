/// What is taken away by itself, and what stays.
import ConnectionCore
import FHIRControl
import SMARTProtocol
import Synchronization
import Testing

@Suite struct CleanupTasksTests {
  private let store = MemoryStore()
  private let ledger: Ledger
  private let now = Timestamp(milliseconds: 1_800_000_000_000)

  init() { ledger = Ledger(store: store, vault: ClearVault()) }

  private func id(_ number: UInt64) -> ConnectionID { ConnectionID(high: number, low: 1) }

  private func put(_ address: RecordAddress, _ bytes: [UInt8] = [1]) async throws {
    try await ledger.commit(RecordBatch(writes: [ledger.put(address, bytes, 1, 1)]))
  }

  private func ago(days: Int64) -> Timestamp { Timestamp(milliseconds: now.milliseconds - days * 86_400_000) }

  /// A whole round: how much went, in how many steps.
  private func round(_ step: ([UInt8]?) async throws -> CleanupStep) async throws -> (removed: Int, steps: Int) {
    var (removed, steps, after) = (0, 0, [UInt8]?.none)
    repeat {
      let done = try await step(after)
      (removed, steps, after) = (removed + done.removed, steps + 1, done.next)
      try #require(steps < 10_000, "a round without an end")
    } while after != nil
    return (removed, steps)
  }

  @Test func `records of connections that are gone go from every table, and no others`() async throws {
    let tables: [Table] = [.capabilities, .grants, .tokens, .refresh, .inflight, .keys]
    for number in 1...4 as ClosedRange<UInt64> {
      if number % 2 == 0 { try await put(Ledger.connectionAddress(id(number))) }
      for table in tables {
        for suffix in 0..<3 as Range<UInt8> { try await put(RecordAddress(table, id(number).bytes + [suffix])) }
      }
    }
    // Not a connection's.
    try await put(RecordAddress(.pending, id(1).bytes))
    try await put(RecordAddress(.capabilities, [1, 2, 3]))
    #expect(try await round { try await ledger.removeOrphans(after: $0) }.removed == 2 * 6 * 3)
    for table in tables {
      for number in 1...4 as ClosedRange<UInt64> {
        let left = try ledger.keys(of: table, prefix: id(number).bytes, after: nil, limit: 9).count
        #expect(left == (number % 2 == 0 ? 3 : 0), "\(table) \(number)")
      }
    }
    #expect(try ledger.count(of: .pending) == 1)
    #expect(try ledger.count(of: .capabilities) == 7)
    #expect(try await round { try await ledger.removeOrphans(after: $0) }.removed == 0)
  }

  @Test func `a round over many records is many small steps`() async throws {
    for number in 0..<1200 as Range<UInt64> {
      try await put(RecordAddress(.tokens, id(7).bytes + number.littleEndianBytes))
    }
    let done = try await round { try await ledger.removeOrphans(after: $0) }
    #expect(done.removed == 1200)
    #expect(done.steps >= 3 + 5)
    #expect(store.writesMax.withLock { $0 } <= 500)
    #expect(try ledger.count(of: .tokens) == 0)
  }

  private func putDocument(_ id: ConnectionID, _ age: Ledger.DocumentAge, _ time: Timestamp) async throws {
    let document = CapabilityDocument(url: "https://fhir.example/metadata", at: time, body: [1])
    try await put(Ledger.documentAddress(id, age), document.encoded)
  }

  @Test func `caches that nobody has had fetched for three months go, the younger stay`() async throws {
    for (number, days) in [(1, 91), (2, 89)] as [(UInt64, Int64)] {
      try await putDocument(id(number), .present, ago(days: days))
      // However old the former document is: it goes with the present one.
      try await putDocument(id(number), .previous, ago(days: 400))
      let keys = KeySetRecord(
        issuer: "https://i.example", url: "https://i.example/jwks", at: ago(days: days),
        lifetime: KeySetRecord.lifetimeDefault, body: [1])
      try await put(Ledger.keySetAddress(id(number)), keys.encoded)
      let discovery = DiscoveryRecord(
        fhirBaseURL: "https://fhir.example", endpoints: [:], findings: [], discoveredAt: ago(days: days))
      try await ledger.commit(
        RecordBatch(writes: [ledger.put(Ledger.discoveryAddress(id(number)), json: discovery, 1, 1)]))
    }
    // A later version's, and one that does not parse.
    try await put(RecordAddress(.capabilities, id(3).bytes + [200]))
    try await put(Ledger.keySetAddress(id(3)))
    let done = try await round { try await ledger.removeUnusedCaches(after: $0, now: now) }
    #expect(done.removed == 3)
    // What discovery found is used as long as the connection is: refreshes look at it.
    #expect(try ledger.keys(of: .capabilities, prefix: id(1).bytes, after: nil, limit: 9) == [id(1).bytes])
    #expect(try ledger.keys(of: .capabilities, prefix: id(2).bytes, after: nil, limit: 9).count == 4)
    #expect(try ledger.keys(of: .capabilities, prefix: id(3).bytes, after: nil, limit: 9).count == 2)
  }

  @Test func `many old caches go in small steps`() async throws {
    for number in 0..<50 as Range<UInt64> {
      try await putDocument(id(number), .present, ago(days: 200))
      try await putDocument(id(number), .previous, ago(days: 200))
    }
    let done = try await round { try await ledger.removeUnusedCaches(after: $0, now: now) }
    #expect(done.removed == 100)
    #expect(done.steps >= 5)
  }
}
