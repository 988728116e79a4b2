/// Logins at OAuth servers that others wrote, through their own pages: django-oauth-toolkit and Glewlwyd.
import FHIRControl
import TestSupport
import Testing

@Suite("logins at real servers", .serialized, .needs(.python3, .bash, .packages, .daemon, .fhirctl))
struct PeerLoginTests {
  private static let app: WireJSON = ["connection": "app"]

  private func with(_ name: String, _ play: (Stage, Peer) async throws -> Void) async throws {
    let peer = try await Peer(start: ["\(name)/start"], stop: ["\(name)/stop"], ports: 1)
    do { try await onStage { stage in try await play(stage, peer) } } catch {
      await peer.end()
      throw error
    }
    await peer.end()
  }

  private func create(_ stage: Stage, _ peer: Peer, _ fields: WireJSON = [:]) async throws {
    let all: WireJSON = [
      "connection_name": "app", "fhir_base_url": .string(peer.variable("LISTEN") + "/fhir"),
      "issuer": .string(peer.variable("ISSUER")), "auth_method": "authorization_code",
      "client_id": .string(peer.variable("CONFIDENTIAL_ID")),
      "client_secret": .string(peer.variable("CONFIDENTIAL_SECRET")),
      "client_authentication": "client_secret_basic", "redirect_uri": .string(peer.variable("REDIRECT_URI")),
      "scope": "openid patient/*.rs", "health": ["enabled": false],
      "refresh": ["mode": "on_demand", "min_interval_seconds": 1],
    ]
    try await stage.control.result(
      "connection.create", .object(all.merging(fields).object.filter { $0.value != .null }))
  }

  /// Through the server's own login and consent pages; where it sends the browser.
  private func visit(_ stage: Stage, _ peer: Peer, _ name: String, deny: Bool = false) async throws -> String {
    let login = try await stage.control.result("authorization.start", Self.app)
    let run = try await runProgram(
      try #require(TestMachine.python3),
      [
        "\(TestMachine.sourceRoot)/Tests/Peers/lib/login.py", name, peer.directory,
        try #require(login["authorization_url"].string),
      ] + (deny ? ["--deny"] : []), environment: TestMachine.plainEnvironment, within: 60)
    #expect(run.succeeded, "\(run.error)")
    return run.output.trimmed
  }

  private func logIn(_ stage: Stage, _ peer: Peer, _ name: String) async throws -> WireJSON {
    let back = try await visit(stage, peer, name)
    let status = try await stage.control.result("authorization.complete", ["redirect_url": .string(back)])
    #expect(status["progress"] == "completed", "\(status.text)")
    return status["token"]
  }

  private func refresh(_ stage: Stage) async throws {
    let answer = try await eventually("the floor between refreshes has passed", within: 30, every: 0.5) {
      () -> Answer? in
      let answer = try await stage.control.call("token.refresh", Self.app)
      return code(answer) == .throttled ? nil : answer
    }
    #expect(answer.succeeded, "\(answer)")
  }

  /// What both servers do alike: a login, three rotations, a look at the token, its end, and another login.
  private func wholeLife(_ stage: Stage, _ peer: Peer, _ name: String) async throws {
    let first = try await logIn(stage, peer, name)
    #expect(first["has_refresh_token"] == true, "\(first.text)")
    #expect(first["identity"] == "verified", "R6.08: \(first.text)")
    let context = try await stage.control.result("token.get", Self.app)["context"]
    #expect(context["sub"].string?.isEmpty == false, "\(context.text)")
    for _ in 1...3 { try await refresh(stage) }
    #expect(try await stage.status("app")["rotation"] == "rotated")
    #expect(try await stage.control.result("token.introspect", Self.app)["active"] == true)
    // A restart in between loses nothing.
    try await stage.daemon.killHard()
    try await stage.daemon.start()
    let control = try await stage.daemon.connect()
    _ = try await eventually("a refresh after kill -9", within: 30, every: 0.5) { () -> Bool? in
      let answer = try await control.call("token.refresh", Self.app)
      #expect(answer.succeeded || code(answer) == .throttled, "\(answer)")
      return answer.succeeded ? true : nil
    }
    let revoked = try await control.result("token.revoke", Self.app)
    #expect(revoked["server"].array.allSatisfy { $0["outcome"] == "revoked" }, "\(revoked.text)")
    #expect(code(try await control.call("token.get", Self.app)) == .needsLogin)
  }

