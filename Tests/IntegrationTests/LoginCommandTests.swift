/// `fhirctl login` as a person uses it: the address on the screen, the browser's return to a port or by paste.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("fhirctl login", .needs(.python3, .daemon, .fhirctl))
struct LoginCommandTests {
  /// A running `fhirctl login`, and what it has printed.
  private struct Run {
    let child: ChildProcess
    let directory: String

    init(_ stage: Stage, _ arguments: [String], input: String? = nil) throws {
      directory = try TestMachine.makeDirectory()
      child = try ChildProcess(
        try #require(TestMachine.fhirctl), ["--socket", stage.daemon.socketPath, "login"] + arguments,
        environment: ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "NO_COLOR": "1"], outputPath: directory + "/out",
        errorPath: directory + "/err", input: input)
    }

    func address() async throws -> String {
      try await eventually("the address") {
        child.output.split(separator: "\n").first { $0.hasPrefix("  http") }.map { String($0.dropFirst(2)) }
      }
    }

    func clean() { TestMachine.remove(directory) }
  }

  private func freePort() throws -> Int {
    for _ in 0..<100 {
      let port = Int.random(in: 20000..<30000)
      if (try? TestSocket(.loopback(UInt16(port)))) == nil { return port }
    }
    throw IntegrationFailure("no free port")
  }

  /// A connection whose redirect URI is a port of this machine.
  private func prepare(_ stage: Stage) async throws -> Int {
    let port = try freePort()
    let redirect = "http://127.0.0.1:\(port)/callback"
    try await stage.server.settings(["refresh_tokens": true])
    try await stage.createApp("app", ["redirect_uri": .string(redirect)])
    try await stage.server.register(
      client: Stage.appID, secret: Stage.clientSecret, ["redirect_uris": [.string(redirect)]])
    return port
  }

  @Test func `R3.12 what is too long for an address is posted by a page at the loopback port`() async throws {
    try await onStage { stage in
      let port = try await prepare(stage)
      try await stage.server.settings(["metadata": ["capabilities": ["authorize-post"]]])
      let scope = (1...120).map { "patient/Observation.rs?category=\($0)" }.joined(separator: " ")
      let run = try Run(stage, ["app", "--no-browser", "--scope", scope])
      defer { run.clean() }
      let address = try await run.address()
      #expect(address == "http://127.0.0.1:\(port)/fhirctl-login")
      let page = try await LoopbackHTTP.request(port: UInt16(port), method: "GET", path: "/fhirctl-login", body: "")
      let inputs = page.body.matches(of: /name="([a-z_]+)" value="([^"]*)"/)
      #expect(page.body.contains("<form method=\"post\" action=\"\(stage.server.origin)/authorize\">"), "\(page.body)")
      let body = inputs.map { "\($0.1)=\(FormText.encode(String($0.2).replacing("&amp;", with: "&")))" }
      let back = try await LoopbackHTTP.head(
        port: UInt16(stage.server.port), path: "/authorize", posting: body.joined(separator: "&"))
      let path = String(try #require(back["location"], "\(back)").dropFirst("http://127.0.0.1:\(port)".count))
      _ = try await LoopbackHTTP.head(port: UInt16(port), path: path)
      #expect(try await run.child.waitForEnd(within: 20) == .exited(0), "\(run.child.standardError)")
      let asked = try await stage.server.log(path: "/authorize").last?["asked"]
      #expect(asked?["scope"].string == scope)
    }
  }

  @Test func `R4.17 the browser's return to the loopback port ends the command, and the port is free again`()
    async throws
  {
    try await onStage { stage in
      let port = try await prepare(stage)
      let run = try Run(stage, ["app", "--no-browser"])
      defer { run.clean() }
      let address = try await run.address()
      // Whatever else knocks is sent away and changes nothing.
      let favicon = try await LoopbackHTTP.request(port: UInt16(port), method: "GET", path: "/favicon.ico", body: "")
      #expect(favicon.status == 404)
      let back = try await stage.agree(address)
      let path = String(back.dropFirst("http://127.0.0.1:\(port)".count))
      let gone = try await LoopbackHTTP.head(port: UInt16(port), path: path)
      #expect(gone["status"] == "303", "R1.08 the code leaves the address bar")
      let page = try await LoopbackHTTP.request(
        port: UInt16(port), method: "GET", path: try #require(gone["location"]), body: "")
      #expect(page.status == 200)
      #expect(page.body.contains("You can close this window"))
      #expect(!page.body.contains("code="), "R1.07 nothing that came in goes out")
      #expect(try await run.child.waitForEnd(within: 20) == .exited(0))
      #expect(run.child.output.contains("logged in: app"))
      #expect((try? TestSocket(.loopback(UInt16(port)))) == nil, "somebody still listens")
      #expect(try await stage.status("app")["state"] == "active")
    }
  }

  @Test func `a refusal by the server is told on the page and on the terminal, with status 3`() async throws {
    try await onStage { stage in
      let port = try await prepare(stage)
      try await stage.server.settings(["authorize_error": ["error": "access_denied", "error_description": "<b>no</b>"]])
      let run = try Run(stage, ["app", "--no-browser"])
      defer { run.clean() }
      let back = try await stage.agree(try await run.address())
      let path = String(back.dropFirst("http://127.0.0.1:\(port)".count))
      let gone = try await LoopbackHTTP.head(port: UInt16(port), path: path)
      let page = try await LoopbackHTTP.request(
        port: UInt16(port), method: "GET", path: try #require(gone["location"]), body: "")
      #expect(page.status == 400)
      #expect(!page.body.contains("<b>no"), "nothing is reflected")
      #expect(try await run.child.waitForEnd(within: 20) == .exited(3))
      #expect(run.child.standardError.contains("access_denied"))
      #expect(run.child.standardError.contains("hint: "))
    }
  }

  @Test func `without a port the address is pasted`() async throws {
    try await onStage { stage in
      _ = try await prepare(stage)
      let login = try await stage.control.result("authorization.start", ["connection": "app"])
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      // The login of another caller of the same user may be completed by paste.
      let done = try await stage.daemon.fhirctl(["login", "app", "--paste", "--json"], input: "\n  <\(back)>  \n")
      #expect(done.succeeded, "\(done)")
      #expect(try WireJSON(parsing: done.output)["progress"] == "completed")
      let nonsense = try await stage.daemon.fhirctl(["login", "app", "--paste"], input: "not an address\n")
      #expect(nonsense.end == .exited(64), "\(nonsense)")
      #expect(nonsense.error.contains("hint: "))
    }
  }

  @Test func `token status, revoke and introspect say what a person wants to know`() async throws {
    try await onStage { stage in
      _ = try await prepare(stage)
      let before = try await stage.daemon.fhirctl(["token", "get", "app"])
      #expect(before.end == .exited(3), "\(before)")
      #expect(before.error.contains("fhirctl login 'app'"))
      let login = try await stage.control.result("authorization.start", ["connection": "app"])
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      try await stage.control.result("authorization.complete", ["redirect_url": .string(back)])
      let status = try await stage.daemon.fhirctl(["token", "status", "app"])
      #expect(status.output.contains("refresh token"))
      let live = try await stage.daemon.fhirctl(["token", "introspect", "app"])
      #expect(live.succeeded && live.output.contains("active"), "\(live)")
      let revoked = try await stage.daemon.fhirctl(["token", "revoke", "app"])
      #expect(revoked.succeeded, "\(revoked)")
      #expect(revoked.output.contains("refresh token at the server: revoked"))
      #expect(revoked.output.contains("erased here: refresh token, access token"))
    }
  }
}
