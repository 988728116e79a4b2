/// What the engine knows of health: token endpoints that are left alone, grants that change their state. The journal hears of
/// every change, and of no subject.
package import FHIRControl
package import SMARTProtocol

extension Engine {
  /// Until when a connection's token endpoint is left alone; nil: it may be asked.
  package func restingUntil(_ id: ConnectionID, _ connection: ConnectionRecord) -> Instant? {
    gates.restingUntil(source.endpointKey(of: id, connection), at: clock.now())
  }

  /// A token endpoint is left alone from now on, or answers again.
  func tell(_ endpoint: String, wasTripped: Bool, _ verdict: EndpointGates.Verdict) {
    let isTripped = gates.isTripped(endpoint)
    guard isTripped != wasTripped else { return }
    let reason =
      switch verdict {
      case .failed: "it has failed \(Breaker.failuresMax) times in a row"
      case .throttled: "it asks everybody to wait"
      case .answered, .unused: ""
      }
    let (from, to): (HealthState, HealthState) = isTripped ? (.healthy, .down) : (.down, .healthy)
    let rest = gates.restingUntil(endpoint, at: clock.now()).map { ($0 - clock.now()).seconds.rounded(.up) }
    log.record(
      isTripped ? .warning : .notice, "a token endpoint's health changed",
      [
        // A query may hold what nobody should read.
        .event: "token_endpoint_health", .path: String(endpoint.prefix { $0 != "?" }), .status: to.rawValue,
        .outcome: "was \(from.rawValue)", .detail: reason,
        .retryAfterSeconds: rest.map { "\(Int($0))" } ?? "",
      ])
  }

  /// A grant is in another state than before.
  func tellChange(of connection: ConnectionRecord, from former: GrantRecord?, to record: GrantRecord) {
    let (from, to) = (former?.state(isValid: true), record.state(isValid: true))
    guard from != to else { return }
    let reason =
      switch to {
      case .degraded: "less scope than asked for: " + record.missingScope.joined(separator: " ")
      case .retrying, .misconfigured, .needsLogin: record.lastError?.message ?? ""
      case .open, .new, .active, .expired, .unreadable: ""
      }
    let isTrouble: Bool
    switch to {
    case .degraded, .retrying, .misconfigured, .needsLogin, .expired, .unreadable: isTrouble = true
    case .open, .new, .active: isTrouble = false
    }
    // A first token is no news.
    let isNews = isTrouble || (from != nil && from != .new)
    log.record(
      isTrouble ? .warning : isNews ? .notice : .info, "a grant's state changed",
      [
        .event: "grant_health", .connection: connection.id, .name: connection.name, .status: to.rawValue,
        .outcome: from.map { "was \($0.rawValue)" } ?? "is new", .detail: reason,
        .code: record.lastError?.code.rawValue ?? "",
      ])
  }
}

extension GrantRecord {
  /// In one word, as of the record alone.
  /// - Parameter isValid: there is an access token that is good by the clock.
  package func state(isValid: Bool) -> GrantState {
    switch standing {
    case .new: renewal == .login ? .needsLogin : .new
    case .valid where !isValid && renewal == .login: .needsLogin
    case .valid: !isValid ? .expired : missingScope.isEmpty ? .active : .degraded
    case .failing: .retrying
    case .refused: .misconfigured
    case .unsure, .dead: .needsLogin
    }
  }

  /// Notes since when it is in its state.
  /// - Parameter former: the record that it takes the place of.
  mutating func noteState(since former: GrantRecord?, at now: Timestamp) {
    let isSame = former?.state(isValid: true) == state(isValid: true)
    stateSince = isSame ? former?.stateSince ?? now : now
  }
}
