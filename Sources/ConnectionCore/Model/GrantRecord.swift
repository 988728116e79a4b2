/// The record of the table `grants`: everything about one grant but its token. Sealed; the generation is in the header.
package import FHIRControl
package import SMARTProtocol

package struct GrantRecord: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1

  package var connection: ConnectionID
  package var subject: String
  package var standing: GrantFacts.Standing
  package var obtainedAt: Moment?
  package var expiresAt: Moment?
  package var lifetime: Instant.Span = .zero
  package var failures = 0
  package var nextAttemptAt: Moment?
  /// What the server granted, in its own spelling.
  package var scope: String?
  package var missingScope: [String] = []
  /// What was odd about the last answer that brought a token.
  package var findings: [String] = []
  package var lastError: LastError?
  package var renewal: Renewal
  package var rotation = RefreshTokenFacts.Rotation.unknown
  package var lostReplies = 0
  package var lostAt: Moment?
  /// What was asked for at the login; nil: the connection's scope.
  package var requestedScope: String?
  /// Launch context and `fhirUser`, as the members of a JSON object with its braces. Empty: none.
  package var context: [UInt8] = []
  /// Some servers refuse a refresh with `scope`, others one without.
  package var sendsScope = false
  /// The other way was tried as well.
  package var scopeWasFlipped = false
  package var authorizedAt: Timestamp?
  /// What became of the login's `id_token`, in words.
  package var identity: String?
  /// Since when it is in its state; nil: a record of an earlier version.
  package var stateSince: Timestamp?

  /// How a new token is come by; the raw value is stored.
  package enum Renewal: UInt8, Sendable { case client = 0, refreshToken = 1, login = 2 }

  package init(
    connection: ConnectionID, subject: String, standing: GrantFacts.Standing = .new, renewal: Renewal = .client
  ) {
    self.connection = connection
    self.subject = subject
    self.standing = standing
    self.renewal = renewal
  }

  /// The machine's view of the record on the present timeline.
  package func facts(generation: Generation, on clock: some Clock) -> GrantFacts {
    var token: GrantFacts.Token?
    if let obtainedAt, let expiresAt {
      token = .init(
        obtainedAt: obtainedAt.instant(on: clock), expiresAt: expiresAt.instant(on: clock), lifetime: lifetime)
      // A token from the future of the wall clock: the clock went back over a reboot, so nothing is known of its age.
      if obtainedAt.bootID != clock.bootID, obtainedAt.wall.milliseconds > clock.wall().milliseconds + 300_000 {
        token?.expiresAt = clock.now()
      }
    }
    return GrantFacts(
      generation: generation, standing: standing, renewal: renewalFacts(on: clock), token: token, failures: failures,
      nextAttemptAt: nextAttemptAt?.instant(on: clock))
  }

  private func renewalFacts(on clock: some Clock) -> GrantFacts.Renewal {
    switch renewal {
    case .client: .client
    case .login: .login
    case .refreshToken:
      .refreshToken(
        RefreshTokenFacts(rotation: rotation, lostReplies: lostReplies, lostAt: lostAt?.instant(on: clock)))
    }
  }

  /// Takes over what the machine decided.
  package mutating func adopt(_ facts: GrantFacts, on clock: some Clock) {
    standing = facts.standing
    obtainedAt = facts.token.map { Moment($0.obtainedAt, on: clock) }
    expiresAt = facts.token.map { Moment($0.expiresAt, on: clock) }
    lifetime = facts.token?.lifetime ?? .zero
    failures = facts.failures
    nextAttemptAt = facts.nextAttemptAt.map { Moment($0, on: clock) }
    switch facts.renewal {
    case .client: renewal = .client
    case .login: renewal = .login
    case .refreshToken(let token):
      renewal = .refreshToken
      rotation = token.rotation
      lostReplies = token.lostReplies
      lostAt = token.lostAt.map { Moment($0, on: clock) }
    }
  }
}

extension GrantRecord {
  /// Takes over what a token response brought; the tokens themselves are records of their own.
  package mutating func adopt(_ token: GrantedToken) {
    scope = token.scope
    missingScope = token.missingScope
    findings = token.findings
    context = token.context
    lastError = nil
    scopeWasFlipped = false
  }
}

extension GrantRecord {
  private enum Tag {
    static let connection: UInt8 = 1, subject: UInt8 = 2, standing: UInt8 = 3, obtainedAt: UInt8 = 4
    static let expiresAt: UInt8 = 5, lifetime: UInt8 = 6, failures: UInt8 = 7, nextAttemptAt: UInt8 = 8
    static let scope: UInt8 = 9, missingScope: UInt8 = 10, errorCode: UInt8 = 11, errorMessage: UInt8 = 12
    static let errorAt: UInt8 = 13, errorAttempts: UInt8 = 14
    static let renewal: UInt8 = 15, rotation: UInt8 = 16, lostReplies: UInt8 = 17, lostAt: UInt8 = 18
    static let requestedScope: UInt8 = 19, context: UInt8 = 20, sendsScope: UInt8 = 21, scopeWasFlipped: UInt8 = 22
    static let authorizedAt: UInt8 = 23, identity: UInt8 = 24, findings: UInt8 = 25
    static let stateSince: UInt8 = 26
  }

