/// The store after `kill -9` at any moment, and its readers beside a writer.
import ConnectionCore
import Foundation
import LMDBStore
import Synchronization
import Testing

/// What the helper writes: see Tests/StoreTortureHelper.
private let lanes = 0..<4
private let kept = 20

private func value(_ lane: Int, _ number: Int, _ part: Int) -> [UInt8] {
  let seed = UInt8(truncatingIfNeeded: lane &* 31 &+ number &* 7 &+ part)
  return (0..<(number * 7919 % 9_000 + part * 13)).map { seed &+ UInt8(truncatingIfNeeded: $0) }
}

@Suite struct `the store under kill -9` {
  private static var runs: Int { ProcessInfo.processInfo.environment["FHIRD_KILL_RUNS"].flatMap(Int.init) ?? 40 }

  @Test(.timeLimit(.minutes(10)), arguments: ["torture", "compact"])
  func `every acknowledged batch is there, and every batch is whole`(_ mode: String) throws {
    let place = try StorePlace()
    var random = SystemRandomNumberGenerator()
    var last = lanes.map { _ in 0 }
    var compactions = 0
    func note(_ line: String) {
      if line == "compacted" { compactions += 1 } else { self.note(line, &last) }
    }
    for run in 0..<Self.runs {
      let writer = try OtherProcess(mode, place.path)
      // A kill before the first answer, too: while the store is made or opened.
      let answers = run % 8 == 0 ? 0 : Int.random(in: 1...120, using: &random)
      for _ in 0..<answers { note(try #require(try writer.line())) }
      // Where in a commit the kill falls is the point of the test, so it is left to chance.
      usleep(UInt32.random(in: 0...20_000, using: &random))  // a random moment to kill at
      writer.kill()
      while let line = try writer.line() { note(line) }
      try check(place, &last, run)
    }
    #expect(last.allSatisfy { $0 > 0 })
    #expect((compactions > 0) == (mode == "compact"))
  }

  private func note(_ line: String, _ last: inout [Int]) {
    let numbers = line.split(separator: " ").compactMap { Int($0) }
    guard numbers.count == 2 else {
      Issue.record("the helper said: \(line)")
      return
    }
    #expect(numbers[1] == last[numbers[0]] + 1)
    last[numbers[0]] = numbers[1]
  }

  /// A batch that was under way may be there or not, but whole; the next run continues after it.
  private func check(_ place: StorePlace, _ last: inout [Int], _ run: Int) throws {
    let store = try place.open()
    defer { store.close() }
    #expect(!FileManager.default.fileExists(atPath: place.data + ".new"), "run \(run)")
    for lane in lanes {
      let stored =
        try store.value(at: RecordAddress(.jobs, "\(lane)")).flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
      #expect(stored == last[lane] || stored == last[lane] + 1, "run \(run), lane \(lane): \(stored), \(last[lane])")
      last[lane] = stored
      let there = max(1, stored - kept + 1)...max(1, stored)
      for number in there where stored > 0 {
        for part in 0..<3 {
          let found = try store.value(at: RecordAddress(.tokens, "\(lane)/\(number)/\(part)"))
          #expect(found == value(lane, number, part), "run \(run): \(lane)/\(number)/\(part)")
        }
      }
      let count = try store.page(of: .tokens, prefix: Array("\(lane)/".utf8), after: nil, limit: 1000).count
      #expect(count == min(stored, kept) * 3)
    }
  }
}

@Suite struct `the store's readers` {
  let place: StorePlace

  init() throws { place = try StorePlace() }

  private func read(_ reader: HotReader, _ address: RecordAddress) throws(StoreError) -> [UInt8]? {
    var result: Result<[UInt8]?, StoreError> = .success(nil)
    address.key.withUnsafeBytes { key in
      do throws(StoreError) {
        result = .success(try reader.withValue(of: address.table, key: key) { $0.map { [UInt8]($0) } })
      } catch { result = .failure(error) }
    }
    return try result.get()
  }

  @Test func `the hot reader sees each commit, also after the map has grown`() async throws {
    let store = try place.open(mapBytes: 256 << 10)
    let reader = store.makeHotReader()
    let address = RecordAddress(.tokens, "t")
    #expect(try read(reader, address) == nil)
    for number in 0..<100 {
      let value = sealed(UInt64(number), String(repeating: "x", count: number * 500))
      try await store.commit(
        RecordBatch(writes: [.put(address, value), .put(RecordAddress(.audit, "\(number)"), value)]))
      #expect(try read(reader, address) == value)
      #expect(try store.value(at: address) == value)
    }
    #expect(try store.statistics().mapBytes > 2 << 20)
    try await store.commit(RecordBatch(writes: [.delete(address)]))
    #expect(try read(reader, address) == nil)
    store.close()
    #expect(throws: StoreError.closed) { try read(reader, address) }
  }

  @Test func `a reader outlives the store`() async throws {
    var store: LMDBStore? = try place.open()
    let reader = try #require(store).makeHotReader()
    #expect(try read(reader, RecordAddress(.meta, "format")) == [1, 0, 0, 0])
    store = nil
    #expect(throws: StoreError.closed) { try read(reader, RecordAddress(.meta, "format")) }
    #expect(place.openFailure() == nil)
  }

  @Test func `readers hold no pages back`() async throws {
    let store = try place.open()
    let readers = (0..<8).map { _ in store.makeHotReader() }
    var used = 0
    for round in 0..<200 {
      try await store.commit(
        RecordBatch(writes: [.put(RecordAddress(.tokens, "t"), [UInt8](repeating: UInt8(round), count: 50_000))]))
      for reader in readers { #expect(try read(reader, RecordAddress(.tokens, "t"))?.first == UInt8(round)) }
      if round == 20 { used = try store.statistics().usedBytes }
    }
    #expect(try store.statistics().usedBytes <= used)
  }

  @Test func `many readers beside a writer see whole batches only`() async throws {
    let store = try place.open(mapBytes: 512 << 10)
    let progress = Progress()
    try await store.commit(twins(0))
    let rounds = 400
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<16 {
        group.addTask {
          var before: UInt64 = 0
          repeat {
            before = try store.readTwins(since: before)
            progress.reads.add(1, ordering: .relaxed)
            await Task.yield()
          } while !progress.done.load(ordering: .relaxed)
        }
      }
      group.addTask {
        defer { progress.done.store(true, ordering: .relaxed) }
        for number in 1...rounds { try await store.commit(twins(number)) }
      }
      try await group.waitForAll()
    }
    #expect(progress.reads.load(ordering: .relaxed) >= 16)
    #expect(try store.count(of: .audit) == rounds + 1)
  }
}

/// One value under two keys, and a growing rest.
private func twins(_ number: Int) -> RecordBatch {
  let value = sealed(UInt64(number), String(repeating: "\(number % 10)", count: number * 97 % 5000))
  return RecordBatch(
    writes: [
      .put(RecordAddress(.tokens, "a"), value), .put(RecordAddress(.tokens, "b"), value),
      .put(RecordAddress(.audit, "\(number)"), value),
    ])
}
