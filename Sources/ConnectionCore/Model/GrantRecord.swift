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
  package var lastError: LastError?

  package init(connection: ConnectionID, subject: String, standing: GrantFacts.Standing = .new) {
    self.connection = connection
    self.subject = subject
    self.standing = standing
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
      generation: generation, standing: standing, token: token, failures: failures,
      nextAttemptAt: nextAttemptAt?.instant(on: clock))
  }

  /// Takes over what the machine decided.
  package mutating func adopt(_ facts: GrantFacts, on clock: some Clock) {
    standing = facts.standing
    obtainedAt = facts.token.map { Moment($0.obtainedAt, on: clock) }
    expiresAt = facts.token.map { Moment($0.expiresAt, on: clock) }
    lifetime = facts.token?.lifetime ?? .zero
    failures = facts.failures
    nextAttemptAt = facts.nextAttemptAt.map { Moment($0, on: clock) }
  }
}

extension GrantRecord {
  private enum Tag {
    static let connection: UInt8 = 1, subject: UInt8 = 2, standing: UInt8 = 3, obtainedAt: UInt8 = 4
    static let expiresAt: UInt8 = 5, lifetime: UInt8 = 6, failures: UInt8 = 7, nextAttemptAt: UInt8 = 8
    static let scope: UInt8 = 9, missingScope: UInt8 = 10, errorCode: UInt8 = 11, errorMessage: UInt8 = 12
    static let errorAt: UInt8 = 13, errorAttempts: UInt8 = 14
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
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    connection = try fields.required(fields.bytes(Tag.connection).flatMap { ConnectionID(bytes: $0) }, "connection")
    subject = fields.text(Tag.subject) ?? ""
    standing = try fields.required(fields.bytes(Tag.standing)?.first.flatMap { .init(code: $0) }, "standing")
    obtainedAt = Moment(fields.bytes(Tag.obtainedAt))
    expiresAt = Moment(fields.bytes(Tag.expiresAt))
    lifetime = Instant.Span(milliseconds: fields.signed(Tag.lifetime) ?? 0)
    failures = Int(fields.word(Tag.failures) ?? 0)
    nextAttemptAt = Moment(fields.bytes(Tag.nextAttemptAt))
    scope = fields.text(Tag.scope)
    missingScope = fields.text(Tag.missingScope)?.split(separator: " ").map(String.init) ?? []
    if let code = fields.text(Tag.errorCode).flatMap(ErrorCode.init(rawValue:)) {
      lastError = LastError(
        code: code, message: fields.text(Tag.errorMessage) ?? "",
        at: Timestamp(milliseconds: fields.signed(Tag.errorAt) ?? 0), attempts: Int(fields.word(Tag.errorAttempts) ?? 0)
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
    }
  }
  fileprivate init?(code: UInt8) {
    switch code {
    case 1: self = .new
    case 2: self = .valid
    case 3: self = .failing
    case 4: self = .refused
    case 5: self = .dead
    default: return nil
    }
  }
}

/// The record of the table `inflight`: a token request may be out. Written before the request, gone with its outcome.
package struct InFlightRecord: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1
  package var generation: Generation
  package var sentAt: Moment
  /// Keyed hash of the refresh token that is about to be used; nil where the request uses none.
  package var fingerprint: KeyedHash?

  package init(generation: Generation, sentAt: Moment, fingerprint: KeyedHash?) {
    self.generation = generation
    self.sentAt = sentAt
    self.fingerprint = fingerprint
  }

  package var encoded: [UInt8] {
    var out = RecordWriter()
    out.put(1, generation)
    out.put(2, sentAt.bytes)
    if let fingerprint { out.put(3, fingerprint.bytes) }
    return out.bytes
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    generation = try fields.required(fields.word(1), "generation")
    sentAt = try fields.required(Moment(fields.bytes(2)), "sentAt")
    fingerprint = fields.bytes(3).flatMap { KeyedHash(bytes: $0) }
  }
}
