/// The store over real files: records, pages, conditions, groups, growth, and its limit.
import ConnectionCore
import Foundation
import LMDBStore
import Synchronization
import Testing

@Suite struct `the store` {
  let place: StorePlace

  init() throws { place = try StorePlace() }

  @Test func `what was committed is read, also after reopening`() async throws {
    var store = try place.open()
    let address = RecordAddress(.grants, "a")
    try await store.commit(RecordBatch(writes: [.put(address, [1, 2, 3]), .put(RecordAddress(.grants, "empty"), [])]))
    #expect(try store.value(at: address) == [1, 2, 3])
    #expect(try store.value(at: RecordAddress(.grants, "empty")) == [])
    #expect(try store.value(at: RecordAddress(.tokens, "a")) == nil)
    store.close()
    #expect(throws: StoreError.closed) { try store.value(at: address) }
    await #expect(throws: StoreError.closed) { try await store.commit(RecordBatch()) }
    store = try place.open()
    #expect(try store.value(at: address) == [1, 2, 3])
    try await store.commit(RecordBatch(writes: [.delete(address), .delete(RecordAddress(.jobs, "never there"))]))
    #expect(try store.value(at: address) == nil)
    #expect(try store.count(of: .grants) == 1)
  }

  @Test func `values of every size come back as they were`() async throws {
    let store = try place.open()
    let sizes = [0, 1, 2_000, 2_040, 4_080, 4_096, 8_192, 100_000, 3_000_000]
    for size in sizes {
      let value = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try await store.commit(RecordBatch(writes: [.put(RecordAddress(.capabilities, "\(size)"), value)]))
      #expect(try store.value(at: RecordAddress(.capabilities, "\(size)")) == value)
    }
    store.close()
    #expect(try place.open().count(of: .capabilities) == sizes.count)
  }

  @Test func `a key has 1 to 511 bytes`() async throws {
    let store = try place.open()
    for count in [0, 512] {
      let address = RecordAddress(.grants, [UInt8](repeating: 1, count: count))
      await #expect(throws: StoreError.self) { try await store.commit(RecordBatch(writes: [.put(address, [])])) }
      #expect(throws: StoreError.self) { try store.value(at: address) }
    }
    let longest = RecordAddress(.grants, [UInt8](repeating: 255, count: 511))
    try await store.commit(RecordBatch(writes: [.put(longest, [1])]))
    #expect(try store.value(at: longest) == [1])
  }

