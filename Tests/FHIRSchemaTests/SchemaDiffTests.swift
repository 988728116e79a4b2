/// Differences of two schemas, as values and as text.
import FHIRSchema
import Foundation
import Testing

@Suite struct SchemaDiffTests {
  private func schema(_ text: String) throws -> Schema { try Schema(json: Array(text.utf8)) }

  @Test func `what came, went and changed, the statement first`() throws {
    let old = try schema(
      """
      {"resourceType":"CapabilityStatement","fhirVersion":"4.0.0","software":{"name":"S","version":"1"},"rest":[{"mode":"server",
      "security":{"cors":true},"resource":[{"type":"Patient","versioning":"versioned","profile":"p","interaction":[{"code":"read"},
      {"code":"delete"}],"searchParam":[{"name":"name","type":"string"},{"name":"gone","type":"token"}]},
      {"type":"Slot","interaction":[{"code":"read"}],"searchParam":[{"name":"start","type":"date"}]}]}]}
      """)
    let new = try schema(
      """
      {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","software":{"name":"S","version":"2"},"rest":[{"mode":"server",
      "security":{"cors":true,"service":[{"coding":[{"system":"s","code":"OAuth"}]}]},"operation":[{"name":"export","definition":"d"}],
      "resource":[{"type":"Patient","versioning":"versioned-update","supportedProfile":["q"],"interaction":[{"code":"read"},
      {"code":"create"}],"searchParam":[{"name":"name","type":"token"}]},{"type":"Task","interaction":[{"code":"read"}]}]}]}
      """)
    let diff = SchemaDiff(from: old, to: new)
    #expect(
      diff.text == """
        ~ version fhir_version: 4.0.0 → 4.0.1
        ~ software version: 1 → 2
        + security service OAuth
        - resource Slot
        + resource Task
        + operation export (d)
        + Patient: interaction create
        - Patient: interaction delete
        - Patient: search parameter gone (token)
        ~ Patient: search parameter name: string → token
        - Patient: profile profile (p)
        + Patient: profile q
        ~ Patient: setting versioning: versioned → versioned-update

        """ + "5 added, 4 removed, 4 changed\n")
    let back = SchemaDiff(from: new, to: old)
    #expect(back.changes.count == diff.changes.count)
    let data = try JSONEncoder().encode(diff)
    #expect(try JSONDecoder().decode(SchemaDiff.self, from: data) == diff)
  }

  @Test func `what a server would do as a client is told apart`() throws {
    let old = try schema(#"{"resourceType":"CapabilityStatement","rest":[{"mode":"server"}]}"#)
    let new = try schema(
      #"{"resourceType":"CapabilityStatement","rest":[{"mode":"server"},{"mode":"client","resource":[{"type":"Task"}]}]}"#
    )
    #expect(SchemaDiff(from: old, to: new).text == "+ client: resource Task\n1 added, 0 removed, 0 changed\n")
    #expect(SchemaDiff(from: new, to: new).text == "nothing has changed\n")
  }

  @Test func `where documentation has changed is one line, and no change of what came or went`() throws {
    func statement(_ patient: String, _ rest: String) throws -> Schema {
      try schema(
        #"{"resourceType":"CapabilityStatement","rest":[{"mode":"server","documentation":"\#(rest)","resource":[{"type":"Patient",\#(patient)}]}]}"#
      )
    }
    let old = try statement(
      #""interaction":[{"code":"read"}],"searchParam":[{"name":"a","documentation":"x"},{"name":"b","documentation":"x"}]"#,
      "x")
    let new = try statement(
      #""documentation":"new","interaction":[{"code":"read","documentation":"new"}],"searchParam":[{"name":"a","documentation":"y"},{"name":"c","documentation":"x"}]"#,
      "y")
    let diff = SchemaDiff(from: old, to: new)
    #expect(
      diff.text == """
        - Patient: search parameter b (no type)
        + Patient: search parameter c (no type)
        ~ documentation: rest, Patient (3)
        1 added, 1 removed, 0 changed

        """)
    #expect(
      diff.changes.filter { $0.area == .documentation }.map(\.name) == [
        "rest", "interaction read", "search parameter a", "type",
      ])
    #expect(SchemaDiff(from: old, to: old).isEmpty)
  }

  @Test func `a name that stands several times is compared as a set`() throws {
    func statement(_ definitions: [String]) throws -> Schema {
      let operations = definitions.map { #"{"name":"validate","definition":"\#($0)"}"# }
      return try schema(
        #"{"resourceType":"CapabilityStatement","rest":[{"mode":"server","operation":[\#(operations.joined(separator: ","))]}]}"#
      )
    }
    #expect(SchemaDiff(from: try statement(["a", "b", "c"]), to: try statement(["c", "b", "a"])).isEmpty)
    #expect(
      SchemaDiff(from: try statement(["a", "b"]), to: try statement(["c", "a", "d"])).text
        == "- operation validate (b)\n+ operation validate (c)\n+ operation validate (d)\n2 added, 1 removed, 0 changed\n"
    )
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `a real schema differs from every other one and not from itself`() throws {
    let schemas = try SharedData.all("capability").map { try Schema(body: $0.bytes) }
    for (i, one) in schemas.enumerated() {
      #expect(SchemaDiff(from: one, to: one).isEmpty)
      let other = schemas[(i + 1) % schemas.count]
      let diff = SchemaDiff(from: one, to: other)
      #expect(!diff.isEmpty)
      #expect(SchemaDiff(from: other, to: one).changes.count == diff.changes.count)
    }
  }
}
