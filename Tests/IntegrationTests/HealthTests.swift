/// The health of connections at the edge: what is probed, how often, when it is news, and what a restart remembers.
import FHIRControl
import TestSupport
import Testing

@Suite("health", .needs(.python3, .daemon, .fhirctl, .compiler))
struct HealthTests {
  /// A stage with one watched connection; its probes come when the test wants them: the interval is a day, and the clock
  /// goes on when the test says so.
  private final class Watch {
    let stage: Stage
    let shim: ShimFile
    var control: ControlConnection
    private var elapsed = 0

    init(_ stage: Stage, _ shim: ShimFile) {
      (self.stage, self.shim) = (stage, shim)
      control = stage.control
    }

    func advance(_ seconds: Int) throws {
      elapsed += seconds
      try shim.set(jump: 0, suspend: elapsed)
    }

    /// After the floor between two checks, one more probe.
    @discardableResult
    func check(_ name: String = "c", after seconds: Int = 6) async throws -> WireJSON {
      try advance(seconds)
      return try await control.result("health.check", ["connection": .string(name)])["connection_health"].array[0]
    }

    func health(_ name: String = "c", _ more: WireJSON = [:]) async throws -> WireJSON {
      let named: WireJSON = ["connection": .string(name)]
      return try await control.result("health.get", named.merging(more))
    }

    func restart(hard: Bool) async throws {
      if hard { try await stage.daemon.killHard() } else { try await stage.daemon.terminate() }
      try await stage.daemon.start()
      control = try await stage.daemon.connect()
    }

    func events(_ event: String) -> [Substring] {
      stage.daemon.standardError.split(separator: "\n").filter { $0.contains("event=\(event) ") }
    }

    func probes(_ path: String = "/fhir/.well-known/smart-configuration") async throws -> [WireJSON] {
      try await stage.server.log(path: path)
    }
  }

  private static let daily: WireJSON = ["health": ["enabled": true, "interval_seconds": 86400]]
  private static let wellKnown = "/fhir/.well-known/smart-configuration"

  private func watched(_ fields: WireJSON = [:], _ play: (Watch) async throws -> Void) async throws {
    try await onShiftableStage { stage, shim in
      try await stage.create("c", Self.daily.merging(fields))
      try await play(Watch(stage, shim))
    }
  }

  @Test func `a server is down after three probes without an answer, and well after three with one`() async throws {
    try await watched { watch in
      let first = try await watch.check()
      #expect(first["server"]["state"] == "healthy" && first["metadata"]["state"] == "healthy", "\(first.text)")
      #expect(first["metadata"]["document"] == "smart-configuration")
      try await watch.stage.server.rule(["path": .string(Self.wellKnown), "drop": "after_reading"])
      for _ in 0..<2 {
        let still = try await watch.check()
        #expect(still["server"]["state"] == "healthy" && still["server"]["detail"] != .null, "\(still.text)")
      }
      let down = try await watch.check()
      #expect(down["state"] == "down" && down["server"]["state"] == "down", "\(down.text)")
      #expect(down["server"]["reason"].string?.isEmpty == false && down["server"]["since"] != .null)
      #expect(watch.events("server_health").count == 1)
      #expect(watch.events("server_health")[0].contains("status=down outcome=\"was healthy\""))
      try await watch.stage.server.dropRules()
      for _ in 0..<3 { try await watch.check() }
      let well = try await watch.health()["connection_health"].array[0]
      #expect(well["server"]["state"] == "healthy" && well["server"]["reason"] == .null, "\(well.text)")
      #expect(watch.events("server_health").count == 2)
      let probes = try await watch.stage.server.log()
      #expect(!probes.isEmpty && probes.allSatisfy { $0["headers"]["Authorization"] == .null })
    }
  }

