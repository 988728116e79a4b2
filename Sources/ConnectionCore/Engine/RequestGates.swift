/// The gates of all connections: a FHIR request waits here for its turn at its server. `RequestGate` decides who goes;
/// here are the callers who wait, and the time.
package import FHIRControl
import FHIRInteraction
package import SMARTProtocol

package actor RequestGates {
  /// Requests that may wait for one server: a quarter of what all clients may have under way, so that a server that does
  /// not answer leaves room for the others.
  package static let waitingMax = 1024
  /// One sleep of an alarm. Sleeps stop while the machine is suspended, the boot clock does not: who sleeps looks again.
  private static let sleepMax = Instant.Span.seconds(60)
  /// What a caller who found the queue full is told to wait, in seconds.
  private static let overloadedSeconds: Double = 1

  /// Whose gate. A connection that moves to another server leaves the old one's pause behind.
  package struct Place: Sendable, Hashable {
    package let connection: ConnectionID
    package let baseURL: String
    package init(_ connection: ConnectionID, _ baseURL: String) {
      self.connection = connection
      self.baseURL = baseURL
    }
  }

  /// A request that was let through; `finished` gives its place back.
  package struct Pass: Sendable {
    fileprivate let place: Place
    fileprivate let ticket: UInt64
    /// How long it stood in the queue.
    package let waited: Instant.Span
  }

  /// How much of a server a connection's requests may take.
  package struct Limits: Sendable, Hashable {
    /// At once, where the connection says nothing: what servers are used to from a browser, with some room.
    package static let concurrencyDefault = 8

    fileprivate let gate: RequestGate.Limits

    package init(_ fields: RequestFields?) {
      // As many as go in a second may go at once after a quiet time.
      let burst = fields?.burst ?? fields?.perSecond.map { Int($0.rounded(.up)) } ?? 1
      gate = RequestGate.Limits(
        perSecond: fields?.perSecond, burst: burst, inFlight: fields?.concurrency ?? Self.concurrencyDefault,
        waiting: waitingMax)
    }
  }

  private struct Waiter {
    let caller: UInt64
    let deadline: Instant
    let continuation: CheckedContinuation<Result<Void, ControlError>, Never>
  }

  private struct Alarm {
    let at: Instant
    let task: Task<Void, Never>
  }

  private struct Entrance {
    var gate: RequestGate
    var limits: RequestGate.Limits
    var waiters: [UInt64: Waiter] = [:]
    var alarm: Alarm?
  }

  private let clock: any Clock
  private var entrances: [Place: Entrance] = [:]
  private var lastTicket: UInt64 = 0

  package init(clock: any Clock) { self.clock = clock }

  /// Gates that are kept: connections with requests under way or waiting, and those that must remember a pause or a rate.
  package var count: Int { entrances.count }

  package func waitingCount(at place: Place) -> Int { entrances[place]?.gate.waitingCount ?? 0 }

  /// Returns when the request may go. Cancelling the task takes it out of the queue.
  /// - Parameters:
  ///   - caller: whose turn it takes.
  ///   - deadline: a pause of the server's that ends later is an error at once. The control server cancels at it.
  package func pass(
    _ place: Place, from caller: UInt64, limits: Limits, deadline: Instant
  ) async throws(ControlError) -> Pass {
    let start = clock.now()
    var entrance = entrances[place] ?? Entrance(gate: RequestGate(limits.gate, at: start), limits: limits.gate)
    if entrance.limits != limits.gate {
      entrance.limits = limits.gate
      entrance.gate.changed(to: limits.gate, at: start)
    }
    if let until = entrance.gate.pause(at: start), until > deadline { throw Self.paused(until, start) }
    lastTicket += 1
    let ticket = lastTicket
    guard entrance.gate.arrived(ticket, from: caller) else {
      throw ControlError(
        .overloaded, "\(Self.waitingMax) requests wait for this connection's server already",
        hint: "ask less at a time", retryAfterSeconds: Self.overloadedSeconds)
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        entrance.waiters[ticket] = Waiter(caller: caller, deadline: deadline, continuation: continuation)
        entrances[place] = entrance
        step(place)
      }
    } onCancel: {
      Task { await self.left(place, ticket) }
    }
    try outcome.get()
    let pass = Pass(place: place, ticket: ticket, waited: clock.now() - start)
    // Let through in the moment in which its caller left.
    guard !Task.isCancelled else {
      finished(pass)
      throw Self.ended
    }
    return pass
  }

  /// The request is over, however it ended: its answer is whole, or there is none.
  /// - Parameter pause: what the server asked for with it; it holds for every request of the connection.
  package func finished(_ pass: Pass, pause: Instant.Span? = nil) {
    guard var entrance = entrances[pass.place] else { return }
    let now = clock.now()
    entrance.gate.finished(pass.ticket, isThrottled: pause != nil, at: now)
    if let pause {
      let until = now + pause
      entrance.gate.paused(until: until)
      for (ticket, waiter) in entrance.waiters where waiter.deadline < until {
        entrance.gate.left(ticket, from: waiter.caller)
        entrance.waiters[ticket] = nil
        waiter.continuation.resume(returning: .failure(Self.paused(until, now)))
      }
    }
    entrances[pass.place] = entrance
    step(pass.place)
  }

  private func left(_ place: Place, _ ticket: UInt64) {
    // Let through or refused meanwhile: who asked for it gives the place back.
    guard let waiter = entrances[place]?.waiters.removeValue(forKey: ticket) else { return }
    entrances[place]?.gate.left(ticket, from: waiter.caller)
    waiter.continuation.resume(returning: .failure(Self.ended))
    step(place)
  }

  /// Lets through who may go, and sets the alarm for who comes next.
  private func step(_ place: Place) {
    guard var entrance = entrances[place] else { return }
    let now = clock.now()
    let (go, next) = entrance.gate.due(at: now)
    for ticket in go { entrance.waiters.removeValue(forKey: ticket)?.continuation.resume(returning: .success(())) }
    let rested = entrance.gate.rested(at: now)
    if let rested, rested <= now {
      // A new one would do the same.
      entrance.alarm?.task.cancel()
      entrances[place] = nil
      return
    }
    let at = next ?? rested
    if entrance.alarm?.at != at {
      entrance.alarm?.task.cancel()
      entrance.alarm = at.map { at in
        let sleep = min(at - now, Self.sleepMax)
        return Alarm(
          at: at,
          task: Task { [clock] in
            await clock.pause(sleep)
            if !Task.isCancelled { self.rang(place, at) }
          })
      }
    }
    entrances[place] = entrance
  }

  private func rang(_ place: Place, _ at: Instant) {
    guard entrances[place]?.alarm?.at == at else { return }  // one that was replaced in its last moment
    entrances[place]?.alarm = nil
    step(place)
  }

  private static func paused(_ until: Instant, _ now: Instant) -> ControlError {
    let seconds = (until - now).seconds.rounded(.up)
    return ControlError(
      .fhirRateLimited, "the server asked to be left alone for another \(Int(seconds)) s",
      hint: "wait, and ask less at a time", retryAfterSeconds: seconds)
  }

  private static let ended = ControlError(.timeout, "the request ended before its turn came")
}

extension Caller {
  /// Who takes turns with whom: a process.
  var turn: UInt64 { UInt64(uid) << 32 | UInt64(UInt32(bitPattern: pid)) }
}
