/// Compaction: smaller, the same records, readers beside it, and when it is refused. What a kill leaves: StoreTortureTests.
import ConnectionCore
import FHIRControl
import Foundation
import LMDBStore
import Synchronization
import Testing

@Suite struct `compaction` {
  let place: StorePlace

  init() throws { place = try StorePlace() }

  private func value(_ number: Int) -> [UInt8] {
    sealed(UInt64(number), String(repeating: "v", count: number * 37 % 6000))
  }

  private func fill(_ store: LMDBStore, _ numbers: Range<Int>) async throws {
    for start in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 100) {
      let writes = (start..<min(start + 100, numbers.upperBound)).map { number in
        RecordBatch.Write.put(RecordAddress(number % 2 == 0 ? .grants : .capabilities, "\(number)"), value(number))
      }
      try await store.commit(RecordBatch(writes: writes))
    }
  }

  private func expectRecords(_ store: LMDBStore, _ numbers: Range<Int>) throws {
    for number in numbers {
      #expect(
        try store.value(at: RecordAddress(number % 2 == 0 ? .grants : .capabilities, "\(number)")) == value(number))
    }
  }

  @Test func `the file gets smaller and holds the same, also after reopening`() async throws {
    var store = try place.open()
    try await fill(store, 0..<1000)
    try await store.commit(
      RecordBatch(
        writes: (100..<1000).map { .delete(RecordAddress($0 % 2 == 0 ? .grants : .capabilities, "\($0)")) }))
    let before = try store.facts()
    #expect(before.bytesFree > before.bytes / 2)
    let done = try await store.compact()
    #expect(done.bytesBefore == before.bytes)
    #expect(done.bytesAfter < before.bytes / 4)
    #expect(done.records == 101)
    let after = try store.facts()
    #expect(after.records == 101)
    #expect(after.bytes == done.bytesAfter)
    #expect(after.bytesFree < after.bytes / 4)
    try expectRecords(store, 0..<100)
    #expect(try StorePlace.mode(place.data) == 0o600)
    // The new file is written on, by transactions whose numbers begin anew.
    try await fill(store, 100..<200)
    try await store.commit(
      RecordBatch(conditions: [.init(RecordAddress(.grants, "0"), 0)], writes: [.delete(RecordAddress(.grants, "0"))]))
    store.close()
    store = try place.open()
    try expectRecords(store, 1..<200)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: place.path).sorted() == [
        "data.mdb", "fhird.lock", "lock.mdb",
      ])
  }

  @Test func `an empty store is compacted as well, and twice in a row`() async throws {
    let store = try place.open()
    for _ in 0..<3 { #expect(try await store.compact().records == 1) }
    try await fill(store, 0..<10)
    try expectRecords(store, 0..<10)
  }

  @Test func `readers and writers go on beside it and see whole batches only`() async throws {
    let store = try place.open()
    try await fill(store, 0..<300)
    func twins(_ number: Int) -> RecordBatch {
      RecordBatch(
        writes: [.put(RecordAddress(.tokens, "a"), value(number)), .put(RecordAddress(.tokens, "b"), value(number))])
    }
    try await store.commit(twins(0))
    let progress = Progress()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for reader in 0..<6 {
        group.addTask {
          let hot = store.makeHotReader()
          var before: UInt64 = 0
          repeat {
            before = try store.readTwins(since: before)
            let count = try "a".utf8.withContiguousStorageIfAvailable { key in
              try hot.withValue(of: .tokens, key: UnsafeRawBufferPointer(key)) { $0?.count }
            }
            #expect(count != .some(nil), "reader \(reader)")
            progress.reads.add(1, ordering: .relaxed)
            await Task.yield()
          } while !progress.done.load(ordering: .relaxed)
        }
      }
      group.addTask {
        for number in 1...200 { try await store.commit(twins(number)) }
      }
      group.addTask {
        defer { progress.done.store(true, ordering: .relaxed) }
        for _ in 0..<30 { _ = try await store.compact() }
      }
      try await group.waitForAll()
    }
    #expect(progress.reads.load(ordering: .relaxed) >= 6)
    #expect(try store.value(at: RecordAddress(.tokens, "a")) == value(200))
    try expectRecords(store, 0..<300)
  }

  @Test func `batches wait for it, and those that came before a close are committed`() async throws {
    let store = try place.open()
    try await fill(store, 0..<200)
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<50 {
        group.addTask {
          await #expect(throws: Never.self) {
            try await store.commit(RecordBatch(writes: [.put(RecordAddress(.jobs, "\(number)"), [1])]))
          }
        }
        if number % 10 == 0 { group.addTask { await #expect(throws: Never.self) { _ = try await store.compact() } } }
      }
    }
    #expect(try store.count(of: .jobs) == 50)
    store.close()
    await #expect(throws: StoreError.closed) { _ = try await store.compact() }
  }

  @Test func `while another process reads the store it is refused, and nothing has changed`() async throws {
    let store = try place.open()
    try await fill(store, 0..<100)
    let reader = try OtherProcess("read", place.path)
    #expect(try reader.line() == "reading")
    let inode = try FileManager.default.attributesOfItem(atPath: place.data)[.systemFileNumber] as? Int
    let failure = await #expect(throws: StoreError.self) { _ = try await store.compact() }
    #expect(failure?.sentence.contains("another process") == true, "\(String(describing: failure))")
    #expect(try FileManager.default.attributesOfItem(atPath: place.data)[.systemFileNumber] as? Int == inode)
    #expect(!FileManager.default.fileExists(atPath: place.data + ".new"))
    try await fill(store, 100..<120)
    reader.kill()
    _ = try await store.compact()
    try expectRecords(store, 0..<120)
  }

  @Test func `what an earlier attempt left behind is removed by the next start`() async throws {
    try place.open().close()
    _ = FileManager.default.createFile(atPath: place.data + ".new", contents: Data(repeating: 1, count: 10_000))
    let store = try place.open()
    #expect(!FileManager.default.fileExists(atPath: place.data + ".new"))
    _ = FileManager.default.createFile(atPath: place.data + ".new", contents: Data(repeating: 1, count: 10_000))
    _ = try await store.compact()
    #expect(!FileManager.default.fileExists(atPath: place.data + ".new"))
  }
}

