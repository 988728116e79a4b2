/// What a FHIR server says when it says no: an OperationOutcome in JSON or XML, a challenge, an HTML page, nothing.

package enum OperationOutcome {
  /// Issues told in one sentence; servers have sent hundreds.
  private static let issuesMax = 3
  private static let issueCharactersMax = 300

  /// A sentence on an answer that is no success; never empty. Nothing in it is trusted: it is cleaned and cut.
  /// - Parameter header: looks a header up without regard to case.
  package static func sentence(status: Int, header: (String) -> String?, body: [UInt8]) -> String {
    let start = "the server answered \(status)"
    if let text = text(body) { return "\(start): \(text)" }
    let challenges = header("WWW-Authenticate").map { WWWAuthenticate.parse($0) } ?? []
    if let error = challenges.lazy.compactMap({ OAuthError($0) }).first {
      return "\(start): \(error.error)" + (error.description.map { ", \($0)" } ?? "")
    }
    switch BodyKind(body) {
    case .empty: return "\(start) with an empty body"
    case .html: return "\(start) with an HTML page" + (title(body).map { ": \($0)" } ?? "")
    case .xml: return "\(start) with XML"
    case .json: return "\(start) with JSON that is no OperationOutcome"
    case .text:
      let text = Words.clean(String(decoding: body.prefix(2048), as: UTF8.self), max: issueCharactersMax)
      return "\(start): \(text)"
    }
  }

  /// The issues' own words; nil when the body is no OperationOutcome or says nothing.
  package static func text(_ body: [UInt8]) -> String? {
    switch BodyKind(body) {
    case .json:
      guard let root = try? JSONDocument(body, limits: .small).root else { return nil }
      if root["resourceType"]?.string == "OperationOutcome" { return fromJSON(root) }
      return OAuthError(root).map { $0.error + ($0.description.map { ": \($0)" } ?? "") }
    case .xml: return fromXML(String(decoding: body.prefix(64 << 10), as: UTF8.self))
    case .empty, .html, .text: return nil
    }
  }

  /// `code` is required by FHIR and missing on live servers: each part stands for the others.
  private static func fromJSON(_ root: JSON) -> String? {
    let issues = root["issue"]?.elements ?? []
    let texts = issues.compactMap { issue -> String? in
      let coding = issue["details"]?["coding"]?.elements.first
      let words =
        issue["diagnostics"]?.string ?? issue["details"]?["text"]?.string ?? coding?["display"]?.string
        ?? issue["code"]?.string
      return words.flatMap { $0.isEmpty ? nil : Words.clean($0, max: issueCharactersMax) }
    }
    if texts.isEmpty, let div = root["text"]?["div"]?.string { return withoutTags(div) }
    return join(texts)
  }

  /// Enough to quote `diagnostics` and `text` out of an OperationOutcome in XML; no XML parser runs on foreign bytes.
  private static func fromXML(_ text: String) -> String? {
    guard text.contains("OperationOutcome") else { return nil }
    var texts: [String] = []
    for element in ["<diagnostics value=", "<text value=", "<display value="] where texts.isEmpty {
      var rest = text[...]
      while texts.count <= issuesMax, let start = rest.firstRange(of: element) {
        rest = rest[start.upperBound...]
        guard let quote = rest.first, quote == "\"" || quote == "'",
          let end = rest.dropFirst().firstIndex(of: quote)
        else { break }
        let value = rest[rest.index(after: rest.startIndex)..<end]
        if !value.isEmpty { texts.append(Words.clean(unescaped(value), max: issueCharactersMax)) }
        rest = rest[rest.index(after: end)...]
      }
    }
    return join(texts)
  }

  private static func join(_ texts: [String]) -> String? {
    guard !texts.isEmpty else { return nil }
    let more = texts.count > issuesMax ? "; and \(texts.count - issuesMax) more" : ""
    return texts.prefix(issuesMax).joined(separator: "; ") + more
  }

  private static func title(_ body: [UInt8]) -> String? {
    let head = String(decoding: body.prefix(8192), as: UTF8.self)
    guard let start = head.firstRange(of: "<title>") ?? head.firstRange(of: "<TITLE>"),
      let end = head[start.upperBound...].firstIndex(of: "<")
    else { return nil }
    let title = head[start.upperBound..<end].split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return title.isEmpty ? nil : Words.clean(unescaped(title[...]), max: 120)
  }

  private static func withoutTags(_ html: String) -> String? {
    var result = ""
    var isInTag = false
    for character in html.prefix(4096) {
      switch character {
      case "<": isInTag = true
      case ">": isInTag = false
      default: if !isInTag { result.append(character) }
      }
    }
    let text = result.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return text.isEmpty ? nil : Words.clean(unescaped(text[...]), max: issueCharactersMax)
  }

  private static func unescaped(_ text: Substring) -> String {
    guard text.contains("&") else { return String(text) }
    var result = String(text)
    for (entity, character) in [
      ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&"),
    ] {
      result = result.replacing(entity, with: character)
    }
    return result
  }
}

extension StringProtocol where SubSequence == Substring {
  /// The first place where the other text stands.
  fileprivate func firstRange(of other: String) -> Range<Index>? {
    guard let first = other.first else { return nil }
    var from = startIndex
    while let at = self[from...].firstIndex(of: first) {
      if self[at...].hasPrefix(other) { return at..<index(at, offsetBy: other.count) }
      from = index(after: at)
    }
    return nil
  }
}
