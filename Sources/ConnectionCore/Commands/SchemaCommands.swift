/// `connection.schema`: what a server can do, how its resources point at each other, and what has changed.
import FHIRControl
import FHIRSchema
import SMARTProtocol

/// Encodes as `ConnectionSchemaResult`.
private struct SchemaAnswer: Encodable {
  var connectionName: String
  var connectionID: String
  var url: String
  var fetchedAt: Timestamp
  var changedAt: Timestamp
  var stale: String?
  var schema: Schema?
  var graph: RelationshipGraph?
  var diff: SchemaDiff?
  var text: String?
  enum CodingKeys: String, CodingKey {
    case url, stale, schema, graph, diff, text
    case connectionName = "connection_name"
    case connectionID = "connection_id"
    case fetchedAt = "fetched_at"
    case changedAt = "changed_at"
  }
}

extension Commands {
  private static var formats: [String] { ["schema", "text", "graph", "dot", "mermaid", "html", "document"] }

  func schema(_ parameters: ConnectionSchemaParameters, _ caller: Caller) async throws(ControlError) -> [UInt8] {
    let found = try directory.find(parameters.connection, for: .connectionSchema, caller)
    let format = parameters.format ?? "schema"
    guard Self.formats.contains(format) else {
      throw ControlError.validation([
        FieldError("format", "is \(format.debugDescription); allowed are \(Self.formats.joined(separator: ", "))")
      ])
    }
    let now = try await authorizer.capabilities(
      found.id, found.connection.record, again: parameters.refresh ?? false)
    var answer = SchemaAnswer(
      connectionName: found.name, connectionID: found.id.description, url: now.document.url,
      fetchedAt: now.document.fetchedAt, changedAt: now.document.changedAt, stale: now.stale)
    if let since = parameters.since {
      let old = try await earlier(since, found, caller)
      let diff = SchemaDiff(from: old, to: now.schema)
      if format == "text" { answer.text = diff.text } else { answer.diff = diff }
    } else {
      try fill(&answer, now, format, try narrowed(now.schema, to: parameters.resource, found.name), parameters.resource)
    }
    let bytes = try encoded(answer)
    guard bytes.count <= Self.answerBytesMax else {
      throw ControlError(
        .validationFailed, "the answer would have \(bytes.count >> 20) MiB",
        hint: "ask for one type: fhirctl connection schema '\(found.name)' --resource Patient")
    }
    return bytes
  }

  private func fill(
    _ answer: inout SchemaAnswer, _ now: CurrentCapabilities, _ format: String, _ schema: Schema, _ resource: String?
  ) throws(ControlError) {
    switch format {
    case "schema": answer.schema = schema
    case "document": answer.text = String(decoding: now.document.body, as: UTF8.self)
    default:
      // The whole graph: one type's neighbours are others.
      let graph = RelationshipGraph(now.schema)
      switch format {
      case "text":
        answer.text =
          resource.flatMap { SchemaText.resource($0, of: now.schema, graph) } ?? SchemaText.overview(schema)
      case "dot": answer.text = graph.dot
      case "mermaid": answer.text = graph.mermaid
      case "html": answer.text = RelationshipPage.html(graph, title: answer.connectionName)
      default: answer.graph = graph
      }
    }
  }

  /// - Throws: VALIDATION_FAILED for a type that the server does not name.
  private func narrowed(_ schema: Schema, to resource: String?, _ name: String) throws(ControlError) -> Schema {
    guard let resource else { return schema }
    var schema = schema
    for index in schema.rest.indices { schema.rest[index].resources.removeAll { $0.type != resource } }
    guard schema.rest.contains(where: { !$0.resources.isEmpty }) else {
      throw ControlError(
        .validationFailed, "the server of \(name.debugDescription) names no resource type \(resource.debugDescription)",
        hint: "fhirctl connection schema '\(name)'", fields: [FieldError("resource", "is not among its types")])
    }
    return schema
  }

  /// What the differences are counted from.
  private func earlier(_ since: String, _ found: Directory.Found, _ caller: Caller) async throws(ControlError) -> Schema
  {
    guard since == "previous" else {
      let other = try directory.find(since, for: .connectionSchema, caller)
      return try await authorizer.capabilities(other.id, other.connection.record, again: false).schema
    }
    let document = try read { () throws(LedgerError) in try ledger.document(found.id, .previous) }
    guard let document, let schema = try? Schema(body: document.body) else {
      throw ControlError(
        .validationFailed,
        "\(found.name.debugDescription) has no earlier schema: the server's has not changed since it was "
          + "first read", hint: "name another connection instead of previous")
    }
    return schema
  }
}
