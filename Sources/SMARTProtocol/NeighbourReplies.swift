/// Reads the answers of the token endpoint's neighbours: introspection and revocation. Total: any answer gives a result.

/// Source: RFC 7662 section 2.2, R8.03.
package enum IntrospectionReply {
  /// Whether the token is active, and the whole answer; `active` false may come alone. Tokens that a server repeats in
  /// its answer are left out of `root`.
  /// - Parameter header: looks a header up without regard to case.
  package static func read(
    status: Int, header: (String) -> String?, body: [UInt8]
  ) -> Result<(active: Bool, root: JSON), TokenRefusal> {
    let answer = NeighbourAnswer(
      endpoint: "introspection endpoint", field: "introspection_url", status: status, header: header, body: body)
    guard answer.isSuccess else { return .failure(answer.refusal()) }
    func useless(_ detail: String) -> Result<(active: Bool, root: JSON), TokenRefusal> {
      .failure(
        TokenRefusal(
          status: status, oauth: answer.oauth,
          sentence: "the introspection endpoint's \(status) says nothing of the token: \(detail)"))
    }
    guard let document = answer.document else { return useless(answer.fault ?? "it is not JSON") }
    guard !document.topLevelDuplicates.contains("active") else { return useless("active stands twice in it") }
    switch document.root["active"] {
    case .bool(let active)?: return .success((active, document.root))
    case nil:
      if answer.oauth != nil { return .failure(answer.refusal()) }
      return useless(document.root.object == nil ? "it is \(document.root.kind)" : "active is missing")
    case let other?: return useless("active is \(other.kind), not a boolean")
    }
  }
}

/// What became of a token that was given back. Source: RFC 7009 section 2.2.
package enum RevocationOutcome: Sendable, Hashable {
  /// Also when the server does not know the token: there is nothing left to revoke.
  case revoked
  /// The server cannot revoke tokens of this kind; the token ends with its lifetime.
  case unsupportedTokenType
  /// The token must be taken as still good; nil: the server did not say when to come again.
  case retryLater(Instant.Span?)
  case refused(TokenRefusal)
}

package enum RevocationReply {
  /// - Parameters:
  ///   - header: looks a header up without regard to case.
  ///   - now: wall clock, milliseconds since 1970; for `Retry-After` dates.
  package static func classify(
    status: Int, header: (String) -> String?, body: [UInt8], now wallMilliseconds: Int64
  ) -> RevocationOutcome {
    let answer = NeighbourAnswer(
      endpoint: "revocation endpoint", field: "revocation_url", status: status, header: header, body: body)
    if answer.isSuccess { return .revoked }
    let wait = RetryAfter.parse(status: status, header: header, now: wallMilliseconds)
    if status == 503 || status == 429 { return .retryLater(wait) }
    if answer.oauth?.error.lowercased() == "unsupported_token_type" { return .unsupportedTokenType }
    var refusal = answer.refusal()
    refusal.retryAfter = wait
    return .refused(refusal)
  }
}
