/// The words for what goes wrong between a caller and a token.
package import FHIRControl
import SMARTProtocol

extension ControlError {
  package init(_ error: LedgerError) {
    switch error {
    case .store(let store): self.init(store)
    case .vault(let vault): self.init(.storeCorrupt, vault.sentence, hint: vault.cure)
    case .malformed:
      self.init(
        .storeCorrupt, error.sentence,
        hint: "restore this record from a backup, or delete the connection and create it again")
    }
  }

  package init(_ error: StoreError) {
    let code: ErrorCode =
      switch error {
      case .full, .nearlyFull: .storeFull
      case .readOnly: .storeReadOnly
      case .conflict: .generationConflict
      case .corrupt, .unknownFormat, .unsafePermissions, .io, .alreadyOpen: .storeCorrupt
      case .closed: .shuttingDown
      }
    self.init(code, error.sentence, hint: error.cure)
  }

  static let shuttingDown = ControlError(
    .shuttingDown, "fhird is stopping", hint: "try again in a few seconds", retryAfterSeconds: 2)
  static let cancelled = ControlError(
    .timeout, "the request ended before the token arrived", hint: "try again, or give a longer timeout_seconds")
  static let noSuchGrant = ControlError(
    .connectionNotFound, "there is no such connection or grant", hint: "fhirctl connection list")

  static func endpointResting(until: Instant, now: Instant, last: LastError?) -> ControlError {
    let seconds = max(0, (until - now).seconds.rounded(.up))
    return ControlError(
      last?.code == .throttled ? .throttled : .serverUnreachable,
      "the token endpoint has failed repeatedly and is left alone for \(Int(seconds)) s",
      detail: last.map { "last error: \($0.message)" }, hint: "fhirctl status", retryAfterSeconds: seconds)
  }
}

extension Engine {
  /// For a caller who comes while the next attempt is not due yet.
  func backoffError(_ run: GrantRun, until: Instant) -> ControlError {
    let seconds = max(0, (until - clock.now()).seconds.rounded(.up))
    guard run.machine.facts.standing != .valid, let last = run.record.lastError else {
      return ControlError(
        .throttled, "the token was replaced a moment ago; the next may be asked for in \(Int(seconds)) s",
        hint: "use the token at hand: fhirctl token get \(run.connection.name)", retryAfterSeconds: seconds)
    }
    return ControlError(
      last.code, last.message,
      detail:
        "\(last.attempts) attempts in a row have failed, the last at \(last.at); the next comes in \(Int(seconds)) s",
      hint: "fhirctl connection test \(run.connection.name)", retryAfterSeconds: seconds)
  }

  /// For a grant that only a changed configuration or a new login can help.
  func standingError(_ run: GrantRun) -> ControlError {
    let last = run.record.lastError
    switch run.machine.facts.standing {
    case .dead:
      return ControlError(.needsLogin, "the server ended this grant", detail: last?.message, hint: run.loginCommand)
    case .unsure:
      return ControlError(
        .needsLogin, "the reply to a refresh was lost, and the refresh token may be used up",
        detail: last?.message,
        hint:
          "\(run.loginCommand); or try the old refresh token once more: fhirctl token refresh '\(run.connection.name)'")
    case .new where run.machine.facts.renewal == .login, .valid where run.machine.facts.renewal == .login:
      return ControlError(
        .needsLogin,
        run.machine.facts.token == nil
          ? "nobody has logged in yet" : "the access token has expired, and the server gave no refresh token",
        hint: run.loginCommand)
    case .refused, .new, .valid, .failing:
      return ControlError(
        last?.code ?? .invalidClient, last?.message ?? "the server refuses this client",
        detail: last.map { "refused \($0.attempts) times in a row, the last at \($0.at)" },
        hint: "correct it with fhirctl connection update \(run.connection.name), or try at once with "
          + "fhirctl token refresh \(run.connection.name)")
    }
  }
}
