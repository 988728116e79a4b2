/// Oddities of statements, each as small as it can be, with what is read of it and what is said about it.
import SMARTProtocol
import Testing

@testable import FHIRSchema

enum Quirks {
  /// Small statements of each release, with something odd in each.
  static let statements = [
    """
    {"resourceType":"Conformance","fhirVersion":"1.0.2","status":"active","kind":"instance","format":["json"],
    "acceptUnknown":"no","rest":[{"mode":"server","transactionMode":"both","security":{"cors":true},"resource":[
    {"type":"Observation","profile":{"reference":"Profile/1"},"interaction":[{"code":"read"},{"code":"validate"}],
    "searchParam":[{"name":"subject","type":"reference","target":["Patient","Device"],"chain":["name"]}]},
    {"type":"Patient","interaction":[{"code":"read"}],"conditionalDelete":true}]}]}
    """,
    """
    {"resourceType":"CapabilityStatement","fhirVersion":"3.0.1","status":"retired","kind":"capability","format":["xml"],
    "profile":[{"reference":"http://x/1"},"http://x/2"],"rest":[{"mode":"server","operation":[{"name":"$everything",
    "definition":{"reference":"OperationDefinition/e"}},{"name":"bare"}],"resource":[{"type":"Slot","interaction":[
    {"code":"search-type"}],"searchInclude":["Slot.schedule","Schedule"],"searchParam":[{"name":"schedule",
    "type":"reference"},{"name":"free","type":"fantasy"},{"name":"none"},{"type":"token"}]}]}]}
    """,
    """
    {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","status":"active","kind":"instance","format":["json"],
    "imports":["http://x/i"],"rest":[{"mode":"server","security":{"service":[{"coding":[{"code":"SMART-on-FHIR",
    "system":"s"}]}],"extension":[{"url":"http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
    "extension":[{"url":"token","valueUri":"https://x/t"}]},
    {"url":"http://fhir-registry.smarthealthit.org/StructureDefinition/capabilities","valueCode":"launch-ehr"},
    {"url":"http://fhir-registry.smarthealthit.org/StructureDefinition/capabilities","valueCode":"client-public"}]},
    "resource":[{"type":"Encounter","profile":{"reference":"http://x/p"},"supportedProfile":["a",{"reference":"b"}],
    "interaction":[{"code":"read"},{"code":"search-type"},{"code":"read"},{"code":"fly"}],"versioning":"always",
    "searchParam":[{"name":"subject","type":"reference"}],"searchInclude":["*"],"searchRevInclude":["Observation:encounter"],
    "referencePolicy":["literal","magic"]},{"type":"Encounter","interaction":[{"code":"update"}],"readHistory":"true"},
    {"type":"Patient","interaction":["read"]}]},{"mode":"client","resource":[{"type":"Task"}]},
    {"resource":[{"type":"Patient","interaction":[{"code":"vread"}]}]}]}
    """,
  ]
}

@Suite struct SchemaQuirkTests {
  private func schema(_ text: String) throws -> Schema { try Schema(json: Array(text.utf8)) }
  private func rest(_ text: String, version: String = "4.0.1") throws -> Schema {
    try schema(
      #"{"resourceType":"CapabilityStatement","fhirVersion":"\#(version)","status":"active","kind":"instance","#
        + #""format":["json"],"implementation":{"description":"x"},"rest":[\#(text)]}"#)
  }

  @Test func `R9.16 DSTU2: Reference profiles, targets, a boolean for conditionalDelete`() throws {
    let schema = try schema(Quirks.statements[0])
    #expect(schema.server?.transactionMode == "both")
    let observation = try #require(schema.server?.resource("Observation"))
    #expect(observation.profile == "Profile/1")
    #expect(observation.searchParameters[0].targets == ["Patient", "Device"])
    #expect(observation.searchParameters[0].chains == ["name"])
    #expect(schema.server?.resource("Patient")?.conditionalDelete == "single")
    #expect(
      Set(schema.findings.map(\.id)) == ["conditionalDelete-type", "parameters-without-search", "security-no-service"])
  }