  @Test(arguments: [false, true])
  func `a restart is no change: state, since and history go on, and the probe is conditional`(hard: Bool) async throws {
    try await watched { watch in
      try await watch.check()
      try await watch.stage.server.rule(["path": .string(Self.wellKnown), "status": 503, "times": 3])
      for _ in 0..<3 { try await watch.check() }
      let before = try await watch.health("c", ["history_days": 90])
      #expect(before["server"]["state"] == "degraded", "\(before.text)")
      #expect(before["server"]["reason"] == "answers with HTTP 503")
      let events = watch.events("server_health").count + watch.events("metadata_health").count
      try await watch.restart(hard: hard)
      let after = try await eventually("the servers are loaded", within: 20, every: 0.1) {
        let after = try await watch.health("c", ["history_days": 90])
        return after["server"]["state"] == "off" ? nil : after
      }
      #expect(after["server"]["state"] == "degraded" && after["server"]["reason"] == "answers with HTTP 503")
      // The wall clock is read anew for it: not to the millisecond.
      let (since, formerly) = try (
        #require(Timestamp(after["server"]["since"].string ?? "")),
        #require(Timestamp(before["server"]["since"].string ?? ""))
      )
      #expect(abs(since.milliseconds - formerly.milliseconds) <= 1000)
      #expect(after["history"]["changes"] == before["history"]["changes"], "\(after.text)")
      #expect(after["history"]["changes"].array.map { $0["to"] } == ["healthy", "healthy", "degraded"])
      let probed = try await watch.check(after: 20)
      #expect(probed["server"]["state"] == "degraded", "one result changes nothing: \(probed.text)")
      #expect(try await watch.probes().last?["status"] == 304)
      #expect(watch.events("server_health").count + watch.events("metadata_health").count <= events)
    }
  }

  @Test func `in a maintenance window trouble is no news, and after it the watch goes on`() async throws {
    let window: WireJSON = [
      "health": ["enabled": true, "interval_seconds": 86400, "maintenance": ["daily 00:00-24:00"]]
    ]
    try await watched(window) { watch in
      try await watch.stage.server.rule(["path": "/fhir/*", "drop": "after_reading"])
      for _ in 0..<4 {
        let health = try await watch.check()
        #expect(health["state"] == "maintenance" && health["server"]["state"] == "maintenance", "\(health.text)")
        #expect(health["server"]["reason"].string?.hasPrefix("maintenance window until ") == true)
      }
      #expect(watch.events("server_health").isEmpty)
      let history = try await watch.health("c", ["history_days": 1])["history"]
      #expect(history["days"].array.reduce(0) { $0 + ($1["maintenance_seconds"].int ?? 0) } >= 17, "\(history.text)")
      let update: WireJSON = ["connection": "c"]
      _ = try await watch.control.result("connection.update", update.merging(Self.daily))
      for _ in 0..<3 { try await watch.check() }
      #expect(try await watch.health()["server"]["state"] == "down")
      #expect(watch.events("server_health").count == 1)
    }
  }

  @Test func `a window that is none is refused by its own text`() async throws {
    try await onStage { stage in
      let fields: WireJSON = ["health": ["maintenance": ["Sun 02:00-04:00", "Sun 2-4"]]]
      let answer = try await stage.control.call("connection.create", stage.connection("c", fields))
      #expect(code(answer) == .validationFailed)
      #expect(answer.description.contains("Sun 2-4") && answer.description.contains("health.maintenance"), "\(answer)")
      let run = try await stage.daemon.fhirctl([
        "connection", "create", "d", "--url", stage.server.base(), "--health-maintenance", "Sun 02:00-04:00",
      ])
      #expect(run.succeeded, "\(run)")
      let shown = try await stage.control.result("connection.get", ["connection": "d"])
      #expect(shown["health"]["maintenance"] == ["Sun 02:00-04:00"])
    }
  }

  @Test func `twenty checks at once are one probe, also of two connections to one server`() async throws {
    try await watched { watch in
      try await watch.stage.create("d", Self.daily)
      try await watch.check()
      let before = try await watch.probes().count
      try await watch.stage.server.rule(["path": .string(Self.wellKnown), "hold": "gate", "times": 1])
      try watch.advance(6)
      var asked = try await watch.control.begin("health.check", ["connection": "c"], times: 10)
      asked += try await watch.control.begin("health.check", ["connection": "d"], times: 10)
      _ = try await eventually("the probe is under way", within: 20, every: 0.05) {
        try await watch.stage.server.inFlight(path: Self.wellKnown) == 1 ? true : nil
      }
      try await watch.stage.server.release("gate")
      for id in asked {
        let answer = try await watch.control.answer(to: id)
        #expect(answer.result["server"]["state"] == "healthy", "\(answer)")
      }
      #expect(try await watch.probes().count == before + 1)
      // Within the floor the last result has to do.
      _ = try await watch.control.result("health.check", ["connection": "c"])
      #expect(try await watch.probes().count == before + 1)
    }
  }

  @Test func `R9.16 where there is no smart-configuration the metadata are probed, never a search`() async throws {
    try await onShiftableStage { stage, shim in
      try await stage.server.settings(["discovery": "capability-statement"])
      try await stage.create("c", Self.daily)
      let watch = Watch(stage, shim)
      let first = try await watch.check()
      #expect(first["server"]["state"] == "healthy" && first["metadata"]["state"] == "healthy", "\(first.text)")
      #expect(first["metadata"]["document"] == "metadata")
      #expect(first["metadata"]["document_choice"] == "the server has no smart-configuration")
      let again = try await watch.check()
      #expect(again["metadata"]["last_read_at"] != first["metadata"]["last_read_at"])
      let log = try await stage.server.log()
      #expect(Set(log.compactMap { $0["path"].string }) == [Self.wellKnown, "/fhir/metadata"], "\(log.map(\.text))")
      #expect(try await watch.probes().count == 1)
      #expect(try await watch.probes("/fhir/metadata").last?["status"] == 304)
    }
  }

