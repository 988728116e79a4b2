/// Classifies the answer of a token endpoint. Total: any status, headers and bytes give one outcome. The server's
/// `error` decides before the status, because live servers mix statuses; a 200 without a token is no success.

package enum TokenReply {
  /// What the HTTP client should let through; a longer body is no token response.
  package static let bodyBytesMax = 1 << 20

  /// - Parameters:
  ///   - header: looks a header up without regard to case.
  ///   - requestedScope: what counts as granted when the answer names no scope.
  ///   - now: wall clock, milliseconds since 1970; for `Retry-After` dates.
  package static func classify(
    status: Int, header: (String) -> String?, body: [UInt8], requestedScope: String, now wallMilliseconds: Int64
  ) -> TokenOutcome {
    let wait = RetryAfter.parse(status: status, header: header, now: wallMilliseconds)
    let isSuccess = (200...299).contains(status)
    var fault: String?
    do {
      let document = try JSONDocument(body, limits: .small, lifting: ["access_token", "refresh_token", "id_token"])
      if let error = OAuthError(document.root) {
        return refused(error, status: status, wait: wait)
      }
      if isSuccess {
        var reader = TokenResponseReader(document, requestedScope: requestedScope)
        // RFC 6749 section 5.1: a duty of the server's; who omits it lets proxies keep tokens (R6.12).
        reader.judge(cacheControl: header("Cache-Control"))
        return reader.outcome(status: status)
      }
      fault = nil
    } catch {
      fault = BodyKind(body).answered ?? error.sentence
    }
    if isSuccess {
      let detail = fault ?? "the answer has no access_token"
      return .garbled(TokenRefusal(status: status, sentence: "the token endpoint's \(status) is no token: \(detail)"))
    }
    return withoutOAuthError(status: status, header: header, body: body, fault: fault, wait: wait)
  }

  /// RFC 6749 section 5.2, and what live servers say instead.
  private static func refused(_ error: OAuthError, status: Int, wait: Instant.Span?) -> TokenOutcome {
    let words = error.description.map { ": \($0)" } ?? error.uri.map { ", see \($0)" } ?? ""
    let refusal = TokenRefusal(
      status: status, oauth: error, retryAfter: wait,
      sentence: "the token endpoint refused with \(error.error) (\(status))\(words)")
    // A limiter in front of the server knows nothing of the grant, whatever words it sends.
    if status == 429 { return .throttled(refusal) }
    switch error.error.lowercased() {
    case "invalid_grant": return .grantDead(refusal)
    case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request", "invalid_target",
      "access_denied", "unsupported_response_type":
      return .clientWrong(refusal)
    // glewlwyd says scope_invalid; insufficient_scope is RFC 6750's word.
    case "invalid_scope", "scope_invalid", "insufficient_scope": return .scopeRefused(refusal)
    case "slow_down", "too_many_requests", "rate_limit_exceeded", "throttled": return .throttled(refusal)
    case "server_error", "temporarily_unavailable": return .serverTrouble(refusal)
    default: return status >= 500 || isSuccess(status) ? .serverTrouble(refusal) : .clientWrong(refusal)
    }
  }

  private static func isSuccess(_ status: Int) -> Bool { (200...299).contains(status) }

  /// No `error` in the body: header and status are all there is.
  private static func withoutOAuthError(
    status: Int, header: (String) -> String?, body: [UInt8], fault: String?, wait: Instant.Span?
  ) -> TokenOutcome {
    let challenge = header("WWW-Authenticate").map { WWWAuthenticate.parse($0) } ?? []
    if let named = challenge.lazy.compactMap({ OAuthError($0) }).first, named.error != "invalid_grant" {
      return refused(named, status: status, wait: wait)
    }
    func refusal(_ words: String) -> TokenRefusal {
      TokenRefusal(status: status, retryAfter: wait, sentence: "the token endpoint answered \(status)\(words)")
    }
    let said = fault.map { " (\($0))" } ?? " without an OAuth error"
    let isHTML = BodyKind(body) == .html
    switch status {
    case 429: return .throttled(refusal(": too many requests"))
    case 408, 425, 500...599: return .serverTrouble(refusal(said))
    case 300...399:
      // The credentials go where they were meant for, or nowhere.
      let target = header("Location").flatMap { Origin(of: $0) }.map { " to \($0)" } ?? ""
      return .garbled(refusal(": a redirect\(target), which is never followed with credentials; correct token_url"))
    case 404, 405, 410: return .clientWrong(refusal(": there is no token endpoint at this URL; correct token_url"))
    case 401: return .clientWrong(refusal(": the client's credentials are refused\(said)"))
    // glewlwyd says 403 and nothing else for wrong credentials; an HTML page is a firewall's or a proxy's.
    case 403 where !isHTML: return .clientWrong(refusal(": the client's credentials are refused\(said)"))
    default: return .garbled(refusal(said))
    }
  }
}

extension OAuthError {
  /// Longest `error` and texts that are kept; servers have sent whole stack traces.
  private static let errorCharactersMax = 100
  private static let textCharactersMax = 500

  /// From a token endpoint's body; nil unless `error` is a text. null and empty texts count as absent.
  init?(_ root: JSON) {
    guard let error = root["error"]?.string, !error.isEmpty else { return nil }
    self.init(
      error: Words.clean(error, max: Self.errorCharactersMax), description: Self.text(root["error_description"]),
      uri: Self.text(root["error_uri"]))
  }

  /// From a challenge of RFC 6750 section 3.
  package init?(_ challenge: WWWAuthenticate.Challenge) {
    guard let error = challenge.parameters["error"], !error.isEmpty else { return nil }
    func text(_ name: String) -> String? { Self.text(challenge.parameters[name].map { JSON.string($0) }) }
    self.init(
      error: Words.clean(error, max: Self.errorCharactersMax), description: text("error_description"),
      uri: text("error_uri"))
  }

  /// From the parameters of an authorization response. Source: RFC 6749 section 4.1.2.1.
  init(foreign error: String, description: String?, uri: String?) {
    self.init(
      error: Words.clean(error, max: Self.errorCharactersMax),
      description: Self.text(description.map { JSON.string($0) }), uri: Self.text(uri.map { JSON.string($0) }))
  }

  private static func text(_ value: JSON?) -> String? {
    guard let text = value?.string, !text.isEmpty else { return nil }
    return Words.clean(text, max: textCharactersMax)
  }
}