@Suite struct `the store's limit` {
  let place: StorePlace

  init() throws { place = try StorePlace() }

  private static let limit = 4 << 20

  private func open() throws -> LMDBStore {
    var options = LMDBStore.Options()
    options.mapBytes = 1 << 20
    options.bytesMax = Self.limit
    return try LMDBStore.open(directory: place.path, options: options)
  }

  /// Writes until it is refused.
  private func fill(_ store: LMDBStore, _ table: Table, bytes: Int = 3000) async throws -> StoreError {
    for number in 0..<10_000 {
      let batch = RecordBatch(writes: [.put(RecordAddress(table, "\(number)"), [UInt8](repeating: 1, count: bytes))])
      do throws(StoreError) { try await store.commit(batch) } catch { return error }
    }
    throw TestProblem("never full")
  }

  private struct TestProblem: Error { init(_: String) {} }

  private func isNearlyFull(_ error: StoreError) -> Bool { if case .nearlyFull = error { true } else { false } }

  @Test func `caches are refused first, then everything but tokens, and tokens rotate at the limit`() async throws {
    let store = try open()
    let token = RecordAddress(.tokens, "token")
    try await store.commit(RecordBatch(writes: [.put(token, sealed(0, "first"))]))
    #expect(isNearlyFull(try await fill(store, .capabilities)))
    #expect((try store.facts()).bytesInUse <= Self.limit / 100 * 90)
    // Connections are still made.
    let refusal = try await fill(store, .connections)
    #expect(isNearlyFull(refusal))
    #expect(refusal.cure.contains("FHIRD_STORE_BYTES_MAX"))
    #expect((try store.facts()).bytesInUse > Self.limit / 100 * 90)
    #expect((try store.facts()).bytesInUse <= Self.limit / 100 * 95)
    for table: Table in [.capabilities, .jobs, .access, .audit] {
      await #expect(throws: StoreError.self) {
        try await store.commit(
          RecordBatch(writes: [.put(RecordAddress(table, "no"), [UInt8](repeating: 1, count: 20_000))]))
      }
    }
    // What is left is for logins under way and tokens: old ones are replaced, and new ones come until the very end.
    for generation in 1..<300 {
      try await store.commit(
        RecordBatch(
          conditions: [.init(token, Generation(generation - 1))],
          writes: [.put(token, sealed(Generation(generation), String(repeating: "t", count: 4000)))]))
    }
    guard case .full = try await fill(store, .tokens) else {
      Issue.record("not full")
      return
    }
    let file = try FileManager.default.attributesOfItem(atPath: place.data)[.size] as? Int ?? .max
    #expect(file <= Self.limit)
    #expect(try store.value(at: token).flatMap { SealedHeader($0)?.generation } == 299)
    // Deleting helps, and each kind comes back at its own mark.
    try await store.commit(RecordBatch(writes: [.deletePrefix(.connections, Array("1".utf8))]))
    try await store.commit(RecordBatch(writes: [.put(token, sealed(300))]))
    try await store.commit(
      RecordBatch(writes: [.deletePrefix(.capabilities, []), .deletePrefix(.tokens, Array("1".utf8))]))
    try await store.commit(RecordBatch(writes: [.put(RecordAddress(.capabilities, "again"), [1])]))
    _ = try await store.compact()
    #expect(try store.value(at: RecordAddress(.capabilities, "again")) == [1])
  }

  @Test func `a store that is above a limit that was lowered serves, rotates and deletes`() async throws {
    let large = try place.open()
    for number in 0..<400 {
      try await large.commit(
        RecordBatch(writes: [.put(RecordAddress(.connections, "\(number)"), [UInt8](repeating: 1, count: 20_000))]))
    }
    let token = RecordAddress(.tokens, "token")
    try await large.commit(RecordBatch(writes: [.put(token, sealed(0))]))
    large.close()
    let store = try open()
    #expect(try store.value(at: token) == sealed(0))
    for generation in 1..<50 {
      try await store.commit(RecordBatch(writes: [.put(token, sealed(Generation(generation)))]))
    }
    await #expect(throws: StoreError.self) {
      try await store.commit(RecordBatch(writes: [.put(RecordAddress(.connections, "new"), [1])]))
    }
    try await store.commit(RecordBatch(writes: [.deletePrefix(.connections, [])]))
    try await store.commit(RecordBatch(writes: [.put(RecordAddress(.connections, "new"), [1])]))
    #expect(try await store.compact().bytesAfter < Self.limit)
  }

  @Test(arguments: [
    ([Table.capabilities], RecordBatch.Purpose.cache), ([.connections, .grants], .ordinary), ([.pending], .essential),
    ([.grants, .tokens, .pending], .essential), ([.grants, .capabilities], .essential), ([.inflight], .essential),
    ([.capabilities, .audit], .ordinary), ([.keys], .ordinary), ([.meta], .essential), ([], .essential),
  ])
  func `a batch is for what its most important record is`(_ tables: [Table], _ purpose: RecordBatch.Purpose) {
    let writes = tables.map { RecordBatch.Write.put(RecordAddress($0, "k"), [1]) }
    #expect(RecordBatch(writes: writes + [.delete(RecordAddress(.connections, "k"))]).purpose == purpose)
    #expect(RecordBatch(writes: writes.reversed()).purpose == purpose)
  }
}
