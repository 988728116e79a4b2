/// Against servers that others wrote (Tests/Peers): SEKMET by itself, and Glewlwyd with SEKMET behind nginx in TLS.
import FHIRControl
import Glibc
import TestSupport
import Testing

/// A peer of Tests/Peers, started in a directory of its own.
final class Peer: Sendable {
  let directory: String
  let port: Int
  private let stop: [String]

  /// - Parameters:
  ///   - start: the script below Tests/Peers and its arguments before the state directory.
  ///   - ports: how many consecutive ports it takes.
  init(start: [String], stop: [String], ports: Int, environment: [String: String] = [:]) async throws {
    directory = try TestMachine.makeDirectory()
    self.stop = stop
    port = try Self.freePorts(ports)
    // A first start installs packages from Debian and PyPI.
    let result = try await Self.run(start + [directory, String(port)], environment, within: 540)
    guard result.succeeded else {
      throw IntegrationFailure("\(start.joined(separator: " ")) failed: \(result.output) \(result.error)")
    }
  }

  func end() async {
    _ = try? await Self.run(stop + [directory], [:], within: 60)
    TestMachine.remove(directory)
  }

  /// A variable of the peer's env file, in a sub-directory for a stack.
  func variable(_ name: String, in part: String = "") -> String {
    let lines = ChildProcess.text(of: "\(directory)/\(part.isEmpty ? "" : part + "/")env").split(separator: "\n")
    let line = lines.first { $0.hasPrefix("\(name)='") } ?? ""
    return String(line.dropFirst(name.utf8.count + 2).dropLast())
  }

  static func run(
    _ command: [String], _ environment: [String: String], within seconds: Double
  ) async throws -> ProgramResult {
    try await runProgram(
      try #require(TestMachine.program("bash")),
      ["\(TestMachine.sourceRoot)/Tests/Peers/\(command[0])"] + command.dropFirst(),
      environment: TestMachine.plainEnvironment.merging(environment) { $1 }, within: seconds)
  }

  private static func freePorts(_ count: Int) throws -> Int {
    for _ in 0..<100 {
      let first = Int.random(in: 20000..<30000)
      let free = (first..<first + count).allSatisfy { (try? TestSocket(.loopback(UInt16($0)))) == nil }
      if free { return first }
    }
    throw IntegrationFailure("no \(count) free ports in a row")
  }
}

