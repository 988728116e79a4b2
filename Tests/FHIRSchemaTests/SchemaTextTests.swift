/// A schema as lines for a terminal.
import FHIRSchema
import Testing

@Suite struct SchemaTextTests {
  private func schema() throws -> Schema { try Schema(json: Array(Quirks.statements[2].utf8)) }

  @Test func `the whole in short`() throws {
    let text = SchemaText.overview(try schema())
    let lines = text.split(separator: "\n").map(String.init)
    #expect(lines[0] == "FHIR         R4 (4.0.1)")
    #expect(lines.contains("security     SMART-on-FHIR"))
    #expect(lines.contains("  token      https://x/t"))
    #expect(lines.contains("SMART        launch-ehr, client-public"))
    #expect(lines.contains("as a client  Task"))
    #expect(lines.contains("  Encounter  read search-type fly update  1 parameter"))
    #expect(lines.contains { $0.hasPrefix("warning") && $0.hasSuffix("(Encounter.fly)") })
    #expect(lines.allSatisfy { $0.last != " " })
  }

  @Test func `one resource type with its relationships`() throws {
    let schema = try schema()
    let graph = RelationshipGraph(schema)
    let text = try #require(SchemaText.resource("Encounter", of: schema, graph))
    #expect(text.contains("read history      yes\n"))
    #expect(text.contains("\nsearch parameters\n  subject  reference  → Patient\n"))
    #expect(text.contains("\nreferred to by\n  Encounter    part-of\n  Observation  encounter\n"))
    #expect(SchemaText.resource("Nobody", of: schema, graph) == nil)
  }

  @Test func `one resource type with all that is written about it`() throws {
    let schema = try Schema(
      json: Array(
        #"""
        {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","resource":[{"type":"Encounter",
        "interaction":[{"code":"read"},{"code":"vread","documentation":"since 2012"}],"searchParam":[{"name":"subject",
        "type":"reference","documentation":"who"},{"name":"own","type":"token","documentation":"ours"}],"operation":[
        {"name":"everything","definition":"http://d","documentation":"all"},{"name":"bare"}]},{"type":"Patient"},
        {"type":"Location"}]}]}
        """#.utf8))
    let text = try #require(SchemaText.resource("Encounter", of: schema, RelationshipGraph(schema)))
    #expect(text.contains("interactions  read vread\n"))
    #expect(text.contains("\ninteractions\n  vread  since 2012\n"))
    #expect(text.contains("\nsearch parameters\n  subject  reference  → Patient: who\n  own      token      ours\n"))
    #expect(text.contains("\noperations\n  $everything  http://d: all\n  $bare\n"))
    // What FHIR defines and the server does not declare stands in brackets.
    #expect(
      text.contains("\nrefers to\n  Encounter  (part-of)\n  Location   (location)\n  Patient    (patient) subject\n"))
    #expect(text.hasSuffix("\nin brackets: FHIR 4.0 defines it, the server does not declare it\n"))
  }
}
