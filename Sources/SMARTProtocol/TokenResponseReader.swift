/// Reads a token response out of a JSON document, forgiving what live servers do to lifetimes, scopes and nulls.

struct TokenResponseReader {
  private let document: JSONDocument
  private let requestedScope: String
  private var findings: [Finding] = []

  /// Members that are the protocol's own and no context.
  private static let ownMembers: Set<String> = [
    "access_token", "token_type", "expires_in", "refresh_token", "id_token", "scope", "error", "error_description",
    "error_uri",
  ]

  init(_ document: JSONDocument, requestedScope: String) {
    self.document = document
    self.requestedScope = requestedScope
  }

  mutating func judge(cacheControl: String?) {
    guard cacheControl?.lowercased().contains("no-store") != true else { return }
    note("token-cacheable", "the token response has no Cache-Control: no-store")
  }

  func outcome(status: Int) -> TokenOutcome {
    var reader = self
    switch reader.read() {
    case .success(let response): return .granted(response)
    case .failure(let problem):
      return .garbled(
        TokenRefusal(status: status, sentence: "the token endpoint's \(status) is no token: \(problem.sentence)"))
    }
  }

  private struct Problem: Error { var sentence: String }

  private mutating func read() -> Result<TokenResponse, Problem> {
    guard let members = document.root.object else {
      return .failure(Problem(sentence: "the answer is \(document.root.kind), not an object"))
    }
    // Two parsers may read two different tokens out of it: none is to be trusted.
    if let twice = document.topLevelDuplicates.sorted().first(where: { Self.ownMembers.contains($0) }) {
      return .failure(Problem(sentence: "it has \(twice) twice"))
    }
    guard let access = document.lifted["access_token"], !access.isEmpty else {
      return .failure(Problem(sentence: "it has no access_token"))
    }
    guard Self.isToken(access) else {
      return .failure(
        Problem(
          sentence: "its access_token is longer than \(TokenResponse.tokenBytesMax) bytes or cannot stand in a header"))
    }
    let type: String
    switch tokenType(members["token_type"]) {
    case .success(let name): type = name
    case .failure(let problem): return .failure(problem)
    }
    let lifetime = expiresIn(members["expires_in"])
    let scope = scope(members["scope"])
    let refresh = optionalToken("refresh_token")
    let identity = optionalToken("id_token")
    let context = context(members)
    return .success(
      TokenResponse(
        accessToken: SecretText(access), tokenType: type, expiresIn: lifetime ?? TokenResponse.lifetimeDefault,
        expiresInWasGiven: lifetime != nil, refreshToken: refresh, idToken: identity,
        scope: scope ?? requestedScope, scopeWasGiven: scope != nil, context: context, findings: findings))
  }

  private mutating func note(_ id: String, _ sentence: String) { findings.append(Finding(id, sentence)) }

  /// Visible ASCII without spaces: RFC 6750's b64token is narrower, RFC 6749's VSCHAR is this.
  private static func isToken(_ bytes: [UInt8]) -> Bool {
    bytes.count <= TokenResponse.tokenBytesMax && bytes.allSatisfy { (0x21...0x7E).contains($0) }
  }

  private mutating func optionalToken(_ name: String) -> SecretText? {
    guard let bytes = document.lifted[name], !bytes.isEmpty else { return nil }
    guard Self.isToken(bytes) else {
      note("token-\(name)-unusable", "the server's \(name) is too long or has characters that no token may have")
      return nil
    }
    return SecretText(bytes)
  }

  /// RFC 6749 section 7.1: a client must not use a token of a type that it does not know.
  private mutating func tokenType(_ value: JSON?) -> Result<String, Problem> {
    switch value ?? .null {
    case .string(let name) where name.lowercased() == "bearer": return .success(name)
    case .null:
      note("token-no-token_type", "the token response names no token_type; taken as Bearer")
      return .success("Bearer")
    case .string(let name):
      return .failure(Problem(sentence: "its token_type is \(Words.clean(name, max: 40)), not Bearer"))
    case let other:
      return .failure(Problem(sentence: "its token_type is \(other.kind), not a string"))
    }
  }

