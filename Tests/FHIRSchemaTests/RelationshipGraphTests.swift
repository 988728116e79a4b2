/// Relationships: which edges there are, and who says so.
import FHIRSchema
import Foundation
import Testing

private let whenPresent = ConditionTrait.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence))

@Suite struct RelationshipGraphTests {
  private func graph(_ resources: String, version: String = "4.0.1") throws -> RelationshipGraph {
    RelationshipGraph(
      try Schema(
        json: Array(
          #"{"resourceType":"CapabilityStatement","fhirVersion":"\#(version)","rest":[{"mode":"server","resource":[\#(resources)]}]}"#
            .utf8)))
  }
  private func edge(_ graph: RelationshipGraph, _ source: String, _ parameter: String, _ target: String)
    -> RelationshipGraph.Edge?
  {
    graph.edges.first { $0.source == source && $0.parameter == parameter && $0.target == target }
  }

  @Test func `R9.17 a declared parameter points where the specification says, among the types that are served`() throws
  {
    let graph = try graph(
      #"{"type":"Observation","searchParam":[{"name":"subject","type":"reference"}]},{"type":"Patient"},{"type":"Device"}"#
    )
    #expect(edge(graph, "Observation", "subject", "Patient")?.evidence == [.declaredParameter, .specification])
    #expect(edge(graph, "Observation", "subject", "Device") != nil)
    #expect(edge(graph, "Observation", "subject", "Location") == nil)
    // FHIR has it, the server does not say so.
    let patient = try #require(edge(graph, "Observation", "patient", "Patient"))
    #expect(patient.evidence == [.specification])
    #expect(!patient.isDeclared)
    #expect(graph.specification == "4.0")
    let node = try #require(graph.node("Patient"))
    #expect(node.isServed)
    #expect(node.incoming == graph.edges(to: "Patient").count)
    #expect(node.degree == node.incoming + node.outgoing)
  }