  @Test(.timeLimit(.minutes(10)))
  func `django-oauth-toolkit: a confidential client's whole life`() async throws {
    try await with("dot") { stage, peer in
      try await create(stage, peer)
      try await wholeLife(stage, peer, "dot")
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `django-oauth-toolkit: a public client, and a person who declines`() async throws {
    try await with("dot") { stage, peer in
      try await create(
        stage, peer,
        [
          "client_id": .string(peer.variable("PUBLIC_ID")), "client_secret": .null, "client_authentication": "none",
        ])
      let back = try await visit(stage, peer, "dot", deny: true)
      let refused = try await stage.control.call("authorization.complete", ["redirect_url": .string(back)])
      #expect(code(refused) == .needsLogin, "R4.12: \(refused)")
      #expect(refused.error["data"]["oauth"]["error"] == "access_denied")
      #expect(try await logIn(stage, peer, "dot")["state"] == "active")
      try await refresh(stage)
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `Glewlwyd: a confidential client's whole life`() async throws {
    try await with("glewlwyd") { stage, peer in
      try await create(stage, peer)
      try await wholeLife(stage, peer, "glewlwyd")
    }
  }

  @Test(
    .timeLimit(.minutes(10)),
    .enabled(
      if: TestMachine.program("chromium") != nil, "SKIPPED: chromium is not installed (apt-get install chromium)"))
  func `R1.08 Glewlwyd: a person with a real browser, and fhirctl login at its port`() async throws {
    try await with("glewlwyd") { stage, peer in
      try await create(stage, peer)
      let directory = try TestMachine.makeDirectory()
      defer { TestMachine.remove(directory) }
      let login = try ChildProcess(
        try #require(TestMachine.fhirctl), ["--socket", stage.daemon.socketPath, "login", "app", "--no-browser"],
        environment: ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"], outputPath: directory + "/out",
        errorPath: directory + "/err")
      let address = try await eventually("the address") {
        login.output.split(separator: "\n").first { $0.hasPrefix("  http") }.map { String($0.dropFirst(2)) }
      }
      let run = try await runProgram(
        try #require(TestMachine.python3),
        ["\(TestMachine.sourceRoot)/Tests/Peers/lib/browser.py", peer.directory, address],
        environment: TestMachine.plainEnvironment, within: 90)
      #expect(run.succeeded, "\(run.error)")
      #expect(run.output.contains("The login worked."))
      #expect(!run.output.contains("code="), "the code has left the address bar")
      #expect(try await login.waitForEnd(within: 20) == .exited(0), "\(login.standardError)")
    }
  }

  @Test(.timeLimit(.minutes(10)), arguments: ["ES384", "RS384"])
  func `R5.09 Glewlwyd takes an imported key by the kid that it knows`(algorithm: String) async throws {
    try await with("glewlwyd") { stage, peer in
      try await stage.control.result(
        "connection.create",
        [
          "connection_name": "app", "fhir_base_url": .string(peer.variable("LISTEN") + "/fhir"),
          "token_url": .string(peer.variable("TOKEN")), "auth_method": "client_credentials",
          "client_authentication": "private_key_jwt", "client_id": .string(peer.variable("BACKEND_JWT_ID")),
          "scope": "system/*.rs", "health": ["enabled": false],
          "refresh": ["mode": "on_demand", "min_interval_seconds": 1],
        ])
      let file = peer.variable("\(algorithm)_KEY")
      try await stage.control.result(
        "key.create",
        Self.app.merging([
          "private_key": .string(ChildProcess.text(of: file)), "kid": .string(peer.variable("\(algorithm)_KID")),
        ]))
      _ = try await stage.token("app")
      try await refresh(stage)
    }
  }
}