@Suite("real servers", .serialized, .needs(.python3, .bash, .packages, .daemon, .fhirctl))
struct PeerTests {
  @Test(.timeLimit(.minutes(12)))
  func `SEKMET: create, test, token, read, and a new token before the old one expires`() async throws {
    let peer = try await Peer(
      start: ["fhir/start"], stop: ["fhir/stop"], ports: 1,
      environment: ["AUTH": "smart", "ACCESS_TTL": "10", "PATIENTS": "3"])
    do {
      try await onStage { stage in
        let fhir = peer.variable("FHIR")
        let made = try await stage.daemon.fhirctl(
          [
            "connection", "create", "hospital", "--url", fhir, "--auth-method", "client_credentials", "--client-id",
            peer.variable("BACKEND_ID"), "--client-secret-file", "-", "--scope", "system/*.rs",
          ], input: peer.variable("BACKEND_SECRET"))
        #expect(made.succeeded, "\(made)")
        let test = try await stage.daemon.fhirctl(["connection", "test", "hospital"], within: 130)
        #expect(test.succeeded, "\(test)")

        let first = try await stage.daemon.fhirctl(["token", "get", "hospital"])
        #expect(first.succeeded, "\(first)")
        let old = first.output.trimmed
        let path = "/fhir/Patient/example-patient-1"
        let read = try await LoopbackHTTP.request(
          port: UInt16(peer.port), method: "GET", path: path, body: "", headers: ["Authorization": "Bearer \(old)"])
        #expect(read.status == 200)
        #expect(try WireJSON(parsing: read.body)["id"] == "example-patient-1")
        #expect(
          try await LoopbackHTTP.request(port: UInt16(peer.port), method: "GET", path: path, body: "").status == 401)

        // The token lives ten seconds; a new one is there before the old one is dead, without anybody's asking for it.
        let new = try await eventually("a new token", within: 12, every: 0.2) { () -> String? in
          let token = try await stage.daemon.fhirctl(["token", "get", "hospital", "--min-valid", "0"]).output.trimmed
          #expect(!token.isEmpty)
          return token == old ? nil : token
        }
        let stillOld = try await LoopbackHTTP.request(
          port: UInt16(peer.port), method: "GET", path: path, body: "", headers: ["Authorization": "Bearer \(old)"])
        #expect(stillOld.status == 200, "the old token was replaced only after it had expired")
        #expect(new != old)
        let connection = try await stage.control.result("connection.get", ["connection": "hospital"])
        #expect(connection["endpoints"]["token_url"]["source"] == "smart-configuration")
      }
    } catch {
      await peer.end()
      throw error
    }
    await peer.end()
  }

  @Test(.timeLimit(.minutes(12)))
  func `Glewlwyd behind nginx: TLS by its own CA, its faults, and the wrong host`() async throws {
    let peer = try await Peer(start: ["nginx/stack", "start"], stop: ["nginx/stack", "stop"], ports: 4)
    do {
      try await onStage { stage in try await playStack(stage, peer) }
    } catch {
      await peer.end()
      throw error
    }
    await peer.end()
  }

  /// FHIR behind a real check of the token (introspection, at every request), in TLS.
  private func playAccess(
    _ stage: Stage, _ peer: Peer, _ fields: (String, WireJSON) -> WireJSON
  ) async throws {
    // R9.05: pages of a real server, by its own links.
    let all = try await stage.daemon.fhirctl(["fhir", "search", "good", "Patient", "_count=7", "--all"])
    let ids = try all.output.split(separator: "\n").map { try WireJSON(parsing: String($0))["id"].string ?? "" }
    #expect(ids.count == 25 && Set(ids).count == 25, "\(all)")
    let patient: WireJSON = ["resource_type": "Patient", "id": "example-patient-1"]
    func read(_ name: String) async throws -> Answer {
      try await stage.control.call("fhir.read", patient.merging(["connection": .string(name)]), within: 130)
    }
    // R7.09: a token that its own server has ended is replaced, and nobody notices.
    let token = try await stage.control.result("token.get", ["connection": "good"])["access_token"].string ?? ""
    let revoked = try await runProgram(
      try #require(TestMachine.program("curl")),
      [
        "-s", "--cacert", peer.variable("CA_FILE", in: "nginx"), "-o", "/dev/null", "-w", "%{http_code}", "-K", "-",
        peer.variable("REVOKE", in: "as"),
      ],
      input: "user = \"\(peer.variable("BACKEND_ID", in: "as")):\(peer.variable("BACKEND_SECRET", in: "as"))\"\n"
        + "data = \"token=\(token)\"\n")
    #expect(revoked.output == "200")
    #expect(try await read("good").result["resource"]["id"] == "example-patient-1")
    #expect(try await stage.control.result("token.get", ["connection": "good"])["access_token"].string != token)
    // A scope that does not cover it.
    try await stage.control.result("connection.create", fields("narrow", ["scope": "system/Observation.rs"]))
    #expect(code(try await read("narrow")) == .fhirAuthorization)
    // R9.11: five requests a second are let through there; twelve at once all come, in their time.
    let limited = peer.variable("FHIR", in: "nginx").replacing("/fhir", with: "/limited/fhir")
    try await stage.control.result(
      "connection.create",
      [
        "connection_name": "limited", "fhir_base_url": .string(limited), "auth_method": "none",
        "ca_file": .string(peer.variable("CA_FILE", in: "nginx")), "health": ["enabled": false],
      ])
    let daemon = stage.daemon
    try await withThrowingTaskGroup(of: Answer.self) { group in
      for number in 1...12 {
        group.addTask {
          try await daemon.connect().call(
            "fhir.read",
            ["connection": "limited", "resource_type": "Patient", "id": .string("example-patient-\(number)")],
            within: 130)
        }
      }
      for try await answer in group { #expect(answer.succeeded, "\(answer)") }
    }
  }

  private func playStack(_ stage: Stage, _ peer: Peer) async throws {
    let ca = peer.variable("CA_FILE", in: "nginx")
    let base = peer.variable("FHIR", in: "nginx")
    let origin = String(base.dropLast("/fhir".utf8.count))
    func fields(_ name: String, _ more: WireJSON = [:]) -> WireJSON {
      let all: WireJSON = [
        "connection_name": .string(name), "fhir_base_url": .string(base), "auth_method": "client_credentials",
        "client_authentication": "client_secret_basic", "client_id": .string(peer.variable("BACKEND_ID", in: "as")),
        "client_secret": .string(peer.variable("BACKEND_SECRET", in: "as")), "scope": "system/*.rs",
        "ca_file": .string(ca), "refresh": ["mode": "on_demand", "min_interval_seconds": 1],
        "health": ["enabled": false],
      ]
      return .object(all.merging(more).object.filter { $0.value != .null })
    }
    func ask(_ name: String, _ more: WireJSON) async throws -> Answer {
      try await stage.control.result("connection.create", fields(name, more))
      return try await stage.control.call("token.get", ["connection": .string(name)], within: 70)
    }

    let good = try await ask("good", [:])
    let token = try #require(good.result["access_token"].string, "\(good)")
    let curl = try await runProgram(
      try #require(TestMachine.program("curl")),
      [
        "-s", "--cacert", ca, "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer \(token)",
        base + "/Patient",
      ])
    #expect(curl.output == "200")
    let test = try await stage.control.result("connection.test", ["connection": "good"], within: 130)
    #expect(test["passed"] == true, "\(test.text)")
    try await playAccess(stage, peer, fields)
    #expect(
      code(try await ask("post", ["client_authentication": "client_secret_post"])) == nil, "client_secret_post")

    // Who is at the other end is never taken on trust.
    #expect(code(try await ask("no-ca", ["ca_file": .null])) == .tlsFailure)
    let wrongHost = peer.variable("WRONG_HOST", in: "nginx") + "/fhir"
    #expect(code(try await ask("wrong-host", ["fhir_base_url": .string(wrongHost)])) == .tlsFailure)
    #expect(
      code(try await ask("wrong-token-host", ["token_url": .string(wrongHost + "/token")])) == .tlsFailure)

    let faults: [(String, Set<ErrorCode>)] = [
      ("429", [.throttled]), ("500", [.serverUnreachable, .serverAnswerUnusable]),
      ("503", [.serverUnreachable, .throttled]), ("garbage", [.serverAnswerUnusable]),
      // Over HTTP/2 an answer without a status is a broken stream.
      ("empty", [.serverAnswerUnusable, .serverUnreachable]), ("hangup", [.serverUnreachable]),
      ("redirect", [.serverAnswerUnusable]),
      ("refused", [.serverUnreachable, .serverAnswerUnusable]),
    ]
    for (fault, codes) in faults {
      let answer = try await ask("fault-\(fault)", ["token_url": .string("\(origin)/faults/\(fault)")])
      #expect(code(answer).map(codes.contains) == true, "\(fault): \(answer)")
    }
    let slow = try await stage.control.call(
      "connection.test",
      fields("unsaved", ["token_url": .string("\(origin)/faults/slow?seconds=20")]).merging(["timeout_seconds": 4]),
      within: 30)
    #expect(code(slow) == .timeout || slow.result["passed"] == false, "\(slow)")

    // Glewlwyd's own way of refusing a client: 403 with an empty body.
    let refused = try await ask("wrong-secret", ["client_secret": "certainly-not-the-secret"])
    #expect(!refused.succeeded)
    let status = try await stage.control.result("token.status", ["connection": "wrong-secret"])
    #expect(status["is_authenticated"] == false)
    // And of refusing a scope: an error of its own invention.
    let scope = try await ask("wrong-scope", ["scope": "system/Nonsense.rs"])
    #expect(!scope.succeeded)
    // Through all of that the good one went on.
    #expect(try await stage.control.call("token.get", ["connection": "good"]).succeeded)
  }
}

extension String {
  /// Without the line break that a command ends its output with.
  var trimmed: String { hasSuffix("\n") ? String(dropLast()) : self }
}
