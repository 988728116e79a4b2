/// The base URL of a FHIR server and the URLs of endpoints: checked and normalized once, at the edge.

package typealias BaseURLError = URLProblem

/// Scheme and host in lower case, no default port, no trailing slash, path kept. Source: R2.01, R9.04.
package struct FHIRBaseURL: Sendable, Hashable, CustomStringConvertible {
  package let text: String
  package let origin: Origin
  /// Begins with a slash and does not end in one; or empty.
  package let path: String

  /// - Throws: what is wrong; the `sentence` continues "fhir_base_url …".
  package init(_ text: String, allowInsecureLoopback: Bool) throws(BaseURLError) {
    let url = try WebURL(text)
    guard url.query == nil else { throw .query }
    guard !url.hasFragment else { throw .fragment }
    try url.origin.checkSecure(allowInsecureLoopback: allowInsecureLoopback)
    var path = Substring(url.path)
    while path.last == "/" { path.removeLast() }
    origin = url.origin
    self.path = String(path)
    self.text = origin.description + path
  }

  /// The base, exactly one slash, and the path.
  package func appending(_ path: String) -> String { text + "/" + path.drop { $0 == "/" } }

  package var description: String { text }
}

/// The URL of an OAuth endpoint, as it was written: servers compare `aud` with it byte by byte.
/// A query is allowed, a fragment is not. Source: RFC 6749 section 3.2.
package struct EndpointURL: Sendable, Hashable, CustomStringConvertible {
  package let text: String
  package let origin: Origin

  package init(_ text: String, allowInsecureLoopback: Bool) throws(URLProblem) {
    let url = try WebURL(text)
    guard !url.hasFragment else { throw .fragment }
    try url.origin.checkSecure(allowInsecureLoopback: allowInsecureLoopback)
    self.text = text
    origin = url.origin
  }

  package var description: String { text }
}

extension Origin {
  /// The origin of an absolute URL, or nil; says nothing of whether it may be used.
  package init?(of url: String) {
    guard let parsed = try? WebURL(url) else { return nil }
    self = parsed.origin
  }

  fileprivate func checkSecure(allowInsecureLoopback: Bool) throws(URLProblem) {
    guard scheme != "https" else { return }
    guard isLoopback else { throw .insecure(loopback: false) }
    guard allowInsecureLoopback else { throw .insecure(loopback: true) }
  }
}
