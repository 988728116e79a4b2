/// Steps the health of one server: a state changes only after several equal results. Pure: the caller brings the time.
package import FHIRControl
package import SMARTProtocol

/// What one probe found.
package enum ProbeResult: Sendable, Equatable {
  /// Any answer that a working server gives, whatever it thinks of the request.
  case healthy(latency: Instant.Span)
  /// It answers, but not as it should: throttled, 5xx, a page where a document was.
  case degraded(detail: String, latency: Instant.Span)
  /// No answer.
  case down(detail: String)

  package var state: HealthState {
    switch self {
    case .healthy: .healthy
    case .degraded: .degraded
    case .down: .down
    }
  }
}

package struct HealthMachine: Sendable {
  /// Equal results in a row that change a known state. The first result of all counts at once.
  package static let resultsToChange = 3
  /// A server that does not answer is looked at sooner, by this divisor, until its state is settled.
  package static let impatience: Int64 = 5
  /// The shortest wait between two probes, so that impatience never hammers.
  package static let shortestWait = Instant.Span.seconds(10)

  package private(set) var state = HealthState.unknown
  package private(set) var since: Instant?
  package private(set) var lastProbeAt: Instant?
  package private(set) var latency: Instant.Span?
  package private(set) var detail: String?
  private var candidate: HealthState?
  private var agreeing = 0

  package init() {}

  /// - Returns: the former state when this result changed it.
  package mutating func probed(_ result: ProbeResult, at now: Instant) -> HealthState? {
    lastProbeAt = now
    switch result {
    case .healthy(let latency):
      self.latency = latency
      detail = nil
    case .degraded(let words, let latency):
      self.latency = latency
      detail = words
    case .down(let words):
      self.latency = nil
      detail = words
    }
    let found = result.state
    guard found != state else {
      candidate = nil
      agreeing = 0
      return nil
    }
    agreeing = candidate == found ? agreeing + 1 : 1
    candidate = found
    guard state == .unknown || agreeing >= Self.resultsToChange else { return nil }
    let former = state
    state = found
    since = now
    candidate = nil
    agreeing = 0
    return former
  }

  /// How long until the next probe.
  /// - Parameter chance: 0 up to 1; the wait varies by a fifth around the interval.
  package func wait(interval: Instant.Span, chance: Double) -> Instant.Span {
    let base = candidate == nil ? interval.milliseconds : interval.milliseconds / Self.impatience
    let jittered = Int64(Double(base) * (0.9 + 0.2 * chance))
    return max(Instant.Span(milliseconds: jittered), Self.shortestWait)
  }
}
