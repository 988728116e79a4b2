/// Steps the health of one server, and of what it says of itself: a state changes only after several equal results. Pure:
/// the caller brings the time.
package import FHIRControl
package import SMARTProtocol

/// What one probe found.
package enum ProbeResult: Sendable, Equatable {
  /// Any answer that a working server gives, whatever it thinks of the request.
  case healthy(latency: Instant.Span)
  /// It answers, but not as it should: throttled, 5xx.
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

  package var detail: String? {
    switch self {
    case .healthy: nil
    case .degraded(let detail, _), .down(let detail): detail
    }
  }

  package var latency: Instant.Span? {
    switch self {
    case .healthy(let latency), .degraded(_, let latency): latency
    case .down: nil
    }
  }
}

/// A state that several equal findings in a row change.
package struct HealthTrack: Sendable, Equatable {
  /// Equal findings in a row that change a known state. The first finding of all counts at once.
  package static let findingsToChange = 3

  package private(set) var state = HealthState.unknown
  package private(set) var since: Instant?
  /// Why it is in this state; nil: it is well, or nobody knows.
  package private(set) var reason: String?
  private var candidate: HealthState?
  private var agreeing = 0

  package init() {}

  /// A state that another process left; findings that were on the way to a change are forgotten.
  package init(state: HealthState, since: Instant?, reason: String?) {
    self.state = state
    self.since = since
    self.reason = reason
  }

  /// The last finding said the same as the state.
  package var isSettled: Bool { candidate == nil }

  /// - Returns: the former state when this finding changed it.
  package mutating func found(_ finding: HealthState, reason words: String?, at now: Instant) -> HealthState? {
    guard finding != state else {
      reason = words
      candidate = nil
      agreeing = 0
      return nil
    }
    // A server that is down and degraded by turns is not well.
    let isSame = candidate == finding || (candidate?.isTrouble == true && finding.isTrouble)
    agreeing = isSame ? agreeing + 1 : 1
    candidate = finding
    guard state == .unknown || agreeing >= Self.findingsToChange else { return nil }
    let former = state
    self = HealthTrack(state: finding, since: now, reason: words)
    return former
  }
}

package struct HealthMachine: Sendable, Equatable {
  /// A server that does not answer is looked at sooner, by this divisor, until its state is settled.
  package static let impatience: Int64 = 5
  /// The shortest wait between two probes, so that impatience never hammers.
  package static let shortestWait = Instant.Span.seconds(10)

  package private(set) var track = HealthTrack()
  package private(set) var lastProbeAt: Instant?
  package private(set) var latency: Instant.Span?
  /// What the last probe said.
  package private(set) var detail: String?

  package init() {}

  /// As another process left it.
  package init(track: HealthTrack, lastProbeAt: Instant?, latency: Instant.Span?, detail: String?) {
    self.track = track
    self.lastProbeAt = lastProbeAt
    self.latency = latency
    self.detail = detail
  }

  package var state: HealthState { track.state }
  package var since: Instant? { track.since }

  /// - Returns: the former state when this result changed it.
  package mutating func probed(_ result: ProbeResult, at now: Instant) -> HealthState? {
    noted(result, at: now)
    return track.found(result.state, reason: result.detail, at: now)
  }

  /// A result that changes no state: trouble in a maintenance window is no news.
  package mutating func noted(_ result: ProbeResult, at now: Instant) {
    lastProbeAt = now
    latency = result.latency
    detail = result.detail
  }

  /// How long until the next probe.
  /// - Parameters:
  ///   - chance: 0 up to 1; the wait varies by a fifth around the interval.
  ///   - isPatient: at the interval, whatever the last probe said.
  package func wait(interval: Instant.Span, chance: Double, isPatient: Bool = false) -> Instant.Span {
    let base = track.isSettled || isPatient ? interval.milliseconds : interval.milliseconds / Self.impatience
    let jittered = Int64(Double(base) * (0.9 + 0.2 * chance))
    return max(Instant.Span(milliseconds: jittered), Self.shortestWait)
  }
}

extension HealthState {
  fileprivate var isTrouble: Bool { self == .degraded || self == .down }
}
