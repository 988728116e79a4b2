/// What real statements do that the specification of their release does not expect: DSTU1's names, prohibitions, several
/// server parts, lost headings. Fixtures of our own, after documents of many vendors.
import SMARTProtocol
import Testing

@testable import FHIRSchema

@Suite struct SchemaOldAndOddTests {
  private func schema(_ text: String) throws -> Schema { try Schema(body: Array(text.utf8)) }
  private func finding(_ schema: Schema, _ id: String) -> SchemaFinding? { schema.findings.first { $0.id == id } }

  @Test(arguments: [
    #"""
    {"resourceType":"Conformance","fhirVersion":"0.0.82","status":"active","format":["json"],"rest":[{"mode":"server",
    "operation":[{"code":"transaction"}],"resource":[{"type":"List","operation":[{"code":"read"},{"code":"search-type",
    "documentation":"by patient"}],"searchParam":[{"name":"patient","type":"reference"}]}]}]}
    """#,
    """
    <Conformance xmlns="http://hl7.org/fhir"><status value="active"/><fhirVersion value="0.12"/><format value="json"/>
    <rest><mode value="server"/><resource><type value="List"/><operation><code value="read"/></operation><operation>
    <code value="search-type"/><documentation value="by patient"/></operation><searchParam><name value="patient"/>
    <type value="reference"/></searchParam></resource><operation><code value="transaction"/></operation></rest></Conformance>
    """,
  ])
  func `R9.16 DSTU1 calls interactions operations`(text: String) throws {
    let schema = try schema(text)
    #expect(schema.release == .dstu1)
    let list = try #require(schema.server?.resource("List"))
    #expect(list.interactions == [.init(code: "read"), .init(code: "search-type", documentation: "by patient")])
    #expect(list.operations.isEmpty)
    #expect(schema.server?.interactions.map(\.code) == ["transaction"])
    #expect(schema.findings.map(\.id) == ["no-security"])
  }

  @Test func `R9.16 a later release that does so is told`() throws {
    let schema = try schema(
      #"""
      {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","resource":[{"type":"Slot",
      "interaction":[{"code":"read"}],"operation":[{"code":"vread"},{"code":"read"},{"name":"find"},{}]}]}]}
      """#)
    let slot = try #require(schema.server?.resource("Slot"))
    #expect(slot.interactions.map(\.code) == ["read", "vread"])
    #expect(slot.operations.map(\.name) == ["find"])
    #expect(finding(schema, "operation-for-interaction")?.count == 2)
    #expect(finding(schema, "operation-no-name")?.count == 1)
  }

  @Test func `R9.16 what a statement prohibits is not on offer, and not lost`() throws {
    let no =
      #""modifierExtension":[{"url":"http://hl7.org/fhir/StructureDefinition/capabilitystatement-prohibited","valueBoolean":true}]"#
    let schema = try schema(
      #"""
      {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","interaction":[
      {"code":"history-system",\#(no)},{"code":"batch"}],"resource":[{"type":"Observation","interaction":[{"code":"read"},
      {"code":"delete",\#(no)}],"searchParam":[{"name":"subject","type":"reference",\#(no)}],"operation":[{"name":"lastn",
      "definition":"d",\#(no)}]},{"type":"Patient"}]}]}
      """#)
    let observation = try #require(schema.server?.resource("Observation"))
    #expect(observation.interactions == [.init(code: "read"), .init(code: "delete", isProhibited: true)])
    #expect(observation.offers("read") && !observation.offers("delete"))
    #expect(observation.searchParameters[0].isProhibited == true)
    #expect(observation.operations[0].isProhibited == true)
    #expect(finding(schema, "prohibited")?.count == 4)
    let summary = CapabilitySummary(schema)
    #expect(summary.systemInteractions == ["batch"])
    #expect(summary.resource("Observation")?.interactions == ["read"])
    let graph = RelationshipGraph(schema)
    #expect(graph.edges(from: "Observation").allSatisfy { !$0.isDeclared })
    #expect(SchemaText.overview(schema).contains("history-system (prohibited), batch"))
    #expect(SchemaText.resource("Observation", of: schema, graph)?.contains("read delete (prohibited)\n") == true)
  }

  @Test func `R9.16 a release by its name, and a statement without its own`() throws {
    let named = try schema(
      #"{"resourceType":"Conformance","fhirVersion":"DSTU2","rest":[{"resource":[{"type":"Slot"}]}]}"#)
    #expect(named.release == .dstu2)
    #expect(finding(named, "fhir-version-name") != nil)
    #expect(SchemaText.overview(named).hasPrefix("FHIR       DSTU2\n"))
    let lost = try schema(#"{"fhirVersion":"1.0.2","rest":[{"mode":"server","resource":[{"type":"Slot"}]}]}"#)
    #expect(lost.server?.resources.map(\.type) == ["Slot"])
    #expect(
      finding(lost, "other-resource")?.sentence
        == "the document has no resourceType; it was taken for a CapabilityStatement")
  }

  @Test func `R9.16 objects where texts should be are read, and told`() throws {
    let schema = try schema(
      #"""
      {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","software":{"name":{"value":"S"}},"format":[{"code":"json"}],
      "implementationGuide":[{"reference":"http://g"}],"rest":[{"mode":"server","resource":[{"type":{"value":"Slot"},
      "interaction":[{"code":{"value":"read"}}],"searchInclude":[{"value":"Slot:schedule"},7],
      "searchParam":[{"name":{"value":"schedule"},"type":{"value":"reference"}}],
      "operation":[{"name":{"value":"find"},"definition":"d"}]}]}]}
      """#)
    #expect(schema.software?.name == "S")
    #expect(schema.formats == ["json"])
    #expect(schema.implementationGuides == ["http://g"])
    let slot = try #require(schema.server?.resource("Slot"))
    #expect(slot.interactions.map(\.code) == ["read"])
    #expect(slot.searchIncludes == ["Slot:schedule"])
    #expect(slot.searchParameters.map(\.type) == ["reference"])
    #expect(slot.operations.map(\.name) == ["find"])
    for id in ["software.name-type", "rest.resource.type-type", "interaction.code-type", "searchInclude-type"] {
      #expect(finding(schema, id) != nil, "\(id)")
    }
  }

  @Test func `R9.16 a null in an array of texts is where its extension belongs, and nothing odd`() throws {
    let schema = try schema(
      #"{"resourceType":"CapabilityStatement","patchFormat":[null,"a/b"],"_patchFormat":[{"extension":[]},null]}"#)
    #expect(schema.patchFormats == ["a/b"])
    #expect(finding(schema, "patchFormat-type") == nil)
  }

  @Test func `R9.16 messages without rest are an offer`() throws {
    let schema = try schema(
      #"{"resourceType":"CapabilityStatement","fhirVersion":"4.3.0","kind":"capability","messaging":[{"reliableCache":30}]}"#
    )
    #expect(finding(schema, "no-rest")?.severity == .information)
    #expect(SchemaText.overview(schema).contains("also offers  messaging\n"))
  }

  @Test func `R9.16 two server parts with 150 types each are one, and nothing is lost`() throws {
    func part(_ code: String, _ parameter: String) -> String {
      let resources = (0..<150).map {
        #"{"type":"T\#($0)","interaction":[{"code":"\#(code)"}],"searchParam":[{"name":"\#(parameter)","type":"token"}]}"#
      }
      return
        #"{"mode":"server","operation":[{"name":"meta","definition":"d"}],"searchParam":[{"name":"_text","type":"string"}],"#
        + #""resource":[\#(resources.joined(separator: ","))]}"#
    }
    let schema = try schema(
      #"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[\#(part("read", "a")),\#(part("update", "b"))]}"#
    )
    let server = try #require(schema.server)
    #expect(server.resources.count == 150)
    #expect(server.resources.allSatisfy { $0.interactions.map(\.code) == ["read", "update"] })
    #expect(server.resources.allSatisfy { $0.searchParameters.map(\.name) == ["a", "b"] })
    #expect(server.operations.map(\.name) == ["meta"])
    #expect(server.searchParameters.map(\.name) == ["_text"])
  }

  @Test func `R9.16 OAuth addresses that lead nowhere or are not https`() throws {
    func security(_ extensions: String) throws -> Set<String> {
      let schema = try schema(
        #"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","security":{"service":[{"text":"OAuth2 using SMART-on-FHIR"}],"extension":[\#(extensions)]}}]}"#
      )
      return Set(schema.findings.map(\.id).filter { $0.hasPrefix("oauth") || $0.hasPrefix("smart") })
    }
    let url = #""url":"http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris""#
    #expect(try security(#"{\#(url)}"#) == ["oauth-uris-empty", "smart-no-oauth-uris"])
    #expect(
      try security(
        #"{\#(url),"extension":[{"url":"token","valueUri":"http://x/t"},{"url":"authorize","valueUri":""}]}"#)
        == ["oauth-empty", "oauth-not-https"])
    #expect(try security(#"{\#(url),"extension":[{"url":"token","valueUri":"https://x/t"}]}"#) == [])
  }

  @Test func `R9.16 an installation says which one it is`() throws {
    func ids(_ head: String) throws -> [String] {
      try schema(#"{"resourceType":"CapabilityStatement",\#(head),"rest":[{"mode":"server"}]}"#).findings.map(\.id)
    }
    #expect(try ids(#""kind":"instance","fhirVersion":"4.0.1""#).contains("no-implementation"))
    #expect(try !ids(#""kind":"instance","fhirVersion":"3.0.1""#).contains("no-implementation"))
    #expect(try !ids(#""kind":"capability","fhirVersion":"4.0.1""#).contains("no-implementation"))
  }

  @Test(arguments: [
    ("*", true), ("A:b", true), ("A:b:C", true), ("A:*", true), ("*:*", true), ("A.b", true), ("Slot:slot-type", true),
    ("A", false), ("", false), (":", false), ("A:", false), (":b", false), ("A::b", false), ("A:b:C:d", false),
    ("A: b", false), ("*:b", false), ("A:b2", true), ("Ä:b", true),
  ])
  func `an include that is a path is seen without being taken apart`(text: String, isPath: Bool) {
    #expect(IncludePath.isPath(text) == isPath)
    #expect((IncludePath(text) != nil) == isPath)
  }
}
