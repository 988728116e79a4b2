/// `access.*`: who may call what.
import FHIRControl
import SMARTProtocol

extension Commands {
  func listRules(_: NoParameters, _ caller: Caller) throws(ControlError) -> AccessRuleList {
    try directory.requireWhole(.accessList, caller)
    return directory.book.list
  }

  func grantRule(_ parameters: AccessGrantParameters, _ caller: Caller) async throws(ControlError) -> AccessRule {
    // Whoever may write rules may do everything; a rule that is bounded to some connections must not be the way there.
    try directory.requireWhole(.accessGrant, caller)
    var errors: [FieldError] = []
    let connections = parameters.connections ?? ["*"]
    let subjects = parameters.subjects ?? ["*"]
    for (field, globs) in [("methods", parameters.methods), ("connections", connections), ("subjects", subjects)] {
      if globs.isEmpty { errors.append(FieldError(field, "must name one at least; * stands for all")) }
      if globs.count > Self.globsMax { errors.append(FieldError(field, "\(Self.globsMax) entries are allowed")) }
      for glob in globs where Glob(glob) == nil {
        errors.append(
          FieldError(field, "\(glob.prefix(40).debugDescription) is not a glob of 1 to \(Glob.bytesMax) bytes"))
      }
    }
    if !directory.isKnown(parameters.principal) {
      errors.append(
        FieldError("principal", "there is no \(parameters.principal) on this machine; create it first, or use uid:N"))
    }
    for text in parameters.methods {
      guard let glob = Glob(text), !ControlMethod.allCases.contains(where: { glob.matches($0.rawValue) }) else {
        continue
      }
      errors.append(FieldError("methods", "\(text.debugDescription) matches no method; see server.info"))
    }
    if (parameters.note?.utf8.count ?? 0) > Self.noteBytesMax {
      errors.append(FieldError("note", "\(Self.noteBytesMax) bytes are allowed"))
    }
    guard errors.isEmpty else { throw ControlError.validation(errors) }
    guard directory.book.list.rules.count < AccessBook.rulesMax else {
      throw ControlError(
        .overloaded, "there are \(AccessBook.rulesMax) rules already", hint: "fhirctl access revoke ID")
    }
    let key = entropy.bytes(8)
    let rule = AccessRule(
      id: key.hex, principal: parameters.principal, methods: parameters.methods, connections: connections,
      subjects: subjects, note: parameters.note, createdAt: clock.wall())
    do { try await directory.book.grant(rule, key: key) } catch { throw ControlError(error) }
    log.record(
      .notice, "access granted",
      [
        .event: "access_granted", .caller: "uid:\(caller.uid)",
        .detail: "\(rule.id) \(rule.principal) \(rule.methods.joined(separator: ","))",
      ])
    return rule
  }

  /// Globs in one list of a rule.
  static var globsMax: Int { 256 }
  static var noteBytesMax: Int { 1024 }

  func revokeRule(_ parameters: AccessRevokeParameters, _ caller: Caller) async throws(ControlError)
    -> AccessRevokeResult
  {
    try directory.requireWhole(.accessRevoke, caller)
    let revoked: AccessRule?
    do { revoked = try await directory.book.revoke(parameters.rule) } catch { throw ControlError(error) }
    guard let revoked else {
      throw ControlError(
        .ruleNotFound, "no rule \(parameters.rule.prefix(64).debugDescription)", hint: "fhirctl access list")
    }
    log.record(
      .notice, "access revoked",
      [.event: "access_revoked", .caller: "uid:\(caller.uid)", .detail: "\(revoked.id) \(revoked.principal)"])
    return AccessRevokeResult(revoked: revoked)
  }
}

extension ControlError {
  static func validation(_ errors: [FieldError]) -> ControlError {
    ControlError(
      .validationFailed, errors.count == 1 ? "one field is not right" : "\(errors.count) fields are not right",
      detail: errors.map { "\($0.field) \($0.message)" }.joined(separator: "; "), fields: errors)
  }
}
