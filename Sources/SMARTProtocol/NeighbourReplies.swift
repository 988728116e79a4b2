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

/// What can be said of any such answer.
private struct NeighbourAnswer {
  /// For sentences, without its article.
  let endpoint: String
  /// The connection's field that sets the endpoint.
  let field: String
  let status: Int
  let location: String?
  let isHTML: Bool
  private(set) var document: JSONDocument?
  /// From the body, else from the challenge.
  private(set) var oauth: OAuthError?
  /// Why there is no document.
  private(set) var fault: String?

  init(endpoint: String, field: String, status: Int, header: (String) -> String?, body: [UInt8]) {
    self.endpoint = endpoint
    self.field = field
    self.status = status
    location = header("Location")
    isHTML = BodyKind(body) == .html
    do {
      // Lifted: what a server repeats of tokens does not become text.
      let read = try JSONDocument(
        body, limits: .small, lifting: ["token", "access_token", "refresh_token", "id_token"])
      document = read
      oauth = OAuthError(read.root)
    } catch {
      fault = BodyKind(body).answered ?? error.sentence
    }
    if oauth == nil, !isSuccess, let challenge = header("WWW-Authenticate") {
      oauth = WWWAuthenticate.parse(challenge).lazy.compactMap { OAuthError($0) }.first
    }
  }

  var isSuccess: Bool { (200...299).contains(status) }

  func refusal() -> TokenRefusal {
    if let oauth {
      let words = oauth.description.map { ": \($0)" } ?? oauth.uri.map { ", see \($0)" } ?? ""
      return TokenRefusal(
        status: status, oauth: oauth, sentence: "the \(endpoint) refused with \(oauth.error) (\(status))\(words)")
    }
    let said = fault.map { " (\($0))" } ?? " without an OAuth error"
    let words: String
    switch status {
    case 300...399:
      let target = location.flatMap { Origin(of: $0) }.map { " to \($0)" } ?? ""
      words = ": a redirect\(target), which is never followed with credentials; correct \(field)"
    case 404, 405, 410: words = ": there is no \(endpoint) at this URL; correct \(field)"
    case 401: words = ": the credentials are refused\(said)"
    case 403 where !isHTML: words = ": the credentials are refused\(said)"
    default: words = said
    }
    return TokenRefusal(status: status, sentence: "the \(endpoint) answered \(status)\(words)")
  }
}
