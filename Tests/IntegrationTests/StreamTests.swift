/// Searches that stream: pages as they come, bounded in memory, as fast as the slowest of server, daemon and reader.
import FHIRControl
import TestSupport
import Testing

/// What a stream brought.
private struct Stream {
  var notices: [WireJSON] = []
  var answer: Answer

  var ids: [String] { notices.flatMap { $0["resources"].array.compactMap { $0["id"].string } } }
  var nexts: [String] { notices.compactMap { $0["next"].string } }
}

extension ControlConnection {
  /// Reads everything up to the answer.
  fileprivate func rest(of id: Int, within seconds: Double = TestSocket.secondsDefault) async throws -> Stream {
    var notices: [WireJSON] = []
    while true {
      let line = try await readLine(within: seconds)
      let json = try WireJSON(parsing: #require(line))
      if json["id"] == .integer(Int64(id)) { return Stream(notices: notices, answer: Answer(json: json)) }
      #expect(json["method"] == "progress" && json["params"]["id"] == .integer(Int64(id)), "\(json.text)")
      notices.append(json["params"])
    }
  }

  fileprivate func stream(_ parameters: WireJSON) async throws -> Stream {
    let all: WireJSON = ["connection": "c", "resource_type": "Basic", "stream": true]
    return try await rest(of: try await begin("fhir.search", all.merging(parameters)))
  }
}

@Suite("searches that stream", .needs(.python3, .daemon, .fhirctl))
struct StreamTests {
  private func connected(_ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.create("c", [:])
      try await play(stage)
    }
  }

  /// Pages of so many resources each, linked.
  private func pages(_ counts: [Int], bytes: Int = 100, _ stage: Stage) async throws {
    for (number, count) in counts.enumerated() {
      var bundle: WireJSON = [
        "entries": .integer(Int64(count)), "entry_bytes": .integer(Int64(bytes)),
        "first": .integer(Int64(counts[..<number].reduce(0, +))),
      ]
      if number + 1 < counts.count {
        bundle = bundle.merging(["next": .string("\(stage.server.origin)/fhir/page/\(number + 1)")])
      }
      try await stage.server.rule([
        "path": .string(number == 0 ? "/fhir/Basic" : "/fhir/page/\(number)"), "bundle": bundle,
      ])
    }
  }

  private func numbers(_ range: Range<Int>) -> [String] { range.map { "\($0)" } }

  @Test func `R9.05 pages come in their order, each resource once, and the answer counts them`() async throws {
    try await connected { stage in
      try await pages([3, 0, 4], stage)
      let stream = try await stage.control.stream([:])
      #expect(stream.ids == numbers(0..<7))
      #expect(stream.notices.compactMap { $0["page"].int }.max() == 3)
      #expect(stream.nexts.map { $0.suffix(7) } == ["/page/1", "/page/2"], "where a caller could go on")
      let facts = stream.answer.result
      #expect(facts["complete"] == true && facts["pages"] == 3 && facts["matches"] == 7, "\(facts.text)")
      #expect(facts["resources"] == .null && facts["next"] == .null)
      #expect(try await stage.server.count(path: "/fhir/page/1") == 1)
    }
  }

  @Test func `the lengths cut the resources apart without parsing`() async throws {
    try await connected { stage in
      try await pages([5], stage)
      let id = try await stage.control.begin(
        "fhir.search", ["connection": "c", "resource_type": "Basic", "stream": true])
      var found: [String] = []
      while let line = try await stage.control.readLine(), !line.contains("\"result\"") {
        let lengths = try WireJSON(parsing: line)["params"]["lengths"].array.compactMap(\.int)
        var rest = try #require(line.firstRange(of: "\"resources\":[")).upperBound
        for length in lengths {
          let end = line.utf8.index(rest, offsetBy: length)
          found.append(try WireJSON(parsing: String(line[rest..<end]))["id"].string ?? "")
          rest = line.utf8.index(after: end)
        }
      }
      #expect(found == numbers(0..<5), "request \(id)")
    }
  }