  @Test func `a batch holds only while its records have the generations that the writer saw`() async throws {
    let store = try place.open()
    let address = RecordAddress(.grants, "g")
    let other = RecordAddress(.tokens, "g")
    try await store.commit(RecordBatch(conditions: [.init(address, nil)], writes: [.put(address, sealed(1))]))
    try await store.commit(RecordBatch(conditions: [.init(address, 1)], writes: [.put(address, sealed(2))]))
    for wrong: Generation? in [nil, 1, 3] {
      await #expect(throws: StoreError.conflict(.grants)) {
        try await store.commit(
          RecordBatch(
            conditions: [.init(other, nil), .init(address, wrong)], writes: [.put(other, [1]), .delete(address)]))
      }
    }
    #expect(try store.value(at: address) == sealed(2))
    #expect(try store.value(at: other) == nil)
  }

  @Test func `of many writers that saw the same generation one wins`() async throws {
    let store = try place.open()
    let address = RecordAddress(.grants, "g")
    try await store.commit(RecordBatch(writes: [.put(address, sealed(1))]))
    let winners = await withTaskGroup(of: Int?.self) { group in
      for writer in 0..<200 {
        group.addTask {
          let batch = RecordBatch(
            conditions: [.init(address, 1)],
            writes: [.put(address, sealed(2, "\(writer)")), .put(RecordAddress(.jobs, "\(writer)"), [1])])
          do throws(StoreError) { try await store.commit(batch) } catch {
            #expect(error == .conflict(.grants))
            return nil
          }
          return writer
        }
      }
      return await group.reduce(into: [Int]()) { if let winner = $1 { $0.append(winner) } }
    }
    #expect(winners.count == 1)
    #expect(try store.value(at: address) == sealed(2, "\(winners[0])"))
    #expect(try store.page(of: .jobs, prefix: [], after: nil, limit: 9).map(\.key) == [Array("\(winners[0])".utf8)])
  }

  @Test func `batches that arrive during a commit share the next one`() async throws {
    let store = try place.open()
    let before = try store.statistics().lastTransaction
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<1000 {
        group.addTask {
          let writes: [RecordBatch.Write] = [.put(RecordAddress(.jobs, "\(number)"), [1])]
          await #expect(throws: Never.self) { try await store.commit(RecordBatch(writes: writes)) }
        }
      }
    }
    let statistics = try store.statistics()
    #expect(statistics.recordCounts[.jobs] == 1000)
    #expect(statistics.lastTransaction - before < 500)
    #expect(statistics.lastTransaction > before)
  }

  @Test func `pages run in key order, after a key, within a prefix`() async throws {
    let store = try place.open()
    var batch = RecordBatch()
    for number in 0..<250 {
      batch.writes.append(.put(RecordAddress(.audit, "p\(number % 10)/\(number)"), [UInt8(number)]))
    }
    try await store.commit(batch)
    var keys: [[UInt8]] = []
    while true {
      let page = try store.page(of: .audit, prefix: [], after: keys.last, limit: 7)
      keys += page.map(\.key)
      if page.count < 7 { break }
    }
    #expect(keys.count == 250)
    #expect(keys == keys.sorted { $0.lexicographicallyPrecedes($1) })
    let prefix = Array("p3/".utf8)
    let inside = keys.filter { $0.starts(with: prefix) }
    #expect(try store.page(of: .audit, prefix: prefix, after: nil, limit: 100).map(\.key) == inside)
    #expect(try store.page(of: .audit, prefix: prefix, after: inside[4], limit: 3).map(\.key) == Array(inside[5..<8]))
    #expect(
      try store.page(of: .audit, prefix: prefix, after: Array("a".utf8), limit: 2).map(\.key) == Array(inside[..<2]))
    #expect(try store.page(of: .audit, prefix: prefix, after: Array("z".utf8), limit: 2).isEmpty)
    #expect(try store.page(of: .audit, prefix: prefix, after: nil, limit: 0).isEmpty)
    try await store.commit(RecordBatch(writes: [.deletePrefix(.audit, prefix)]))
    #expect(try store.count(of: .audit) == 250 - inside.count)
    #expect(try store.page(of: .audit, prefix: prefix, after: nil, limit: 1).isEmpty)
    try await store.commit(RecordBatch(writes: [.deletePrefix(.audit, [])]))
    #expect(try store.count(of: .audit) == 0)
  }

  @Test func `the format number cannot be overwritten or deleted`() async throws {
    let store = try place.open()
    let format = RecordAddress(.meta, "format")
    for write: RecordBatch.Write in [.put(format, [9]), .delete(format), .deletePrefix(.meta, Array("for".utf8))] {
      await #expect(throws: StoreError.self) { try await store.commit(RecordBatch(writes: [write])) }
    }
    try await store.probeWritable()
    #expect(try store.value(at: format) == [1, 0, 0, 0])
  }

  @Test func `the map grows by itself while readers read`() async throws {
    let store = try place.open(mapBytes: 256 << 10)
    let before = try store.statistics().mapBytes
    try await store.commit(RecordBatch(writes: [.put(RecordAddress(.tokens, "t"), sealed(0))]))
    let progress = Progress()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while !progress.done.load(ordering: .relaxed) {
          _ = try #require(try store.value(at: RecordAddress(.tokens, "t")))
          progress.reads.add(1, ordering: .relaxed)
        }
      }
      for number in 0..<300 {
        let value = [UInt8](repeating: UInt8(number & 255), count: 40_000)
        try await store.commit(RecordBatch(writes: [.put(RecordAddress(.capabilities, "\(number)"), value)]))
      }
      progress.done.store(true, ordering: .relaxed)
      try await group.waitForAll()
    }
    #expect(try store.statistics().mapBytes >= before * 32)
    #expect(progress.reads.load(ordering: .relaxed) > 0)
    for number in [0, 150, 299] {
      #expect(try store.value(at: RecordAddress(.capabilities, "\(number)"))?.first == UInt8(number & 255))
    }
  }

  @Test func `at the map's limit a batch fails whole and reads go on`() async throws {
    let store = try place.open(mapBytes: 1 << 20, mapBytesMax: 4 << 20)
    var written = 0
    var failure: StoreError?
    while failure == nil, written < 1000 {
      let writes: [RecordBatch.Write] = (0..<4).map {
        .put(RecordAddress(.capabilities, "\(written)/\($0)"), [UInt8](repeating: 1, count: 30_000))
      }
      do throws(StoreError) {
        try await store.commit(RecordBatch(writes: writes))
        written += 1
      } catch { failure = error }
    }
    guard case .full = failure else {
      Issue.record("not full: \(String(describing: failure))")
      return
    }
    #expect(try store.count(of: .capabilities) == written * 4)
    #expect(try store.value(at: RecordAddress(.capabilities, "0/0"))?.count == 30_000)
    // In one group with a batch that does not fit, one that fits is written.
    let large = RecordBatch(writes: [.put(RecordAddress(.audit, "large"), [UInt8](repeating: 2, count: 3 << 20))])
    let small = RecordBatch(writes: [.put(RecordAddress(.jobs, "small"), [1])])
    async let refused: StoreError? = #expect(throws: StoreError.self) { try await store.commit(large) }
    async let accepted: Never? = #expect(throws: Never.self) { try await store.commit(small) }
    _ = await (refused, accepted)
    #expect(try store.value(at: RecordAddress(.jobs, "small")) == [1])
    try await store.commit(RecordBatch(writes: [.deletePrefix(.capabilities, Array("0/".utf8))]))
    try await store.commit(RecordBatch(writes: [.put(RecordAddress(.jobs, "after"), [1])]))
    #expect(try store.value(at: RecordAddress(.jobs, "after")) == [1])
  }
}
