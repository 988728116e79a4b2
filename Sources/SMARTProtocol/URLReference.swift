/// Resolves a URL reference against a base, for servers that publish relative endpoints. Source: RFC 3986 section 5.

package enum URLReference {
  /// The target URL, whatever its scheme; the caller checks it. Total: any two texts give a text.
  package static func resolve(_ reference: String, against base: String) -> String {
    let r = Parts(reference)
    let b = Parts(base)
    var target = Parts()
    if r.scheme != nil {
      target = r
      target.path = removeDotSegments(r.path)
    } else if r.authority != nil {
      target = r
      target.path = removeDotSegments(r.path)
      target.scheme = b.scheme
    } else {
      if r.path.isEmpty {
        target.path = b.path
        target.query = r.query ?? b.query
      } else {
        target.path = removeDotSegments(r.path.hasPrefix("/") ? r.path : merge(b, r.path))
        target.query = r.query
      }
      target.scheme = b.scheme
      target.authority = b.authority
    }
    target.fragment = r.fragment
    return target.text
  }

  /// Whether the reference has a scheme of its own.
  package static func isAbsolute(_ reference: String) -> Bool { Parts(reference).scheme != nil }

  /// RFC 3986 appendix B, by hand.
  private struct Parts {
    var scheme: String?
    var authority: String?
    var path = ""
    var query: String?
    var fragment: String?

    init() {}

    init(_ text: String) {
      var rest = Substring(text)
      if let mark = rest.firstIndex(of: "#") {
        fragment = String(rest[rest.index(after: mark)...])
        rest = rest[..<mark]
      }
      if let mark = rest.firstIndex(of: "?") {
        query = String(rest[rest.index(after: mark)...])
        rest = rest[..<mark]
      }
      if let colon = rest.firstIndex(of: ":"), let first = rest.utf8.first, (97...122).contains(first | 0x20),
        rest[..<colon].utf8.allSatisfy({
          (97...122).contains($0 | 0x20) || (48...57).contains($0) || $0 == 43 || $0 == 45 || $0 == 46
        })
      {
        scheme = String(rest[..<colon])
        rest = rest[rest.index(after: colon)...]
      }
      if rest.hasPrefix("//") {
        rest = rest.dropFirst(2)
        let end = rest.firstIndex(of: "/") ?? rest.endIndex
        authority = String(rest[..<end])
        rest = rest[end...]
      }
      path = String(rest)
    }

    /// RFC 3986 section 5.3.
    var text: String {
      var result = ""
      if let scheme { result += scheme + ":" }
      if let authority { result += "//" + authority }
      result += path
      if let query { result += "?" + query }
      if let fragment { result += "#" + fragment }
      return result
    }
  }

  /// RFC 3986 section 5.2.3.
  private static func merge(_ base: Parts, _ path: String) -> String {
    if base.authority != nil, base.path.isEmpty { return "/" + path }
    guard let slash = base.path.lastIndex(of: "/") else { return path }
    return base.path[...slash] + path
  }

  /// RFC 3986 section 5.2.4, on whole segments.
  private static func removeDotSegments(_ path: String) -> String {
    let segments = path.split(separator: "/", omittingEmptySubsequences: false)
    let isRooted = path.hasPrefix("/")
    var output: [Substring] = []
    for (i, segment) in segments.enumerated() where !(i == 0 && isRooted) {
      let isLast = i == segments.count - 1
      switch segment {
      case ".":
        if isLast { output.append("") }
      case "..":
        if !output.isEmpty { output.removeLast() }
        if isLast { output.append("") }
      default: output.append(segment)
      }
    }
    return (isRooted ? "/" : "") + output.joined(separator: "/")
  }
}
