/// The words and tones for states, tokens and health, the same in every command.
import FHIRControl

extension GrantState {
  var cell: Cell {
    let tone: Tone =
      switch self {
      case .open, .active: .good
      case .new: .quiet
      case .degraded, .retrying: .warning
      case .expired, .misconfigured, .needsLogin, .unreadable: .bad
      }
    return Cell(spaced(rawValue), tone)
  }
}

extension HealthState {
  var cell: Cell {
    let tone: Tone =
      switch self {
      case .healthy: .good
      case .degraded: .warning
      case .down: .bad
      case .unknown, .maintenance, .off: .quiet
      }
    return Cell(rawValue, tone)
  }
}

/// `needs_login` as people write it.
func spaced(_ word: String) -> String { word.replacing("_", with: " ") }

/// The words that components and test steps use for how they are.
func outcomeCell(_ word: String) -> Cell {
  let tone: Tone =
    switch word {
    case "ok", "passed": .good
    case "degraded", "warning": .warning
    case "failed": .bad
    case "skipped": .quiet
    default: .plain
    }
  return Cell(word, tone)
}

extension TokenStatus {
  func expiry(at now: Timestamp) -> Cell {
    guard let tokenExpiresAt else { return Cell("-", .quiet) }
    return Cell(Moment.relative(tokenExpiresAt, to: now), tokenExpiresAt < now ? .bad : .plain)
  }

  func nextRefresh(at now: Timestamp) -> Cell {
    if refreshUnderWay { return Cell("under way", .warning) }
    guard let nextRefreshAt else { return Cell("-", .quiet) }
    return nextRefreshAt < now ? "due" : Cell(Moment.relative(nextRefreshAt, to: now))
  }

  func facts(at now: Timestamp) -> Facts {
    var facts = Facts()
    facts.add("state", state.cell)
    if let subject, !subject.isEmpty { facts.add("subject", subject) }
    if tokenExpiresAt != nil { facts.add(isAuthenticated ? "expires" : "expired", expiry(at: now)) }
    if state != .open { facts.add("next refresh", nextRefresh(at: now)) }
    facts.add("obtained", obtainedAt.map { Moment.relative($0, to: now) })
    facts.add("scope", scope)
    for finding in findings ?? [] { facts.add("finding", Text.printable(finding)) }
    if let missingScope, !missingScope.isEmpty {
      facts.add("not granted", Cell(missingScope.joined(separator: " "), .warning))
    }
    if let authorizedAt { facts.add("logged in", Moment.relative(authorizedAt, to: now)) }
    facts.add("identity", identity)
    if let hasRefreshToken {
      facts.add("refresh token", hasRefreshToken ? rotation.map { "yes (\($0))" } ?? "yes" : "no")
    }
    if let lostReplies { facts.add("lost replies", Cell("\(lostReplies)", .warning)) }
    facts.add("last error", lastError.map { Cell($0.words(at: now), .bad) })
    facts.add("generation", "\(generation)")
    facts.add("to do", hint.map { Cell($0, .warning) })
    return facts
  }
}

extension LastError {
  func words(at now: Timestamp) -> String {
    let attempt = attempts == 1 ? "" : ", \(attempts) attempts"
    return "\(code.rawValue) \(Moment.relative(at, to: now))\(attempt): \(message)"
  }
}

extension ServerHealth {
  func words(at now: Timestamp) -> Cell {
    var text = state.rawValue
    if let since { text += " since \(Moment.relative(since, to: now))" }
    if let latencyMilliseconds { text += ", \(Moment.milliseconds(latencyMilliseconds))" }
    if let words = reason ?? detail { text += ": \(words)" }
    return Cell(text, state.cell.tone)
  }

  func facts(at now: Timestamp) -> Facts {
    var facts = Facts()
    facts.add("server", words(at: now))
    facts.add("last probe", lastProbeAt.map { Moment.relative($0, to: now) })
    facts.add("next probe", nextProbeAt.map { Moment.relative($0, to: now) })
    return facts
  }
}

/// `1 grant`, `2 grants`.
func counted(_ count: Int, _ noun: String, _ plural: String? = nil) -> String {
  "\(count) \(count == 1 ? noun : plural ?? "\(noun)s")"
}

/// Records that do not open, for under a table.
func unreadableText(_ records: [UnreadableRecord]?) -> String {
  (records ?? []).map { record in
    let text = Text.printable("unreadable: \(record.id): \(record.detail)")
    return "\(text)\n  hint: \(Text.printable(record.hint))\n"
  }.joined()
}
