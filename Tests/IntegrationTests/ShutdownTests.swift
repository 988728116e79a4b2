/// Ends and restarts: SIGTERM under load, and what a daemon says about itself.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("shutdown and start", .needs(.python3, .daemon))
struct ShutdownTests {
  @Test func `SIGTERM under load ends with status 0 and an answer to everybody`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      try await stage.create("slow", tenant: "slow")
      try await stage.server.rule(["path": "/slow/token", "hold": "gate"])
      let waiting = try await stage.daemon.connect()
      let slow = try await waiting.begin("token.get", ["connection": "slow"])
      _ = try await eventually("the slow request is under way") {
        try await stage.server.inFlight(path: "/slow/token") == 1 ? true : nil
      }
      var busy: [(connection: ControlConnection, ids: [Int])] = []
      for _ in 0..<20 {
        let connection = try await stage.daemon.connect()
        busy.append((connection, try await connection.begin("token.get", ["connection": "c"], times: 50)))
      }
      for client in busy { try await client.connection.begin("server.info") }
      stage.daemon.send(signal: SIGTERM)
      // Whatever was asked is answered or refused as SHUTTING_DOWN; then the stream ends cleanly.
      for client in busy {
        var answers = 0
        while let line = try await client.connection.readLine(within: 20) {
          let answer = Answer(json: try WireJSON(parsing: line))
          #expect(answer.succeeded || code(answer) == .shuttingDown, "\(answer)")
          answers += 1
        }
        #expect(answers >= client.ids.count)
      }
      let answer = try await waiting.answer(to: slow, within: 20)
      #expect(answer.succeeded || code(answer) == .shuttingDown, "\(answer)")
      #expect(try await stage.daemon.child?.waitForEnd(within: 20) == .exited(0))
      #expect(access(stage.daemon.socketPath, F_OK) != 0, "the socket was left behind")
      try await stage.server.release("gate")
    }
  }

  @Test func `a restart keeps connections, tokens and generations`() async throws {
    try await onStage { stage in
      let made = try await stage.create("c")
      let token = try await stage.token("c")
      #expect(try await stage.daemon.terminate() == .exited(0))
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      let again = try await control.result("connection.get", ["connection": "c"])
      #expect(again["id"] == made["id"])
      #expect(again["created_at"] == made["created_at"])
      #expect(again["generation"] == made["generation"])
      #expect(try await control.result("token.get", ["connection": "c"])["access_token"] == .string(token))
      #expect(try await stage.server.count(path: "/token") == 1)
    }
  }

  @Test func `a socket that a dead daemon left behind is replaced, a living one's is not`() async throws {
    try await onStage { stage in
      try await stage.daemon.killHard()
      #expect(access(stage.daemon.socketPath, F_OK) == 0)
      try await stage.daemon.start()
      var options = DaemonUnderTest.Options()
      options.socketPath = stage.daemon.socketPath
      let rival = try DaemonUnderTest(options)
      let (end, said) = try await rival.startRefused()
      #expect(end != .exited(0))
      #expect(said.contains(stage.daemon.socketPath), "\(said)")
      let control = try await stage.daemon.connect()
      try await control.result("server.info")
      await rival.cleanUp()
    }
  }

  @Test func `server.info says who is asking, what there is, and what an operator must know`() async throws {
    try await onStage { stage in
      let info = try await stage.control.result("server.info")
      #expect(info["name"] == "fhird")
      #expect(info["pid"].int == stage.daemon.pid.map(Int.init))
      #expect(info["caller"]["uid"].int == Int(geteuid()))
      #expect(info["caller"]["pid"].int == Int(getpid()))
      #expect(Set(info["methods"].array.compactMap(\.string)) == Set(ControlMethod.allCases.map(\.rawValue)))
      #expect(info["warnings"].array.contains { $0.string?.contains("loopback") == true })
      let health = try await stage.control.result("health.get")
      #expect(health["state"] == "ok")
      let names = Set(health["components"].array.compactMap { $0["name"].string })
      #expect(names.isSuperset(of: ["engine", "refresh_loop", "health_loop", "control_server", "store", "http"]))
    }
  }

  @Test(arguments: [
    ("FHIRD_REQUEST_TIMEOUT", "soon"), ("FHIRD_REFRESH_CONCURRENCY", "0"), ("FHIRD_NO_SUCH_KEY", "1"),
    ("FHIRD_LOG_LEVEL", "chatty"),
  ])
  func `a setting that cannot be meant is refused with its name`(key: String, value: String) async throws {
    try await withSlot {
      var options = DaemonUnderTest.Options()
      options.environment[key] = value
      if key == "FHIRD_LOG_LEVEL" { options.logLevel = value }
      let daemon = try DaemonUnderTest(options)
      let (end, said) = try await daemon.startRefused()
      guard case .exited(let status) = end, status != 0 else {
        Issue.record("it ended by \(end)")
        return
      }
      #expect(said.contains(key) || said.contains("log-level"), "\(said)")
      await daemon.cleanUp()
    }
  }

  @Test func `http to loopback is refused unless it was allowed`() async throws {
    try await onStage { options in
      options.environment["FHIRD_ALLOW_INSECURE_LOOPBACK"] = "false"
    } _: { stage in
      let answer = try await stage.control.call("connection.create", stage.connection("c"))
      #expect(code(answer) == .validationFailed)
      #expect(answer.description.contains("fhir_base_url"))
    }
  }

  @Test(.timeLimit(.minutes(10)))
  func `a server's health is probed, changes only after several equal results, and recovers`() async throws {
    try await onStage { stage in
      try await stage.create("c", ["health": ["enabled": true, "interval_seconds": 10]])
      _ = try await eventually("healthy", within: 40, every: 0.1) { () -> Bool? in
        let health = try await stage.control.result("health.get", ["connection": "c"])
        return health["server"]["state"] == "healthy" ? true : nil
      }
      let probes = try await stage.server.log()
      #expect(probes.allSatisfy { $0["headers"]["Authorization"] == .null })
    }
  }
}