  @Test func `no more than what is wanted comes, and the next page is named`() async throws {
    try await connected { stage in
      try await pages([3, 3, 3], stage)
      let two = try await stage.control.stream(["max_pages": 2])
      #expect(two.ids == numbers(0..<6))
      let next = try #require(two.answer.result["next"].string)
      #expect(two.answer.result["complete"] == false && next.hasSuffix("/page/2"))
      let rest = try await stage.control.stream(["page": .string(next)])
      #expect(rest.ids == numbers(6..<9) && rest.answer.result["complete"] == true)
      let four = try await stage.control.stream(["max_resources": 4])
      #expect(four.ids == numbers(0..<4) && four.answer.result["matches"] == 4)
      #expect(four.answer.result["next"] == .null, "the rest of a page cannot be asked for: \(four.answer)")
      // Of the last page, too, and what was included comes on top.
      try await stage.server.rule([
        "path": "/fhir/Patient",
        "json": [
          "resourceType": "Bundle", "type": "searchset",
          "entry": [
            ["resource": ["resourceType": "Patient", "id": "a"], "search": ["mode": "match"]],
            ["resource": ["resourceType": "Patient", "id": "b"], "search": ["mode": "match"]],
            ["resource": ["resourceType": "Group", "id": "g"], "search": ["mode": "include"]],
          ],
        ],
      ])
      let one = try await stage.control.stream(["resource_type": "Patient", "max_resources": 1])
      #expect(one.ids == ["a", "g"], "\(one.notices.map(\.text))")
      #expect(one.answer.result["complete"] == false && one.answer.result["matches"] == 1, "\(one.answer)")
      for (field, value) in [("max_pages", 0), ("max_resources", -1)] {
        let refused = try await stage.control.stream([field: .integer(Int64(value))])
        #expect(code(refused.answer) == .validationFailed, "\(refused.answer)")
      }
      let plain = try await stage.control.call(
        "fhir.search", ["connection": "c", "resource_type": "Basic", "max_pages": 2])
      #expect(code(plain) == .validationFailed, "\(plain)")
    }
  }

  @Test func `R9.12 a page that breaks off is asked for again, and nothing of it comes twice`() async throws {
    try await connected { stage in
      try await pages([200, 200], bytes: 1000, stage)
      try await stage.server.rule([
        "path": "/fhir/page/1", "times": 2, "drop": "half_body",
        "bundle": ["entries": 200, "entry_bytes": 1000, "first": 200],
      ])
      let stream = try await stage.control.stream([:])
      #expect(stream.ids == numbers(0..<400), "\(stream.answer)")
      #expect(try await stage.server.count(path: "/fhir/page/1") == 3)
      // Another page in its place is not glued to the half that is out.
      try await stage.server.rule([
        "path": "/fhir/Basic", "times": 1, "drop": "half_body",
        "bundle": ["entries": 200, "entry_bytes": 1000, "first": 5000],
      ])
      let glued = try await stage.control.stream([:])
      #expect(code(glued.answer) == .serverAnswerUnusable, "\(glued.answer)")
      #expect(glued.answer.message?.contains("other resources") == true)
    }
  }

  @Test func `R9.07 what came before an error is kept, and the error says where it was`() async throws {
    try await connected { stage in
      try await pages([3, 3], stage)
      try await stage.server.rule(["path": "/fhir/page/1", "status": 410, "body": "gone"])
      let stream = try await stage.control.stream([:])
      #expect(stream.ids == numbers(0..<3))
      #expect(stream.answer.message?.contains("lost the state of this search") == true, "\(stream.answer)")
      let all = try await stage.daemon.fhirctl(["fhir", "search", "c", "Basic", "--all"])
      #expect(all.output.split(separator: "\n").count == 3 && !all.succeeded)
      #expect(all.error.contains("--page '\(stream.nexts[0])'"), "\(all)")
    }
  }

