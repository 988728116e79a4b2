/// Callers at the gates of their servers: who waits, who is refused, and what is forgotten.
import ConnectionCore
import FHIRControl
import SMARTProtocol
import Synchronization
import Testing

/// Time that goes on when the test says so.
private final class HandClock: ConnectionCore.Clock {
  private struct Sleeper {
    let until: Instant
    let continuation: CheckedContinuation<Void, Never>
  }
  private struct State {
    var now = Instant(milliseconds: 1_000_000)
    var lastID = 0
    var sleepers: [Int: Sleeper] = [:]
    var cancelled: Set<Int> = []
  }
  private let state = Mutex(State())

  func now() -> Instant { state.withLock { $0.now } }
  func wall() -> Timestamp { Timestamp(milliseconds: 1_790_000_000_000) }
  var bootID: UInt64 { 1 }

  func pause(_ span: Instant.Span) async {
    let id = state.withLock { s in
      s.lastID += 1
      return s.lastID
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { s in
          if s.cancelled.contains(id) { return true }
          s.sleepers[id] = Sleeper(until: s.now + span, continuation: continuation)
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { s in
        s.cancelled.insert(id)
        return s.sleepers.removeValue(forKey: id)
      }?.continuation.resume()
    }
  }

  func advance(_ span: Instant.Span) {
    let due = state.withLock { s in
      s.now = s.now + span
      let due = s.sleepers.filter { $0.value.until <= s.now }
      for id in due.keys { s.sleepers[id] = nil }
      return due.values.map(\.continuation)
    }
    for continuation in due { continuation.resume() }
  }

  var sleepers: Int { state.withLock { $0.sleepers.count } }
}

private struct Place {
  let clock = HandClock()
  let gates: RequestGates
  let id = RequestGates.Place(ConnectionID(high: 1, low: 2), "https://fhir.example.org/r4")

  init() { gates = RequestGates(clock: clock) }

  func pass(_ fields: RequestFields? = nil, from caller: UInt64 = 1, within seconds: Double = 60) async throws
    -> RequestGates.Pass
  {
    try await gates.pass(
      id, from: caller, limits: .init(fields),
      deadline: clock.now() + .milliseconds(Int64(seconds * 1000)))
  }

  func refusal(from caller: UInt64 = 1, within seconds: Double = 60) async -> ControlError? {
    do {
      let pass = try await pass(from: caller, within: seconds)
      await gates.finished(pass)
      return nil
    } catch { return error as? ControlError }
  }

  /// Lets everything that can happen now happen.
  func settled(_ isSo: () async -> Bool) async throws {
    for _ in 0..<100_000 where await !isSo() { await Task.yield() }
    try #require(await isSo())
  }
}

@Suite struct RequestGatesTests {
  @Test func `who may go goes at once, and a gate that nobody needs is forgotten`() async throws {
    let place = Place()
    let first = try await place.pass()
    let second = try await place.pass()
    #expect(first.waited == .zero && second.waited == .zero)
    #expect(await place.gates.count == 1)
    await place.gates.finished(first)
    #expect(await place.gates.count == 1)
    await place.gates.finished(second)
    #expect(await place.gates.count == 0)
    // Twice says nothing more.
    await place.gates.finished(second)
    #expect(await place.gates.count == 0 && place.clock.sleepers == 0)
  }

  @Test func `the next one goes when a place is given back`() async throws {
    let place = Place()
    let one = RequestFields(concurrency: 1)
    let first = try await place.pass(one)
    let waiting = Task { try await place.pass(one) }
    try await place.settled { await place.gates.waitingCount(at: place.id) == 1 }
    place.clock.advance(.seconds(7))
    await place.gates.finished(first)
    let second = try await waiting.value
    #expect(second.waited == .seconds(7))
    await place.gates.finished(second)
    #expect(await place.gates.count == 0)
  }

  @Test func `who is cancelled leaves the queue, also before it came`() async throws {
    let place = Place()
    let one = RequestFields(concurrency: 1)
    let first = try await place.pass(one)
    let waiting = Task { try await place.pass(one) }
    try await place.settled { await place.gates.waitingCount(at: place.id) == 1 }
    waiting.cancel()
    await #expect(throws: ControlError.self) { try await waiting.value }
    let early = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await place.pass(one)
    }
    await #expect(throws: ControlError.self) { try await early.value }
    #expect(await place.gates.waitingCount(at: place.id) == 0)
    await place.gates.finished(first)
    #expect(await place.gates.count == 0)
  }

  @Test func `a rate is kept by an alarm, and remembered until the burst is there again`() async throws {
    let place = Place()
    let slow = RequestFields(perSecond: 2, burst: 1)
    await place.gates.finished(try await place.pass(slow))
    #expect(await place.gates.count == 1)
    let waiting = Task { try await place.pass(slow) }
    try await place.settled { await place.gates.waitingCount(at: place.id) == 1 && place.clock.sleepers > 0 }
    place.clock.advance(.milliseconds(500))
    let second = try await waiting.value
    #expect(second.waited == .milliseconds(500))
    await place.gates.finished(second)
    try await place.settled { place.clock.sleepers == 1 }
    place.clock.advance(.milliseconds(500))
    try await place.settled { await place.gates.count == 0 }
  }

  @Test func `R9.11 a pause holds for everybody, and whoever has not that long hears so at once`() async throws {
    let place = Place()
    let first = try await place.pass()
    await place.gates.finished(first, pause: .seconds(10))
    let late = try #require(await place.refusal(within: 9))
    #expect(late.data.code == .fhirRateLimited && late.data.retryAfterSeconds == 10)
    place.clock.advance(.seconds(10))
    #expect(await place.refusal(within: 1) == nil)
    // What the refusal has taught is remembered for a while.
    #expect(await place.gates.count == 1)
    try await place.settled { place.clock.sleepers == 1 }
    place.clock.advance(.seconds(30))
    try await place.settled { await place.gates.count == 0 }
  }

  @Test func `who waits already hears of a pause that is too long`() async throws {
    let place = Place()
    let one = RequestFields(concurrency: 1)
    let first = try await place.pass(one)
    let hasty = Task { try await place.pass(one, from: 1, within: 5) }
    let patient = Task { try await place.pass(one, from: 2, within: 60) }
    try await place.settled { await place.gates.waitingCount(at: place.id) == 2 }
    await place.gates.finished(first, pause: .seconds(30))
    await #expect(throws: ControlError.self) { try await hasty.value }
    try await place.settled { place.clock.sleepers == 1 }
    place.clock.advance(.seconds(30))
    let second = try await patient.value
    #expect(second.waited == .seconds(30))
    await place.gates.finished(second)
    try await place.settled { place.clock.sleepers == 1 }
    place.clock.advance(.seconds(30))
    try await place.settled { await place.gates.count == 0 }
  }

  @Test func `the queue has an end`() async throws {
    let place = Place()
    let one = RequestFields(concurrency: 1)
    let first = try await place.pass(one)
    let waiting = (0..<RequestGates.waitingMax).map { _ in Task { try await place.pass(one) } }
    try await place.settled { await place.gates.waitingCount(at: place.id) == RequestGates.waitingMax }
    let refused = Task { () -> ControlError? in
      do {
        _ = try await place.pass(one)
        return nil
      } catch { return error as? ControlError }
    }
    let error = try #require(await refused.value)
    #expect(error.data.code == .overloaded && error.data.retryAfterSeconds == 1)
    for task in waiting { task.cancel() }
    try await place.settled { await place.gates.waitingCount(at: place.id) == 0 }
    await place.gates.finished(first)
    #expect(await place.gates.count == 0)
  }
}
