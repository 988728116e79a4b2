/// Connections over the control socket: made, found, changed, refused, deleted.
import FHIRControl
import TestSupport
import Testing

@Suite("connections", .needs(.python3, .daemon))
struct ConnectionTests {
  @Test func `a created connection comes back with its fields and without its secret`() async throws {
    try await onStage { stage in
      let made = try await stage.create("epic-sandbox", ["additional_notes": "ward 3", "labels": ["team": "lab"]])
      #expect(made["connection_name"] == "epic-sandbox")
      #expect(made["additional_notes"] == "ward 3")
      #expect(made["labels"]["team"] == "lab")
      #expect(made["has_client_secret"] == true)
      #expect(made["client_secret"] == .null)
      #expect(made["is_authenticated"] == false)
      let id = try #require(made["id"].string)
      for reference in [id, "epic-sandbox", "EPIC-Sandbox"] {
        let got = try await stage.control.result("connection.get", ["connection": .string(reference)])
        #expect(got["id"] == .string(id), "by \(reference)")
        #expect(!got.text.contains(Stage.clientSecret))
      }
    }
  }

  @Test func `every bad field is named in one answer`() async throws {
    try await onStage { stage in
      let answer = try await stage.control.call(
        "connection.create",
        [
          "connection_name": "", "fhir_base_url": "ftp://example.org/fhir", "auth_method": "magic",
          "client_authentication": "handshake", "basic_encoding": "rot13", "token_url": "not a url",
          "refresh": ["margin_seconds": -1],
        ])
      #expect(code(answer) == .validationFailed)
      let named = answer.error["data"]["fields"].array.compactMap { $0["field"].string }
      for field in [
        "connection_name", "fhir_base_url", "auth_method", "client_authentication", "basic_encoding", "token_url",
      ] {
        #expect(named.contains(field), "\(field) is not among \(named)")
      }
      #expect(named.contains { $0.hasPrefix("refresh") }, "refresh is not among \(named)")
      #expect(try await stage.control.result("connection.list")["connections"].array.isEmpty)
    }
  }

  @Test func `client credentials without a client id or a secret are refused by name`() async throws {
    try await onStage { stage in
      let answer = try await stage.control.call(
        "connection.create", stage.connection("x", ["client_id": .null, "client_secret": .null]))
      #expect(code(answer) == .validationFailed)
      let named = answer.error["data"]["fields"].array.compactMap { $0["field"].string }
      #expect(Set(named) == ["client_id", "client_secret"])
    }
  }

  @Test func `http to anything but loopback is refused even where loopback is allowed`() async throws {
    try await onStage { stage in
      for url in ["http://fhir.example.org/r4", "http://127.0.0.1.example.org/fhir", "http://10.0.0.1/fhir"] {
        let answer = try await stage.control.call(
          "connection.create", stage.connection("x", ["fhir_base_url": .string(url)]))
        #expect(code(answer) == .validationFailed, "\(url)")
      }
    }
  }

  @Test func `a name is taken without regard to case`() async throws {
    try await onStage { stage in
      try await stage.create("Epic")
      let answer = try await stage.control.call("connection.create", stage.connection("ePIC"))
      #expect(code(answer) == .connectionExists)
    }
  }

  @Test func `the base URL is normalized once`() async throws {
    try await onStage { stage in
      let made = try await stage.create(
        "n", ["fhir_base_url": .string("HTTP://127.0.0.1:\(stage.server.port)/FHIR/r4/")])
      #expect(made["fhir_base_url"] == .string("http://127.0.0.1:\(stage.server.port)/FHIR/r4"))
      let standard = try await stage.create("p", ["fhir_base_url": "HTTPS://Example.ORG:443/fhir//"])
      #expect(standard["fhir_base_url"] == "https://example.org/fhir")
    }
  }

  @Test func `an unknown connection is CONNECTION_NOT_FOUND with a hint`() async throws {
    try await onStage { stage in
      for method in ["connection.get", "connection.delete", "token.get", "token.status", "token.refresh"] {
        let answer = try await stage.control.call(method, ["connection": "nobody"])
        #expect(code(answer) == .connectionNotFound, "\(method)")
        #expect(answer.hint?.contains("fhirctl") == true, "\(method): \(answer)")
      }
    }
  }

  @Test func `an update changes what it names, takes away what is empty, and leaves the rest`() async throws {
    try await onStage { stage in
      let made = try await stage.create("old-name", ["additional_notes": "first", "issuer": "https://as.example.org"])
      let answer = try await stage.control.result(
        "connection.update",
        ["connection": "old-name", "connection_name": "new-name", "issuer": "", "additional_notes": "second"])
      let changed = answer["connection"]
      #expect(changed["id"] == made["id"])
      #expect(changed["connection_name"] == "new-name")
      #expect(changed["issuer"] == .null)
      #expect(changed["additional_notes"] == "second")
      #expect(changed["scope"] == "system/*.rs")
      #expect(try #require(changed["generation"].int) > #require(made["generation"].int))
      #expect(code(try await stage.control.call("connection.get", ["connection": "old-name"])) == .connectionNotFound)
      // The secret was kept through the change.
      _ = try await stage.token("new-name")
    }
  }

