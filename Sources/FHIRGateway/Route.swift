/// What a path stands for.

enum Route: Hashable {
  /// With the id of a connection that has a redirect URI of its own.
  case callback(String?)
  /// Its last part: the id of an outcome.
  case result(String)
  case launch
  case keys
  case alive
  case ready

  /// - Parameter path: without the query. Compared byte for byte: an encoded or doubled slash is another path.
  init?(path: some StringProtocol) {
    switch path {
    case "/fhir-connections/callback": self = .callback(nil)
    case "/launch": self = .launch
    case "/.well-known/jwks.json": self = .keys
    case "/healthz": self = .alive
    case "/readyz": self = .ready
    default:  // somebody else's text: no last case
      let parts = path.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count == 4, parts[0].isEmpty, parts[1] == "fhir-connections" else { return nil }
      if parts[2] == "result", OutcomeBook.isID(parts[3]) {
        self = .result(String(parts[3]))
      } else if parts[3] == "callback", Self.isConnectionID(parts[2]) {
        self = .callback(String(parts[2]))
      } else {
        return nil
      }
    }
  }

  /// Only told apart from other paths: whether it is the login's connection, the daemon says.
  private static func isConnectionID(_ text: some StringProtocol) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.unicodeScalars.allSatisfy { scalar in
        scalar.isASCII && (scalar.properties.isAlphabetic || "0123456789._-".unicodeScalars.contains(scalar))
      }
  }

  /// HEAD is promised to change nothing, and link checkers send it: it must not use up a code or begin a login.
  var allowed: String {
    switch self {
    case .callback, .launch: "GET"
    case .result, .keys, .alive, .ready: "GET, HEAD"
    }
  }

  var isRateLimited: Bool {
    switch self {
    case .callback, .result, .launch, .keys, .ready: true
    case .alive: false
    }
  }
}