  @Test func `a slow reader slows its own search and nothing else, and memory stays small`() async throws {
    try await connected { stage in
      // One page of 60 MB: more than all buffers on the way.
      try await pages([600], bytes: 100_000, stage)
      try await stage.server.rule(["path": "/fhir/Patient/1", "json": ["resourceType": "Patient", "id": "1"]])
      _ = try await stage.control.result("fhir.read", ["connection": "c", "resource_type": "Patient", "id": "1"])
      let before = try #require(stage.daemon.residentKiB)
      // More of them than connections that one server may have (8).
      var slow: [(ControlConnection, Int)] = []
      for _ in 0..<10 {
        let control = try await stage.daemon.connect()
        slow.append(
          (
            control,
            try await control.begin("fhir.search", ["connection": "c", "resource_type": "Basic", "stream": true])
          ))
      }
      _ = try await eventually("all ten are asked for") {
        try await stage.server.count(path: "/fhir/Basic") == 10 ? true : nil
      }
      let read = try await stage.control.call(
        "fhir.read", ["connection": "c", "resource_type": "Patient", "id": "1"])
      #expect(read.succeeded, "\(read)")
      let grown = try #require(stage.daemon.residentKiB) - before
      #expect(grown < 10 * 20 * 1024, "\(grown) KiB for ten searches")
      for (control, id) in slow.prefix(2) {
        let stream = try await control.rest(of: id)
        #expect(stream.ids == numbers(0..<600) && stream.answer.result["complete"] == true, "\(stream.answer)")
      }
    }
  }

  @Test func `R9.15 a compressed page streams like any other, to a slow reader too`() async throws {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Basic", "gzip": true, "bundle": ["entries": 400, "entry_bytes": 50_000],
      ])
      let control = try await stage.daemon.connect()
      let id = try await control.begin("fhir.search", ["connection": "c", "resource_type": "Basic", "stream": true])
      _ = try await eventually("the whole page has left the server") {
        try await stage.server.log(path: "/fhir/Basic").last?["outcome"] == "answered" ? true : nil
      }
      let stream = try await control.rest(of: id)
      #expect(stream.ids == numbers(0..<400) && stream.answer.result["complete"] == true, "\(stream.answer)")
    }
  }

  @Test func `when the caller leaves, the server is left`() async throws {
    try await connected { stage in
      try await pages([600], bytes: 100_000, stage)
      let control = try await stage.daemon.connect()
      try await control.begin("fhir.search", ["connection": "c", "resource_type": "Basic", "stream": true])
      _ = try await control.readLine()
      control.close()
      _ = try await eventually("the server hears of it") {
        try await stage.server.log(path: "/fhir/Basic").last?["outcome"] == "the client went away" ? true : nil
      }
    }
  }

  @Test func `a page of more than an answer carries comes, resource by resource`() async throws {
    try await connected { stage in
      try await pages([20], bytes: 1_000_000, stage)
      let whole = try await stage.control.call("fhir.search", ["connection": "c", "resource_type": "Basic"])
      #expect(code(whole) == .fhirAPIError, "\(whole.message ?? "")")
      let all = try await stage.daemon.fhirctl(["fhir", "search", "c", "Basic"])
      #expect(all.succeeded && all.output.utf8.count > 20_000_000)
      #expect(all.output.split(separator: "\n").count == 20)
    }
  }

  @Test func `R9.10 what is no page is told as what it is`() async throws {
    try await connected { stage in
      let odd: [(WireJSON, ErrorCode)] = [
        (
          ["json": ["resourceType": "OperationOutcome", "issue": [["severity": "error", "diagnostics": "no"]]]],
          .fhirAPIError
        ),
        (["body": "<html>login</html>"], .serverAnswerUnusable),
        (["json": ["resourceType": "Patient", "id": "1"]], .serverAnswerUnusable),
        (
          ["body": "{\"resourceType\":\"Bundle\",\"entry\":[{]}", "content_type": "application/json"],
          .serverAnswerUnusable
        ),
        (["status": 404, "body": ""], .fhirNotFound), (["status": 403, "body": ""], .fhirAuthorization),
      ]
      for (rule, expected) in odd {
        let what: WireJSON = ["path": "/fhir/Basic", "times": 1]
        try await stage.server.rule(what.merging(rule))
        let stream = try await stage.control.stream([:])
        #expect(code(stream.answer) == expected && stream.ids.isEmpty, "\(rule.text): \(stream.answer)")
      }
    }
  }
}
