/// `fhir.read`, `fhir.search` and `fhir.request` against a server that misbehaves on demand.
import FHIRControl
import TestSupport
import Testing

@Suite("FHIR through the daemon", .needs(.python3, .daemon, .fhirctl))
struct FHIRAccessTests {
  private static let patient: WireJSON = ["resource_type": "Patient", "id": "1", "connection": "c"]

  private func connected(_ fields: WireJSON = [:], _ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.create("c", fields)
      try await play(stage)
    }
  }

  private func bundle(_ resources: [WireJSON], next: String? = nil, total: Int? = nil) -> WireJSON {
    var links: [WireJSON] = [["relation": "self", "url": "Patient"]]
    if let next { links.append(["relation": "next", "url": .string(next)]) }
    var members: WireJSON = [
      "resourceType": "Bundle", "type": "searchset", "link": .array(links),
      "entry": .array(resources.map { ["resource": $0, "search": ["mode": "match"]] }),
    ]
    if let total { members = members.merging(["total": .string("\(total)")] as WireJSON) }
    return members
  }

  private func named(_ id: String) -> WireJSON { ["resourceType": "Patient", "id": .string(id)] }

  @Test func `a resource is read with the token, and comes as the server wrote it`() async throws {
    try await connected { stage in
      let body =
        "{\"resourceType\":\"Observation\",\n \"id\":\"7\",\r\n \"valueQuantity\":{\"value\":1.10}}"
      try await stage.server.rule([
        "path": "/fhir/Observation/7", "body": .string(body), "content_type": "application/fhir+json",
        "headers": ["ETag": "W/\"3\""],
      ])
      let read = try await stage.daemon.fhirctl(["fhir", "read", "c", "Observation/7"])
      #expect(Array(read.output.utf8) == body.utf8.map { $0 == 10 || $0 == 13 ? 32 : $0 } + [10], "\(read)")
      let facts = try await stage.control.result(
        "fhir.read", ["connection": "c", "resource_type": "Observation", "id": "7"])
      #expect(facts["etag"] == "W/\"3\"", "R9.14: \(facts.text)")
      let sent = try #require(try await stage.server.log(path: "/fhir/Observation/7").last)
      #expect(sent["headers"]["Authorization"].string?.hasPrefix("Bearer ") == true)
      #expect(sent["headers"]["Accept"] == "application/fhir+json", "R9.01")
    }
  }

  @Test func `R7.09 a refused token is replaced once, and the request sent once more`() async throws {
    try await connected(["refresh": ["mode": "on_demand", "min_interval_seconds": 1]]) { stage in
      _ = try await stage.token("c")
      let refusal: WireJSON = [
        "path": "/fhir/Patient/1", "status": 401, "json": ["resourceType": "OperationOutcome"],
        "headers": ["WWW-Authenticate": "Bearer error=\"invalid_token\""],
      ]
      let once: WireJSON = ["times": 1]
      try await stage.server.rule(refusal.merging(once))
      let read = try await eventually("the floor between refreshes has passed", within: 20, every: 0.5) {
        () -> WireJSON? in
        let answer = try await stage.control.call("fhir.read", Self.patient)
        return answer.succeeded ? answer.result : nil
      }
      #expect(read["resource"]["id"] == "1", "\(read.text)")
      let tokens = try await stage.server.count(path: "/token")
      // A server that says 401 whatever it is shown: one more refresh, and no loop.
      try await stage.server.rule(refusal)
      let reads = try await stage.server.count(path: "/fhir/Patient/1")
      let refused = try await stage.control.call("fhir.read", Self.patient)
      #expect(code(refused) == .fhirAuthentication, "\(refused)")
      #expect(try await stage.server.count(path: "/token") <= tokens + 1)
      #expect(try await stage.server.count(path: "/fhir/Patient/1") <= reads + 2)
    }
  }

  @Test func `R7.09 many requests with one dead token cause one refresh, and all are answered`() async throws {
    try await connected(["refresh": ["mode": "on_demand", "min_interval_seconds": 1]]) { stage in
      _ = try await stage.token("c")
      // The first refusals come when the floor between refreshes has passed, the last ones when it has not again.
      for n in 1...6 {
        try await stage.server.rule([
          "path": .string("/fhir/Patient/\(n)"), "times": 1, "status": 401, "delay": .number(n < 4 ? 1.3 : 1.9),
          "json": ["resourceType": "OperationOutcome"],
          "headers": ["WWW-Authenticate": "Bearer error=\"invalid_token\""],
        ])
      }
      let daemon = stage.daemon
      try await withThrowingTaskGroup(of: Answer.self) { group in
        for n in 1...6 {
          group.addTask {
            let control = try await daemon.connect()
            return try await control.call(
              "fhir.read", ["connection": "c", "resource_type": "Patient", "id": .string("\(n)")])
          }
        }
        for try await answer in group { #expect(answer.succeeded, "\(answer)") }
      }
      #expect(try await stage.server.count(path: "/token") == 2)
    }
  }

  @Test func `R7.09 a token that was revoked a moment after it was issued is replaced, too`() async throws {
    try await connected { stage in
      // The floor between refreshes is a minute here.
      _ = try await stage.token("c")
      try await stage.server.rule([
        "path": "/fhir/Patient/1", "times": 1, "status": 401, "json": ["resourceType": "OperationOutcome"],
        "headers": ["WWW-Authenticate": "Bearer realm=\"fhir\""],
      ])
      let read = try await stage.control.call("fhir.read", Self.patient)
      #expect(read.succeeded, "\(read)")
      #expect(try await stage.server.count(path: "/token") == 2)
    }
  }

  @Test func `R7.09 a token that may not is not replaced`() async throws {
    try await connected { stage in
      _ = try await stage.token("c")
      try await stage.server.rule([
        "path": "/fhir/Patient/1", "status": 403, "body": "",
        "headers": ["WWW-Authenticate": "Bearer error=\"insufficient_scope\""],
      ])
      let refused = try await stage.control.call("fhir.read", Self.patient)
      #expect(code(refused) == .fhirAuthorization, "\(refused)")
      #expect(try await stage.server.count(path: "/token") == 1)
      #expect(try await stage.server.count(path: "/fhir/Patient/1") == 1)
    }
  }

  @Test func `R9.11 R9.12 what may be sent twice is, after the time that the server names, and nothing else`()
    async throws
  {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Patient/1", "times": 1, "status": 503, "headers": ["Retry-After": "1"], "body": "busy",
      ])
      let read = try await stage.control.result("fhir.read", Self.patient)
      #expect(read["attempts"] == 2)
      let times = try await stage.server.log(path: "/fhir/Patient/1").compactMap { $0["at"].double }
      #expect(times.count == 2 && times[1] - times[0] >= 1)
      try await stage.server.rule(["path": "/fhir/Basic", "status": 503, "body": "busy"])
      let created = try await stage.control.call(
        "fhir.request", ["connection": "c", "method": "POST", "path": "Basic", "body": "{\"resourceType\":\"Basic\"}"])
      #expect(code(created) == .serverUnreachable, "\(created)")
      #expect(try await stage.server.count(path: "/fhir/Basic") == 1)
    }
  }

  @Test func `R9.05 R9.06 pages are read one after the other, by the server's own links`() async throws {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Patient", "json": bundle([named("a"), named("b")], next: "page/2?handle=%2Fx"),
      ])
      try await stage.server.rule([
        "path": "/fhir/page/2", "json": bundle([named("c")], next: stage.server.origin + "/fhir/page/3"),
      ])
      try await stage.server.rule(["path": "/fhir/page/3", "json": bundle([])])
      let all = try await stage.daemon.fhirctl(["fhir", "search", "c", "Patient", "name=mül ler&x", "--all"])
      #expect(all.succeeded, "\(all)")
      let ids = try all.output.split(separator: "\n").map { try WireJSON(parsing: String($0))["id"].string ?? "" }
      #expect(ids == ["a", "b", "c"])
      let log = try await stage.server.log()
      #expect(log.first { $0["path"] == "/fhir/Patient" }?["query"] == "name=m%C3%BCl%20ler%26x", "encoded once")
      #expect(log.first { $0["path"] == "/fhir/page/2" }?["query"] == "handle=%2Fx", "verbatim")
      let first = try await stage.daemon.fhirctl(["fhir", "search", "c", "Patient"])
      #expect(first.output.split(separator: "\n").count == 2 && first.error.contains("hint: --all"))
    }
  }

  @Test func `R1.04 R9.06 no other server is sent the token`() async throws {
    try await connected { stage in
      let elsewhere = "http://127.0.0.1:1/fhir/page/2"
      try await stage.server.rule(["path": "/fhir/Patient", "json": bundle([named("a")], next: elsewhere)])
      let page = try await stage.control.result("fhir.search", ["connection": "c", "resource_type": "Patient"])
      #expect(page["next"] == .null)
      #expect(page["findings"].array.contains { $0.string?.hasPrefix("next-elsewhere") == true }, "\(page.text)")
      let asked = try await stage.control.call(
        "fhir.search", ["connection": "c", "resource_type": "Patient", "page": .string(elsewhere)])
      #expect(code(asked) == .validationFailed, "\(asked)")
      for path in ["https://evil.example/Patient/1", "//evil.example/x", "../admin", "Patient/../../x"] {
        let raw = try await stage.control.call(
          "fhir.request", ["connection": "c", "method": "GET", "path": .string(path)])
        #expect(code(raw) == .validationFailed, "\(path): \(raw)")
      }
      let header = try await stage.control.call(
        "fhir.request",
        ["connection": "c", "method": "GET", "path": "Patient", "headers": ["Authorization": "Bearer mine"]])
      #expect(code(header) == .validationFailed, "\(header)")
    }
  }

  @Test func `R9.07 R9.10 a page that is gone, and what a server says of a mistake, are told in words`() async throws {
    try await connected { stage in
      try await stage.server.rule(["path": "/fhir/Patient", "json": bundle([named("a")], next: "page/2")])
      try await stage.server.rule(["path": "/fhir/page/2", "status": 410, "body": "<html>gone</html>"])
      let all = try await stage.daemon.fhirctl(["fhir", "search", "c", "Patient", "--all"])
      #expect(all.output.split(separator: "\n").count == 1, "what came is kept: \(all)")
      #expect(all.error.contains("lost the state of this search"), "\(all)")
      try await stage.server.rule([
        "path": "/fhir/Observation", "status": 403,
        "json": [
          "resourceType": "OperationOutcome",
          "issue": [["severity": "error", "diagnostics": "category is missing"]],
        ],
      ])
      let refused = try await stage.control.call("fhir.search", ["connection": "c", "resource_type": "Observation"])
      #expect(refused.error["message"].string?.contains("category is missing") == true, "\(refused)")
    }
  }

  @Test func `R9.08 a search by POST keeps its values out of the address`() async throws {
    try await connected { stage in
      try await stage.server.rule(["path": "/fhir/Patient/_search", "json": bundle([named("a")])])
      let found = try await stage.control.result(
        "fhir.search", ["connection": "c", "resource_type": "Patient", "params": ["name=Smith"], "post": true])
      #expect(found["matches"] == 1, "\(found.text)")
      let sent = try #require(try await stage.server.log(path: "/fhir/Patient/_search").last)
      #expect(sent["query"] == "" && sent["form"]["name"] == "Smith", "\(sent.text)")
    }
  }
}