  @Test func `an update for another generation than the present one is refused`() async throws {
    try await onStage { stage in
      let made = try await stage.create("g")
      let generation = try #require(made["generation"].int)
      let first = try await stage.control.result(
        "connection.update",
        ["connection": "g", "if_generation": .integer(Int64(generation)), "additional_notes": "one"])
      #expect(first["connection"]["additional_notes"] == "one")
      let second = try await stage.control.call(
        "connection.update",
        ["connection": "g", "if_generation": .integer(Int64(generation)), "additional_notes": "two"])
      #expect(code(second) == .generationConflict)
      let now = try await stage.control.result("connection.get", ["connection": "g"])
      #expect(now["additional_notes"] == "one")
    }
  }

  @Test func `a change of the client replaces the token, and the answer says so`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let before = try await stage.token("c")
      try await stage.server.register(client: "second-client", secret: "another-secret-of-the-tests")
      let answer = try await stage.control.result(
        "connection.update",
        ["connection": "c", "client_id": "second-client", "client_secret": "another-secret-of-the-tests"])
      #expect(answer["grants_to_renew"] == 1)
      #expect(answer["grants_needing_login"] == 0)
      let after = try await stage.token("c")
      #expect(after != before)
      #expect(try await stage.server.log(path: "/token").last?["client_id"] == "second-client")
    }
  }

  @Test func `a deleted connection is gone, and its token was revoked where the server can`() async throws {
    try await onStage { stage in
      try await stage.create("d")
      let token = try await stage.token("d")
      let answer = try await stage.control.result("connection.delete", ["connection": "d"], within: 40)
      #expect(answer["connection_name"] == "d")
      #expect(answer["grants_erased"] == 1)
      #expect(answer["revocation"] == "revoked")
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 401)
      #expect(code(try await stage.control.call("token.get", ["connection": "d"])) == .connectionNotFound)
      // The name is free again.
      try await stage.create("d")
    }
  }

  @Test func `a list comes in pages that hold every connection once`() async throws {
    try await onStage { stage in
      for i in 0..<25 { try await stage.create("site-\(i)", tenant: "t\(i)") }
      try await stage.create("other")
      var seen: [String] = []
      var cursor: WireJSON = .null
      repeat {
        var asked: WireJSON = ["limit": 10, "filter": "site-*"]
        if cursor.exists { asked = asked.merging(["cursor": cursor]) }
        let page = try await stage.control.result("connection.list", asked)
        #expect(page["connections"].array.count <= 10)
        seen += page["connections"].array.compactMap { $0["connection_name"].string }
        cursor = page["next_cursor"]
      } while cursor.exists && seen.count <= 26
      #expect(seen.count == 25)
      #expect(Set(seen) == Set((0..<25).map { "site-\($0)" }))
    }
  }

  @Test func `connection.test goes through its steps, saved or not`() async throws {
    try await onStage { stage in
      try await stage.create("t")
      let saved = try await stage.control.result("connection.test", ["connection": "t"], within: 130)
      #expect(saved["passed"] == true, "\(saved.text)")
      let names = saved["steps"].array.compactMap { $0["name"].string }
      #expect(names == ["resolve", "tcp", "tls", "discovery", "metadata", "token", "authorized_read"])
      let unsaved = try await stage.control.result(
        "connection.test", stage.connection("u", ["client_secret": "wrong-secret-of-the-tests"]), within: 130)
      #expect(unsaved["passed"] == false)
      let failed = unsaved["steps"].array.filter { $0["outcome"] == "failed" }.compactMap { $0["name"].string }
      #expect(failed == ["token"])
      #expect(try await stage.control.result("connection.list")["connections"].array.count == 1)
    }
  }

  @Test func `R9.03 R9.01 a statement in XML, or of DSTU2, is read, and the test says what follows from it`()
    async throws
  {
    try await onStage { stage in
      try await stage.create("t")
      func metadata(_ rule: WireJSON) async throws -> WireJSON {
        let path: WireJSON = ["path": "/fhir/metadata"]
        try await stage.server.rule(path.merging(rule))
        let test = try await stage.control.result("connection.test", ["connection": "t"], within: 130)
        return try #require(test["steps"].array.first { $0["name"] == "metadata" })
      }
      let xml = try await metadata([
        "content_type": "application/fhir+xml",
        "body":
          "<CapabilityStatement xmlns=\"http://hl7.org/fhir\"><fhirVersion value=\"4.0.1\"/><kind value=\"instance\"/><rest><mode value=\"server\"/><resource><type value=\"Patient\"/></resource></rest></CapabilityStatement>",
      ])
      #expect(xml["outcome"] == "warning" && xml["detail"].string?.contains("FHIR R4 (4.0.1)") == true, "\(xml.text)")
      #expect(xml["detail"].string?.contains("XML") == true)
      let old = try await metadata([
        "json": [
          "resourceType": "Conformance", "fhirVersion": "1.0.2", "kind": "instance",
          "rest": [["mode": "server", "resource": [["type": "Patient", "interaction": [["code": "read"]]]]]],
        ]
      ])
      #expect(
        old["outcome"] == "warning" && old["detail"].string?.contains("--fhir-version DSTU2") == true, "\(old.text)")
      try await stage.control.result("connection.update", ["connection": "t", "fhir_version": "DSTU2"])
      let told = try await stage.control.result("connection.test", ["connection": "t"], within: 130)
      let detail = told["steps"].array.first { $0["name"] == "metadata" }?["detail"].string ?? ""
      #expect(detail.contains("FHIR DSTU2 (1.0.2)") && !detail.contains("--fhir-version"), "\(told.text)")
    }
  }
}
