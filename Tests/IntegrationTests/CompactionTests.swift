/// The store's size from outside: compaction while tokens are served, kills in the middle of it, and the limit.
import FHIRControl
import Synchronization
import TestSupport
import Testing

private final class Progress: Sendable { let isDone = Atomic<Bool>(false) }

@Suite("the store's size", .needs(.python3, .daemon, .fhirctl))
struct CompactionTests {
  /// About 130 KB a connection.
  private static let labels = WireJSON.object(
    Dictionary(uniqueKeysWithValues: (0..<32).map { ("l\($0)", .string(String(repeating: "x", count: 4000))) }))

  private func createMany(_ stage: Stage, _ numbers: Range<Int>) async throws {
    for number in numbers { try await stage.create("many-\(number)", ["labels": Self.labels]) }
  }

  private func deleteMany(_ stage: Stage, _ numbers: Range<Int>) async throws {
    for number in numbers {
      try await stage.control.result("connection.delete", ["connection": .string("many-\(number)")])
    }
  }

  private func files(_ stage: Stage) -> [String] {
    TestMachine.files(below: stage.daemon.stateDirectory).compactMap { $0.path.split(separator: "/").last }
      .map(String.init).sorted()
  }

  @Test(.timeLimit(.minutes(3)))
  func `after many deletions the file gets smaller while tokens are served, and serves on after a restart`()
    async throws
  {
    try await onStage { stage in
      try await stage.create("kept")
      let token = try await stage.token("kept")
      try await createMany(stage, 0..<40)
      try await deleteMany(stage, 0..<40)
      let before = try await stage.control.result("health.get")["store"]
      #expect(try #require(before["bytes_free"].int) > 4_000_000)

      // Tokens are taken all the time; the compactions follow each other.
      let compacting = try await stage.daemon.connect()
      let other = Stage(server: stage.server, daemon: stage.daemon, control: try await stage.daemon.connect())
      let progress = Progress()
      let served = try await withThrowingTaskGroup(of: Int.self) { group in
        group.addTask { () async throws -> Int in
          var served = 0
          repeat {
            let taken = try await other.token("kept")
            #expect(taken == token)
            served += 1
          } while !progress.isDone.load(ordering: .relaxed)
          return served
        }
        group.addTask { () async throws -> Int in
          defer { progress.isDone.store(true, ordering: .relaxed) }
          let first = try await compacting.result("store.compact")
          #expect(first["bytes_before"] == before["bytes"])
          #expect(try #require(first["bytes_after"].int) < 1_000_000)
          #expect(first["records"].int == before["records"].int)
          for _ in 0..<20 { try await compacting.result("store.compact") }
          return 0
        }
        return try await group.reduce(0, +)
      }
      #expect(served > 1)
      let after = try await stage.control.result("health.get")
      #expect(after["state"] == "ok", "\(after.text)")
      #expect(try #require(after["store"]["bytes"].int) < 1_000_000)
      #expect(stage.daemon.tail.contains("store_compacted"))
      // It is written on.
      try await stage.refresh("kept")
      let fresh = try await stage.token("kept")
      #expect(fresh != token)

      #expect(try await stage.daemon.terminate() == .exited(0))
      #expect(files(stage) == ["data.mdb", "fhird.lock", "lock.mdb"])
      try await stage.daemon.start()
      let again = Stage(server: stage.server, daemon: stage.daemon, control: try await stage.daemon.connect())
      #expect(try await again.token("kept") == fresh)
      try await again.expectWholeStore()
    }
  }

  @Test func `a token that is being obtained is stored before the store is compacted, and nobody is left waiting`()
    async throws
  {
    try await onStage { stage in
      for name in ["first", "next"] {
        try await stage.create(name, ["refresh": ["mode": "on_demand", "min_interval_seconds": 1]])
      }
      try await stage.server.rule(["path": "/token", "times": 1, "hold": "gate"])
      let first = try await stage.control.begin("token.get", ["connection": "first"])
      _ = try await eventually("the request is under way") {
        try await stage.server.inFlight(path: "/token") == 1 ? true : nil
      }
      let compacting = try await stage.control.begin("store.compact")
      // Whoever asks now waits for the compaction, or was quicker.
      let next = try await stage.control.begin("token.get", ["connection": "next"])
      for _ in 0..<300 { try await stage.control.result("server.info") }
      #expect(!stage.daemon.tail.contains("store_compacted"))
      try await stage.server.release("gate")
      for id in [first, compacting, next] {
        let answer = try await stage.control.answer(to: id)
        #expect(answer.succeeded, "\(answer)")
      }
    }
  }

  @Test(.timeLimit(.minutes(3)))
  func `a daemon that is killed while it compacts has lost nothing`() async throws {
    try await onStage { stage in
      try await stage.create("kept")
      let token = try await stage.token("kept")
      try await createMany(stage, 0..<10)
      try await deleteMany(stage, 0..<8)
      var stage = stage
      for run in 0..<6 {
        // The first has ended, so the second or a later one is under way.
        _ = try await stage.control.begin("store.compact", .object([:]), times: 200)
        for _ in 0...run { _ = try await stage.control.readAnswer() }
        try await stage.daemon.killHard()
        try await stage.daemon.start()
        stage = Stage(server: stage.server, daemon: stage.daemon, control: try await stage.daemon.connect())
        #expect(try await stage.token("kept") == token, "run \(run)")
        #expect(files(stage) == ["data.mdb", "fhird.lock", "lock.mdb"])
        #expect(try await stage.control.result("connection.list")["connections"].array.count == 3)
        try await stage.expectWholeStore()
      }
    }
  }

  @Test func `fhirctl compacts and says what has become of it`() async throws {
    try await onStage { stage in
      try await stage.create("kept")
      let done = try await stage.daemon.fhirctl(["server", "compact"])
      #expect(done.succeeded, "\(done)")
      #expect(done.output.hasPrefix("the store has "), "\(done.output)")
      let health = try await stage.daemon.fhirctl(["health"])
      #expect(health.output.contains("the limit is 64 GiB"), "\(health.output)")
    }
  }

  @Test(.timeLimit(.minutes(3)))
  func `near its limit the store refuses connections, says so, and still takes tokens`() async throws {
    try await onStage { options in
      options.environment["FHIRD_STORE_BYTES_MAX"] = "16MiB"
    } _: { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app")
      try await stage.logIn("app")
      var made = 0
      var refused: Answer?
      // Twice what there is room for.
      while refused == nil, made < 250 {
        let connection = stage.connection("many-\(made)", ["labels": Self.labels])
        let answer = try await stage.control.call("connection.create", connection)
        if answer.succeeded { made += 1 } else { refused = answer }
      }
      let refusal = try #require(refused)
      #expect(code(refusal) == .storeFull, "\(refusal)")
      #expect(refusal.hint?.contains("FHIRD_STORE_BYTES_MAX") == true, "\(refusal)")
      let health = try await stage.control.result("health.get")
      #expect(health["state"] == "degraded", "\(health.text)")
      let store = health["components"].array.first { $0["name"] == "store" }
      #expect(store?["detail"].string?.contains("FHIRD_STORE_BYTES_MAX") == true, "\(health.text)")
      #expect(health["store"]["bytes_max"] == 16_777_216)
      // The store itself is well: nobody was told that it takes no writes.
      #expect(!stage.daemon.tail.contains("store_trouble"))
      for _ in 0..<3 { try await stage.refresh("app") }
      try await stage.expectGoodToken("app")
      try await deleteMany(stage, 0..<made)
      try await stage.create("after")
      try await stage.expectWholeStore()
    }
  }
}