  /// nil: absent, or nothing that can be a lifetime.
  private mutating func expiresIn(_ value: JSON?) -> Instant.Span? {
    let seconds: Double
    switch value ?? .null {
    case .integer(let number): seconds = Double(number)
    case .number(let number): seconds = number
    case .string(let text):
      guard let number = Self.number(text) else {
        note("token-expires_in", "expires_in is a text that is no number; taken as \(Self.defaultWords)")
        return nil
      }
      seconds = number
      note("token-expires_in-string", "expires_in is a string")
    case .null:
      note("token-no-expires_in", "the token response names no expires_in; taken as \(Self.defaultWords)")
      return nil
    case .bool, .array, .object:
      note("token-expires_in", "expires_in is \(value?.kind ?? "null"); taken as \(Self.defaultWords)")
      return nil
    }
    guard seconds > 0 else {
      note("token-expires_in", "expires_in is not positive; taken as \(Self.defaultWords)")
      return nil
    }
    guard seconds < TokenResponse.lifetimeMax.seconds else { return TokenResponse.lifetimeMax }
    return max(Instant.Span(milliseconds: Int64(seconds * 1000)), TokenResponse.lifetimeMin)
  }

  private static let defaultWords = "\(Int(TokenResponse.lifetimeDefault.seconds)) s"

  /// A decimal number with blanks around it and nothing else: `Double` alone would take "nan" and "0x10".
  private static func number(_ text: String) -> Double? {
    let bytes = text.utf8.drop { $0 == 0x20 }
    let trimmed = bytes.prefix { $0 != 0x20 }
    guard !trimmed.isEmpty, trimmed.count <= 32, bytes.dropFirst(trimmed.count).allSatisfy({ $0 == 0x20 }),
      trimmed.allSatisfy({ (48...57).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") })
    else { return nil }
    return Double(String(decoding: Array(trimmed), as: UTF8.self))
  }

  /// nil: the server said nothing, so what was asked for was granted. An empty text says that nothing was.
  private mutating func scope(_ value: JSON?) -> String? {
    switch value ?? .null {
    case .string(let text): return Words.clean(text, max: ScopeSet.textBytesMax)
    case .array(let elements):
      note("token-scope-array", "scope is an array, not a string")
      return Words.clean(elements.compactMap(\.string).joined(separator: " "), max: ScopeSet.textBytesMax)
    case .null: return nil
    case .bool, .integer, .number, .object:
      note("token-scope-type", "scope is \(value?.kind ?? "null"), not a string")
      return nil
    }
  }

  /// Kept as it came, also where it is not as SMART App Launch says (R6.06).
  private mutating func judge(fhirContext: JSON) {
    guard case .array(let entries) = fhirContext else {
      return note("token-fhirContext", "fhirContext is \(fhirContext.kind), not an array")
    }
    let isGood = entries.allSatisfy { entry in
      ["reference", "canonical", "identifier"].contains { entry[$0].map { !$0.isNull } ?? false }
    }
    if !isGood {
      note("token-fhirContext", "an entry of fhirContext has neither reference nor canonical nor identifier")
    }
  }

  private mutating func context(_ members: [String: JSON]) -> [String: JSON] {
    var kept: [String: JSON] = [:]
    var size = 0
    for name in members.keys.sorted() where !Self.ownMembers.contains(name) {
      guard let value = members[name], !value.isNull else { continue }
      size += name.utf8.count + value.text.utf8.count + 6
      guard kept.count < TokenResponse.contextMembersMax, size <= TokenResponse.contextBytesMax else {
        note("token-context-cut", "the token response has more launch context than is kept")
        break
      }
      kept[name] = value
    }
    if let entries = kept["fhirContext"] { judge(fhirContext: entries) }
    return kept
  }
}
