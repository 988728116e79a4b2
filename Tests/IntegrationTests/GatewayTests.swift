/// The built gateway in front of the built daemon: what a browser, an EHR and a server that reads keys get.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("the gateway and the daemon", .needs(.python3, .daemon, .gateway))
struct GatewayTests {
  /// A running gateway.
  private struct Gateway {
    static let publicURL = "https://fhir.example.org"
    let child: ChildProcess
    let port: UInt16
    let directory: String

    init(_ socketPath: String) async throws {
      directory = try TestMachine.makeDirectory()
      let child = try ChildProcess(
        try #require(TestMachine.gateway), ["--listen", "127.0.0.1:0", "--socket", socketPath],
        environment: ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"], outputPath: directory + "/out",
        errorPath: directory + "/err")
      self.child = child
      port = try await eventually("the gateway listens") {
        child.standardError.split(whereSeparator: \.isWhitespace).compactMap { word in
          word.contains("127.0.0.1:") ? UInt16(word.split(separator: ":").last ?? "") : nil
        }.first
      }
    }

    /// What a browser has after it was sent to `url`: the answer, without following.
    func visit(_ url: String) async throws -> [String: String] {
      let path = url.hasPrefix(Self.publicURL) ? String(url.dropFirst(Self.publicURL.count)) : url
      return try await LoopbackHTTP.head(port: port, path: path)
    }

    func page(_ path: String) async throws -> LoopbackHTTP.Reply {
      try await LoopbackHTTP.request(port: port, method: "GET", path: path, body: "")
    }

    func end() async throws {
      child.send(signal: SIGTERM)
      #expect(try await child.waitForEnd(within: 20) == .exited(0), "\(child.standardError)")
      TestMachine.remove(directory)
    }
  }

  private func behindGateway(_ play: (Stage, Gateway) async throws -> Void) async throws {
    try await onStage({ $0.environment["FHIRD_PUBLIC_URL"] = Gateway.publicURL }) { stage in
      try await stage.server.settings(["refresh_tokens": true])
      let gateway = try await Gateway(stage.daemon.socketPath)
      try await play(stage, gateway)
      try await gateway.end()
    }
  }

  /// A connection whose logins come back to the gateway.
  private func createApp(_ stage: Stage, _ name: String, callback: String, _ fields: WireJSON = [:]) async throws
    -> String
  {
    let shared: WireJSON = ["redirect_uri": .null]
    let made = try await stage.createApp(name, shared.merging(fields))
    try await stage.server.register(
      client: Stage.appID, secret: Stage.clientSecret,
      ["redirect_uris": [.string(Gateway.publicURL + callback)]])
    return try #require(made["id"].string)
  }

  @Test func `a login comes back to the gateway and ends on its page; the second visit changes nothing`() async throws {
    try await behindGateway { stage, gateway in
      _ = try await createApp(stage, "app", callback: "/fhir-connections/callback")
      let login = try await stage.control.result("authorization.start", ["connection": "app"])
      #expect(login["redirect_uri"].string == Gateway.publicURL + "/fhir-connections/callback")
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      for _ in 1...2 {
        let answer = try await gateway.visit(back)
        #expect(answer["status"] == "303", "\(answer)")
        let page = try await gateway.page(try #require(answer["location"]))
        #expect(page.status == 200)
        #expect(page.body.contains("You are connected"), "\(page.body)")
      }
      #expect(try await stage.status("app")["state"] == "active")
      #expect(try await stage.server.stats()["code_reuse_detected"].int ?? 0 == 0)
      #expect(!gateway.child.standardError.contains("code="))
    }
  }

  @Test func `R4.14 what comes back to another connection's redirect URI ends the login, and no code is sent`()
    async throws
  {
    try await behindGateway { stage, gateway in
      let other = try await createApp(stage, "other", callback: "/fhir-connections/callback")
      let own = try await createApp(stage, "app", callback: "/fhir-connections/callback")
      for (id, isRight) in [(other, false), (own, true)] {
        let callback = "\(Gateway.publicURL)/fhir-connections/\(id)/callback"
        try await stage.server.register(
          client: Stage.appID, secret: Stage.clientSecret, ["redirect_uris": [.string(callback)]])
        let before = try await stage.server.count(path: "/token")
        let login = try await stage.control.result(
          "authorization.start", ["connection": "app", "redirect_uri": .string(callback)])
        let back = try await stage.agree(try #require(login["authorization_url"].string))
        let page = try await gateway.page(try #require(try await gateway.visit(back)["location"]))
        #expect(page.body.contains("You are connected") == isRight, "\(page.body)")
        #expect((try await stage.server.count(path: "/token") == before) != isRight)
      }
    }
  }

  @Test func `R4.10 an EHR's launch goes to the server with launch and aud, and comes back as a grant`()
    async throws
  {
    try await behindGateway { stage, gateway in
      _ = try await createApp(
        stage, "app", callback: "/fhir-connections/callback", ["scope": "launch patient/*.rs offline_access"])
      let iss = stage.server.base("").replacing(":", with: "%3A").replacing("/", with: "%2F")
      let answer = try await gateway.visit("/launch?iss=\(iss)&launch=xyz123")
      #expect(answer["status"] == "303", "\(answer)")
      let address = try #require(answer["location"])
      #expect(address.contains("launch=xyz123") && address.contains("aud="), "\(address)")
      let page = try await gateway.page(
        try #require(try await gateway.visit(try await stage.agree(address))["location"]))
      #expect(page.body.contains("You are connected"), "\(page.body)")
      #expect(try await stage.status("app")["state"] == "active")
      let stranger = try await gateway.page("/launch?iss=https%3A%2F%2Felsewhere.example%2Ffhir&launch=1")
      #expect(stranger.status == 404)
    }
  }

  @Test func `R5.11 R5.12 the key set is published, with both keys while one takes over from the other`() async throws {
    try await behindGateway { stage, gateway in
      try await stage.create(
        "backend", ["client_authentication": "private_key_jwt", "client_secret": .null])
      for expected in 1...2 {
        let method = expected == 1 ? "key.create" : "key.rotate"
        try await stage.control.result(method, ["connection": "backend"])
        // The gateway keeps what it has for a few seconds.
        let keys = try await eventually("\(expected) keys", within: 90, every: 0.5) { () -> WireJSON? in
          let keys = try WireJSON(parsing: try await gateway.page("/.well-known/jwks.json").body)["keys"]
          return keys.array.count == expected ? keys : nil
        }
        #expect(keys.array.allSatisfy { $0["d"] == .null && $0["kid"] != .null }, "\(keys.text)")
      }
    }
  }

  @Test func `it is ready while the daemon answers, and alive without it`() async throws {
    try await behindGateway { stage, gateway in
      #expect(try await gateway.page("/readyz").status == 200)
      try await stage.daemon.killHard()
      #expect(try await gateway.page("/readyz").status == 503)
      #expect(try await gateway.page("/healthz").status == 200)
      try await stage.daemon.start()
      #expect(try await gateway.page("/readyz").status == 200)
    }
  }
}