  package var encoded: [UInt8] {
    var out = RecordWriter()
    out.put(Tag.connection, connection.bytes)
    if !subject.isEmpty { out.put(Tag.subject, subject) }
    out.put(Tag.standing, [standing.code])
    if let obtainedAt { out.put(Tag.obtainedAt, obtainedAt.bytes) }
    if let expiresAt { out.put(Tag.expiresAt, expiresAt.bytes) }
    if lifetime != .zero { out.put(Tag.lifetime, lifetime.milliseconds) }
    if failures > 0 { out.put(Tag.failures, UInt64(failures)) }
    if let nextAttemptAt { out.put(Tag.nextAttemptAt, nextAttemptAt.bytes) }
    if let scope { out.put(Tag.scope, scope) }
    if !missingScope.isEmpty { out.put(Tag.missingScope, missingScope.joined(separator: " ")) }
    if let lastError {
      out.put(Tag.errorCode, lastError.code.rawValue)
      out.put(Tag.errorMessage, lastError.message)
      out.put(Tag.errorAt, lastError.at.milliseconds)
      out.put(Tag.errorAttempts, UInt64(lastError.attempts))
    }
    if renewal != .client { out.put(Tag.renewal, [renewal.rawValue]) }
    if rotation != .unknown { out.put(Tag.rotation, [rotation.rawValue]) }
    if lostReplies > 0 { out.put(Tag.lostReplies, UInt64(lostReplies)) }
    if let lostAt { out.put(Tag.lostAt, lostAt.bytes) }
    if let requestedScope { out.put(Tag.requestedScope, requestedScope) }
    if !context.isEmpty { out.put(Tag.context, context) }
    if sendsScope { out.put(Tag.sendsScope, [1]) }
    if scopeWasFlipped { out.put(Tag.scopeWasFlipped, [1]) }
    if let identity { out.put(Tag.identity, identity) }
    if !findings.isEmpty { out.put(Tag.findings, findings.joined(separator: "\n")) }
    if let authorizedAt { out.put(Tag.authorizedAt, authorizedAt.milliseconds) }
    if let stateSince { out.put(Tag.stateSince, stateSince.milliseconds) }
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    connection = try fields.required(fields.bytes(Tag.connection).flatMap { ConnectionID(bytes: $0) }, "connection")
    subject = fields.text(Tag.subject) ?? ""
    standing = try fields.required(fields.bytes(Tag.standing)?.first.flatMap { .init(code: $0) }, "standing")
    obtainedAt = Moment(fields.bytes(Tag.obtainedAt))
    expiresAt = Moment(fields.bytes(Tag.expiresAt))
    lifetime = Instant.Span(milliseconds: fields.milliseconds(Tag.lifetime) ?? 0)
    failures = fields.count(Tag.failures)
    renewal = try fields.required(Renewal(rawValue: fields.bytes(Tag.renewal)?.first ?? 0), "renewal")
    rotation = RefreshTokenFacts.Rotation(rawValue: fields.bytes(Tag.rotation)?.first ?? 0) ?? .unknown
    lostReplies = fields.count(Tag.lostReplies)
    lostAt = Moment(fields.bytes(Tag.lostAt))
    requestedScope = fields.text(Tag.requestedScope)
    context = fields.bytes(Tag.context) ?? []
    sendsScope = fields.bytes(Tag.sendsScope) == [1]
    scopeWasFlipped = fields.bytes(Tag.scopeWasFlipped) == [1]
    identity = fields.text(Tag.identity)
    // Bytes, not characters: a line end and a combining mark after it are one character.
    findings = fields.text(Tag.findings).map { $0.utf8.split(separator: 0x0A).map { String(Substring($0)) } } ?? []
    authorizedAt = fields.milliseconds(Tag.authorizedAt).map { Timestamp(milliseconds: $0) }
    stateSince = fields.milliseconds(Tag.stateSince).map { Timestamp(milliseconds: $0) }
    nextAttemptAt = Moment(fields.bytes(Tag.nextAttemptAt))
    scope = fields.text(Tag.scope)
    missingScope = fields.text(Tag.missingScope).map { ScopeSet($0).scopes } ?? []
    if let code = fields.text(Tag.errorCode).flatMap(ErrorCode.init(rawValue:)) {
      lastError = LastError(
        code: code, message: fields.text(Tag.errorMessage) ?? "",
        at: Timestamp(milliseconds: fields.milliseconds(Tag.errorAt) ?? 0), attempts: fields.count(Tag.errorAttempts)
      )
    }
  }
}

extension GrantFacts.Standing {
  fileprivate var code: UInt8 {
    switch self {
    case .new: 1
    case .valid: 2
    case .failing: 3
    case .refused: 4
    case .dead: 5
    case .unsure: 6
    }
  }
  fileprivate init?(code: UInt8) {
    switch code {
    case 1: self = .new
    case 2: self = .valid
    case 3: self = .failing
    case 4: self = .refused
    case 5: self = .dead
    case 6: self = .unsure
    default: return nil
    }
  }
}
