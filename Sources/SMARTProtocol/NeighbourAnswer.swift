/// What can be said of any answer of the token endpoint's neighbours.

struct NeighbourAnswer {
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

  /// - Parameter lifting: members whose values are secret and do not become text.
  init(
    endpoint: String, field: String, status: Int, header: (String) -> String?, body: [UInt8],
    lifting: Set<String> = ["token", "access_token", "refresh_token", "id_token"]
  ) {
    self.endpoint = endpoint
    self.field = field
    self.status = status
    location = header("Location")
    isHTML = BodyKind(body) == .html
    do {
      let read = try JSONDocument(body, limits: .small, lifting: lifting)
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
