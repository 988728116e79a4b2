/// One scope: SMART's grammar for access to resources, versions 1 and 2, and everything else as it is written.

/// The letters of a version 2 scope. `.read` is `rs`, `.write` is `cud`, `.*` is all five. Source: SMART, scopes.
package struct ScopeAccess: OptionSet, Sendable, Hashable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  package static let create = ScopeAccess(rawValue: 1)
  package static let read = ScopeAccess(rawValue: 2)
  package static let update = ScopeAccess(rawValue: 4)
  package static let delete = ScopeAccess(rawValue: 8)
  package static let search = ScopeAccess(rawValue: 16)
  package static let all: ScopeAccess = [.create, .read, .update, .delete, .search]

  /// In the order that the grammar demands.
  static let letters: [(letter: Character, access: ScopeAccess)] = [
    ("c", .create), ("r", .read), ("u", .update), ("d", .delete), ("s", .search),
  ]

  package var letters: String { String(Self.letters.filter { contains($0.access) }.map(\.letter)) }

  /// The suffix after the dot; nil when it is none: an unknown letter, one twice, none at all, another order.
  init?(suffix: Substring) {
    switch suffix {
    case "read": self = [.read, .search]
    case "write": self = [.create, .update, .delete]
    case "*": self = .all
    default:
      var found: ScopeAccess = []
      var rest = Self.letters[...]
      for letter in suffix {
        guard let at = rest.firstIndex(where: { $0.letter == letter }) else { return nil }
        found.insert(rest[at].access)
        rest = rest[(at + 1)...]
      }
      guard !found.isEmpty else { return nil }
      self = found
    }
  }
}

/// `system/Patient.rs?status=active`, taken apart.
package struct ResourceScope: Sendable, Hashable {
  package enum Level: String, Sendable, Hashable { case patient, user, system }
  package var level: Level
  /// A resource type, or `*`.
  package var type: String
  package var access: ScopeAccess
  /// The search parameters that narrow it; their order has no meaning.
  package var query: Set<String>

  /// nil for whatever does not follow the grammar.
  package init?(_ text: some StringProtocol) {
    let text = Substring(text)
    guard let slash = text.firstIndex(of: "/"), let level = Level(rawValue: String(text[..<slash])) else { return nil }
    var rest = text[text.index(after: slash)...]
    var query: Set<String> = []
    if let mark = rest.firstIndex(of: "?") {
      let parts = rest[rest.index(after: mark)...].split(separator: "&", omittingEmptySubsequences: false)
      guard parts.allSatisfy({ $0.contains("=") && !$0.hasPrefix("=") }) else { return nil }
      query = Set(parts.map(String.init))
      rest = rest[..<mark]
    }
    guard let dot = rest.firstIndex(of: ".") else { return nil }
    let type = rest[..<dot]
    guard type == "*" || Self.isTypeName(type),
      let access = ScopeAccess(suffix: rest[rest.index(after: dot)...])
    else { return nil }
    self.level = level
    self.type = String(type)
    self.access = access
    self.query = query
  }

  private static func isTypeName(_ text: Substring) -> Bool {
    guard let first = text.utf8.first, (65...90).contains(first) else { return false }
    return text.utf8.allSatisfy { (97...122).contains($0 | 0x20) }
  }

  /// Version 2, in the one canonical spelling.
  package var text: String {
    "\(level.rawValue)/\(type).\(access.letters)" + (query.isEmpty ? "" : "?" + query.sorted().joined(separator: "&"))
  }

  /// What of this scope's access the other grants: nothing unless level, type and narrowing reach as far.
  func access(grantedBy other: ResourceScope) -> ScopeAccess {
    guard other.level == level, other.type == "*" || other.type == type, other.query.isEmpty || other.query == query
    else { return [] }
    return access.intersection(other.access)
  }
}
