/// What real FHIR servers do that the standard does not foresee: each quirk an exchange in Tests/Fixtures/exchanges, written
/// by hand after what such servers send, replayed to the daemon, and judged by what the caller gets and the server sees.
import FHIRControl
import FoundationEssentials
import TestSupport
import Testing

/// One file of Tests/Fixtures/exchanges; README.md there says what its members mean.
struct RecordedQuirk: Sendable, CustomTestStringConvertible {
  let name: String
  private let text: String

  static let directory = TestMachine.sourceRoot + "/Tests/Fixtures/exchanges"
  static let all: [RecordedQuirk] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return names.filter { $0.hasSuffix(".json") }.sorted().map { RecordedQuirk(file: $0) }
  }()

  private init(file: String) {
    name = String(file.dropLast(5))
    text = ChildProcess.text(of: "\(Self.directory)/\(file)")
  }

  var testDescription: String { name }
  var namesElsewhere: Bool { text.contains("{{elsewhere}}") }

  func exchange(server: String = "", elsewhere: String = "") throws -> WireJSON {
    try WireJSON(
      parsing: text.replacing("{{server}}", with: server).replacing("{{elsewhere}}", with: elsewhere))
  }
}

@Suite("quirks of FHIR servers", .needs(.python3, .daemon))
struct QuirkTests {
  /// The section FHIR of the field's list of quirks, and what of the other sections shows itself in an exchange.
  private static let numbers: Set<Int> = [7, 8, 12, 14, 15, 16, 17, 18, 19, 20, 25, 26, 27, 28, 37, 40]

  @Test func `every quirk has its exchange, and every exchange its quirk`() throws {
    let covered = Set(try RecordedQuirk.all.map { try $0.exchange()["quirk"].int ?? 0 })
    #expect(covered == Self.numbers)
    for quirk in RecordedQuirk.all {
      let members = try quirk.exchange()
      #expect(quirk.name.hasPrefix("\(members["quirk"].int ?? 0)".leftPadded), "\(quirk.name)")
      #expect(members["what"].string?.isEmpty == false && members["server"].string?.isEmpty == false, "\(quirk.name)")
    }
  }

  @Test(arguments: RecordedQuirk.all)
  func `R1.04 R7.09 R9.02 R9.03 R9.05 R9.06 R9.07 R9.10 R9.11 R9.14 R9.19 a recorded quirk is understood`(
    quirk: RecordedQuirk
  ) async throws {
    try await onStage { stage in
      let elsewhere = quirk.namesElsewhere ? try await ScriptedServer.start() : nil
      defer { elsewhere?.stop() }
      let recorded = try quirk.exchange(server: stage.server.origin, elsewhere: elsewhere?.origin ?? "")
      try await stage.create("c", recorded["connection"])
      let usesTokens = recorded["connection"]["auth_method"] != "none"
      if usesTokens { _ = try await stage.token("c") }
      for exchange in recorded["exchanges"].array {
        let server = exchange["at"] == "elsewhere" ? elsewhere : stage.server
        try await server?.rule(rule(exchange))
      }
      var next = ""
      for call in recorded["calls"].array { try await play(call, on: stage, &next) }
      let exchanges = recorded["exchanges"].array
      try await judge(
        stage.server, saw: exchanges.filter { $0["at"] != "elsewhere" }, withToken: usesTokens)
      if let elsewhere {
        try await judge(elsewhere, saw: exchanges.filter { $0["at"] == "elsewhere" }, withToken: usesTokens)
      }
      if usesTokens { #expect(try await stage.server.count(path: "/token") == recorded["tokens"].int ?? 1) }
    }
  }

  private func rule(_ exchange: WireJSON) -> WireJSON {
    let response = exchange["response"]
    var rule: [String: WireJSON] = [
      "method": exchange["request"]["method"], "path": exchange["request"]["path"], "status": response["status"],
      "raw_headers": response["headers"], "content_type": "",
    ]
    for name in ["delay", "hang"] where response[name].exists { rule[name] = response[name] }
    rule[response["body"].string == nil ? "json" : "body"] = response["body"]
    if exchange["always"] != true { rule["times"] = 1 }
    return .object(rule)
  }

  /// One call, and what it must answer.
  private func play(_ call: WireJSON, on stage: Stage, _ next: inout String) async throws {
    var parameters = call["params"].merging(["connection": "c"])
    if parameters["page"] == "{{next}}" { parameters = parameters.merging(["page": .string(next)]) }
    let answer = try await stage.control.call(try #require(call["method"].string), parameters)
    if let code = call["code"].string {
      #expect(answer.code == code, "\(answer)")
      for words in call["says"].array.compactMap(\.string) {
        #expect(answer.message?.contains(words) == true, "\(words): \(answer)")
      }
      if let hint = call["hint"].string { #expect(answer.hint?.contains(hint) == true, "\(answer)") }
      if let seconds = call["retry_after"].double {
        #expect(answer.error["data"]["retry_after_seconds"].double == seconds, "\(answer)")
      }
      return
    }
    #expect(answer.succeeded && answer.result.holds(call["result"]), "\(answer)")
    for name in call["absent"].array.compactMap(\.string) { #expect(!answer.result[name].exists, "\(name): \(answer)") }
    if call["method"].string?.hasPrefix("fhir.") == true {
      let found = answer.result["findings"].array.compactMap { $0.string.map { $0.prefix { $0 != ":" } } }
      let wanted = call["findings"].array.compactMap { $0.string.map { $0[...] } }
      #expect(Set(found) == Set(wanted), "\(answer)")
    }
    next = answer.result["next"].string ?? ""
  }

  /// The server was asked for what was recorded, in this order, and for nothing else.
  private func judge(_ server: ScriptedServer, saw exchanges: [WireJSON], withToken: Bool) async throws {
    let asked = try await server.log().filter { entry in
      let path = entry["path"].string ?? ""
      return entry["rule"].exists
        || !(path.hasSuffix("/token") || path.hasSuffix("/metadata") || path.contains("/.well-known/"))
    }
    if withToken {
      for entry in asked where entry["path"].string?.hasSuffix("/metadata") == false {
        #expect(entry["headers"]["Authorization"].string?.hasPrefix("Bearer ") == true, "\(entry.text)")
      }
    }
    // What stands for every request has no order.
    guard !exchanges.contains(where: { $0["always"] == true }) else { return }
    #expect(asked.count == exchanges.count, "\(asked.map(\.text))")
    for (entry, exchange) in zip(asked, exchanges) {
      let request = exchange["request"]
      #expect(entry["method"] == request["method"] && entry["path"] == request["path"], "\(entry.text)")
      if request["query"].exists { #expect(entry["query"] == request["query"], "\(entry.text)") }
      for (name, value) in request["headers"].object {
        #expect(entry["headers"][name] == value, "\(name): \(entry.text)")
      }
      #expect(entry["form"].holds(request["form"]), "\(entry.text)")
    }
  }
}

extension WireJSON {
  /// Whether all of `expected` is in here: the members of an object, the elements of an array, in any order; null is
  /// nothing in particular.
  fileprivate func holds(_ expected: WireJSON) -> Bool {
    switch expected {
    case .null: true
    case .object(let members): members.allSatisfy { self[$0.key].holds($0.value) }
    case .array(let items): items.allSatisfy { item in array.contains { $0.holds(item) } }
    case .integer, .number: double == expected.double
    case .bool, .string: self == expected
    }
  }
}
