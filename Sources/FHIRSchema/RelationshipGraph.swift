/// Which resource types of a server refer to which, by which search parameter, and who says so.

package struct RelationshipGraph: Sendable, Hashable, Codable {
  /// Who says that there is an edge. In the order of their weight.
  package enum Evidence: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
    /// The server names it in the source's `searchInclude`.
    case searchInclude = "search_include"
    /// The server names it in the target's `searchRevInclude`.
    case searchRevInclude = "search_rev_include"
    /// The server has the search parameter, of type reference.
    case declaredParameter = "declared_parameter"
    /// The specification's definition of the parameter, for the server's release of FHIR. Alone, it is nothing that the
    /// server declares.
    case specification
    /// The same of the release next to the server's, which has no table here; only for parameters that it declares.
    case nearSpecification = "near_specification"

    package static func < (a: Evidence, b: Evidence) -> Bool { a.order < b.order }
    private var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    /// Said by the server itself.
    package var isDeclared: Bool {
      switch self {
      case .searchInclude, .searchRevInclude, .declaredParameter: true
      case .specification, .nearSpecification: false
      }
    }
  }

  package struct Edge: Sendable, Hashable, Codable {
    package var source: String
    package var target: String
    package var parameter: String
    /// In the order of their weight, never empty.
    package var evidence: [Evidence]
    package var isDeclared: Bool { evidence.contains(where: \.isDeclared) }
  }

  /// A reference parameter of a type with targets that nobody names, or that may be any.
  package struct OpenReference: Sendable, Hashable, Codable {
    package var source: String
    package var parameter: String
    /// The specification allows every type; otherwise the targets are unknown.
    package var isAny: Bool
    package var evidence: [Evidence]
    enum CodingKeys: String, CodingKey {
      case source, parameter
      case isAny = "any"
      case evidence
    }
  }

  package struct Node: Sendable, Hashable, Codable {
    package var type: String
    /// Whether the server has the type; false for what is only pointed to.
    package var isServed: Bool
    /// Edges that end here, and that begin here.
    package var incoming: Int
    package var outgoing: Int
    package var degree: Int { incoming + outgoing }
    enum CodingKeys: String, CodingKey {
      case type
      case isServed = "served"
      case incoming, outgoing
    }
  }

  package var fhirVersion: String?
  /// The version of FHIR whose definitions are meant by `specification`.
  package var specification: String
  /// In the order of their types.
  package var nodes: [Node]
  /// In the order of source, target, parameter.
  package var edges: [Edge]
  package var open: [OpenReference]

  enum CodingKeys: String, CodingKey {
    case fhirVersion = "fhir_version"
    case specification, nodes, edges, open
  }

  /// The relationships of what the server offers; a schema without a server's part has none.
  package init(_ schema: Schema) {
    var builder = GraphBuilder(schema)
    builder.build()
    fhirVersion = schema.fhirVersion
    specification = builder.edition.version
    (nodes, edges, open) = builder.result()
  }

  package func node(_ type: String) -> Node? { nodes.first { $0.type == type } }
  package func edges(from type: String) -> [Edge] { edges.filter { $0.source == type } }
  package func edges(to type: String) -> [Edge] { edges.filter { $0.target == type } }
}
