/// What holds for the schema of every document, real or damaged.
import FHIRSchema
import Foundation
import SMARTProtocol
import TestSupport
import Testing

private let whenPresent = ConditionTrait.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence))

@Suite struct SchemaPropertyTests {
  private func schemas() throws -> [(name: String, schema: Schema)] {
    try SharedData.all("capability").map { ($0.name, try Schema(body: $0.bytes)) }
  }

  @Test(whenPresent) func `R9.16 nothing of a real statement is lost`() throws {
    for (name, bytes) in try SharedData.all("capability") where name.hasSuffix(".json") {
      let schema = try Schema(body: bytes)
      let root = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
      let rests = root["rest"] as? [[String: Any]] ?? []
      let resources = rests.flatMap { $0["resource"] as? [[String: Any]] ?? [] }
      #expect(schema.server?.resources.count == resources.count, "\(name)")
      for item in resources {
        let type = try #require(item["type"] as? String)
        let resource = try #require(schema.server?.resource(type), "\(name) \(type)")
        func names(_ key: String, _ member: String) -> [String] {
          (item[key] as? [[String: Any]] ?? []).compactMap { $0[member] as? String }
        }
        #expect(resource.interactions.map(\.code) == names("interaction", "code"), "\(name) \(type)")
        #expect(resource.searchParameters.map(\.name) == names("searchParam", "name"), "\(name) \(type)")
        #expect(resource.searchParameters.compactMap(\.type) == names("searchParam", "type"), "\(name) \(type)")
        #expect(resource.operations.count == names("operation", "name").count, "\(name) \(type)")
        #expect(resource.searchIncludes == item["searchInclude"] as? [String] ?? [], "\(name) \(type)")
        #expect(resource.searchRevIncludes == item["searchRevInclude"] as? [String] ?? [], "\(name) \(type)")
        #expect(resource.versioning == item["versioning"] as? String, "\(name) \(type)")
        #expect(resource.conditionalCreate == item["conditionalCreate"] as? Bool, "\(name) \(type)")
        #expect(resource.referencePolicies == item["referencePolicy"] as? [String] ?? [], "\(name) \(type)")
        #expect(resource.supportedProfiles == item["supportedProfile"] as? [String] ?? [], "\(name) \(type)")
      }
    }
  }

  @Test(whenPresent) func `a schema survives its own JSON, with names in snake case`() throws {
    let encoder = JSONEncoder()
    for (name, schema) in try schemas() {
      let data = try encoder.encode(schema)
      #expect(try JSONDecoder().decode(Schema.self, from: data) == schema, "\(name)")
      let graph = RelationshipGraph(schema)
      let graphData = try encoder.encode(graph)
      #expect(try JSONDecoder().decode(RelationshipGraph.self, from: graphData) == graph, "\(name)")
      for bytes in [data, graphData] {
        expectSnakeCase(try JSONSerialization.jsonObject(with: bytes), name)
      }
    }
  }

  private func expectSnakeCase(_ value: Any, _ name: String) {
    if let object = value as? [String: Any] {
      for (key, member) in object {
        #expect(key.allSatisfy { $0 == "_" || ("a"..."z").contains($0) }, "\(name): \(key)")
        expectSnakeCase(member, name)
      }
    }
    for element in value as? [Any] ?? [] { expectSnakeCase(element, name) }
  }

  @Test(whenPresent) func `the summary says what the schema says`() throws {
    for (name, bytes) in try SharedData.all("capability") where name.hasSuffix(".json") {
      let schema = try Schema(json: bytes)
      let summary = try CapabilitySummary(json: bytes)
      #expect(summary.resources.map(\.type) == schema.server?.resources.map(\.type) ?? [], "\(name)")
      #expect(summary.findings.count == schema.findings.count { $0.severity == .error }, "\(name)")
    }
  }

  @Test(whenPresent) func `findings are sentences, each told once`() throws {
    for (name, schema) in try schemas() {
      #expect(Set(schema.findings.map(\.id)).count == schema.findings.count, "\(name)")
      for finding in schema.findings {
        #expect(finding.count >= 1 && finding.places.count <= finding.count, "\(name) \(finding)")
        #expect(finding.sentence.first?.isUppercase == false, "\(finding)")
        #expect(!finding.sentence.hasSuffix("."), "\(finding)")
      }
    }
  }

  @Test func `R9.16 of six thousand damaged statements none crashes, whatever it becomes`() throws {
    var originals = Quirks.statements.map { Array($0.utf8) }
    if SharedData.isPresent {
      for name in [
        "clientpy-invalid.json", "ab2d-bfd-r4.json", "fhirclient-r5.json", "dpc-bfd-stu3.xml", "gpconnect-stu3.json",
      ] {
        originals.append(try SharedData.bytes("capability/\(name)"))
      }
    }
    var mutator = Mutator(seed: 9)
    for i in 0..<6000 {
      guard let schema = try? Schema(body: mutator.mutate(originals[i % originals.count])) else { continue }
      expectSound(schema)
    }
  }

  /// The tree itself is damaged: the text stays JSON, and anything stands anywhere.
  @Test func `R9.16 any JSON object gives a schema`() throws {
    var originals = try Quirks.statements.map { try JSONDocument(Array($0.utf8), limits: .large).root }
    if SharedData.isPresent {
      originals.append(try JSONDocument(SharedData.bytes("capability/fhirclient-r5.json"), limits: .large).root)
    }
    var shaker = TreeShaker(mutator: Mutator(seed: 11))
    for i in 0..<4000 { expectSound(Schema(statement: shaker.shake(originals[i % originals.count]))) }
    for odd: JSON in [.null, .bool(true), .array([]), .object([:]), .string("x"), .object(["rest": .integer(7)])] {
      let schema = Schema(statement: odd)
      #expect(schema.findings.contains { $0.id == "other-resource" })
      expectSound(schema)
    }
  }

  private func expectSound(_ schema: Schema) {
    #expect(schema.rest.count <= 2)
    #expect(schema.findings.count <= 100)
    #expect(SchemaDiff(from: schema, to: schema).isEmpty)
    let types = schema.server?.resources.map(\.type) ?? []
    #expect(Set(types).count == types.count && types == types.sorted())
    #expect(RelationshipGraph(schema).edges.allSatisfy { !$0.evidence.isEmpty })
  }
}

/// Replaces values of a JSON tree by others of any kind.
struct TreeShaker {
  var mutator: Mutator

  mutating func shake(_ value: JSON) -> JSON {
    if mutator.below(25) == 0 { return anything() }
    switch value {
    case .array(let values): return .array(values.map { shake($0) })
    case .object(let members):
      var result: [String: JSON] = [:]
      for (name, member) in members.sorted(by: { $0.key < $1.key }) where mutator.below(40) != 0 {
        result[name] = shake(member)
      }
      return .object(result)
    default: return value
    }
  }

  private mutating func anything() -> JSON {
    switch mutator.below(9) {
    case 0: .null
    case 1: .bool(true)
    case 2: .integer(66)
    case 3: .number(0.5)
    case 4: .string("")
    case 5: .string("$*:. <&\u{202E}")
    case 6: .array([.null, .string("read"), .object(["code": .string("read"), "type": .string("Patient")])])
    case 7: .object([:])
    default: .object(["reference": .integer(1), "type": .string("Patient"), "extension": .string("x")])
    }
  }
}
