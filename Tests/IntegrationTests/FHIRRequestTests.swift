/// What the server sees of a FHIR request: media types, conditions, the way a search goes, what is sent again, and the end
/// of a transfer that nobody waits for any more.
import FHIRControl
import TestSupport
import Testing

@Suite("FHIR requests on the wire", .needs(.python3, .daemon, .fhirctl))
struct FHIRRequestTests {
  private static let open: WireJSON = [
    "auth_method": "none", "client_id": .null, "client_secret": .null, "client_authentication": .null, "scope": .null,
  ]
  private static let patient: WireJSON = ["connection": "c", "resource_type": "Patient", "id": "1"]

  private func connected(_ fields: WireJSON = [:], _ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.server.settings(["open": true])
      try await stage.create("c", Self.open.merging(fields))
      try await play(stage)
    }
  }

  private func headers(_ stage: Stage, _ path: String) async throws -> WireJSON {
    try #require(try await stage.server.log(path: path).last)["headers"]
  }

  private static let found: WireJSON = [
    "resourceType": "Bundle", "type": "searchset", "entry": [["resource": ["resourceType": "Patient", "id": "1"]]],
  ]

  @Test(arguments: [
    ("DSTU2", false, "application/json+fhir"), ("1.0.2", false, "application/json+fhir"),
    ("STU3", false, "application/fhir+json"), ("R4", false, "application/fhir+json"),
    ("R4", true, "application/fhir+json; fhirVersion=4.0"), ("4.3.0", true, "application/fhir+json; fhirVersion=4.3"),
    ("R5", true, "application/fhir+json; fhirVersion=5.0"),
  ])
  func `R9.01 the media type is the version's, and names it where the operator says so`(
    version: String, named: Bool, type: String
  ) async throws {
    try await connected(["fhir_version": .string(version), "sends_fhir_version": .bool(named)]) { stage in
      _ = try await stage.control.result("fhir.read", Self.patient)
      #expect(try await headers(stage, "/fhir/Patient/1")["Accept"] == .string(type))
      _ = try await stage.control.result(
        "fhir.request",
        ["connection": "c", "method": "POST", "path": "Basic", "body": "{\"resourceType\":\"Basic\"}"])
      let posted = try await headers(stage, "/fhir/Basic")
      #expect(posted["Accept"] == .string(type) && posted["Content-Type"] == .string(type), "\(posted.text)")
    }
  }

  @Test func `R9.08 a search goes by POST where the operator says so, or where its URL would be too long`() async throws
  {
    try await connected { stage in
      try await stage.server.rule(["path": "/fhir/Patient*", "json": Self.found])
      func search(_ value: String) async throws -> Answer {
        try await stage.control.call(
          "fhir.search", ["connection": "c", "resource_type": "Patient", "params": [.string("name=\(value)")]])
      }
      func last() async throws -> WireJSON { try #require(try await stage.server.log().last) }
      let long = String(repeating: "a", count: 3000)
      #expect(try await search("Smith").succeeded)
      #expect(try await last()["query"] == "name=Smith")
      #expect(try await search(long).succeeded)
      var sent = try await last()
      #expect(
        sent["method"] == "POST" && sent["path"] == "/fhir/Patient/_search" && sent["query"] == "", "\(sent.text)")
      #expect(sent["form"]["name"] == .string(long))

      let post = try await stage.daemon.fhirctl(["connection", "update", "c", "--search-method", "post"])
      #expect(post.succeeded, "\(post)")
      #expect(try await search("Smith").succeeded)
      sent = try await last()
      #expect(sent["path"] == "/fhir/Patient/_search" && sent["query"] == "" && sent["form"]["name"] == "Smith")

      let get = try await stage.daemon.fhirctl(["connection", "update", "c", "--search-method", "get"])
      #expect(get.succeeded, "\(get)")
      let refused = try await search(long)
      #expect(
        code(refused) == .validationFailed && refused.message?.contains("POST is not allowed") == true, "\(refused)")
      #expect(!"\(refused)".contains("aaaa"), "values are not repeated")
    }
  }

  @Test func `R9.13 R9.14 a conditional read answers that nothing has changed, or what has`() async throws {
    try await connected { stage in
      let date = "Sat, 24 Oct 2026 08:00:00 GMT"
      try await stage.server.rule([
        "path": "/fhir/Patient/1", "times": 1, "json": ["resourceType": "Patient", "id": "1"],
        "headers": ["ETag": "W/\"3\"", "Last-Modified": .string(date)],
      ])
      let first = try await stage.control.result("fhir.read", Self.patient)
      #expect(first["etag"] == "W/\"3\"" && first["last_modified"] == .string(date))
      try await stage.server.rule(["path": "/fhir/Patient/1", "times": 2, "status": 304, "body": ""])
      let same = try await stage.control.result(
        "fhir.read",
        Self.patient.merging(["if_none_match": first["etag"], "if_modified_since": first["last_modified"]]))
      #expect(same["not_modified"] == true && same["status"] == 304 && !same["resource"].exists, "\(same.text)")
      let sent = try await headers(stage, "/fhir/Patient/1")
      #expect(sent["If-None-Match"] == "W/\"3\"" && sent["If-Modified-Since"] == .string(date), "\(sent.text)")
      let run = try await stage.daemon.fhirctl([
        "fhir", "read", "c", "Patient/1", "--if-none-match", "W/\"3\"", "--if-modified-since", date,
      ])
      #expect(run.succeeded && run.output.isEmpty && run.error.contains("Patient/1 has not changed"), "\(run)")
      // A server that does not look at conditions gives the resource.
      try await stage.server.rule(["path": "/fhir/Patient/1", "json": ["resourceType": "Patient", "id": "1"]])
      let changed = try await stage.daemon.fhirctl(["fhir", "read", "c", "Patient/1", "--if-none-match", "W/\"3\""])
      #expect(changed.succeeded && changed.output.contains("\"Patient\""), "\(changed)")
      for bad in ["yesterday", "2026-10-24", "Sat, 24 Oct 2026 08:00:00 GMT\r\nX-Evil: 1"] {
        let refused = try await stage.control.call(
          "fhir.read", Self.patient.merging(["if_modified_since": .string(bad)]))
        #expect(code(refused) == .validationFailed, "\(refused)")
      }
      let bare = try await stage.control.call("fhir.read", Self.patient.merging(["if_none_match": "a b"]))
      #expect(code(bare) == .validationFailed, "\(bare)")
    }
  }

  @Test func `R9.14 a weak tag goes back as it came`() async throws {
    try await connected { stage in
      let read = try await stage.control.result("fhir.read", Self.patient)
      let tag = try #require(read["etag"].string)
      _ = try await stage.control.result(
        "fhir.request",
        [
          "connection": "c", "method": "PUT", "path": "Patient/1", "headers": ["If-Match": .string(tag)],
          "body": "{\"resourceType\":\"Patient\",\"id\":\"1\"}",
        ])
      #expect(try await headers(stage, "/fhir/Patient/1")["If-Match"] == .string(tag))
    }
  }

  @Test func `R9.15 answers may be packed`() async throws {
    try await connected { stage in
      let filler = String(repeating: "x", count: 100_000)
      try await stage.server.rule([
        "path": "/fhir/Patient/1", "gzip": true,
        "json": ["resourceType": "Patient", "id": "1", "language": .string(filler)],
        "content_type": "application/fhir+json",
      ])
      let read = try await stage.control.result("fhir.read", Self.patient)
      #expect(read["resource"]["language"].string?.utf8.count == 100_000)
      #expect(try await headers(stage, "/fhir/Patient/1")["Accept-Encoding"] == "gzip")
    }
  }

  @Test(
    arguments: [
      ("GET", "Basic/1", [:], true), ("HEAD", "Basic/1", [:], true), ("DELETE", "Basic/1", [:], true),
      ("DELETE", "Basic?code=x", [:], false), ("POST", "Basic", [:], false), ("POST", "Basic/_search", [:], true),
      ("PUT", "Basic/1", [:], false), ("PUT", "Basic/1", ["If-Match": "W/\"1\""], true),
      ("PUT", "Basic/1", ["If-Match": "*"], false), ("PUT", "Basic?code=x", ["if-match": "\"1\""], false),
      ("PATCH", "Basic/1", ["If-Match": "W/\"1\""], false),
    ] as [(String, String, [String: String], Bool)])
  func `R9.12 only what may be sent twice is sent twice`(
    method: String, path: String, headers: [String: String], again: Bool
  ) async throws {
    try await connected { stage in
      try await stage.server.rule(["path": "/fhir/Basic*", "times": 1, "status": 503, "body": ""])
      var call: WireJSON = [
        "connection": "c", "method": .string(method), "path": .string(path),
        "headers": .object(headers.mapValues { .string($0) }),
      ]
      if ["POST", "PUT", "PATCH"].contains(method) { call = call.merging(["body": "{\"resourceType\":\"Basic\"}"]) }
      let answer = try await stage.control.call("fhir.request", call)
      #expect(answer.succeeded == again, "\(answer)")
      let sent = try await stage.server.log().filter { $0["path"].string?.hasPrefix("/fhir/Basic") == true }
      #expect(sent.count == (again ? 2 : 1))
    }
  }

  @Test func `R9.09 R9.18 what was found, included and said is told apart, and what the server did not use`()
    async throws
  {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Observation",
        "json": [
          "resourceType": "Bundle", "type": "searchset", "total": 10,
          "link": [["relation": "self", "url": "Observation?patient=1"]],
          "entry": [
            ["resource": ["resourceType": "Observation", "id": "1"], "search": ["mode": "match"]],
            ["resource": ["resourceType": "Patient", "id": "1"], "search": ["mode": "include"]],
            [
              "resource": [
                "resourceType": "OperationOutcome",
                "issue": [["severity": "warning", "code": "not-supported", "diagnostics": "colour is not known"]],
              ], "search": ["mode": "outcome"],
            ],
          ],
        ],
      ])
      let found = try await stage.control.result(
        "fhir.search",
        [
          "connection": "c", "resource_type": "Observation", "params": ["patient=1", "colour=red"],
          "handling": "strict",
        ])
      #expect(found["matches"] == 1 && found["includes"] == 1 && found["total"] == 10, "\(found.text)")
      #expect(found["resources"].array.map { $0["resourceType"] } == ["Observation", "Patient"])
      let findings = found["findings"].array.compactMap(\.string)
      #expect(findings.contains { $0.contains("parameter-ignored") && $0.contains("colour") }, "\(findings)")
      #expect(findings.contains { $0.contains("colour is not known") }, "\(findings)")
      #expect(try await headers(stage, "/fhir/Observation")["Prefer"] == "handling=strict")
    }
  }

  @Test func `a transfer ends when its call does`() async throws {
    try await connected { stage in
      try await stage.server.rule(["path": "/fhir/Patient/1", "hang": true])
      let late = try await stage.control.call("fhir.read", Self.patient.merging(["timeout_seconds": 1]))
      #expect(code(late) == .timeout, "\(late)")
      // Bytes that come one by one keep a transfer alive, and it ends all the same.
      try await stage.server.rule([
        "path": "/fhir/Patient/2", "json": ["resourceType": "Patient", "id": "2"], "trickle_seconds": 1,
      ])
      let trickled = try await stage.control.call(
        "fhir.read", ["connection": "c", "resource_type": "Patient", "id": "2", "timeout_seconds": 1])
      #expect(code(trickled) == .timeout, "\(trickled)")
      for path in ["/fhir/Patient/1", "/fhir/Patient/2"] {
        _ = try await eventually("the server sees the end of \(path)") {
          try await stage.server.log(path: path).last?["outcome"] == "the client went away" ? true : nil
        }
        #expect(try await stage.server.count(path: path) == 1)
      }
    }
  }

  @Test func `R9.06 a server that does not know its own name is led home where the operator says so (quirk 18)`()
    async throws
  {
    try await onStage { stage in
      let inner = "http://fhir-server.cluster.local:8080"
      try await stage.create("c", ["link_rewrites": .object([inner: .string(stage.server.origin)])])
      try await stage.server.rule([
        "path": "/fhir/Basic", "bundle": ["entries": 2, "next": .string(inner + "/fhir/page/2?x=y")],
      ])
      try await stage.server.rule(["path": "/fhir/page/2", "bundle": ["entries": 2, "first": 2]])
      let all = try await stage.daemon.fhirctl(["fhir", "search", "c", "Basic", "--all"])
      #expect(all.succeeded && all.output.split(separator: "\n").count == 4, "\(all)")
      #expect(all.error.contains("link-rewritten"), "and it is told: \(all)")
      let elsewhere = try await stage.control.call(
        "connection.update", ["connection": "c", "link_rewrites": .object([inner: "https://other.example.org"])])
      #expect(elsewhere.error["data"]["fields"][0]["field"] == "link_rewrites", "\(elsewhere)")
      let nonsense = try await stage.control.call(
        "connection.update", ["connection": "c", "link_rewrites": ["fhir-server": .string(stage.server.origin)]])
      #expect(nonsense.error["data"]["fields"][0]["field"] == "link_rewrites", "\(nonsense)")
    }
  }
}