  @Test func `R9.16 STU3: operations with $, without definition, parameters without type or name`() throws {
    let schema = try schema(Quirks.statements[1])
    #expect(schema.profiles == ["http://x/1", "http://x/2"])
    #expect(schema.server?.operations.map(\.name) == ["everything", "bare"])
    #expect(schema.server?.resource("Slot")?.searchParameters.map(\.type) == ["reference", "fantasy", nil])
    let ids = Set(schema.findings.map(\.id))
    #expect(
      ids == [
        "status-retired", "canonical-for-reference", "operation-dollar", "operation-no-definition", "no-security",
        "search-parameter-no-name", "search-parameter-type-unknown", "search-parameter-no-type", "include-form",
      ])
    #expect(schema.findings.first?.severity == .error)
  }

  @Test func `R9.16 R4: both shapes of profiles, twice the same type, unknown codes, SMART's capabilities`() throws {
    let schema = try schema(Quirks.statements[2])
    #expect(schema.imports == ["http://x/i"])
    #expect(schema.rest.map(\.mode) == [.server, .client])
    #expect(schema.client?.resources.map(\.type) == ["Task"])
    #expect(schema.server?.resources.map(\.type) == ["Encounter", "Patient"])
    let encounter = try #require(schema.server?.resource("Encounter"))
    #expect(encounter.profile == "http://x/p")
    #expect(encounter.supportedProfiles == ["a", "b"])
    #expect(encounter.interactions.map(\.code) == ["read", "search-type", "fly", "update"])
    #expect(encounter.readHistory == true)
    #expect(encounter.versioning == "always")
    #expect(schema.server?.resource("Patient")?.interactions.map(\.code) == ["read", "vread"])
    #expect(schema.server?.security?.capabilities == ["launch-ehr", "client-public"])
    #expect(schema.server?.security?.oauthURIs == [.init(name: "token", url: "https://x/t")])
    let found = Dictionary(uniqueKeysWithValues: schema.findings.map { ($0.id, $0) })
    #expect(found["code-unknown"]?.places == ["Encounter.versioning always", "Encounter.referencePolicy magic"])
    #expect(found["interaction-unknown"]?.places == ["Encounter.fly"])
    for id in [
      "reference-for-canonical", "interaction-twice", "resource-twice", "readHistory-type", "interaction-type",
      "rest-no-mode", "rest-twice", "resource-no-interactions",
    ] { #expect(found[id] != nil, "\(id) in \(found.keys.sorted())") }
  }

  @Test func `R9.16 a slip in every resource is told once, with its number and some places`() throws {
    let resources = (0..<30).map { #"{"type":"T\#($0)","interaction":[{"code":"read"}],"searchParam":[{"name":"n"}]}"# }
    let schema = try rest(#"{"mode":"server","resource":[\#(resources.joined(separator: ","))]}"#)
    let finding = try #require(schema.findings.first { $0.id == "search-parameter-no-type" })
    #expect(finding.count == 30)
    #expect(finding.places == ["T0.n", "T1.n", "T2.n", "T3.n", "T4.n"])
    #expect(finding.description == "a search parameter has no type (T0.n, T1.n, T2.n, T3.n, T4.n and 25 more)")
  }

  @Test func `R9.16 what is empty or missing is said`() throws {
    #expect(try rest("").findings.map(\.id) == ["no-rest"])
    let empty = try rest(#"{"mode":"server","security":{}}"#)
    #expect(Set(empty.findings.map(\.id)) == ["no-resources", "security-empty"])
    let client = try rest(#"{"mode":"client","resource":[{"type":"A","interaction":[{"code":"read"}]}]}"#)
    #expect(client.findings.map(\.id) == ["no-server"])
    #expect(client.server == nil)
    let strange = try rest(#"{"mode":"peer","resource":[{"type":"A B","interaction":[{"code":"read"}]}]}"#)
    #expect(Set(strange.findings.map(\.id)) == ["rest-mode-unknown", "resource-type-odd", "no-security"])
  }

  @Test(arguments: [
    (#"{"fhirVersion":"9.9"}"#, "fhir-version-unknown"), (#"{"fhirVersion":""}"#, "no-fhirVersion"),
    (#"{"fhirVersion":4}"#, "fhirVersion-type"), ("{}", "no-fhirVersion"), (#"{"kind":"toy"}"#, "code-unknown"),
    (#"{"status":"deprecated"}"#, "status-retired"), ("{}", "no-status"), ("{}", "no-format"), ("{}", "no-kind"),
    (#"{"kind":"requirements"}"#, "kind-requirements"), (#"{"software":{"version":"1"}}"#, "software-no-name"),
    (#"{"software":["x"]}"#, "software-type"), (#"{"experimental":1}"#, "experimental-type"),
    (#"{"fhirVersion":"1.0.2"}"#, "type-of-other-release"), (#"{"messaging":{"a":1}}"#, "messaging-type"),
  ])
  func `R9.16 the head of a statement`(head: String, id: String) throws {
    let text = #"{"resourceType":"CapabilityStatement","#.dropLast() + (head == "{}" ? "}" : "," + head.dropFirst())
    let ids = try schema(String(text)).findings.map(\.id)
    #expect(ids.contains(id), "\(ids)")
  }

  @Test func `R9.16 hidden signs and endless texts do not get through`() throws {
    let long = String(repeating: "x", count: 10_000)
    let schema = try rest(
      #"{"mode":"server","documentation":"\#(long)","resource":[{"type":"Pat\u202Eient\n","interaction":[]}]}"#)
    #expect(schema.server?.documentation?.count == 4001)
    #expect(schema.server?.resources.map(\.type) == ["Pat ient "])
  }

  @Test func `R9.16 limits hold, and say so`() throws {
    let many = (0..<2100).map { #"{"type":"T\#($0)"}"# }.joined(separator: ",")
    let schema = try rest(#"{"mode":"server","resource":[\#(many)]}"#)
    #expect(schema.server?.resources.count == 2000)
    #expect(schema.findings.contains { $0.id == "too-many-resources" })
    let parameters = (0..<11_000).map { #"{"name":"p\#($0)","type":"token"}"# }.joined(separator: ",")
    let wide = try rest(#"{"mode":"server","resource":[{"type":"A","searchParam":[\#(parameters)]}]}"#)
    #expect(wide.server?.resources[0].searchParameters.count == 5000)
    #expect(wide.findings.contains { $0.id == "too-many-entries" })
  }
}
