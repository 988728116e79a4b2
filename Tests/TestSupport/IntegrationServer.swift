/// The scripted OAuth and FHIR server (Tests/ScriptedServer) as a test's own process, and how a test scripts it.
import FoundationEssentials

package final class ScriptedServer: Sendable {
  package let port: Int
  private let isSecure: Bool
  private let controlPort: UInt16
  private let directory: String
  private let process: ChildProcess

  /// - Parameters:
  ///   - certificate: PEM; with it the server speaks TLS.
  ///   - key: its key.
  package static func start(certificate: String? = nil, key: String? = nil) async throws -> ScriptedServer {
    guard let python = TestMachine.python3 else { throw IntegrationFailure("no python3 on this machine") }
    let directory = try TestMachine.makeDirectory()
    let process = try ChildProcess(
      python,
      ["-B", TestMachine.sourceRoot + "/Tests/ScriptedServer/server.py"]
        + (certificate.map { ["--certificate", $0, "--key", key ?? $0] } ?? []),
      environment: TestMachine.plainEnvironment, outputPath: directory + "/out", errorPath: directory + "/err",
      input: nil)
    let ports = try await eventually("the scripted server's ports") {
      if let end = process.end() { throw IntegrationFailure("server.py ended: \(end) \(process.standardError)") }
      return process.output.hasSuffix("\n") ? try WireJSON(parsing: process.output) : nil
    }
    return ScriptedServer(
      port: ports["port"].int ?? 0, isSecure: certificate != nil, controlPort: UInt16(ports["control_port"].int ?? 0),
      directory: directory,
      process: process)
  }

  private init(port: Int, isSecure: Bool, controlPort: UInt16, directory: String, process: ChildProcess) {
    self.port = port
    self.isSecure = isSecure
    self.controlPort = controlPort
    self.directory = directory
    self.process = process
  }

  package func stop() {
    process.closeInput()
    TestMachine.remove(directory)
  }

  package var origin: String { "\(isSecure ? "https" : "http")://127.0.0.1:\(port)" }
  /// The base URL of a tenant; each has its own token endpoint beside it.
  package func base(_ tenant: String = "") -> String { origin + (tenant.isEmpty ? "" : "/\(tenant)") + "/fhir" }
  package func tokenPath(_ tenant: String = "") -> String { (tenant.isEmpty ? "" : "/\(tenant)") + "/token" }

  /// One request on the control port.
  @discardableResult
  package func control(_ method: String, _ path: String, _ body: WireJSON? = nil) async throws -> WireJSON {
    let reply = try await LoopbackHTTP.request(
      port: controlPort, method: method, path: "/_control/\(path)", body: body?.text ?? "")
    let json = try WireJSON(parsing: reply.body)
    guard reply.status == 200 else { throw IntegrationFailure("the scripted server refused \(path): \(json.text)") }
    return json
  }

  package func register(
    client id: String = "test-client", secret: String = "a-client-secret-of-the-tests", _ more: WireJSON = [:]
  ) async throws {
    try await control("POST", "clients", more.merging(["client_id": .string(id), "client_secret": .string(secret)]))
  }

  package func settings(_ settings: WireJSON) async throws { try await control("POST", "settings", settings) }

  /// - Returns: the rule's id.
  @discardableResult
  package func rule(_ rule: WireJSON) async throws -> Int { try await control("POST", "rules", rule)["id"].int ?? 0 }

  /// What the person does who was given this code: `approved`, or an error of RFC 8628.
  package func decide(userCode: String, _ decision: String) async throws {
    try await control("POST", "decide", ["user_code": .string(userCode), "decision": .string(decision)])
  }

  package func dropRules() async throws { try await control("DELETE", "rules") }
  package func release(_ hold: String) async throws { try await control("POST", "release", ["hold": .string(hold)]) }
  package func stats() async throws -> WireJSON { try await control("GET", "stats") }

  /// What it saw: all requests, or those of one path, in order.
  package func log(path: String? = nil) async throws -> [WireJSON] {
    let entries = try await control("GET", "log")["entries"].array
    return entries.filter { path == nil || $0["path"].string == path }
  }

  package func count(path: String) async throws -> Int { try await stats()["by_path"][path].int ?? 0 }
  package func inFlight(path: String) async throws -> Int { try await stats()["in_flight"][path].int ?? 0 }

  /// Every token it issued and every secret it was shown, in each of their forms on the wire.
  package func secrets() async throws -> [String] {
    let all = try await control("GET", "secrets")
    return ["access_tokens", "refresh_tokens", "client_secrets"].flatMap { all[$0].array.compactMap(\.string) }
  }

  /// A read with this token, past the daemon: the HTTP status.
  package func read(_ path: String, token: String?) async throws -> Int {
    try await LoopbackHTTP.request(
      port: UInt16(port), method: "GET", path: path, body: "",
      headers: token.map { ["Authorization": "Bearer \($0)"] } ?? [:]
    ).status
  }
}

/// One HTTP/1.1 request to loopback, the connection closed after it: enough to script a server.
package enum LoopbackHTTP {
  package struct Reply: Sendable {
    package let status: Int
    package let body: String
  }

  package static func request(
    port: UInt16, method: String, path: String, body: String, headers: [String: String] = [:]
  ) async throws -> Reply {
    var head = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    head += "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    let bytes = Array(head.utf8)
    let answer = try await blockingWork {
      let socket = try TestSocket(.loopback(port))
      try socket.write(bytes)
      return try socket.readToEnd()
    }
    let text = String(decoding: answer, as: UTF8.self)
    let parts = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let status = parts[0].split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
      throw IntegrationFailure("not an HTTP answer: \(text.prefix(200))")
    }
    return Reply(status: status, body: String(parts[1]))
  }
}
