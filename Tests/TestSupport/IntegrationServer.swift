/// The scripted OAuth and FHIR server (Tests/ScriptedServer) as a test's own process, and how a test scripts it.
import FoundationEssentials

package final class ScriptedServer: Sendable {
  package let port: Int
  private let controlPort: UInt16
  private let directory: String
  private let process: ChildProcess

  package static func start() async throws -> ScriptedServer {
    guard let python = TestMachine.python3 else { throw IntegrationFailure("no python3 on this machine") }
    let directory = try TestMachine.makeDirectory()
    let process = try ChildProcess(
      python, ["-B", TestMachine.sourceRoot + "/Tests/ScriptedServer/server.py"],
      environment: TestMachine.plainEnvironment, outputPath: directory + "/out", errorPath: directory + "/err",
      input: nil)
    let ports = try await eventually("the scripted server's ports") {
      if let end = process.end() { throw IntegrationFailure("server.py ended: \(end) \(process.standardError)") }
      return process.output.hasSuffix("\n") ? try WireJSON(parsing: process.output) : nil
    }
    return ScriptedServer(
      port: ports["port"].int ?? 0, controlPort: UInt16(ports["control_port"].int ?? 0), directory: directory,
      process: process)
  }

  private init(port: Int, controlPort: UInt16, directory: String, process: ChildProcess) {
    self.port = port
    self.controlPort = controlPort
    self.directory = directory
    self.process = process
  }

  package func stop() {
    process.closeInput()
    TestMachine.remove(directory)
  }

  package var origin: String { "http://127.0.0.1:\(port)" }
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

  /// Every token and code it issued and every secret it was shown, in each of their forms on the wire.
  package func secrets() async throws -> [String] {
    let all = try await control("GET", "secrets")
    return ["access_tokens", "refresh_tokens", "codes", "client_secrets"].flatMap { all[$0].array.compactMap(\.string) }
  }

  /// Every access token is dead here from now on; refresh tokens, too, if asked.
  package func expire(refreshTokens: Bool = false) async throws {
    try await control("POST", "expire", ["refresh": .bool(refreshTokens)])
  }

  /// How often the most presented refresh token was presented: 1 where rotation is done right.
  package func refreshPresentedMax() async throws -> Int { try await stats()["refresh_presented_max"].int ?? 0 }
  /// How many requests brought a refresh token that was used before.
  package func reuseDetected() async throws -> Int { try await stats()["reuse_detected"].int ?? 0 }

  /// Opens an authorization URL as a browser would; the user is there and says yes. The redirect is not followed.
  /// - Returns: the Location, towards the redirect URI.
  package func authorize(_ url: String) async throws -> String {
    guard url.hasPrefix(origin + "/") else { throw IntegrationFailure("not an address of the scripted server: \(url)") }
    let reply = try await LoopbackHTTP.request(
      port: UInt16(port), method: "GET", path: String(url.dropFirst(origin.utf8.count)), body: "")
    guard reply.status == 302, let location = reply.header("location") else {
      throw IntegrationFailure("no redirect from \(url): \(reply.status) \(reply.body.prefix(200))")
    }
    return location
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
    package let head: String
    package let body: String

    /// The first header of that name, given in lower case.
    package func header(_ name: String) -> String? {
      for line in head.split(separator: "\r\n").dropFirst() {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2, parts[0].lowercased() == name {
          return String(parts[1].drop { $0 == " " })
        }
      }
      return nil
    }
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
    return Reply(status: status, head: String(parts[0]), body: String(parts[1]))
  }
}

/// The query parameters of an address, decoded as a form: of two with one name, the last.
package func queryParameters(of address: String) -> [String: String] {
  guard let query = address.split(separator: "?", maxSplits: 1).dropFirst().first else { return [:] }
  var found: [String: String] = [:]
  for pair in query.split(separator: "&") {
    let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(formDecoded)
    found[parts[0]] = parts.count == 2 ? parts[1] : ""
  }
  return found
}

/// `+` is a space, `%41` an A; a per cent sign without two digits stays.
private func formDecoded(_ text: Substring) -> String {
  var bytes: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    if byte == UInt8(ascii: "%"), rest.count >= 2,
      let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
    {
      bytes.append(value)
      rest = rest.dropFirst(2)
    } else {
      bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}
