/// A schema for people at a terminal: the whole in short, or one resource type with all that it has.

package enum SchemaText {
  /// A line for each fact of the server, a line for each resource type, then what is odd.
  package static func overview(_ schema: Schema) -> String {
    var facts: [(String, String)] = []
    func add(_ name: String, _ values: [String?]) {
      let words = values.compactMap(\.self).filter { !$0.isEmpty }
      if !words.isEmpty { facts.append((name, words.joined(separator: ", "))) }
    }
    add("FHIR", [versions(of: schema)])
    add("statement", [schema.resourceType, schema.title ?? schema.name, schema.version, schema.kind, schema.status])
    add("software", [schema.software?.name, schema.software?.version, schema.software?.releaseDate])
    add("implementation", [schema.implementation?.description, schema.implementation?.url])
    add("formats", schema.formats + schema.patchFormats.map { "patch \($0)" })
    add("instantiates", schema.instantiates)
    add("imports", schema.imports)
    add("guides", schema.implementationGuides)
    add("profiles", limited(schema.profiles))
    if let server = schema.server {
      if let security = server.security {
        add(
          "security",
          security.services.map { $0.codings.first?.code ?? $0.text } + [security.cors == true ? "CORS" : nil])
        for uri in security.oauthURIs { add("  \(uri.name)", [uri.url]) }
        add("SMART", security.capabilities)
      }
      add("system", server.interactions.map { worded($0.code, $0.isProhibited) })
      add("transactions", [server.transactionMode])
      add("operations", limited(distinct(server.operations.map { "$\($0.name)" })))
      add("parameters", limited(distinct(server.searchParameters.map(\.name))))
      add("compartments", server.compartments)
      add("resources", ["\(server.resources.count)"])
    }
    add("also offers", [schema.offersMessaging ? "messaging" : nil, schema.offersDocuments ? "documents" : nil])
    if let client = schema.client { add("as a client", limited(client.resources.map(\.type))) }
    var text = aligned(facts.map { [$0.0, $0.1] })
    let rows = (schema.server?.resources ?? []).map { resource in
      [
        "  \(resource.type)", resource.interactions.map { worded($0.code, $0.isProhibited) }.joined(separator: " "),
        counted(resource.searchParameters.count, "parameter"),
      ]
    }
    if !rows.isEmpty { text += "\n" + aligned(rows) }
    if !schema.findings.isEmpty {
      text += "\n" + aligned(schema.findings.map { [$0.severity.rawValue, $0.description] })
    }
    return text
  }

  /// - Returns: nil when the server does not have the type.
  package static func resource(_ type: String, of schema: Schema, _ graph: RelationshipGraph) -> String? {
    guard let resource = schema.server?.resource(type) else { return nil }
    var facts: [[String]] = [["type", resource.type]]
    func add(_ name: String, _ value: String?) { if let value, !value.isEmpty { facts.append([name, value]) } }
    func add(_ name: String, _ value: Bool?) { add(name, value.map { $0 ? "yes" : "no" }) }
    add("profile", resource.profile)
    for profile in resource.supportedProfiles { add("supports", profile) }
    add("documentation", resource.documentation)
    add("interactions", resource.interactions.map { worded($0.code, $0.isProhibited) }.joined(separator: " "))
    add("versioning", resource.versioning)
    add("read history", resource.readHistory)
    add("update creates", resource.updateCreate)
    add("conditional create", resource.conditionalCreate)
    add("conditional read", resource.conditionalRead)
    add("conditional update", resource.conditionalUpdate)
    add("conditional patch", resource.conditionalPatch)
    add("conditional delete", resource.conditionalDelete)
    add("references", resource.referencePolicies.joined(separator: " "))
    add("includes", resource.searchIncludes.joined(separator: " "))
    add("reverse includes", resource.searchRevIncludes.joined(separator: " "))
    return aligned(facts)
      + section(
        "interactions",
        resource.interactions.filter { $0.documentation != nil }.map { ["  \($0.code)", $0.documentation ?? ""] })
      + section("search parameters", parameters(resource.searchParameters, of: type, graph))
      + section("search parameters of every type", parameters(schema.server?.searchParameters ?? [], of: type, graph))
      + section("operations", operations(resource.operations)) + relationships(of: type, graph)
  }

  private static func parameters(
    _ parameters: [Schema.SearchParameter], of type: String, _ graph: RelationshipGraph
  ) -> [[String]] {
    let targets = Dictionary(grouping: graph.edges(from: type), by: \.parameter).mapValues { $0.map(\.target) }
    let open = Set(graph.open.filter { $0.source == type && $0.isAny }.map(\.parameter))
    return parameters.map { parameter in
      var words: [String] = []
      if parameter.type == "reference" {
        if let types = targets[parameter.name] {
          words.append("→ " + types.joined(separator: " "))
        } else if open.contains(parameter.name) {
          words.append("→ any type")
        }
      }
      if let documentation = parameter.documentation { words.append(documentation) }
      return [
        "  \(worded(parameter.name, parameter.isProhibited))", parameter.type ?? "?", words.joined(separator: ": "),
      ]
    }
  }

  private static func operations(_ operations: [Schema.Operation]) -> [[String]] {
    operations.map { operation in
      [
        "  \(worded("$\(operation.name)", operation.isProhibited))",
        [operation.definition, operation.documentation].compactMap(\.self).joined(separator: ": "),
      ]
    }
  }

  /// Both ways, by the type at the other end.
  private static func relationships(of type: String, _ graph: RelationshipGraph) -> String {
    func rows(_ edges: [RelationshipGraph.Edge], by end: (RelationshipGraph.Edge) -> String) -> [[String]] {
      Dictionary(grouping: edges, by: end).sorted { $0.key < $1.key }.map { other, edges in
        ["  \(other)", edges.map { $0.isDeclared ? $0.parameter : "(\($0.parameter))" }.joined(separator: " ")]
      }
    }
    let (from, to) = (graph.edges(from: type), graph.edges(to: type))
    let open = graph.open.filter { $0.source == type && $0.isAny }.map { item in
      item.evidence.contains(where: \.isDeclared) ? item.parameter : "(\(item.parameter))"
    }
    let text =
      section(
        "refers to", rows(from, by: \.target) + (open.isEmpty ? [] : [["  any type", open.joined(separator: " ")]]))
      + section("referred to by", rows(to, by: \.source))
    guard text.contains("(") else { return text }
    return text + "\nin brackets: FHIR \(graph.specification) defines it, the server does not declare it\n"
  }

  // MARK: lines

  /// `R4 (4.0.1)`
  private static func versions(of schema: Schema) -> String? {
    guard let release = schema.release?.rawValue, release != schema.fhirVersion else { return schema.fhirVersion }
    return "\(release) (\(schema.fhirVersion ?? ""))"
  }

  /// What one line shows of a long list: HAPI has 714 operations.
  private static let shownMax = 12

  private static func section(_ heading: String, _ rows: [[String]]) -> String {
    rows.isEmpty ? "" : "\n\(heading)\n" + aligned(rows)
  }

  private static func worded(_ name: String, _ isProhibited: Bool?) -> String {
    isProhibited == true ? "\(name) (prohibited)" : name
  }

  /// Each once, in the order of the first.
  private static func distinct(_ words: [String]) -> [String] {
    var seen: Set<String> = []
    return words.filter { seen.insert($0).inserted }
  }

  private static func limited(_ words: [String]) -> [String] {
    guard words.count > shownMax else { return words }
    return words.prefix(shownMax) + ["and \(words.count - shownMax) more"]
  }

  private static func counted(_ count: Int, _ word: String) -> String { "\(count) \(word)\(count == 1 ? "" : "s")" }

  /// Columns as wide as their widest cell, the last one as it is.
  private static func aligned(_ rows: [[String]]) -> String {
    var widths: [Int] = []
    for row in rows {
      for (i, cell) in row.dropLast().enumerated() {
        if i == widths.count { widths.append(0) }
        widths[i] = max(widths[i], cell.count)
      }
    }
    return rows.map { row in
      let cells = row.enumerated().map { i, cell in
        i == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[i] - cell.count)
      }
      let line = cells.joined(separator: "  ")
      return (line.last == " " ? String(line.reversed().drop { $0 == " " }.reversed()) : line) + "\n"
    }.joined()
  }
}