  @Test func `R9.01 a server that answers with a page unless it is asked by _format is asked so, at once`() async throws
  {
    try await onShiftableStage { stage, shim in
      try await stage.server.rule(["path": "/fhir/metadata", "body": "<html>a page</html>", "times": 1])
      try await stage.create(
        "c",
        Self.daily.merging([
          "auth_method": "none", "client_id": .null, "client_secret": .null, "client_authentication": .null,
          "scope": .null,
        ]))
      let watch = Watch(stage, shim)
      let health = try await watch.check()
      #expect(
        health["metadata"]["state"] == "healthy" && health["metadata"]["document"] == "metadata", "\(health.text)")
      #expect(health["token"]["state"] == "off" && health["grants"]["state"] == "off")
      let queries = try await watch.probes("/fhir/metadata").map { $0["query"] }
      #expect(queries.prefix(2) == ["", "_format=json"] && !queries.dropFirst(2).contains(""), "\(queries)")
      #expect(watch.events("metadata_health").isEmpty)
    }
  }

  @Test(arguments: [true, false])
  func `a large statement that comes anew every time is asked for in the small form, where that is known`(
    isKnown: Bool
  ) async throws {
    try await onShiftableStage { stage, shim in
      try await stage.server.settings(["discovery": "capability-statement"])
      let large: WireJSON = [
        "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "description": .string(String(repeating: "long ", count: 20_000)),
      ]
      let rule: WireJSON = ["path": "/fhir/metadata", "json": large]
      try await stage.server.rule(isKnown ? rule.merging(["times": 1]) : rule)
      try await stage.create("c", Self.daily)
      let watch = Watch(stage, shim)
      for _ in 0..<4 { #expect(try await watch.check()["metadata"]["state"] == "healthy") }
      let queries = try await watch.probes("/fhir/metadata").map { $0["query"] }
      let expected: [WireJSON] =
        isKnown ? ["", "_summary=true", "_summary=true", "_summary=true"] : ["", "_summary=true", "", ""]
      #expect(Array(queries.prefix(4)) == expected, "\(queries)")
    }
  }

  @Test func `a page where a document was is trouble of the metadata, not of the server`() async throws {
    try await watched { watch in
      try await watch.check()
      try await watch.stage.server.rule(["path": .string(Self.wellKnown), "body": "<html>maintenance</html>"])
      for _ in 0..<3 { try await watch.check() }
      let health = try await watch.health()["connection_health"].array[0]
      #expect(health["server"]["state"] == "healthy" && health["metadata"]["state"] == "degraded", "\(health.text)")
      #expect(health["state"] == "degraded")
      #expect(health["metadata"]["reason"].string?.contains("HTML") == true, "\(health.text)")
      #expect(watch.events("metadata_health").count == 1 && watch.events("server_health").isEmpty)
      let run = try await watch.stage.daemon.fhirctl(["health"])
      #expect(run.end == .exited(2), "\(run)")
      #expect(run.output.contains("degraded") && run.output.contains("METADATA"))
    }
  }

  @Test func `a smart-configuration with another token endpoint is told`() async throws {
    try await watched { watch in
      _ = try await watch.stage.token("c")
      let first = try await watch.check()
      #expect(first["metadata"]["document_choice"] == "discovery found it", "\(first.text)")
      let moved: WireJSON = ["token_endpoint": "https://elsewhere.example.org/token"]
      try await watch.stage.server.rule(["path": .string(Self.wellKnown), "json": moved])
      for _ in 0..<3 { try await watch.check() }
      let metadata = try await watch.health()["connection_health"].array[0]["metadata"]
      #expect(metadata["state"] == "degraded", "\(metadata.text)")
      #expect(metadata["reason"] == "the smart-configuration names another token endpoint than the one in use")
    }
  }

  @Test func `a server that asks for a pause is left alone, whoever wants a check`() async throws {
    try await watched { watch in
      try await watch.check()
      try await watch.stage.server.rule([
        "path": .string(Self.wellKnown), "status": 429, "headers": ["Retry-After": "600"], "times": 1,
      ])
      let throttled = try await watch.check()
      #expect(throttled["server"]["detail"] == "answers with HTTP 429", "\(throttled.text)")
      let count = try await watch.probes().count
      for _ in 0..<5 { try await watch.check(after: 100) }
      #expect(try await watch.probes().count == count)
      let after = try await watch.check(after: 200)
      #expect(try await watch.probes().count == count + 1)
      #expect(after["server"]["detail"] == .null, "\(after.text)")
    }
  }

  @Test func `fewer scopes than asked for make the grants degraded, and nothing else`() async throws {
    try await watched(["scope": "system/Patient.rs system/Observation.rs"]) { watch in
      try await watch.stage.server.settings(["scope": "system/Patient.rs"])
      _ = try await watch.stage.token("c")
      let health = try await watch.check()
      #expect(health["grants"]["state"] == "degraded" && health["token"]["state"] == "healthy", "\(health.text)")
      #expect(health["grants"]["missing_scope"] == ["system/Observation.rs"])
      #expect(health["grants"]["since"] != .null && health["state"] == "degraded")
      #expect(watch.events("grant_health").contains { $0.contains("status=degraded") })
      let run = try await watch.stage.daemon.fhirctl(["health", "c", "--history"])
      #expect(run.end == .exited(2), "\(run)")
      #expect(run.output.contains("granted less scope than asked for: system/Observation.rs"), "\(run.output)")
    }
  }

  @Test func `a token endpoint that fails again and again is told, and that it answers again`() async throws {
    try await watched { watch in
      try await watch.stage.server.rule(["path": "/token", "status": 503])
      // The first attempt finds the endpoint out, and counts for the server.
      for _ in 0..<6 {
        try watch.advance(400)
        _ = try await watch.control.call("token.get", ["connection": "c"])
      }
      let health = try await watch.health()["connection_health"].array[0]
      #expect(health["token"]["state"] == "down" && health["token"]["resting_until"] != .null, "\(health.text)")
      #expect(health["token"]["last_error"]["attempts"] == 6)
      #expect(health["grants"]["state"] == "degraded" && health["grants"]["states"] == ["retrying": 1])
      #expect(watch.events("token_endpoint_health").count == 1)
      try await watch.stage.server.dropRules()
      try watch.advance(400)
      _ = try await watch.stage.token("c")
      let well = try await watch.health()["connection_health"].array[0]
      #expect(well["token"]["state"] == "healthy" && well["grants"]["state"] == "healthy", "\(well.text)")
      #expect(watch.events("token_endpoint_health").count == 2)
      #expect(watch.events("grant_health").count == 2)
    }
  }

  @Test func `a grant that needs a login says which command to run`() async throws {
    try await onStage { stage in
      try await stage.createApp("app")
      let report = try await stage.control.result("health.get", ["connection": "app"])
      let health = report["connection_health"].array[0]
      #expect(
        health["grants"]["state"] == "down" && health["grants"]["hint"] == "fhirctl login 'app'", "\(health.text)")
      #expect(health["grants"]["since"] != .null)
      #expect(health["server"]["state"] == "off")
      let check = try await stage.control.call("health.check", ["connection": "app"])
      #expect(code(check) == .validationFailed && check.description.contains("--health"), "\(check)")
    }
  }

  @Test func `the list comes in pages, and history goes with the last connection`() async throws {
    try await watched { watch in
      for name in ["a", "b"] { try await watch.stage.create(name, ["health": ["enabled": false]]) }
      try await watch.check()
      var names: [String] = []
      var cursor: WireJSON = .null
      repeat {
        let more: WireJSON = cursor == .null ? [:] : ["cursor": cursor]
        let page = try await watch.control.result("health.get", more.merging(["limit": 2] as WireJSON))
        names += page["connection_health"].array.compactMap { $0["connection_name"].string }
        cursor = page["next_cursor"]
      } while cursor != .null
      #expect(names.sorted() == ["a", "b", "c"])
      #expect(try await watch.control.result("health.get", ["limit": 0])["connection_health"] == .null)
      #expect(code(try await watch.control.call("health.get", ["history_days": 3])) == .invalidParams)
      // The others point to the same server: its history stays.
      _ = try await watch.control.result("connection.delete", ["connection": "c"])
      #expect(try await watch.health("a", ["history_days": 1])["history"]["days"].array.isEmpty == false)
      for name in ["a", "b"] { _ = try await watch.control.result("connection.delete", ["connection": .string(name)]) }
      try await watch.stage.create("c", ["health": ["enabled": false]])
      let empty = try await watch.health("c", ["history_days": 90])
      #expect(empty["history"]["days"] == [] && empty["history"]["changes"] == [], "\(empty.text)")
    }
  }
}
