/// Scopes as a set: order and spelling have no meaning, coverage has. What was granted is held against what was asked.

package struct ScopeSet: Sendable, Hashable, CustomStringConvertible {
  /// As they were written, each once, in the order of their first appearance.
  package let scopes: [String]

  package init(_ text: String) {
    var seen: Set<String> = []
    // Bytes, not characters: a space and a combining mark after it are one character.
    scopes = text.utf8.split { $0 == 0x20 || (0x09...0x0D).contains($0) }
      .map { String(Substring($0)) }.filter { seen.insert($0).inserted }
  }

  package var isEmpty: Bool { scopes.isEmpty }
  package var description: String { scopes.joined(separator: " ") }

  package static func == (a: ScopeSet, b: ScopeSet) -> Bool { a.canonical == b.canonical }
  package func hash(into hasher: inout Hasher) { hasher.combine(canonical) }

  /// Every letter of every resource scope by itself, and the other scopes as they are: `.r .s` equals `.rs`.
  private var canonical: Set<String> {
    var result: Set<String> = []
    for scope in scopes {
      guard let resource = ResourceScope(scope) else {
        result.insert(scope)
        continue
      }
      for (_, access) in ScopeAccess.letters where resource.access.contains(access) {
        var single = resource
        single.access = access
        result.insert(single.text)
      }
    }
    return result
  }

  /// What of this set the granted one does not cover, in this set's order; of a resource scope only the letters that
  /// are wanting. Empty: everything asked for was granted, be it in other words or more. Source: SMART, scopes.
  ///
  /// - Parameters:
  ///   - hasRefreshToken: a refresh token came: `offline_access` and `online_access` are granted, whether named or not.
  ///   - context: launch context that came: `launch/patient` is granted when `patient` is there.
  package func missing(
    from granted: ScopeSet, hasRefreshToken: Bool = false, context: Set<String> = []
  ) -> [String] {
    let exact = Set(granted.scopes)
    let resources = granted.scopes.compactMap { ResourceScope($0) }
    return scopes.compactMap { scope in
      if exact.contains(scope) { return nil }
      if var wanted = ResourceScope(scope) {
        for grant in resources { wanted.access.subtract(wanted.access(grantedBy: grant)) }
        return wanted.access.isEmpty ? nil : wanted.text
      }
      if hasRefreshToken, scope == "offline_access" || scope == "online_access" { return nil }
      if scope.hasPrefix("launch/"), context.contains(String(scope.dropFirst(7).prefix { $0 != "?" })) { return nil }
      return scope
    }
  }

  /// What is wrong with a scope that an operator wants to ask for: one sentence per problem, naming the scope.
  /// A server would answer only `invalid_scope`. Empty: nothing.
  package static func problems(in text: String) -> [String] {
    guard text.utf8.count <= textBytesMax else { return ["is longer than \(textBytesMax) bytes"] }
    var problems: [String] = []
    // RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
    if let bad = text.unicodeScalars.first(where: { !isScopeScalar($0) && $0 != " " }) {
      let number = String(bad.value, radix: 16, uppercase: true)
      let code = String(repeating: "0", count: max(0, 4 - number.count)) + number
      problems.append("has the character U+\(code), which no scope may have (scopes are separated by one space)")
    }
    for scope in ScopeSet(text).scopes.prefix(problemsMax) {
      if let problem = problem(of: scope) { problems.append(problem) }
    }
    return problems
  }

  /// 16 KiB: Cerner's whole list of scopes is 5 kB.
  package static let textBytesMax = 16 << 10
  /// Problems told at once.
  private static let problemsMax = 400

  private static func isScopeScalar(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value == 0x21 || (0x23...0x5B).contains(scalar.value) || (0x5D...0x7E).contains(scalar.value)
  }

  private static func problem(of scope: String) -> String? {
    guard let slash = scope.firstIndex(of: "/"), ResourceScope.Level(rawValue: String(scope[..<slash])) != nil,
      ResourceScope(scope) == nil
    else { return nil }
    let shown = Words.clean(scope, max: 100)
    let bare = scope.prefix { $0 != "?" }
    guard let dot = bare.lastIndex(of: ".") else {
      return "\(shown): a dot and letters must follow the type, as in \(shown).rs"
    }
    let suffix = bare[bare.index(after: dot)...]
    let access = suffix.reduce(into: ScopeAccess()) { access, letter in
      if let known = ScopeAccess.letters.first(where: { $0.letter == letter }) { access.insert(known.access) }
    }
    if !suffix.isEmpty, suffix.allSatisfy({ letter in ScopeAccess.letters.contains { $0.letter == letter } }) {
      if access.letters != suffix {
        return
          "\(shown): the letters must stand once each in the order cruds: write \(Words.clean(bare[...dot], max: 100))\(access.letters)"
      }
      return scope.contains("?")
        ? "\(shown): parameters after the ? must be name=value, joined by &"
        : "\(shown): the type must be a resource type such as Patient, or *"
    }
    return "\(shown): after the dot come letters of cruds in that order, or read, write or *"
  }
}
