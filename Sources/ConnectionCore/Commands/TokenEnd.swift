/// `token.revoke` and `token.introspect`.
import FHIRControl
import SMARTProtocol

extension Commands {
  func revokeToken(_ parameters: GrantReference, _ caller: Caller) async throws(ControlError) -> TokenRevokeResult {
    let subject = parameters.subject ?? ""
    let found = try directory.find(parameters.connection, subject: subject, for: .tokenRevoke, caller)
    let key = try grantKey(found, subject)
    let parts = await authorizer.revoke(found.id, found.connection.record, subject: subject)
    let erased = try await engine.eraseTokens(key)
    log.record(
      .notice, "tokens revoked",
      [
        .event: "tokens_revoked", .connection: found.id.description, .name: found.name, .caller: "uid:\(caller.uid)",
        .outcome: parts.map { "\($0.token) \($0.outcome)" }.joined(separator: ", "),
      ])
    return TokenRevokeResult(server: parts, erased: erased)
  }

  func introspectToken(_ parameters: GrantReference, _ caller: Caller) async throws(ControlError) -> TokenIntrospection
  {
    let subject = parameters.subject ?? ""
    let found = try directory.find(parameters.connection, subject: subject, for: .tokenIntrospect, caller)
    _ = try grantKey(found, subject)
    return try await authorizer.introspect(found.id, found.connection.record, subject: subject)
  }
}

extension ConnectionDeleteResult {
  /// One word for what the server said of all tokens of a connection.
  init(_ id: ConnectionID, name: String, grants: Int, _ parts: [TokenRevokeResult.Part]?) {
    let outcomes = Set((parts ?? []).map(\.outcome))
    let word: String
    switch outcomes {
    case _ where parts == nil: word = "not_asked"
    case []: word = "nothing_to_revoke"
    case _ where outcomes.contains("failed"): word = "failed"
    case _ where outcomes.contains("revoked"): word = "revoked"
    default: word = "not_supported_by_server"
    }
    self.init(
      id: id.description, connectionName: name, grantsErased: grants, revocation: word,
      revocationDetail: (parts ?? []).compactMap(\.detail).first)
  }
}
