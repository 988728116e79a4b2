/// Lets a connection's requests through: so many per second, so many at once, each caller in its turn, and nobody while
/// the server asked for a pause. Pure: the caller brings the time.
package import SMARTProtocol

package struct RequestGate: Sendable {
  package typealias Ticket = UInt64
  /// Who waits: requests of one caller go one after the other, callers take turns.
  package typealias Caller = UInt64

  package struct Limits: Sendable, Hashable {
    /// nil: no limit but the server's own.
    package var perSecond: Double?
    /// That may go at once after a quiet time.
    package var burst: Int
    package var inFlight: Int
    /// That may wait; the next one is refused.
    package var waiting: Int
    package init(perSecond: Double? = nil, burst: Int = 10, inFlight: Int = 8, waiting: Int = 10_000) {
      // A rate of nothing would be a gate that never opens; a thousandth is one request in a quarter of an hour.
      self.perSecond = perSecond.map { $0.isNaN ? 1 : min(max($0, 0.001), 1_000_000) }
      self.burst = max(1, burst)
      self.inFlight = max(1, inFlight)
      self.waiting = max(0, waiting)
    }
  }

  private var limits: Limits
  /// Requests that may start now, in parts of one.
  private var tokens: Double
  private var filledAt: Instant
  private var pausedUntil: Instant?
  /// Since when.
  private var running: [Ticket: Instant] = [:]
  /// From one start to the next at least: what the server's refusals have taught, where no rate is set or it is too high.
  private var pace = Instant.Span.zero
  private var pacedAt: Instant?
  private var lastStart: Instant?
  /// Callers that wait, in the order of their turns, and their tickets. A caller in one is in the other.
  private var turns: [Caller] = []
  private var queues: [Caller: [Ticket]] = [:]
  /// The place of the next turn: taken from the front without moving the rest each time.
  private var turn = 0
  package private(set) var waitingCount = 0

  package init(_ limits: Limits = Limits(), at now: Instant) {
    self.limits = limits
    tokens = Double(limits.burst)
    filledAt = now
  }

  package var runningCount: Int { running.count }

  /// After the first refusal; each further one doubles it, each success takes a tenth away until it is below `paceMin`.
  private static let paceFirst = Instant.Span.milliseconds(100)
  private static let paceMin = Instant.Span.milliseconds(10)
  private static let paceMax = Instant.Span.seconds(10)
  /// How long a pace is remembered while nobody asks for anything.
  private static let paceMemory = Instant.Span.seconds(30)

  /// A request wants to go; `due` says when. false: too many wait already, or the ticket is known.
  package mutating func arrived(_ ticket: Ticket, from caller: Caller) -> Bool {
    guard waitingCount < limits.waiting, running[ticket] == nil, queues[caller]?.contains(ticket) != true else {
      return false
    }
    if queues[caller] == nil { turns.append(caller) }
    queues[caller, default: []].append(ticket)
    waitingCount += 1
    return true
  }

  /// A request that went is over, however it ended.
  /// - Parameter isThrottled: the server asked for patience instead of answering.
  package mutating func finished(_ ticket: Ticket, isThrottled: Bool = false, at now: Instant) {
    guard let start = running.removeValue(forKey: ticket) else { return }
    if !isThrottled {
      pace = .milliseconds(pace.milliseconds * 9 / 10)
      if pace < Self.paceMin { pace = .zero }
    } else if pacedAt.map({ start >= $0 }) ?? true {
      // Those that were on their way with the first one that was refused say nothing new.
      pace = min(max(pace + pace, Self.paceFirst), Self.paceMax)
      pacedAt = now
    }
  }

  /// A caller does not wait any longer. A ticket that already went is not touched: `finished` ends it.
  package mutating func left(_ ticket: Ticket, from caller: Caller) {
    guard var queue = queues[caller], let at = queue.firstIndex(of: ticket) else { return }
    queue.remove(at: at)
    waitingCount -= 1
    // A caller without tickets keeps its place until its turn comes.
    queues[caller] = queue
  }

  /// The server asked for a pause: it holds for everybody. A shorter one does not end a longer one.
  package mutating func paused(until: Instant) { pausedUntil = max(until, pausedUntil ?? until) }

  /// Until when nobody goes because the server asked for it; nil: it did not.
  package func pause(at now: Instant) -> Instant? { pausedUntil.flatMap { $0 > now ? $0 : nil } }

  /// When it does the same as a new one: no pause holds, and all of the burst is there. nil: somebody runs or waits.
  package func rested(at now: Instant) -> Instant? {
    guard running.isEmpty, waitingCount == 0 else { return nil }
    let paced = pace > .zero ? lastStart.map { $0 + Self.paceMemory } : nil
    let quiet = max(now, pausedUntil ?? now, paced ?? now)
    guard let rate = limits.perSecond else { return quiet }
    let missing = max(0, Double(limits.burst) - tokens)
    return max(quiet, filledAt + .milliseconds(Int64((missing / rate * 1000).rounded(.up))))
  }

  /// New limits; what runs goes on.
  package mutating func changed(to limits: Limits, at now: Instant) {
    fill(at: now)
    self.limits = limits
    tokens = min(tokens, Double(limits.burst))
  }

  /// Who goes now, and when to ask again if nothing happens before; nil: not before something happens.
  package mutating func due(at now: Instant) -> (go: [Ticket], next: Instant?) {
    if let until = pausedUntil {
      guard now >= until else { return ([], waitingCount > 0 ? until : nil) }
      pausedUntil = nil
    }
    fill(at: now)
    var go: [Ticket] = []
    while running.count < limits.inFlight, waitingCount > 0 {
      if pace > .zero, let lastStart, now < lastStart + pace { return (go, lastStart + pace) }
      if limits.perSecond != nil {
        guard tokens >= 1 else { return (go, now + untilNextToken()) }
        tokens -= 1
      }
      guard let ticket = takeNext() else { break }
      running[ticket] = now
      lastStart = now
      go.append(ticket)
    }
    return (go, nil)
  }

  private func untilNextToken() -> Instant.Span {
    guard let rate = limits.perSecond else { return .zero }
    return .milliseconds(max(1, Int64(((1 - tokens) / rate * 1000).rounded(.up))))
  }

  private mutating func fill(at now: Instant) {
    defer { filledAt = max(filledAt, now) }
    guard let rate = limits.perSecond, now > filledAt else { return }
    tokens = min(Double(limits.burst), tokens + (now - filledAt).seconds * rate)
  }

  /// The first ticket of the caller whose turn it is; the caller goes to the end where it has more.
  private mutating func takeNext() -> Ticket? {
    while turn < turns.count {
      let caller = turns[turn]
      turn += 1
      if turn > 1024, turn > turns.count / 2 {
        turns.removeFirst(turn)
        turn = 0
      }
      guard var queue = queues[caller], !queue.isEmpty else {
        queues[caller] = nil
        continue
      }
      let ticket = queue.removeFirst()
      waitingCount -= 1
      if queue.isEmpty {
        queues[caller] = nil
      } else {
        queues[caller] = queue
        turns.append(caller)
      }
      return ticket
    }
    return nil
  }
}
