/// Executors, timers and signals: what an actor on one of our threads may count on.
import Foundation
import Glibc
import TestSupport
import Testing

@testable import DispatchSupport

/// Looks again until it holds; false after ten seconds.
private func eventually(_ condition: @Sendable () async -> Bool) async -> Bool {
  let end = bootMilliseconds() + 10_000
  while bootMilliseconds() < end {
    if await condition() { return true }
    try? await Task.sleep(for: .milliseconds(2))  // the pace of a poll with a deadline
  }
  return false
}

private actor QueueCounter {
  private let executor = QueueExecutor(label: "test.counter")
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  private var timer: QueueTimer?
  private var signal: SignalSource?
  private(set) var ticks = 0

  func makeTimer() throws {
    timer = try QueueTimer(on: executor) { [weak self] in self?.assumeIsolated { $0.ticks += 1 } }
  }
  func arm(after milliseconds: Int64) { timer?.arm(afterMilliseconds: milliseconds) }
  func disarm() { timer?.disarm() }
  func catchSignal(_ number: Int32) throws {
    signal = try SignalSource(number, on: executor) { [weak self] in self?.assumeIsolated { $0.ticks += 1 } }
  }
}

@Suite struct QueueTests {
  @Test func `a timer tells its actor once and can be armed again`() async throws {
    let counter = QueueCounter()
    try await counter.makeTimer()
    await counter.arm(after: 1)
    #expect(await eventually { await counter.ticks == 1 })
    await counter.arm(after: 1)
    #expect(await eventually { await counter.ticks == 2 })
  }

  @Test func `a timer whose time has passed tells at once`() async throws {
    let counter = QueueCounter()
    try await counter.makeTimer()
    await counter.arm(after: -5)
    #expect(await eventually { await counter.ticks == 1 })
  }

  @Test func `moving a deadline replaces it, and a disarmed timer is silent`() async throws {
    let moved = QueueCounter()
    let disarmed = QueueCounter()
    for counter in [moved, disarmed] { try await counter.makeTimer() }
    await moved.arm(after: 30_000)
    await disarmed.arm(after: 20)
    await disarmed.disarm()
    await moved.arm(after: 60)
    #expect(await eventually { await moved.ticks == 1 })
    #expect(await disarmed.ticks == 0)
  }

  @Test func `a signal becomes an event and its default action is gone`() async throws {
    let counter = QueueCounter()
    try await counter.catchSignal(SIGUSR2)
    kill(getpid(), SIGUSR2)
    #expect(await eventually { await counter.ticks >= 1 })
  }
}

private actor LoopCounter {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
  private(set) var turns = 0
  private(set) var tokens: [UInt64] = []
  private(set) var value = 0
  private var deadline: Int64?

  init() throws { loop = try EventLoop(name: "test.loop") }

  func start() {
    loop.setTurn { [weak self] ready in self?.assumeIsolated { $0.turn(ready) } ?? nil }
  }
  func add() { value += 1 }
  func wantTurn(afterMilliseconds delay: Int64) { deadline = bootMilliseconds() + delay }
  var threadName: String {
    let comm = (try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)) ?? ""
    return String(comm.prefix { $0 != "\n" })
  }

  private func turn(_ ready: Span<EventLoop.Ready>) -> Int64? {
    turns += 1
    for i in ready.indices {
      tokens.append(ready[i].token)
      // Level-triggered: it would come again for ever.
      var byte: UInt8 = 0
      read(Int32(ready[i].token), &byte, 1)
    }
    if let deadline, deadline > bootMilliseconds() { return deadline }
    deadline = nil
    return nil
  }
}

@Suite struct EventLoopTests {
  @Test func `an actor lives on the loop's own thread`() async throws {
    let counter = try LoopCounter()
    await counter.start()
    #expect(await counter.threadName == "test.loop")
  }

  @Test func `jobs from many tasks all run, one at a time`() async throws {
    let counter = try LoopCounter()
    await counter.start()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 { group.addTask { for _ in 0..<2000 { await counter.add() } } }
    }
    #expect(await counter.value == 16_000)
  }

  @Test func `readiness comes with the token it was asked with`() async throws {
    let counter = try LoopCounter()
    await counter.start()
    var pipe: [Int32] = [0, 0]
    #expect(Glibc.pipe(&pipe) == 0)
    let ends = pipe
    defer { ends.forEach { close($0) } }
    try counter.loop.add(ends[0], .input, token: UInt64(ends[0]))
    #expect(write(ends[1], "x", 1) == 1)
    #expect(await eventually { await counter.tokens == [UInt64(ends[0])] })
    try counter.loop.remove(ends[0])
  }

  @Test func `a turn comes at the time it asked for`() async throws {
    let counter = try LoopCounter()
    await counter.start()
    await counter.wantTurn(afterMilliseconds: 20)
    let before = await counter.turns
    // Nothing happens in between, so one more turn can only be the deadline's.
    #expect(await eventually { await counter.turns > before + 1 })
  }

  private static func threads(named name: String) -> Int {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return tasks.filter {
      (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)) == "\(name)\n"
    }.count
  }

  @Test func `the thread of a loop carries its name and ends with it`() async throws {
    var loop: EventLoop? = try EventLoop(name: "test.ending")
    #expect(await eventually { Self.threads(named: "test.ending") == 1 })
    loop = nil
    #expect(loop == nil)
    #expect(await eventually { Self.threads(named: "test.ending") == 0 })
  }
}
