/// A schema for people at a terminal: the whole in short, or one resource type with all that it has.

package enum SchemaText {
  /// A line for each fact of the server, a line for each resource type, then what is odd.
  package static func overview(_ schema: Schema) -> String {
    var facts: [(String, String)] = []
    func add(_ name: String, _ values: [String?]) {
      let words = values.compactMap(\.self).filter { !$0.isEmpty }
      if !words.isEmpty { facts.append((name, words.joined(separator: ", "))) }
    }
    add("FHIR", [schema.release.map { "\($0.rawValue) (\(schema.fhirVersion ?? ""))" } ?? schema.fhirVersion])
    add("statement", [schema.resourceType, schema.title ?? schema.name, schema.version, schema.kind, schema.status])
    add("software", [schema.software?.name, schema.software?.version, schema.software?.releaseDate])
    add("implementation", [schema.implementation?.description, schema.implementation?.url])
    add("formats", schema.formats + schema.patchFormats.map { "patch \($0)" })
    add("instantiates", schema.instantiates)
    if let server = schema.server {
      if let security = server.security {
        add(
          "security",
          security.services.map { $0.codings.first?.code ?? $0.text } + [security.cors == true ? "CORS" : nil])
        for uri in security.oauthURIs { add("  \(uri.name)", [uri.url]) }
        add("SMART", security.capabilities)
      }
      add("system", server.interactions.map(\.code))
      add("operations", limited(server.operations.map { "$\($0.name)" }))
      add("resources", ["\(server.resources.count)"])
    }
    if let client = schema.client { add("as a client", limited(client.resources.map(\.type))) }
    var text = aligned(facts.map { [$0.0, $0.1] })
    let rows = (schema.server?.resources ?? []).map { resource in
      [
        "  \(resource.type)", resource.interactions.map(\.code).joined(separator: " "),
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
    add("interactions", resource.interactions.map(\.code).joined(separator: " "))
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
    add("operations", resource.operations.map { "$\($0.name)" }.joined(separator: " "))
    var text = aligned(facts)
    let targets = Dictionary(grouping: graph.edges(from: type), by: \.parameter).mapValues { $0.map(\.target) }
    let parameters = resource.searchParameters.map { parameter in
      [
        "  \(parameter.name)", parameter.type ?? "?",
        targets[parameter.name].map { "→ " + $0.joined(separator: " ") } ?? parameter.documentation ?? "",
      ]
    }
    if !parameters.isEmpty { text += "\nsearch parameters\n" + aligned(parameters) }
    let incoming = Dictionary(grouping: graph.edges(to: type), by: \.source).sorted { $0.key < $1.key }
    if !incoming.isEmpty {
      text +=
        "\nreferred to by\n"
        + aligned(incoming.map { ["  \($0.key)", $0.value.map(\.parameter).joined(separator: " ")] })
    }
    return text
  }

  // MARK: lines

  /// What one line shows of a long list: HAPI has 714 operations.
  private static let shownMax = 12

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