  @Test func `R9.17 includes and reverse includes, with and without targets`() throws {
    let graph = try graph(
      #"{"type":"Slot","searchInclude":["Slot:schedule","Schedule:actor:Practitioner"]},{"type":"Schedule"},"#
        + #"{"type":"Practitioner","searchRevInclude":["PractitionerRole:practitioner","Vendor:own"]},{"type":"PractitionerRole"},{"type":"Location"}"#
    )
    #expect(edge(graph, "Slot", "schedule", "Schedule")?.evidence == [.searchInclude, .specification])
    #expect(edge(graph, "Schedule", "actor", "Practitioner")?.evidence == [.searchInclude, .specification])
    #expect(edge(graph, "Schedule", "actor", "Location")?.evidence == [.specification])
    #expect(
      edge(graph, "PractitionerRole", "practitioner", "Practitioner")?.evidence == [.searchRevInclude, .specification])
    // A type that the server has not, by its own word.
    #expect(edge(graph, "Vendor", "own", "Practitioner")?.evidence == [.searchRevInclude])
    #expect(graph.node("Vendor")?.isServed == false)
  }

  @Test func `R9.17 a star holds for every edge of its type, and names no new one`() throws {
    let graph = try graph(
      #"{"type":"Encounter","searchInclude":["*"],"searchParam":[{"name":"subject","type":"reference"}]},"#
        + #"{"type":"Patient","searchRevInclude":["*"]},{"type":"Location"}"#)
    #expect(
      edge(graph, "Encounter", "subject", "Patient")?.evidence
        == [.searchInclude, .searchRevInclude, .declaredParameter, .specification])
    #expect(edge(graph, "Encounter", "location", "Location")?.evidence == [.searchInclude, .specification])
    let alone = try self.graph(#"{"type":"Own","searchInclude":["*"],"searchRevInclude":["*"]}"#)
    #expect(alone.edges.isEmpty)
  }

  @Test func `R9.17 DSTU2 says the targets itself; what it leaves out comes from the release next to it`() throws {
    let graph = try graph(
      #"{"type":"Observation","searchParam":[{"name":"subject","type":"reference","target":["Patient"]},"#
        + #"{"name":"encounter","type":"reference"},{"name":"own","type":"reference"}]},{"type":"Patient"},{"type":"Encounter"},{"type":"Group"}"#,
      version: "1.0.2")
    #expect(graph.specification == "3.0")
    #expect(edge(graph, "Observation", "subject", "Patient")?.evidence == [.declaredParameter, .nearSpecification])
    #expect(edge(graph, "Observation", "subject", "Group") == nil)
    #expect(edge(graph, "Observation", "encounter", "Encounter")?.evidence == [.declaredParameter, .nearSpecification])
    // Nothing that only another release has.
    #expect(graph.edges.allSatisfy { $0.isDeclared })
    #expect(graph.open.map(\.parameter) == ["own"])
    #expect(graph.open[0].isAny == false)
  }

  @Test func `R9.17 a parameter that may point to anything is open`() throws {
    let graph = try graph(#"{"type":"Basic","searchParam":[{"name":"subject","type":"reference"}]},{"type":"Patient"}"#)
    let open = try #require(graph.open.first { $0.source == "Basic" && $0.parameter == "subject" })
    #expect(open.isAny)
    #expect(open.evidence == [.declaredParameter, .specification])
  }

  @Test func `R9.17 a parameter of the whole system is one of every type`() throws {
    let schema = try Schema(
      json: Array(
        #"{"resourceType":"CapabilityStatement","fhirVersion":"5.0.0","rest":[{"mode":"server","searchParam":[{"name":"_profile","type":"reference"},{"name":"_list","type":"special"}],"resource":[{"type":"Patient"},{"type":"StructureDefinition"}]}]}"#
          .utf8))
    let graph = RelationshipGraph(schema)
    #expect(
      edge(graph, "Patient", "_profile", "StructureDefinition")?.evidence == [.declaredParameter, .specification])
    #expect(edge(graph, "StructureDefinition", "_profile", "StructureDefinition")?.isDeclared == true)
    #expect(
      SchemaText.resource("Patient", of: schema, graph)?.contains(
        "\nsearch parameters of every type\n  _profile  reference  → StructureDefinition\n  _list     special\n")
        == true)
  }

  @Test func `R9.17 the specification is asked about ends that only includes name`() throws {
    let graph = try graph(
      #"{"type":"Patient","searchRevInclude":["Person:patient"]},{"type":"Slot","searchInclude":["Schedule:actor:Device"]}"#
    )
    #expect(edge(graph, "Person", "patient", "Patient")?.evidence == [.searchRevInclude, .specification])
    #expect(edge(graph, "Schedule", "actor", "Device")?.evidence == [.searchInclude, .specification])
  }

  @Test func `R9.17 a type alone as an include holds for what leads there`() throws {
    let graph = try graph(
      #"{"type":"Patient","searchInclude":["Organization"],"searchRevInclude":["Person"]},{"type":"Organization"},{"type":"Person"}"#
    )
    #expect(edge(graph, "Patient", "organization", "Organization")?.evidence == [.searchInclude, .specification])
    #expect(edge(graph, "Person", "patient", "Patient")?.evidence == [.searchRevInclude, .specification])
  }

  @Test(whenPresent) func `R9.17 in every real graph each edge has evidence, and each reverse include its edge`() throws
  {
    for (name, bytes) in try SharedData.all("capability") {
      let schema = try Schema(body: bytes)
      let graph = RelationshipGraph(schema)
      let resources = schema.server?.resources ?? []
      #expect(Set(resources.map(\.type)).isSubset(of: graph.nodes.map(\.type)), "\(name)")
      #expect(graph.nodes.map(\.outgoing).reduce(0, +) == graph.edges.count, "\(name)")
      #expect(graph.nodes.map(\.incoming).reduce(0, +) == graph.edges.count, "\(name)")
      var named: Set<[String]> = []
      for resource in resources {
        for path in resource.searchRevIncludes.compactMap(IncludePath.init) {
          guard let source = path.source, let parameter = path.parameter else { continue }
          named.insert([source, parameter, resource.type])
          let found = edge(graph, source, parameter, resource.type)
          #expect(found?.evidence.contains(.searchRevInclude) == true, "\(name) \(resource.type) \(path)")
        }
      }
      let wide = Set(
        resources.filter { $0.searchRevIncludes.contains { IncludePath($0)?.parameter == nil } }.map(\.type))
      for edge in graph.edges {
        #expect(!edge.evidence.isEmpty && edge.evidence == edge.evidence.sorted(), "\(name) \(edge)")
        if edge.evidence.contains(.searchRevInclude), !wide.contains(edge.target) {
          #expect(named.contains([edge.source, edge.parameter, edge.target]), "\(name) \(edge)")
        }
        if edge.evidence.contains(.declaredParameter) {
          let parameters =
            (schema.server?.resource(edge.source)?.searchParameters ?? []) + (schema.server?.searchParameters ?? [])
          #expect(parameters.contains { $0.name == edge.parameter && $0.type == "reference" }, "\(name) \(edge)")
        }
      }
    }
  }

  @Test(whenPresent) func `R9.17 the table of the specification says what its source says`() throws {
    let text = String(decoding: try SharedData.bytes("spec/reference-parameters.tsv"), as: UTF8.self)
    let releases: [String: FHIRRelease] = ["3.0": .stu3, "4.0": .r4, "4.3": .r4b, "5.0": .r5]
    var rows = 0
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: "\t").map(String.init)
      let edition = ReferenceParameters.edition(for: releases[words[0]])
      let targets =
        words[3] == "*" ? .any : ReferenceParameters.Targets.types(words[3].split(separator: ",").map(String.init))
      #expect(ReferenceParameters.targets(of: words[1], words[2], in: edition) == targets, "\(line)")
      #expect(ReferenceParameters.parameters(of: words[1], in: edition).contains { $0.name == words[2] }, "\(line)")
      rows += 1
    }
    #expect(rows > 2000)
    #expect(ReferenceParameters.targets(of: "Patient", "birthdate", in: ReferenceParameters.edition(for: .r4)) == nil)
  }

  @Test func `DOT and Mermaid hold no name unescaped`() throws {
    let graph = try graph(
      #"{"type":"A\"]; x\\","searchParam":[{"name":"p\" [<b>|]","type":"reference","target":["end"]}]},{"type":"end"}"#)
    #expect(graph.dot.contains(#""A\"]; x\\" -> "end" [label="p\" [<b>|]"];"#))
    #expect(graph.mermaid.contains(#"n0["A#34;#93;#59; x#92;"]"#))
    #expect(graph.mermaid.contains(#"n0 -->|"p#34; #91;#60;b#62;#124;#93;"| n1"#))
  }
}
