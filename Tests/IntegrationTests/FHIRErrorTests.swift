/// The table in docs/PROTOCOL.md of what a FHIR server does and what the caller gets: every row is played, and every row
/// that is played stands there.
import FHIRControl
import TestSupport
import Testing

@Suite("errors of FHIR requests", .needs(.python3, .daemon, .fhirctl))
struct FHIRErrorTests {
  /// A row of the table.
  private struct Row: Sendable {
    let what: String
    let code: String
    let exit: Int
    let hint: String
    let again: String
  }

  private static func table() throws -> [String: Row] {
    let page = ChildProcess.text(of: TestMachine.sourceRoot + "/docs/PROTOCOL.md")
    let lines = page.split(separator: "\n").drop { !$0.hasPrefix("| what happened |") }.dropFirst(2)
    var rows: [String: Row] = [:]
    for line in lines.prefix(while: { $0.hasPrefix("|") }) {
      let cells = line.split(separator: "|").map { $0.split(separator: " ").joined(separator: " ") }
      try #require(cells.count == 5, "\(line)")
      func bare(_ text: String) -> String { text.replacing("`", with: "") }
      rows[cells[0]] = Row(
        what: cells[0], code: bare(cells[1]), exit: try #require(Int(cells[2])), hint: bare(cells[3]), again: cells[4])
    }
    return rows
  }

  /// How a row is brought about: by rules of the server, or by a server of its own.
  private struct Play: Sendable {
    var row: String
    /// What the server does with GET Basic/…; one play for each.
    var rules: [WireJSON] = [[:]]
    var connection = "c"
    /// Of the message.
    var says = ""
    var timeoutSeconds = 3
    /// The end of the call's time may be told in other words.
    var checksHint = true
  }

  private static func status(_ numbers: Int..., json: WireJSON? = nil, headers: WireJSON = [:]) -> [WireJSON] {
    numbers.map { number in
      let rule: WireJSON = ["status": .integer(Int64(number)), "headers": headers]
      return rule.merging(json.map { ["json": $0] } ?? ["body": "no"])
    }
  }

  private static let outcome: WireJSON = [
    "resourceType": "OperationOutcome", "issue": [["severity": "error", "code": "x", "diagnostics": "in words"]],
  ]

  private static let plays: [Play] = [
    Play(
      row: "401 that blames the token (`invalid_token`), or nothing",
      // The answer takes longer than the floor between two refreshes: else there would be no new token to try with.
      rules: (status(401, headers: ["WWW-Authenticate": "Bearer error=\"invalid_token\""]) + status(401))
        .map { $0.merging(["delay": 1.3]) },
      connection: "t", says: "401", timeoutSeconds: 10),
    Play(
      row: "401 that blames something else",
      rules: status(401, headers: ["WWW-Authenticate": "Bearer error=\"invalid_request\""]), connection: "t",
      says: "invalid_request"),
    Play(row: "403", rules: status(403) + status(403, json: outcome), says: "403"),
    Play(row: "404, 410", rules: status(404, 410) + status(404, json: outcome)),
    Play(row: "429", rules: status(429), says: "429"),
    Play(row: "another 4xx: 400, 405, 409, 412, 422, …", rules: status(400, 405, 409, 412, 422, 418)),
    Play(row: "500 or 501 with an OperationOutcome", rules: status(500, 501, json: outcome), says: "in words"),
    Play(row: "200 with an OperationOutcome that has errors", rules: status(200, json: outcome)),
    Play(
      row: "408, 425, 502, 503, 504; 500 without an OperationOutcome", rules: status(408, 425, 500, 502, 503, 504)),
    Play(row: "501 without an OperationOutcome, 505", rules: status(501, 505)),
    Play(
      row: "200 with a page about maintenance", rules: [["body": "<html><title>Maintenance</title></html>"]],
      says: "asks for patience"),
    Play(
      row: "200 with another HTML page, XML, a text or nothing instead of a resource",
      rules: [
        ["body": "<html><title>Log in</title></html>"], ["body": "<Basic xmlns=\"http://hl7.org/fhir\"/>"],
        ["body": "hello"], ["body": ""],
      ]),
    Play(
      row: "200 with JSON that is cut off, or is no resource",
      rules: [["body": "{\"resourceType\":\"Ba"], ["json": ["hello": "world"]]]),
    Play(row: "a redirect", rules: status(301, 302, 307, headers: ["Location": "/elsewhere"]), says: "redirect"),
    Play(
      row: "a body beyond `FHIRD_RESPONSE_BYTES_MAX`, as it came or unpacked",
      rules: [
        ["stream_bytes": 200_000], ["stream_bytes": 200_000, "stream_chunked": true],
        ["stream_bytes": 20_000_000, "gzip": true],
      ], says: "a body of more than 65536 bytes"),
    Play(
      row: "something that is not HTTP, or not in the encoding that it names",
      rules: [["body": "not packed at all", "headers": ["Content-Encoding": "gzip"]]], says: "encoding"),
    Play(row: "no connection: the name, the network, a closed port", connection: "closed", says: "refused"),
    Play(
      row: "the connection breaks, before the answer or in it",
      rules: [
        ["drop": "after_reading"], ["drop": "reset"], ["drop": "half_body", "body": "{\"resourceType\":\"Basic\"}"],
      ]),
    Play(
      row: "no answer within `FHIRD_REQUEST_TIMEOUT`, or the call's own time", rules: [["hang": true]],
      timeoutSeconds: 5, checksHint: false),
    Play(row: "the certificate has expired", connection: "expired", says: "the certificate of 127.0.0.1 has expired"),
    Play(row: "the certificate is for another name", connection: "other", says: "is for another name"),
    Play(
      row: "the certificate is signed by a CA that is not trusted", connection: "unknown",
      says: "is not trusted: unable to get local issuer certificate; set ca_file"),
    Play(
      row: "the certificate is signed by itself", connection: "itself", says: "is not trusted: self-signed certificate"),
    Play(row: "no TLS at an https URL", connection: "plain", says: "does not speak TLS"),
  ]

  @Test(.timeLimit(.minutes(5)))
  func `R7.09 R9.10 R9.12 R9.15 every row of the table holds`() async throws {
    let table = try Self.table()
    #expect(Set(Self.plays.map(\.row) + Self.ofTheGate) == Set(table.keys))
    try await onStage { options in
      options.environment = ["FHIRD_REQUEST_TIMEOUT": "2s", "FHIRD_RESPONSE_BYTES_MAX": "64KiB"]
    } _: { stage in
      let open: WireJSON = [
        "auth_method": "none", "client_id": .null, "client_secret": .null, "client_authentication": .null,
        "scope": .null,
      ]
      try await stage.create("c", open)
      try await stage.create("t", tenant: "t")
      _ = try await stage.token("t")
      try await stage.create("closed", open.merging(["fhir_base_url": "http://127.0.0.1:1/fhir"]))
      try await stage.create(
        "plain", open.merging(["fhir_base_url": .string("https://127.0.0.1:\(stage.server.port)/fhir")]))
      let secure = try await Self.secureServers(stage, open)
      defer { for (server, directory) in secure { server.stop(); TestMachine.remove(directory) } }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (number, play) in Self.plays.enumerated() {
          let row = try #require(table[play.row])
          group.addTask { try await Self.act(play, row, number, stage) }
        }
        try await group.waitForAll()
      }
      for (server, _) in secure {
        #expect(try await server.stats()["requests"] == 0, "no request before the certificate")
      }
    }
  }

