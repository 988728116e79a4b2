/// What browsers bring: the redirect at the end of a login, and the launch out of an EHR.
import FHIRControl

enum Callback {
  /// The longest values, in bytes. `state` is the daemon's own, 43 characters; codes are opaque and can be JWTs.
  static let bytesMax = [
    "state": 512, "code": 8 << 10, "iss": 2 << 10, "error": 256, "error_description": 4 << 10, "error_uri": 2 << 10,
  ]

  /// - Parameter connection: the id in the path of a connection's own redirect URI.
  /// - Throws: also for a redirect without `state`, or with neither `code` nor `error`: nothing could be done with it.
  static func parameters(_ query: Substring, connection: String?) throws(QueryError)
    -> AuthorizationCompleteParameters
  {
    let values = try Query.read(query, bytesMax: bytesMax)
    guard values["state"] != nil else { throw .malformed("state") }
    guard values["code"] != nil || values["error"] != nil else { throw .malformed("code") }
    return AuthorizationCompleteParameters(
      state: values["state"], code: values["code"], iss: values["iss"], error: values["error"],
      errorDescription: values["error_description"], errorURI: values["error_uri"], connectionID: connection)
  }
}

enum Launch {
  /// The longest values, in bytes. `launch` is opaque; some EHRs put a JWT in it.
  static let bytesMax = ["iss": 2 << 10, "launch": 8 << 10]

  /// Source: SMART App Launch 2.2, section 3.1: both are required.
  static func parameters(_ query: Substring) throws(QueryError) -> AuthorizationStartParameters {
    let values = try Query.read(query, bytesMax: bytesMax)
    guard let iss = values["iss"] else { throw .malformed("iss") }
    guard let launch = values["launch"] else { throw .malformed("launch") }
    return AuthorizationStartParameters(launch: launch, iss: iss)
  }

  /// Whether a browser may be sent there: https, or http to this machine; nothing that could end a header line.
  static func isSafe(_ url: String) -> Bool {
    guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return false }
    let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count >= 3, parts[1].isEmpty, !parts[2].isEmpty, !parts[2].contains("@") else { return false }
    let authority = parts[2].prefix { $0 != "?" && $0 != "#" }
    switch parts[0].lowercased() {
    case "https:": return !authority.isEmpty
    case "http:":
      let host = authority.hasPrefix("[") ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
      return ["127.0.0.1", "localhost", "[::1]"].contains(host.lowercased())
    default: return false
    }
  }
}
