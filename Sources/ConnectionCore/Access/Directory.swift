/// Finds a connection or grant by what a caller wrote, and says whether this caller may have it. The hot path asks it
/// once per client and target; the commands ask it every time, and for the words of a refusal.
package import FHIRControl
import SMARTProtocol

package struct Directory: HotPathDirectory {
  package let ledger: Ledger
  package let book: AccessBook
  private let names: any NameService

  package init(ledger: Ledger, book: AccessBook, names: any NameService) {
    self.ledger = ledger
    self.book = book
    self.names = names
  }

  package var epoch: UInt64 { book.epoch }

  package func tokenKey(caller: Caller, connection: String, subject: String) -> GrantKey? {
    let reach = book.policy.reach(of: caller, method: .tokenGet)
    if case .nothing = reach { return nil }
    guard let found = try? ledger.connection(matching: connection), found.1.record.usesTokens,
      reach.covers(connection: found.id, named: found.1.record.name, subject: subject)
    else { return nil }
    return ledger.grantKey(found.id, subject: subject)
  }

  /// A connection as one caller is allowed to see it.
  package struct Found: Sendable {
    package var id: ConnectionID
    package var connection: Versioned<ConnectionRecord>
    package var name: String { connection.record.name }
  }

  /// - Throws: ACCESS_DENIED before anything tells whether the connection exists; then CONNECTION_NOT_FOUND,
  ///   STORE_CORRUPT.
  package func find(_ reference: String, subject: String = "", for method: ControlMethod, _ caller: Caller)
    throws(ControlError) -> Found
  {
    let reach = book.policy.reach(of: caller, method: method)
    if case .nothing = reach { throw denial(caller, method, connection: reference) }
    guard !reference.isEmpty, reference.utf8.count <= ConnectionValidator.Limit.urlBytes else {
      throw ControlError(
        .invalidParams, "parameter connection must be the name or id of a connection",
        fields: [FieldError("connection", "must be a name or an id")])
    }
    let found: (id: ConnectionID, Versioned<ConnectionRecord>)?
    do { found = try ledger.connection(matching: reference) } catch {
      guard reach.covers(spelled: reference) else { throw denial(caller, method, connection: reference) }
      throw ControlError(error)
    }
    guard let found else {
      guard reach.covers(spelled: reference) else { throw denial(caller, method, connection: reference) }
      throw ControlError(
        .connectionNotFound, "no connection \(reference.debugDescription)", hint: "fhirctl connection list")
    }
    guard reach.covers(connection: found.id, named: found.1.record.name, subject: subject) else {
      throw denial(caller, method, connection: reference)
    }
    return Found(id: found.id, connection: found.1)
  }

  /// Whether a principal is somebody here: a rule for a name that nobody has would come to life with the name.
  package func isKnown(_ principal: Principal) -> Bool {
    switch principal {
    case .user(let name): names.uid(ofUser: name) != nil
    case .group(let name): names.gid(ofGroup: name) != nil
    case .uid, .unit, .everyone: true
    }
  }

  /// For methods that name no connection.
  package func require(_ method: ControlMethod, _ caller: Caller, connection: String? = nil) throws(ControlError)
    -> AccessPolicy.Reach
  {
    let reach = book.policy.reach(of: caller, method: method)
    if case .nothing = reach { throw denial(caller, method, connection: connection) }
    if let connection, !reach.covers(spelled: connection) { throw denial(caller, method, connection: connection) }
    return reach
  }

  /// For methods that concern everything: rules themselves.
  package func requireWhole(_ method: ControlMethod, _ caller: Caller) throws(ControlError) {
    guard book.policy.reach(of: caller, method: method).isWhole else { throw denial(caller, method, connection: nil) }
  }

  /// Who was seen, and which rule would let it in. The caller's own words are quoted for a shell.
  package func denial(_ caller: Caller, _ method: ControlMethod, connection: String?) -> ControlError {
    let identity = identity(of: caller)
    let seen =
      "uid \(caller.uid)\(identity.user.map { " (\($0))" } ?? ""), groups \(identity.groups.joined(separator: ","))"
      + ", unit \(caller.unit ?? "none"), pid \(caller.pid)"
    var command = "fhirctl access grant \(Self.quoted(Self.principal(caller, identity))) --method \(method.rawValue)"
    if let connection { command += " --connection \(Self.quoted(connection))" }
    return ControlError(
      .accessDenied, "\(method.rawValue) is not allowed for uid \(caller.uid)", detail: "the caller is \(seen)",
      hint: command)
  }

  /// A service is best named by its unit; a person's session and a transient unit (`systemd-run`) say nothing.
  private static func principal(_ caller: Caller, _ identity: CallerIdentity) -> String {
    if let unit = caller.unit, unit.hasSuffix(".service"), !unit.hasPrefix("user@"), !unit.hasPrefix("run-") {
      return "unit:\(unit)"
    }
    return identity.user.map { "user:\($0)" } ?? "uid:\(caller.uid)"
  }

  /// One word for a shell, whatever is in it.
  static func quoted(_ text: String) -> String {
    let plain = text.utf8.allSatisfy { byte in
      switch byte {
      case 45, 46, 47, 48...58, 64...90, 95, 97...122: true
      default: false
      }
    }
    guard !plain || text.isEmpty else { return text }
    // Bytes, not characters: a quote and a combining mark after it are one character, and still a quote to the shell.
    let quote = UInt8(ascii: "'")
    let inner = text.utf8.flatMap { $0 == quote ? Array("'\\''".utf8) : [$0] }
    return String(decoding: [quote] + inner + [quote], as: UTF8.self)
  }

  package func identity(of caller: Caller) -> CallerIdentity {
    CallerIdentity(
      uid: caller.uid, gid: caller.gid, pid: caller.pid, user: names.userName(of: caller.uid),
      groups: Set(caller.groups + [caller.gid]).sorted().map { names.groupName(of: $0) ?? "\($0)" }, unit: caller.unit)
  }
}
