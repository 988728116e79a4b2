/// Who goes when, through a connection's gate.
import FHIRInteraction
import SMARTProtocol
import TestSupport
import Testing

private func at(_ milliseconds: Int64) -> Instant { Instant(milliseconds: 5_000_000 + milliseconds) }

private func gate(_ limits: RequestGate.Limits) -> RequestGate { RequestGate(limits, at: at(0)) }

@Suite struct RequestGateTests {
  @Test func `no more than so many are on their way`() {
    var gate = gate(.init(inFlight: 2))
    for ticket in 1...3 { #expect(gate.arrived(UInt64(ticket), from: 1) == true) }
    #expect(gate.due(at: at(0)).go == [1, 2])
    #expect(gate.due(at: at(0)).go == [])
    #expect(gate.due(at: at(0)).next == nil)
    gate.finished(1, at: at(0))
    #expect(gate.due(at: at(1)).go == [3])
    #expect(gate.runningCount == 2 && gate.waitingCount == 0)
  }

  @Test func `so many go in a second, after a burst`() {
    var gate = gate(.init(perSecond: 2, burst: 3, inFlight: 100))
    for ticket in 1...6 { _ = gate.arrived(UInt64(ticket), from: 1) }
    let first = gate.due(at: at(0))
    #expect(first.go == [1, 2, 3] && first.next == at(500))
    #expect(gate.due(at: at(499)).go == [])
    #expect(gate.due(at: at(500)).go == [4])
    #expect(gate.due(at: at(1500)).go == [5, 6])
    // A quiet hour saves up no more than the burst.
    for ticket in 7...12 { _ = gate.arrived(UInt64(ticket), from: 1) }
    #expect(gate.due(at: at(3_600_000)).go == [7, 8, 9])
  }

  @Test func `callers take turns, however much one of them wants`() {
    var gate = gate(.init(inFlight: 1))
    for ticket in 1...4 { _ = gate.arrived(UInt64(ticket), from: 1) }
    _ = gate.arrived(10, from: 2)
    _ = gate.arrived(20, from: 3)
    var order: [UInt64] = []
    while let ticket = gate.due(at: at(0)).go.first {
      order.append(ticket)
      gate.finished(ticket, at: at(0))
    }
    #expect(order == [1, 10, 20, 2, 3, 4])
  }

  @Test func `R9.11 a pause that the server asked for holds for everybody`() {
    var gate = gate(.init())
    _ = gate.arrived(1, from: 1)
    gate.paused(until: at(5000))
    gate.paused(until: at(1000))
    _ = gate.arrived(2, from: 2)
    let held = gate.due(at: at(4999))
    #expect(held.go == [] && held.next == at(5000))
    #expect(gate.due(at: at(5000)).go == [1, 2])
  }

  @Test func `who left does not go, and who went is not called back`() {
    var gate = gate(.init(inFlight: 1))
    for ticket in 1...3 { _ = gate.arrived(UInt64(ticket), from: 1) }
    _ = gate.arrived(9, from: 2)
    gate.left(2, from: 1)
    #expect(gate.due(at: at(0)).go == [1])
    gate.left(1, from: 1)
    gate.left(9, from: 2)
    #expect(gate.runningCount == 1 && gate.waitingCount == 1)
    _ = gate.arrived(10, from: 2)
    gate.finished(1, at: at(0))
    #expect(gate.due(at: at(0)).go == [10])
    gate.finished(10, at: at(0))
    #expect(gate.due(at: at(0)).go == [3])
  }

  @Test func `the queue is bounded, and a ticket waits once`() {
    var gate = gate(.init(inFlight: 1, waiting: 2))
    #expect(gate.arrived(1, from: 1) == true)
    #expect(gate.arrived(1, from: 1) == false)
    #expect(gate.arrived(2, from: 1) == true)
    #expect(gate.arrived(3, from: 2) == false)
    #expect(gate.due(at: at(0)).go == [1])
    #expect(gate.arrived(1, from: 1) == false)
    #expect(gate.arrived(3, from: 2) == true)
  }

  @Test func `limits may change, and time may stand still or go back`() {
    var gate = gate(.init(perSecond: 1, burst: 1, inFlight: 1))
    for ticket in 1...5 { _ = gate.arrived(UInt64(ticket), from: 1) }
    #expect(gate.due(at: at(0)).go == [1])
    gate.changed(to: .init(inFlight: 3), at: at(0))
    #expect(gate.due(at: at(-1000)).go == [2, 3])
    gate.changed(to: .init(perSecond: .nan, burst: 0, inFlight: 0), at: at(0))
    gate.finished(1, at: at(0))
    gate.finished(2, at: at(0))
    gate.finished(3, at: at(0))
    #expect(gate.due(at: at(2000)).go.count <= 1)
  }

  @Test func `a gate that has rested does the same as a new one`() {
    var gate = gate(.init(perSecond: 2, burst: 4, inFlight: 4))
    #expect(gate.rested(at: at(0)) == at(0))
    for ticket in 1...4 { _ = gate.arrived(UInt64(ticket), from: 1) }
    #expect(gate.rested(at: at(0)) == nil)
    #expect(gate.due(at: at(0)).go.count == 4)
    for ticket in 1...3 { gate.finished(UInt64(ticket), at: at(0)) }
    #expect(gate.rested(at: at(100)) == nil)
    gate.finished(4, at: at(0))
    #expect(gate.rested(at: at(100)) == at(2000))
    gate.paused(until: at(9000))
    #expect(gate.rested(at: at(100)) == at(9000) && gate.pause(at: at(8999)) == at(9000))
    #expect(gate.pause(at: at(9000)) == nil)
  }

  @Test func `R9.11 refusals teach a pace, successes take it away again`() {
    var gate = gate(.init(inFlight: 8))
    for ticket in 1...40 { _ = gate.arrived(UInt64(ticket), from: 1) }
    #expect(gate.due(at: at(0)).go == [1, 2, 3, 4, 5, 6, 7, 8])
    gate.finished(1, at: at(10))
    // Seven at once say one thing.
    for ticket: UInt64 in 2...8 {
      gate.finished(ticket, isThrottled: true, at: at(10))
      gate.paused(until: at(1010))
    }
    #expect(gate.due(at: at(1009)).go == [])
    #expect(gate.due(at: at(1010)).go == [9])
    #expect(gate.due(at: at(1010)).next == at(1110))
    #expect(gate.due(at: at(1110)).go == [10])
    gate.finished(10, isThrottled: true, at: at(1120))
    #expect(gate.due(at: at(1309)).go == [])
    #expect(gate.due(at: at(1310)).go == [11], "twice as slow")
    // Forty successes later there is nothing left of it.
    gate.finished(9, at: at(1310))
    var now: Int64 = 1310
    var ticket: UInt64 = 11
    while ticket < 40 {
      gate.finished(ticket, at: at(now))
      ticket += 1
      let next = gate.due(at: at(now))
      if next.go.isEmpty, let due = next.next {
        now = (due - at(0)).milliseconds
        #expect(gate.due(at: at(now)).go == [ticket])
      }
    }
    for ticket: UInt64 in 41...48 { _ = gate.arrived(ticket, from: 1) }
    gate.finished(40, at: at(now))
    #expect(gate.due(at: at(now)).go.count == 8)
  }

  @Test func `nobody is lost or let through twice, whatever happens`() {
    var mutator = Mutator(seed: 5)
    for _ in 0..<200 {
      var gate = gate(.init(perSecond: mutator.below(2) == 0 ? nil : 50, burst: 2, inFlight: 3, waiting: 20))
      var waiting: [UInt64: UInt64] = [:]
      var running: Set<UInt64> = []
      var gone: Set<UInt64> = []
      var now: Int64 = 0
      for step in 0..<200 {
        now += Int64(mutator.below(30))
        switch mutator.below(5) {
        case 0, 1:
          let (ticket, caller) = (UInt64(step), UInt64(mutator.below(4)))
          if gate.arrived(ticket, from: caller) { waiting[ticket] = caller }
        case 2: if let ticket = running.min() { running.remove(ticket); gate.finished(ticket, at: at(0)) }
        case 3:
          if let ticket = waiting.keys.min(), let caller = waiting.removeValue(forKey: ticket) {
            gate.left(ticket, from: caller)
          }
        default: if mutator.below(10) == 0 { gate.paused(until: at(now + 100)) }
        }
        for ticket in gate.due(at: at(now)).go {
          #expect(waiting.removeValue(forKey: ticket) != nil)
          #expect(gone.insert(ticket).inserted == true)
          running.insert(ticket)
        }
        #expect(gate.waitingCount == waiting.count && gate.runningCount == running.count && running.count <= 3)
      }
    }
  }
}
