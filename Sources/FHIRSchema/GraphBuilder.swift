/// Gathers the edges of a RelationshipGraph: first what the server says with both ends, then its parameters whose ends
/// somebody else has to name, then what only the specification knows.

struct GraphBuilder {
  typealias Evidence = RelationshipGraph.Evidence

  private struct Source: Hashable {
    let type: String
    let parameter: String
  }
  /// All references from one type, or only those to one other.
  private struct Span: Hashable {
    let source: String?
    let target: String?
  }

  let edition: ReferenceParameters.Edition
  private let resources: [Schema.Resource]
  /// Of the whole system: every type has them.
  private let shared: [Schema.SearchParameter]
  private let served: Set<String>
  /// By source: each target with what speaks for it.
  private var edges: [Source: [String: Set<Evidence>]] = [:]
  /// What a server says of a parameter, before anybody says where it points to.
  private var said: [Source: Set<Evidence>] = [:]
  private var declaredTargets: [Source: Set<String>] = [:]
  private var open: [Source: RelationshipGraph.OpenReference] = [:]
  /// Includes that name no parameter: `*`, `Patient:*`, `Patient`. They hold for whatever edges there are.
  private var wideIncludes: Set<Span> = []
  private var wideRevIncludes: Set<Span> = []

  init(_ schema: Schema) {
    edition = ReferenceParameters.edition(for: schema.release)
    resources = schema.server?.resources ?? []
    shared = schema.server?.searchParameters ?? []
    served = Set(resources.map(\.type))
  }

  private var specification: Evidence { edition.isExact ? .specification : .nearSpecification }

  mutating func build() {
    for resource in resources {
      declare(resource)
      resource.searchIncludes.forEach { include($0, at: resource.type) }
      resource.searchRevIncludes.forEach { revInclude($0, at: resource.type) }
    }
    for (source, evidence) in said { settle(source, evidence) }
    confirm()
    // Of another release only what confirms the server's own words is taken.
    if edition.isExact { addSpecification() }
    addWideIncludes()
  }

  /// Edges, and parameters, of one graph: R5 in full has some 5000.
  private static let edgesMax = 100_000
  private var count = 0

  private mutating func add(_ evidence: Set<Evidence>, _ source: Source, _ target: String) {
    if edges[source]?[target] == nil {
      guard count < Self.edgesMax else { return }
      count += 1
    }
    edges[source, default: [:]][target, default: []].formUnion(evidence)
  }

  // MARK: what the server declares

  private mutating func declare(_ resource: Schema.Resource) {
    for parameter in resource.searchParameters + shared
    where parameter.type == "reference" && parameter.isProhibited != true && said.count < Self.edgesMax {
      let source = Source(type: resource.type, parameter: parameter.name)
      said[source, default: []].insert(.declaredParameter)
      if !parameter.targets.isEmpty { declaredTargets[source, default: []].formUnion(parameter.targets) }
    }
  }

  private mutating func include(_ text: String, at type: String) {
    guard let path = IncludePath(text) else {
      wideIncludes.insert(Span(source: type, target: text))
      return
    }
    guard let parameter = path.parameter else {
      wideIncludes.insert(Span(source: path.source ?? type, target: path.target))
      return
    }
    let source = Source(type: path.source ?? type, parameter: parameter)
    if let target = path.target {
      add([.searchInclude], source, target)
    } else if said.count < Self.edgesMax {
      said[source, default: []].insert(.searchInclude)
    }
  }

  /// Stands at the type that the reference ends at.
  private mutating func revInclude(_ text: String, at type: String) {
    guard let path = IncludePath(text) else {
      wideRevIncludes.insert(Span(source: text, target: type))
      return
    }
    guard let source = path.source, let parameter = path.parameter else {
      wideRevIncludes.insert(Span(source: path.source, target: type))
      return
    }
    add([.searchRevInclude], Source(type: source, parameter: parameter), path.target ?? type)
  }

  // MARK: where its parameters point to

  private mutating func settle(_ source: Source, _ evidence: Set<Evidence>) {
    let defined = ReferenceParameters.targets(of: source.type, source.parameter, in: edition)
    var known: Set<String> = []
    if case .types(let types)? = defined { known = Set(types) }
    var targets = declaredTargets[source] ?? []
    if targets.isEmpty {
      targets = served.intersection(known)
      // Where none is served, the parameter still points somewhere.
      if targets.isEmpty { targets = known }
    }
    // What the server says of the parameter holds for the ends that its own includes name, too.
    targets.formUnion((edges[source] ?? [:]).keys)
    for target in targets { add(evidence, source, target) }
    guard targets.isEmpty || defined == .any else { return }
    open[source] = RelationshipGraph.OpenReference(
      source: source.type, parameter: source.parameter, isAny: defined == .any,
      evidence: evidence.union(defined == .any ? [specification] : []).sorted())
  }

  /// The specification is asked about the ends that the server's includes name, also of types that it does not serve.
  private mutating func confirm() {
    for (source, targets) in edges {
      guard case .types(let types)? = ReferenceParameters.targets(of: source.type, source.parameter, in: edition) else {
        continue
      }
      for target in targets.keys where types.contains(target) { add([specification], source, target) }
    }
  }

  // MARK: what only the specification says

  private mutating func addSpecification() {
    for resource in resources {
      for (name, targets) in ReferenceParameters.parameters(of: resource.type, in: edition) {
        let source = Source(type: resource.type, parameter: name)
        switch targets {
        case .any:
          if open[source] == nil {
            open[source] = RelationshipGraph.OpenReference(
              source: resource.type, parameter: name, isAny: true, evidence: [.specification])
          }
        case .types(let types):
          for target in types where served.contains(target) || edges[source]?[target] != nil {
            add([.specification], source, target)
          }
        }
      }
    }
  }

  private mutating func addWideIncludes() {
    guard !wideIncludes.isEmpty || !wideRevIncludes.isEmpty else { return }
    func holds(_ wide: Set<Span>, _ source: String, _ target: String) -> Bool {
      wide.contains(Span(source: source, target: target)) || wide.contains(Span(source: source, target: nil))
        || wide.contains(Span(source: nil, target: target))
    }
    for (source, targets) in edges {
      for target in targets.keys {
        if holds(wideIncludes, source.type, target) { add([.searchInclude], source, target) }
        if holds(wideRevIncludes, source.type, target) { add([.searchRevInclude], source, target) }
      }
    }
  }

  // MARK: the result

  func result() -> ([RelationshipGraph.Node], [RelationshipGraph.Edge], [RelationshipGraph.OpenReference]) {
    let all = edges.flatMap { source, targets in
      targets.map { target, evidence in
        RelationshipGraph.Edge(
          source: source.type, target: target, parameter: source.parameter, evidence: evidence.sorted())
      }
    }.sorted { ($0.source, $0.target, $0.parameter) < ($1.source, $1.target, $1.parameter) }
    var types = served.union(open.keys.map(\.type))
    var incoming: [String: Int] = [:]
    var outgoing: [String: Int] = [:]
    for edge in all {
      types.formUnion([edge.source, edge.target])
      outgoing[edge.source, default: 0] += 1
      incoming[edge.target, default: 0] += 1
    }
    let nodes = types.sorted().map { type in
      RelationshipGraph.Node(
        type: type, isServed: served.contains(type), incoming: incoming[type] ?? 0, outgoing: outgoing[type] ?? 0)
    }
    return (nodes, all, open.values.sorted { ($0.source, $0.parameter) < ($1.source, $1.parameter) })
  }
}
