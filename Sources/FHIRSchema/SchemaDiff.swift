/// What has changed between two schemas of a server. Names and dates of the statement and its findings are not compared:
/// they change without anything else for a client. Of documentation it is told where it has changed, not how.

package struct SchemaDiff: Sendable, Hashable, Codable {
  package enum Kind: String, Sendable, Hashable, Codable { case added, removed, changed }

  /// What kind of thing it is, in the order in which changes are told.
  package enum Area: String, Sendable, Hashable, Codable, CaseIterable {
    case version, software, implementation, statement, security, format, compartment, resource, interaction
    case searchParameter = "search_parameter"
    case include, operation, profile, setting, documentation
    fileprivate var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    fileprivate var words: String { self == .searchParameter ? "search parameter" : rawValue }
  }

  package struct Change: Sendable, Hashable, Codable, CustomStringConvertible {
    package var kind: Kind
    package var area: Area
    /// nil for what belongs to the statement as a whole.
    package var mode: Schema.Mode?
    package var resource: String?
    package var name: String
    /// As the first schema has it, and the second; nil where there is nothing to tell.
    package var before: String?
    package var after: String?

    /// `+ Patient: interaction create`
    package var description: String {
      let sign =
        switch kind {
        case .added: "+"
        case .removed: "-"
        case .changed: "~"
        }
      let place = [mode == .client ? "client" : nil, resource].compactMap(\.self).joined(separator: " ")
      var text = "\(sign) \(place)\(place.isEmpty ? "" : ": ")\(area.words) \(name)"
      switch kind {
      case .added: text += after.map { " (\($0))" } ?? ""
      case .removed: text += before.map { " (\($0))" } ?? ""
      case .changed: text += ": \(before ?? "nothing") → \(after ?? "nothing")"
      }
      return text
    }
  }

  package var changes: [Change]
  package var isEmpty: Bool { changes.isEmpty }

  /// - Parameters: the earlier schema and the later one.
  package init(from old: Schema, to new: Schema) {
    let (before, after) = (old.facts, new.facts)
    var found: [Change] = []
    for (fact, values) in before { found += Self.changes(of: fact, from: values, to: after[fact] ?? []) }
    for (fact, values) in after where before[fact] == nil { found += Self.changes(of: fact, from: [], to: values) }
    // A type that came or went is told once, not with all that it has.
    let whole = Set(found.filter { $0.area == .resource }.map { Whole(mode: $0.mode, type: $0.name) })
    changes = found.filter { change in
      change.resource.map { !whole.contains(Whole(mode: change.mode, type: $0)) } ?? true
    }.sorted { $0.sortKey < $1.sortKey }
  }

  private static func changes(of fact: SchemaFact, from old: Set<String>, to new: Set<String>) -> [Change] {
    guard old != new else { return [] }
    if fact.area == .documentation {
      // What came or went has no other documentation than it had.
      return old.isEmpty || new.isEmpty ? [] : [Change(.changed, fact, before: nil, after: nil)]
    }
    if old.count == 1, new.count == 1 { return [Change(.changed, fact, before: old.first, after: new.first)] }
    return old.subtracting(new).map { Change(.removed, fact, before: $0, after: nil) }
      + new.subtracting(old).map { Change(.added, fact, before: nil, after: $0) }
  }

  private struct Whole: Hashable {
    let mode: Schema.Mode?
    let type: String
  }

  /// For a terminal: a line for each change, one for all documentation; a sentence when there is none.
  package var text: String {
    guard !isEmpty else { return "nothing has changed\n" }
    let told = changes.filter { $0.area != .documentation }
    let counts = [Kind.added, .removed, .changed].map { kind in
      "\(told.count { $0.kind == kind }) \(kind.rawValue)"
    }
    return told.map { "\($0)\n" }.joined() + documentationLine + counts.joined(separator: ", ") + "\n"
  }

  /// What one line shows of the types whose documentation has changed.
  private static let documentedMax = 12

  private var documentationLine: String {
    var counts: [(place: String, count: Int)] = []
    for change in changes where change.area == .documentation {
      let place = [change.mode == .client ? "client" : nil, change.resource ?? "rest"].compactMap(\.self)
        .joined(separator: " ")
      if counts.last?.place == place { counts[counts.count - 1].count += 1 } else { counts.append((place, 1)) }
    }
    guard !counts.isEmpty else { return "" }
    let words = counts.prefix(Self.documentedMax).map { $0.count == 1 ? $0.place : "\($0.place) (\($0.count))" }
    let more = counts.count > words.count ? " and \(counts.count - words.count) more types" : ""
    return "~ documentation: \(words.joined(separator: ", "))\(more)\n"
  }
}

extension SchemaDiff.Change {
  fileprivate init(_ kind: SchemaDiff.Kind, _ fact: SchemaFact, before: String?, after: String?) {
    self.kind = kind
    (area, mode, resource, name) = (fact.area, fact.mode, fact.resource, fact.name)
    // An empty value is a fact that is there or not.
    self.before = before == "" ? nil : before
    self.after = after == "" ? nil : after
  }

  /// The statement first, then type by type.
  fileprivate var sortKey: (String, String, Int, String, String) {
    (mode == .client ? "client" : "", resource ?? "", area.order, name, before ?? after ?? "")
  }
}
