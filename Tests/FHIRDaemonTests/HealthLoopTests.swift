/// The health loop over stand-ins: what it keeps in the store, what it does about what does not open, and that it never asks
/// a server twice at a time.
import ConnectionCore
import FHIRControl
import SMARTProtocol
import Synchronization
import Testing

@testable import FHIRDaemon

/// Records in memory; a write fails as long as the test wants it.
private final class MemoryStore: RecordStore {
  private struct State {
    var records: [RecordAddress: [UInt8]] = [:]
    var isFull = false
    var commits = 0
  }
  private let state = Mutex(State())

  var health: [RecordAddress: [UInt8]] { state.withLock { $0.records.filter { $0.key.table == .health } } }
  var commits: Int { state.withLock { $0.commits } }
  func fill(_ full: Bool) { state.withLock { $0.isFull = full } }
  func put(_ address: RecordAddress, _ value: [UInt8]) { state.withLock { $0.records[address] = value } }

  func value(at address: RecordAddress) throws(StoreError) -> [UInt8]? { state.withLock { $0.records[address] } }

  func page(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [StoredRecord] {
    let found = state.withLock { $0.records.filter { $0.key.table == table && $0.key.key.starts(with: prefix) } }
      .sorted { $0.key.key.lexicographicallyPrecedes($1.key.key) }
      .filter { record in key.map { $0.lexicographicallyPrecedes(record.key.key) } ?? true }
    return found.prefix(limit).map { StoredRecord(key: $0.key.key, value: $0.value) }
  }

  func keys(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [[UInt8]] {
    try page(of: table, prefix: prefix, after: key, limit: limit).map(\.key)
  }

  func count(of table: Table) throws(StoreError) -> Int {
    state.withLock { $0.records.count { $0.key.table == table } }
  }

  func commit(_ batch: RecordBatch) async throws(StoreError) {
    let isFull = state.withLock { state in
      guard !state.isFull else { return true }
      state.commits += 1
      for write in batch.writes {
        switch write {
        case .put(let address, let value): state.records[address] = value
        case .delete(let address): state.records[address] = nil
        case .deletePrefix(let table, let prefix):
          state.records = state.records.filter { $0.key.table != table || !$0.key.key.starts(with: prefix) }
        }
      }
      return false
    }
    if isFull { throw .full(detail: "the test's disk is full") }
  }
}

/// Seals nothing: a value whose last byte was changed does not open.
private struct PlainVault: Vault {
  func seal(
    _ plaintext: UnsafeRawBufferPointer, at address: RecordAddress, recordVersion: UInt8, generation: Generation
  ) -> [UInt8] {
    SealedHeader(recordVersion: recordVersion, keyID: 1, generation: generation).prefix
      + [UInt8](repeating: 0, count: SealedHeader.byteCount - SealedHeader.nonceOffset) + plaintext
      + [UInt8](repeating: 0, count: SealedHeader.tagBytes)
  }

  func withOpened<R>(
    _ value: [UInt8], at address: RecordAddress, _ body: (SealedHeader, UnsafeRawBufferPointer) throws(VaultError) -> R
  ) throws(VaultError) -> R {
    guard value.last == 0, let header = SealedHeader(value) else {
      throw .doesNotOpen(address.table, key: address.key.hex)
    }
    let plaintext = Array(value.dropFirst(SealedHeader.byteCount).dropLast(SealedHeader.tagBytes))
    let result = plaintext.withUnsafeBytes { bytes in
      Result { () throws(VaultError) in try body(header, bytes) }
    }
    return try result.get()
  }

  func hash(_ purpose: HashPurpose, _ bytes: [UInt8]) -> KeyedHash {
    let word = bytes.reduce(UInt64(purpose.rawValue)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    guard let hash = KeyedHash(bytes: word.littleEndianBytes + word.littleEndianBytes) else {
      preconditionFailure("sixteen bytes")
    }
    return hash
  }

  func sha256(_ bytes: [UInt8]) -> [UInt8] { preconditionFailure("this test must not hash") }
  func makeSecret(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> SecretBytes {
    preconditionFailure("this test has no secret")
  }
}

/// Goes on when the test says so.
private final class HandClock: ConnectionCore.Clock {
  private let milliseconds = Mutex<Int64>(1_000_000)
  func advance(_ seconds: Int64) { milliseconds.withLock { $0 += seconds * 1000 } }
  func now() -> Instant { Instant(milliseconds: milliseconds.withLock { $0 }) }
  func wall() -> Timestamp { Timestamp(milliseconds: 1_795_564_800_000 + milliseconds.withLock { $0 }) }
  var bootID: UInt64 { 1 }
  func pause(_ span: Instant.Span) async { preconditionFailure("this test must not wait") }
}

/// Answers every probe when the test lets it, and counts.
private final class CountingServer: HTTPClient {
  private struct State {
    var asked: [String] = []
    var status = 200
    var isHeld = false
    var held: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())
  var asked: [String] { state.withLock { $0.asked } }
  var waiting: Int { state.withLock { $0.held.count } }
  func answer(_ status: Int) { state.withLock { $0.status = status } }
  func hold() { state.withLock { $0.isHeld = true } }
  func release() {
    let held = state.withLock { state in
      defer { (state.isHeld, state.held) = (false, []) }
      return state.held
    }
    for waiter in held { waiter.resume() }
  }

  func stream(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPStream {
    preconditionFailure("a probe reads no stream")
  }

  func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
    let isHeld = state.withLock { state in
      state.asked.append(request.url)
      return state.isHeld
    }
    if isHeld {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.isHeld { state.held.append(continuation) }
          return !state.isHeld
        }
        if isOver { continuation.resume() }
      }
    }
    let body = Array(#"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}"#.utf8)
    return HTTPReply(
      status: state.withLock { $0.status }, headers: [HTTPHeader("Content-Type", "application/fhir+json")], body: body)
  }
}

private final class KeepingLog: EventLog {
  private let kept = Mutex<[String]>([])
  func count(_ event: String) -> Int { kept.withLock { $0.count { $0 == event } } }
  func record(_ level: LogLevel, _ message: StaticString, _ fields: KeyValuePairs<LogField, String>) {
    let event = fields.first { $0.key == .event }?.value ?? ""
    kept.withLock { $0.append(event) }
  }
}

private struct ZeroEntropy: Entropy {
  func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
}

private struct FixedSettings: SettingsSource {
  var current: Settings {
    Settings(
      allowInsecureLoopback: false, connectTimeout: .seconds(1), requestTimeout: .seconds(1), responseBytesMax: 1 << 20,
      capabilityLifetime: .seconds(86_400), healthInterval: .seconds(300))
  }
}

private struct Rig {
  let store = MemoryStore()
  let clock = HandClock()
  let server = CountingServer()
  let log = KeepingLog()
  let ledger: Ledger

  init() { ledger = Ledger(store: store, vault: PlainVault()) }

  func loop() async throws -> HealthLoop {
    let loop = HealthLoop(
      probe: HealthProbe(exchange: Exchange(http: server, settings: FixedSettings()), ledger: ledger, clock: clock),
      ledger: ledger, clock: clock, entropy: ZeroEntropy(), log: log, settings: FixedSettings(), changed: {})
    try await loop.start()
    return loop
  }

  /// An open server: its `/metadata` are probed.
  func connection(_ number: UInt64, url: String = "https://h/R4", enabled: Bool = true) async throws -> (
    ConnectionID, ConnectionRecord
  ) {
    let id = ConnectionID(high: 1, low: number)
    var fields = ConnectionFields()
    fields.connectionName = "c\(number)"
    fields.fhirBaseURL = url
    fields.authMethod = "none"
    fields.health = HealthFields(enabled: enabled, intervalSeconds: 300)
    let record = ConnectionRecord(
      id: id, fields: fields, hasClientSecret: false, createdAt: clock.wall(), updatedAt: clock.wall())
    try await ledger.commit(
      RecordBatch(writes: [ledger.put(Ledger.connectionAddress(id), json: record, ConnectionRecord.recordVersion, 1)]))
    return (id, record)
  }

  /// One more probe, past the floor between two.
  func probe(_ loop: HealthLoop, url: String = "https://h/R4") async -> ServerHealth {
    clock.advance(6)
    _ = await loop.check(url)
    return await loop.health(of: url)
  }
}

@Suite(.timeLimit(.minutes(1))) struct HealthLoopTests {
  @Test func `a record that does not open is told and done without, and the next write takes its place`() async throws {
    let rig = Rig()
    let (id, record) = try await rig.connection(1)
    let address = rig.ledger.healthAddress("https://h/R4")
    rig.store.put(address, [1, 1, 0, 0] + [UInt8](repeating: 9, count: 80))
    let loop = try await rig.loop()
    await loop.loaded(id, record)
    #expect(rig.log.count("health_unreadable") == 1)
    #expect(await rig.probe(loop).state == .healthy)
    await loop.stop()
    #expect(try rig.ledger.health("https://h/R4", on: rig.clock)?.watch.server.state == .healthy)
  }

  @Test func `a watcher that is gone or does not open keeps nobody from being probed, now or later`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    let (ghost, old) = try await rig.connection(1)
    let (id, record) = try await rig.connection(2)
    // Deleted, and heard of as it was before.
    try await rig.ledger.commit(RecordBatch(writes: [.delete(Ledger.connectionAddress(ghost))]))
    await loop.connectionChanged(ghost, old)
    await loop.connectionChanged(id, record)
    #expect(await rig.probe(loop).state == .healthy)
    let asked = rig.server.asked.count
    // Nobody's record opens for a while: the server keeps its turn.
    let whole = try rig.store.value(at: Ledger.connectionAddress(id))
    rig.store.put(Ledger.connectionAddress(id), [UInt8](repeating: 9, count: 80))
    _ = await rig.probe(loop)
    #expect(rig.server.asked.count == asked)
    rig.store.put(Ledger.connectionAddress(id), try #require(whole))
    rig.clock.advance(400)
    await loop.connectionChanged(ghost, nil)
    let deadline = ContinuousClock.now + .seconds(30)
    while rig.server.asked.count == asked, ContinuousClock.now < deadline {
      await loop.ping()
      try await Task.sleep(for: .milliseconds(5))  // a poll with a deadline
    }
    #expect(rig.server.asked.count > asked)
    await loop.stop()
  }

  @Test func `no key of the table has a server's address in clear`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    let (id, record) = try await rig.connection(1)
    await loop.connectionChanged(id, record)
    _ = await rig.probe(loop)
    await loop.stop()
    #expect(rig.store.health.count == 1)
    #expect(rig.store.health.keys.allSatisfy { $0.key.count == 16 })
  }

  @Test func `what was known goes on in the next loop, with its state and since when`() async throws {
    let rig = Rig()
    let first = try await rig.loop()
    let (id, record) = try await rig.connection(1)
    await first.connectionChanged(id, record)
    _ = await rig.probe(first)
    rig.server.answer(503)
    for _ in 0..<3 { _ = await rig.probe(first) }
    let before = await first.health(of: "https://h/R4")
    #expect(before.state == .degraded)
    await first.stop()
    let told = rig.log.count("server_health")
    let second = try await rig.loop()
    rig.clock.advance(3600)
    await second.loaded(id, record)
    let after = await second.health(of: "https://h/R4")
    #expect(after.state == .degraded && after.since == before.since && after.reason == "answers with HTTP 503")
    #expect(rig.log.count("server_health") == told)
    await second.stop()
  }

  @Test func `a store that takes no writes is told once, and nothing else suffers`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    let (id, record) = try await rig.connection(1)
    rig.store.fill(true)
    await loop.connectionChanged(id, record)
    for _ in 0..<5 { #expect(await rig.probe(loop).state == .healthy) }
    rig.store.fill(false)
    _ = await rig.probe(loop)
    await loop.stop()
    #expect(rig.log.count("health_not_stored") == 1)
    #expect(rig.store.health.count == 1)
  }

  @Test func `records are written on a change and otherwise hourly`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    let (id, record) = try await rig.connection(1)
    await loop.connectionChanged(id, record)
    _ = await rig.probe(loop)
    // Everything that was begun is written before the loop answers again.
    await loop.ping()
    let first = rig.store.commits
    for _ in 0..<20 { _ = await rig.probe(loop) }
    await loop.ping()
    #expect(rig.store.commits - first <= 1)
    rig.clock.advance(3600)
    _ = await rig.probe(loop)
    await loop.stop()
    #expect(rig.store.commits - first <= 3)
  }

  @Test func `a server that nobody points to any more is forgotten, also on disk`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    let (one, record) = try await rig.connection(1)
    let (two, other) = try await rig.connection(2)
    await loop.connectionChanged(one, record)
    await loop.connectionChanged(two, other)
    _ = await rig.probe(loop)
    await loop.connectionChanged(one, nil)
    #expect(await loop.health(of: "https://h/R4").state == .healthy)
    // Moved to another server.
    let (_, moved) = try await rig.connection(2, url: "https://other/R4")
    await loop.connectionChanged(two, moved)
    #expect(await loop.health(of: "https://h/R4").state == .off)
    await loop.stop()
    #expect(try rig.ledger.health("https://h/R4", on: rig.clock) == nil)
  }

