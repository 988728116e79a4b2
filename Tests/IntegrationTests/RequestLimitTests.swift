/// How much of a server a connection takes: so many requests at once, so many a second, pauses, turns.
import FHIRControl
import TestSupport
import Testing

@Suite("limits of FHIR requests", .needs(.python3, .daemon, .fhirctl))
struct RequestLimitTests {
  private static func read(_ id: String, _ more: WireJSON = [:]) -> WireJSON {
    let patient: WireJSON = ["connection": "c", "resource_type": "Patient", "id": .string(id)]
    return patient.merging(more)
  }

  private static let refusing: WireJSON = [
    "connection": "c", "method": "POST", "path": "Basic", "body": "{\"resourceType\":\"Basic\"}",
  ]

  private func connected(_ requests: WireJSON = .null, _ play: (Stage) async throws -> Void) async throws {
    try await onStage { stage in
      try await stage.create("c", ["requests": requests])
      _ = try await stage.token("c")
      try await play(stage)
    }
  }

  @Test func `no more requests than allowed are at the server at once`() async throws {
    try await connected(["concurrency": 2]) { stage in
      try await stage.server.rule(["path": "/fhir/Patient/1", "hold": "a"])
      let ids = try await stage.control.begin("fhir.read", Self.read("1"), times: 6)
      _ = try await eventually("two at the server") {
        try await stage.server.inFlight(path: "/fhir/Patient/1") == 2 ? true : nil
      }
      try await stage.server.release("a")
      for id in ids { #expect(try await stage.control.answer(to: id).succeeded) }
      #expect(try await stage.server.stats()["high_water"]["/fhir/Patient/1"] == 2)
      #expect(try await stage.server.count(path: "/fhir/Patient/1") == 6)
    }
  }

  @Test func `eight at once is the limit where nobody has set one`() async throws {
    try await connected { stage in
      try await stage.server.rule(["path": "/fhir/Patient/1", "hold": "a"])
      let ids = try await stage.control.begin("fhir.read", Self.read("1"), times: 12)
      _ = try await eventually("eight at the server") {
        try await stage.server.inFlight(path: "/fhir/Patient/1") == 8 ? true : nil
      }
      try await stage.server.release("a")
      for id in ids { #expect(try await stage.control.answer(to: id).succeeded) }
      #expect(try await stage.server.stats()["high_water"]["/fhir/Patient/1"] == 8)
    }
  }

  @Test func `no more requests a second than allowed are sent, by how many callers ever`() async throws {
    try await connected(["per_second": 10, "burst": 2]) { stage in
      let start = monotonicSeconds()
      let other = try await stage.daemon.connect()
      let mine = try await stage.control.begin("fhir.read", Self.read("1"), times: 7)
      let others = try await other.begin("fhir.read", Self.read("2"), times: 7)
      for id in mine { #expect(try await stage.control.answer(to: id).succeeded) }
      for id in others { #expect(try await other.answer(to: id).succeeded) }
      // Two go at once, and each of the twelve others a tenth of a second after the one before: no machine is faster.
      #expect(monotonicSeconds() - start >= 1.19)
    }
  }

  @Test func `R9.11 a pause that the server asks one caller for holds the others back, too`() async throws {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Basic", "times": 1, "status": 429, "headers": ["Retry-After": "2"], "body": "slow down",
      ])
      let refused = try await stage.control.call("fhir.request", Self.refusing)
      #expect(code(refused) == .fhirRateLimited && refused.error["data"]["retry_after_seconds"] == 2, "\(refused)")
      let other = try await stage.daemon.connect()
      #expect(try await other.call("fhir.read", Self.read("2")).succeeded)
      let first = try #require(try await stage.server.log(path: "/fhir/Basic").last?["at"].double)
      let second = try #require(try await stage.server.log(path: "/fhir/Patient/2").last?["at"].double)
      #expect(second - first >= 2)
    }
  }

  @Test func `R9.11 who has no time for the pause is told so at once, and the server is not asked`() async throws {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Basic", "status": 503, "headers": ["Retry-After": "3600"], "body": "maintenance",
      ])
      let refused = try await stage.control.call("fhir.request", Self.refusing)
      #expect(code(refused) == .serverUnreachable, "\(refused)")
      let held = try await stage.control.call("fhir.read", Self.read("2", ["timeout_seconds": 30]))
      #expect(code(held) == .fhirRateLimited, "\(held)")
      let wait = try #require(held.error["data"]["retry_after_seconds"].double)
      #expect(wait > 3500 && wait <= 3600)
      #expect(held.message?.contains("left alone") == true)
      #expect(try await stage.server.count(path: "/fhir/Patient/2") == 0)
      // The pause is the server's, not the connection's: it may move.
      let moved = try await stage.daemon.fhirctl(["connection", "update", "c", "--url", stage.server.base("e")])
      #expect(moved.succeeded, "\(moved)")
      let there = try await stage.control.call("fhir.read", Self.read("2", ["timeout_seconds": 30]))
      #expect(there.succeeded, "\(there)")
      // Another connection to the same server has a limit of its own.
      try await stage.create("d", tenant: "d")
      #expect(try await stage.control.call("fhir.read", Self.read("2", ["connection": "d"])).succeeded)
    }
  }

  @Test func `R9.11 what the server asks for beyond the call's time is its answer`() async throws {
    try await connected { stage in
      try await stage.server.rule([
        "path": "/fhir/Patient/1", "status": 429, "headers": ["Retry-After": "20"], "body": "slow down",
      ])
      let refused = try await stage.control.call("fhir.read", Self.read("1", ["timeout_seconds": 10]))
      #expect(code(refused) == .fhirRateLimited && refused.error["data"]["retry_after_seconds"] == 20, "\(refused)")
      #expect(try await stage.server.count(path: "/fhir/Patient/1") == 1)
    }
  }

  @Test func `callers take turns: whoever wants much does not starve whoever wants little`() async throws {
    try await connected(["concurrency": 1]) { stage in
      try await stage.server.rule(["path": "/fhir/Patient/many", "delay": 0.4])
      let greedy = try await stage.daemon.connect()
      _ = try await greedy.begin("fhir.read", Self.read("many"), times: 100)
      _ = try await eventually("the first is at the server") {
        try await stage.server.count(path: "/fhir/Patient/many") > 0 ? true : nil
      }
      // Another process, and so another caller.
      let modest = try await stage.daemon.fhirctl(["fhir", "read", "c", "Patient/2"], within: 60)
      #expect(modest.succeeded, "\(modest)")
      #expect(try await stage.server.count(path: "/fhir/Patient/many") < 100)
      greedy.close()
    }
  }

  @Test func `whoever leaves gives up its place in the queue and at the server`() async throws {
    try await connected(["concurrency": 1]) { stage in
      try await stage.server.rule(["path": "/fhir/Patient/1", "hang": true])
      let gone = try await stage.daemon.connect()
      _ = try await gone.begin("fhir.read", Self.read("1"), times: 100)
      _ = try await eventually("one at the server") {
        try await stage.server.inFlight(path: "/fhir/Patient/1") == 1 ? true : nil
      }
      gone.close()
      #expect(try await stage.control.call("fhir.read", Self.read("2")).succeeded)
      // One may be let through while the daemon is on its way to tell it that its caller left.
      #expect(try await stage.server.count(path: "/fhir/Patient/1") <= 5)
      _ = try await eventually("the server sees the end of the transfer") {
        try await stage.server.log(path: "/fhir/Patient/1").last?["outcome"] == "the client went away" ? true : nil
      }
    }
  }

  @Test func `limits that are none are told apart, and a change counts at once`() async throws {
    try await onStage { stage in
      let bad = try await stage.control.call(
        "connection.create",
        stage.connection(
          "c",
          [
            "requests": ["per_second": 0, "burst": 0, "concurrency": 1000], "search_method": "put",
            "sends_fhir_version": true,
          ]))
      #expect(code(bad) == .validationFailed)
      let fields = Set(bad.error["data"]["fields"].array.compactMap { $0["field"].string })
      #expect(
        fields == [
          "requests.per_second", "requests.burst", "requests.concurrency", "search_method", "sends_fhir_version",
        ])
      let unknown = try await stage.control.call("connection.create", stage.connection("c", ["requests": ["speed": 1]]))
      #expect(code(unknown) == .invalidParams && unknown.message?.contains("requests.speed") == true, "\(unknown)")
      let lonely = try await stage.control.call("connection.create", stage.connection("c", ["requests": ["burst": 2]]))
      #expect(lonely.error["data"]["fields"][0]["message"] == "needs requests.per_second", "\(lonely)")
      try await stage.create("c", ["requests": ["concurrency": 1]])
      try await stage.server.rule(["path": "/fhir/Patient/1", "hold": "a"])
      let ids = try await stage.control.begin("fhir.read", Self.read("1"), times: 3)
      _ = try await eventually("one at the server") {
        try await stage.server.inFlight(path: "/fhir/Patient/1") == 1 ? true : nil
      }
      let changed = try await stage.daemon.fhirctl(["connection", "update", "c", "--requests-concurrency", "3"])
      #expect(changed.succeeded, "\(changed)")
      let more = try await stage.control.begin("fhir.read", Self.read("1"))
      _ = try await eventually("three at the server") {
        try await stage.server.inFlight(path: "/fhir/Patient/1") == 3 ? true : nil
      }
      try await stage.server.release("a")
      for id in ids + [more] { #expect(try await stage.control.answer(to: id).succeeded) }
      #expect(try await stage.server.stats()["high_water"]["/fhir/Patient/1"] == 3)
    }
  }
}
