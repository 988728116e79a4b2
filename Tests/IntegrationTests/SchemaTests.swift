/// `connection.schema`: read once, asked for by its tag, told from memory, compared.
import FHIRControl
import TestSupport
import Testing

@Suite("connection.schema", .needs(.python3, .daemon, .fhirctl))
struct SchemaTests {
  private static let path = "/fhir/metadata"

  private func open(_ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.server.settings(["open": true])
      try await stage.create(
        "c",
        [
          "auth_method": "none", "client_id": .null, "client_secret": .null,
          "client_authentication": .null, "scope": .null,
        ])
      try await play(stage)
    }
  }

  private func schema(_ stage: Stage, _ more: WireJSON = [:]) async throws -> WireJSON {
    let named: WireJSON = ["connection": "c"]
    return try await stage.control.result("connection.schema", named.merging(more))
  }

  private func statement(_ types: String...) -> WireJSON {
    let resources = types.map { type -> WireJSON in ["type": .string(type), "interaction": [["code": "read"]]] }
    return [
      "resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1",
      "format": ["json"], "rest": [["mode": "server", "resource": .array(resources)]],
    ]
  }

  @Test func `R9.16 the statement is read once, and asked for by its tag`() async throws {
    try await open { stage in
      let first = try await schema(stage)
      #expect(first["schema"]["release"] == "R4")
      #expect(first["schema"]["rest"].array.first?["resources"].array.map { $0["type"] } == ["Patient"])
      _ = try await schema(stage, ["resource": "Patient"])
      #expect(try await stage.server.count(path: Self.path) == 1)
      let again = try await schema(stage, ["refresh": true])
      #expect(try await stage.server.log(path: Self.path).map { $0["status"] } == [200, 304])
      #expect(again["changed_at"] == first["changed_at"] && again["stale"] == .null)
      // What is stored survives a restart.
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      _ = try await control.result("connection.schema", ["connection": "c"])
      #expect(try await stage.server.count(path: Self.path) == 2)
    }
  }

  @Test func `what has changed since the statement before is told, and nothing before there is one`() async throws {
    try await open { stage in
      _ = try await schema(stage)
      let none = try await stage.control.call("connection.schema", ["connection": "c", "since": "previous"])
      #expect(code(none) == .validationFailed, "\(none)")
      try await stage.server.rule(["path": .string(Self.path), "json": statement("Observation", "Patient")])
      let now = try await schema(stage, ["refresh": true, "since": "previous"])
      let added = now["diff"]["changes"].array.filter { $0["kind"] == "added" && $0["name"] == "Observation" }
      #expect(!added.isEmpty, "\(now.text)")
      // The time of the request in the document is no change.
      try await stage.server.dropRules()
      let dated: WireJSON = ["date": "2026-02-02"]
      try await stage.server.rule([
        "path": .string(Self.path), "json": statement("Observation", "Patient").merging(dated),
      ])
      let later = try await schema(stage, ["refresh": true, "since": "previous"])
      #expect(later["diff"] == now["diff"] && later["changed_at"] == now["changed_at"], "\(later.text)")
      let same = try await schema(stage, ["since": "c"])
      #expect(same["diff"]["changes"] == [])
    }
  }

  @Test func `a server that cannot be asked is told from memory, and that it is so`() async throws {
    try await open { stage in
      let first = try await schema(stage)
      try await stage.server.rule(["path": .string(Self.path), "drop": "before_reading"])
      let stale = try await schema(stage, ["refresh": true])
      #expect(stale["schema"] == first["schema"])
      #expect(stale["stale"].string?.isEmpty == false && stale["fetched_at"] == first["fetched_at"])
      try await stage.server.dropRules()
      try await stage.server.rule(["path": .string(Self.path), "status": 200, "body": "<html>maintenance</html>"])
      #expect(try await schema(stage, ["refresh": true])["stale"].string != nil, "a page is no statement")
    }
  }

  @Test func `R9.19 a server that wants a token for its metadata is asked with one`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      try await stage.server.rule([
        "path": .string(Self.path), "times": 1, "status": 401, "json": ["resourceType": "OperationOutcome"],
      ])
      let found = try await schema(stage)
      #expect(found["schema"]["release"] == "R4")
      let sent = try await stage.server.log(path: Self.path).map { $0["headers"]["Authorization"].string ?? "" }
      #expect(sent.count == 2 && sent.first == "" && sent.last?.hasPrefix("Bearer ") == true, "\(sent)")
    }
  }

  @Test func `R9.01 R9.03 a server that speaks XML unless asked otherwise, and one that speaks nothing else`()
    async throws
  {
    try await open { stage in
      let xml = """
        <CapabilityStatement xmlns="http://hl7.org/fhir"><fhirVersion value="3.0.1"/><rest><mode value="server"/>
        <resource><type value="Patient"/></resource></rest></CapabilityStatement>
        """
      try await stage.server.rule([
        "path": .string(Self.path), "body": .string(xml), "content_type": "application/fhir+xml",
      ])
      let found = try await schema(stage)
      #expect(found["schema"]["release"] == "STU3", "\(found.text)")
      #expect(try await stage.server.log(path: Self.path).map { $0["query"] } == ["", "_format=json"])
    }
  }

  @Test func `R9.17 fhirctl shows the schema, a type, the graph as a page, and the differences`() async throws {
    try await open { stage in
      let json = statement("Observation", "Patient")
      try await stage.server.rule(["path": .string(Self.path), "json": json])
      let text = try await stage.daemon.fhirctl(["connection", "schema", "c"])
      #expect(text.output.contains("FHIR") && text.output.contains("Observation"), "\(text)")
      let page = try await stage.daemon.fhirctl(["connection", "schema", "c", "--graph", "--format", "html"])
      #expect(page.output.lowercased().hasPrefix("<!doctype html>") && page.output.contains("Observation"))
      let dot = try await stage.daemon.fhirctl(["connection", "schema", "c", "--graph"])
      #expect(dot.output.hasPrefix("digraph"))
      let whole = try await stage.daemon.fhirctl(["connection", "schema", "c", "--document"])
      #expect(try WireJSON(parsing: whole.output) == json)
      let missing = try await stage.daemon.fhirctl(["connection", "schema", "c", "--resource", "Patint"])
      #expect(missing.end == .exited(64) || missing.end == .exited(1), "\(missing)")
      #expect(missing.error.contains("hint: "))
      let both = try await stage.daemon.fhirctl(["connection", "schema", "c", "--graph", "--document"])
      #expect(both.end == .exited(64))
    }
  }
}