  @Test func `records of ninety days ago, and those that do not open, are swept away`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    for (number, age) in [(1, 91), (2, 89)] as [(Int, Int64)] {
      let saved = Timestamp(milliseconds: rig.clock.wall().milliseconds - age * 86_400_000)
      let record = HealthRecord(baseURL: "https://h\(number)/R4", savedAt: saved, watch: ServerWatch())
      try await rig.ledger.commit(RecordBatch(writes: [rig.ledger.put(record, on: rig.clock)]))
    }
    rig.store.put(RecordAddress(.health, [UInt8](repeating: 7, count: 16)), [UInt8](repeating: 9, count: 80))
    await loop.sweepIfDue()
    #expect(rig.store.health.count == 3)
    rig.clock.advance(601)
    await loop.sweepIfDue()
    await loop.stop()
    #expect(rig.store.health.count == 1)
    #expect(try rig.ledger.health("https://h2/R4", on: rig.clock) != nil)
  }

  @Test func `a server is asked once at a time, also when its connection goes and comes back meanwhile`() async throws {
    let rig = Rig()
    let loop = try await rig.loop()
    let (id, record) = try await rig.connection(1)
    rig.server.hold()
    await loop.connectionChanged(id, record)
    while rig.server.waiting == 0 { await Task.yield() }
    await loop.connectionChanged(id, nil)
    await loop.connectionChanged(id, record)
    let checks = (0..<20).map { _ in Task { await loop.check("https://h/R4") } }
    await loop.ping()
    #expect(rig.server.asked.count == 1)
    rig.server.release()
    for check in checks { #expect(await check.value) }
    #expect(rig.server.asked == ["https://h/R4/metadata"])
    await loop.stop()
  }

  @Test func `a check of a server that nobody watches is refused, and one that is given up waits for nobody`()
    async throws
  {
    let rig = Rig()
    let loop = try await rig.loop()
    #expect(await loop.check("https://h/R4") == false)
    let (id, off) = try await rig.connection(1, enabled: false)
    await loop.connectionChanged(id, off)
    #expect(await loop.check("https://h/R4") == false)
    #expect(rig.server.asked.isEmpty)
    let (_, on) = try await rig.connection(1)
    rig.server.hold()
    await loop.connectionChanged(id, on)
    while rig.server.waiting == 0 { await Task.yield() }
    let check = Task { await loop.check("https://h/R4") }
    check.cancel()
    #expect(await check.value)
    rig.server.release()
    await loop.stop()
  }
}
