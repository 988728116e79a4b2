/// Bounds what goes out to each token endpoint and to all of them, and keeps away from those that do not answer. Pure.
import SMARTProtocol

struct EndpointGates {
  /// Token requests under way to one endpoint.
  var perEndpointMax: Int
  /// Token requests under way in all.
  var totalMax: Int

  private struct Gate {
    var breaker = Breaker()
    var underWay = 0
    var waiting: [GrantKey] = []
    /// Waits with a caller behind them go first.
    var urgent: [GrantKey] = []
    var isIdle: Bool { underWay == 0 && waiting.isEmpty && urgent.isEmpty }
  }
  private var gates: [String: Gate] = [:]
  private var total = 0
  /// Gates with somebody waiting, in the order in which they get the next place.
  private var turn: [String] = []

  init(perEndpointMax: Int, totalMax: Int) {
    self.perEndpointMax = perEndpointMax
    self.totalMax = totalMax
  }

  enum Admission: Equatable {
    /// Go; report the end with `left`.
    case admitted
    /// Wait; the key comes back from `left` of another.
    case queued
    /// The endpoint is left alone until then.
    case closed(until: Instant)
  }

  func isTripped(_ endpoint: String) -> Bool { gates[endpoint]?.breaker.isTripped ?? false }

  /// Until when the endpoint is left alone; nil: it may be asked.
  func restingUntil(_ endpoint: String, at now: Instant) -> Instant? { gates[endpoint]?.breaker.openUntil(at: now) }

  var underWay: Int { total }
  var waiting: Int { gates.values.reduce(0) { $0 + $1.waiting.count + $1.urgent.count } }

  mutating func enter(_ endpoint: String, _ key: GrantKey, urgent: Bool, at now: Instant) -> Admission {
    var gate = gates[endpoint] ?? Gate()
    defer { gates[endpoint] = gate }
    if let until = gate.breaker.openUntil(at: now) { return .closed(until: until) }
    guard gate.underWay < perEndpointMax, total < totalMax else {
      if gate.waiting.isEmpty, gate.urgent.isEmpty { turn.append(endpoint) }
      if urgent { gate.urgent.append(key) } else { gate.waiting.append(key) }
      return .queued
    }
    if let until = gate.breaker.admit(at: now) { return .closed(until: until) }
    gate.underWay += 1
    total += 1
    return .admitted
  }

  /// What the request said of the endpoint.
  enum Verdict: Equatable {
    case answered
    case failed
    case throttled(until: Instant)
    /// Nothing was sent.
    case unused
  }

  /// - Returns: those who may try to enter now.
  mutating func left(_ endpoint: String, _ verdict: Verdict, at now: Instant, chance: Double) -> [GrantKey] {
    guard var gate = gates[endpoint] else { return [] }
    gate.underWay -= 1
    total -= 1
    switch verdict {
    case .answered: gate.breaker.answered()
    case .failed: gate.breaker.failed(at: now, chance: chance)
    case .throttled(let until): gate.breaker.throttled(until: until)
    case .unused: break
    }
    gates[endpoint] = gate
    var next: [GrantKey] = []
    if gate.breaker.openUntil(at: now) != nil {
      // Those who wait here would only be refused one by one: let them all find out and come back later.
      next += gate.urgent + gate.waiting
      gate.urgent = []
      gate.waiting = []
      gates[endpoint] = gate
      turn.removeAll { $0 == endpoint }
    } else if let own = takeOne(endpoint) {
      next.append(own)
    }
    if next.isEmpty, let other = nudge() { next.append(other) }
    if let gate = gates[endpoint], gate.isIdle, verdict == .answered { gates[endpoint] = nil }
    return next
  }

  /// One who may try to enter, because a place was given to somebody who no longer wants it.
  mutating func nudge() -> GrantKey? {
    guard total < totalMax, let endpoint = turn.first(where: { (gates[$0]?.underWay ?? 0) < perEndpointMax }) else {
      return nil
    }
    return takeOne(endpoint)
  }

  private mutating func takeOne(_ endpoint: String) -> GrantKey? {
    guard var gate = gates[endpoint] else { return nil }
    let key: GrantKey
    if !gate.urgent.isEmpty {
      key = gate.urgent.removeFirst()
    } else if !gate.waiting.isEmpty {
      key = gate.waiting.removeFirst()
    } else {
      return nil
    }
    gates[endpoint] = gate
    turn.removeAll { $0 == endpoint }
    if !gate.urgent.isEmpty || !gate.waiting.isEmpty { turn.append(endpoint) }
    return key
  }
}