  private static func act(_ play: Play, _ row: Row, _ number: Int, _ stage: Stage) async throws {
    let control = try await stage.daemon.connect()
    let hint = row.hint.replacing("NAME", with: play.connection)
    for (index, rule) in play.rules.enumerated() {
      let id = "\(number)-\(index)"
      let path = "\(play.connection == "t" ? "/t" : "")/fhir/Basic/\(id)"
      if !rule.object.isEmpty { try await stage.server.rule(rule.merging(["path": .string(path)])) }
      let answer = try await control.call(
        "fhir.read",
        [
          "connection": .string(play.connection), "resource_type": "Basic", "id": .string(id),
          "timeout_seconds": .integer(Int64(play.timeoutSeconds)),
        ], within: 60)
      #expect(answer.code == row.code, "\(row.what): \(answer)")
      #expect(answer.message?.contains(play.says) == true, "\(row.what): \(answer)")
      if play.checksHint { #expect(answer.hint == hint, "\(row.what): \(answer)") }
      guard !rule.object.isEmpty else { continue }
      let sent = try await stage.server.count(path: path)
      switch row.again {
      case "no": #expect(sent == 1, "\(row.what): \(rule.text)")
      case "yes": #expect(sent > 1, "\(row.what): \(rule.text)")
      default: #expect(sent == 2, "\(row.what): \(rule.text)")
      }
    }
    let run = try await stage.daemon.fhirctl(
      ["fhir", "read", play.connection, "Basic/\(number)-0", "--timeout", "\(play.timeoutSeconds)"])
    #expect(run.end == .exited(Int32(row.exit)), "\(row.what): \(run)")
    #expect(run.error.contains(play.says) && run.error.contains("hint: "), "\(row.what): \(run)")
  }

  /// Servers with certificates that are not right, and a connection to each.
  private static func secureServers(_ stage: Stage, _ open: WireJSON) async throws -> [(ScriptedServer, String)] {
    var servers: [(ScriptedServer, String)] = []
    func add(_ name: String, _ authority: Authority, _ certificate: String, _ key: String, trusted: Bool) async throws {
      let server = try await ScriptedServer.start(certificate: certificate, key: key)
      servers.append((server, authority.directory))
      let fields: WireJSON = ["fhir_base_url": .string(server.base())]
      let trust: WireJSON = trusted ? ["ca_file": .string(authority.caFile)] : [:]
      try await stage.create(name, open.merging(fields).merging(trust))
    }
    let expired = try await Authority.make(days: -1)
    try await add("expired", expired, expired.certificate, expired.key, trusted: true)
    let other = try await Authority.make(names: "DNS:elsewhere.example")
    try await add("other", other, other.certificate, other.key, trusted: true)
    let unknown = try await Authority.make()
    try await add("unknown", unknown, unknown.certificate, unknown.key, trusted: false)
    try await add("itself", unknown, unknown.caFile, unknown.directory + "/ca.key", trusted: false)
    return servers
  }

  // The gate ----------------------------------------------------------------------------------------------------------

  private static let ofTheGate = [
    "an earlier answer asked for a pause that is longer than the call",
    "1024 requests wait for this connection's server already",
  ]

  @Test func `the rows of what is not sent at all hold`() async throws {
    let table = try Self.table()
    try await onStage { stage in
      try await stage.create("p", tenant: "p")
      try await stage.server.rule([
        "path": "/p/fhir/Basic", "status": 503, "headers": ["Retry-After": "3600"], "body": "",
      ])
      _ = try await stage.control.call(
        "fhir.request", ["connection": "p", "method": "POST", "path": "Basic", "body": "{\"resourceType\":\"Basic\"}"])
      try await expect(table[Self.ofTheGate[0]], "p", stage)
      #expect(try await stage.server.count(path: "/p/fhir/Basic/1") == 0)

      try await stage.create("q", tenant: "q", ["requests": ["concurrency": 1]])
      _ = try await stage.token("q")
      try await stage.server.rule(["path": "/q/fhir/Basic/*", "hold": "q"])
      let read: WireJSON = ["connection": "q", "resource_type": "Basic", "id": "1"]
      // Of one client 128 requests are under way at once; the others wait in its socket.
      var crowd: [ControlConnection] = []
      for _ in 0..<9 {
        let client = try await stage.daemon.connect()
        _ = try await client.begin("fhir.read", read, times: 128)
        crowd.append(client)
      }
      let filler = try await stage.daemon.connect()
      _ = try await eventually("the queue to be full") {
        // Takes the place that the question below left when its second was over.
        _ = try await filler.begin("fhir.read", read)
        let answer = try await stage.control.call("fhir.read", read.merging(["timeout_seconds": 1]))
        return answer.code == "OVERLOADED" ? true : nil
      }
      try await expect(table[Self.ofTheGate[1]], "q", stage)
      #expect(try await stage.server.count(path: "/q/fhir/Basic/1") == 1)
      for client in crowd + [filler] { client.close() }
      try await stage.server.release("q")
      _ = try await eventually("the queue to be empty again") {
        try await stage.control.call("fhir.read", read).succeeded ? true : nil
      }
    }
  }

  private func expect(_ row: Row?, _ connection: String, _ stage: Stage) async throws {
    let row = try #require(row)
    let answer = try await stage.control.call(
      "fhir.read", ["connection": .string(connection), "resource_type": "Basic", "id": "1", "timeout_seconds": 10])
    #expect(answer.code == row.code && answer.hint == row.hint, "\(row.what): \(answer)")
    #expect(answer.error["data"]["retry_after_seconds"].double ?? 0 > 0, "\(answer)")
    let run = try await stage.daemon.fhirctl(["fhir", "read", connection, "Basic/1", "--timeout", "10"])
    #expect(run.end == .exited(Int32(row.exit)), "\(row.what): \(run)")
  }
}
