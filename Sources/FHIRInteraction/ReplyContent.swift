/// What can be said of a body without keeping it: its resource type, its issues, and whether it is JSON at all.
import SMARTProtocol

/// One issue of an OperationOutcome, cleaned and cut; every part is missing on some server (quirk 26).
package struct Issue: Sendable, Hashable, Codable {
  /// `fatal`, `error`, `warning`, `information`.
  package var severity: String?
  package var code: String?
  /// diagnostics, else the details' text, else the display of its first coding.
  package var text: String?
  /// FHIRPath, else XPath.
  package var expression: [String]

  package var isError: Bool { severity == "error" || severity == "fatal" }

  private static let textCharactersMax = 500
  private static let codeCharactersMax = 64
  /// Issues that are kept; servers have sent hundreds.
  static let countMax = 20

  init?(_ json: JSON) {
    guard json.object != nil else { return nil }
    func word(_ value: JSON?, _ max: Int) -> String? {
      value?.string.flatMap { $0.isEmpty ? nil : Words.clean($0, max: max) }
    }
    severity = word(json["severity"], Self.codeCharactersMax)
    code = word(json["code"], Self.codeCharactersMax)
    let details = json["details"]
    text =
      word(json["diagnostics"], Self.textCharactersMax) ?? word(details?["text"], Self.textCharactersMax)
      ?? word(details?["coding"]?.elements.first?["display"], Self.textCharactersMax)
    let places = json["expression"]?.elements ?? []
    expression = (places.isEmpty ? json["location"]?.elements ?? [] : places).prefix(4).compactMap { word($0, 200) }
  }

  /// The issues of an OperationOutcome; none of anything else.
  static func all(of root: JSON) -> [Issue] {
    guard root["resourceType"]?.string == "OperationOutcome", let issues = root["issue"] else { return [] }
    // Converters of XML write one issue without its array.
    let elements = issues.object == nil ? issues.elements : [issues]
    return elements.prefix(countMax).compactMap { Issue($0) }
  }
}

struct ReplyContent {
  private(set) var resourceType: String?
  private(set) var issues: [Issue] = []
  private(set) var oauth: OAuthError?
  /// Why the body is no JSON; only where that is certain.
  private(set) var fault: String?
  /// All of it was read; false: only what stands at its beginning is known.
  private(set) var isRead = false
  /// An HTML page whose title speaks of maintenance.
  private(set) var asksForPatience = false

  /// A body up to this is read as a whole; of a longer one only the type is looked for.
  static let wholeBytesMax = 1 << 20
  /// How far `resourceType` is looked for in a longer one: everybody writes it first.
  private static let headBytesMax = 64 << 10

  init(_ body: [UInt8], kind: BodyKind, isWhole: Bool) {
    switch kind {
    case .json: readJSON(body, isWhole: isWhole)
    case .html: asksForPatience = Self.speaksOfMaintenance(body)
    case .xml:
      let head = String(decoding: body.prefix(1024), as: UTF8.self)
      if head.contains("<OperationOutcome") { resourceType = "OperationOutcome" }
    case .empty, .text: break
    }
  }

  private mutating func readJSON(_ body: [UInt8], isWhole: Bool) {
    guard isWhole, body.count <= Self.wholeBytesMax else {
      resourceType = Self.leadingType(body.prefix(Self.headBytesMax))
      return
    }
    isRead = true
    do {
      let root = try JSONDocument(body, limits: .init(bytes: Self.wholeBytesMax, depth: 64, values: 200_000)).root
      resourceType = root["resourceType"]?.string.flatMap { PathParts.isResourceType($0) ? $0 : nil }
      issues = Issue.all(of: root)
      if resourceType == nil { oauth = Self.oauth(root) }
    } catch {
      fault = error.sentence
      resourceType = Self.leadingType(body.prefix(Self.headBytesMax))
    }
  }

  /// Gateways in front of FHIR servers speak OAuth: `{"error":"invalid_token"}`.
  private static func oauth(_ root: JSON) -> OAuthError? {
    guard let error = root["error"]?.string, !error.isEmpty else { return nil }
    let words = root["error_description"]?.string.flatMap { $0.isEmpty ? nil : Words.clean($0, max: 500) }
    return OAuthError(error: Words.clean(error, max: 100), description: words)
  }

  /// `resourceType` where it is the first member, as in every server's answer that was seen.
  static func leadingType(_ head: ArraySlice<UInt8>) -> String? {
    var rest = head.starts(with: [0xEF, 0xBB, 0xBF]) ? head.dropFirst(3) : head
    func skipSpace() { rest = rest.drop { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 } }
    for piece in ["{", "\"resourceType\"", ":", "\""] {
      skipSpace()
      guard rest.starts(with: piece.utf8) else { return nil }
      rest = rest.dropFirst(piece.utf8.count)
    }
    let name = String(decoding: rest.prefix(65).prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
    return PathParts.isResourceType(name) ? name : nil
  }

  private static func speaksOfMaintenance(_ body: [UInt8]) -> Bool {
    let head = String(decoding: body.prefix(4096), as: UTF8.self).lowercased()
    return ["maintenance", "temporarily unavailable", "service unavailable"].contains { head.contains($0) }
  }
}
