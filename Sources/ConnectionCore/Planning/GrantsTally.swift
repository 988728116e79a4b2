/// Sums up a connection's grants: how its token endpoint does, and how the grants are. Pure; names no subject.
package import FHIRControl

package struct GrantsTally: Sendable {
  /// Scopes told at the most: those of one login, some hundred.
  package static let scopesMax = 200

  private struct Count {
    var count = 0
    var earliest: Timestamp?
    var latest: Timestamp?
    mutating func add(_ since: Timestamp?) {
      count += 1
      guard let since else { return }
      earliest = earliest.map { min($0, since) } ?? since
      latest = latest.map { max($0, since) } ?? since
    }
  }

  private var counts: [GrantState: Count] = [:]
  private var missing: Set<String> = []
  private var lastObtainedAt: Timestamp?
  /// Of the grants that their token endpoint fails now, the newest.
  private var lastError: LastError?
  /// The default grant's state.
  private var defaultState: GrantState?
  /// There are more than were added.
  package var hasMore = false

  package init() {}

  /// - Parameters:
  ///   - obtainedAt: by the wall clock.
  ///   - isDefault: of the connection itself, not of a subject.
  package mutating func add(
    _ state: GrantState, since: Timestamp?, obtainedAt: Timestamp?, missingScope: [String], error: LastError?,
    isDefault: Bool
  ) {
    counts[state, default: Count()].add(since)
    if isDefault { defaultState = state }
    if let obtainedAt { lastObtainedAt = max(lastObtainedAt ?? obtainedAt, obtainedAt) }
    if state == .degraded { missing.formUnion(missingScope.prefix(Self.scopesMax)) }
    let isEndpoints = state == .retrying || state == .misconfigured
    if isEndpoints, let error, error.at > lastError?.at ?? Timestamp(milliseconds: .min) { lastError = error }
  }

  package mutating func addUnreadable() { counts[.unreadable, default: Count()].add(nil) }

  private func count(_ states: GrantState...) -> Int { states.reduce(0) { $0 + (counts[$1]?.count ?? 0) } }
  private func earliest(_ states: GrantState...) -> Timestamp? { states.compactMap { counts[$0]?.earliest }.min() }
  private var latest: Timestamp? { counts.values.compactMap(\.latest).max() }
  private var total: Int { counts.values.reduce(0) { $0 + $1.count } }

  // MARK: token endpoint

  /// - Parameter restingUntil: the endpoint is left alone until then.
  package func token(restingUntil: Timestamp?) -> TokenHealth {
    var health = TokenHealth(state: .unknown)
    health.lastObtainedAt = lastObtainedAt
    health.lastError = lastError
    health.restingUntil = restingUntil
    let words = lastError.map { "\($0.code.rawValue): \($0.message)" }
    if let restingUntil {
      health.state = .down
      health.reason = "the token endpoint is left alone until \(restingUntil)" + (words.map { "; \($0)" } ?? "")
      health.since = earliest(.retrying)
    } else if count(.misconfigured) > 0 {
      health.state = .down
      health.reason = words
      health.since = earliest(.misconfigured)
    } else if count(.retrying) > 0 {
      // The tokens at hand may still be good; the grants say so.
      health.state = .degraded
      health.reason = words
      health.since = earliest(.retrying)
    } else if lastObtainedAt != nil {
      health.state = .healthy
      health.since = latest
    }
    return health
  }

  // MARK: grants

  /// - Parameter name: of the connection, for what to do.
  package func grants(of name: String, usesLogins: Bool) -> GrantsHealth {
    var states: [String: Int] = [:]
    for (state, count) in counts { states[state.rawValue] = count.count }
    var health = GrantsHealth(state: .healthy, states: states)
    health.hasMore = hasMore ? true : nil
    health.missingScope = missing.isEmpty ? nil : missing.sorted()
    let lost = count(.needsLogin, .misconfigured, .unreadable)
    if lost > 0 {
      health.state = lost == total ? .down : .degraded
      health.reason = lostWords
      health.since = earliest(.needsLogin, .misconfigured)
      health.hint = hint(name)
    } else if count(.degraded) > 0 {
      health.state = .degraded
      health.reason = "granted less scope than asked for: \(missing.sorted().joined(separator: " "))"
      health.since = earliest(.degraded)
    } else if count(.retrying) > 0 {
      health.state = .degraded
      health.reason = words(.retrying, "waits for its next attempt", "wait for their next attempt")
      health.since = earliest(.retrying)
    } else if count(.active, .expired) == 0 {
      health.state = .unknown
      health.reason = total == 0 ? (usesLogins ? "nobody has logged in yet" : nil) : "no token was asked for yet"
      if usesLogins, total == 0 { health.hint = loginCommandText(name, "") }
    } else {
      health.since = latest
    }
    return health
  }

  private var lostWords: String {
    [
      count(.needsLogin) > 0 ? words(.needsLogin, "needs a login", "need a login") : nil,
      count(.misconfigured) > 0 ? words(.misconfigured, "is refused by the server", "are refused by the server") : nil,
      count(.unreadable) > 0 ? words(.unreadable, "does not open", "do not open") : nil,
    ].compactMap { $0 }.joined(separator: ", ")
  }

  /// `the grant needs a login`, `3 of 7 grants need a login`.
  private func words(_ state: GrantState, _ one: String, _ many: String) -> String {
    let number = count(state)
    if total == 1 { return "the grant \(one)" }
    return "\(number) of \(total)\(hasMore ? " and more" : "") grants \(number == 1 ? one : many)"
  }

  private func hint(_ name: String) -> String {
    if count(.needsLogin) > 0 {
      return defaultState == .needsLogin
        ? loginCommandText(name, "") : "fhirctl token list '\(name)' --state needs_login"
    }
    return count(.misconfigured) > 0 ? "fhirctl connection test '\(name)'" : "the journal names the records"
  }
}
