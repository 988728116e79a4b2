/// Deadlines, health, globs, gates and redaction: the pure parts of the core, driven by events.
import FHIRControl
import SMARTProtocol
import Testing

@testable import ConnectionCore

private func at(_ seconds: Int64) -> Instant { Instant(milliseconds: seconds * 1000) }

@Suite struct DeadlinePlannerTests {
  @Test func `a hundred thousand deadlines come out in order, moved and removed ones where they belong`() {
    var planner = DeadlinePlanner<Int>()
    var random = SystemRandomNumberGenerator()
    var expected: [Int: Int64] = [:]
    for key in 0..<100_000 {
      let moment = Int64.random(in: 0...1_000_000, using: &random)
      planner.set(key, at: Instant(milliseconds: moment))
      expected[key] = moment
    }
    for key in stride(from: 0, to: 100_000, by: 3) {
      planner.set(key, at: nil)
      expected[key] = nil
    }
    for key in stride(from: 1, to: 100_000, by: 3) {
      let moment = Int64.random(in: 0...1_000_000, using: &random)
      planner.set(key, at: Instant(milliseconds: moment))
      expected[key] = moment
    }
    #expect(planner.count == expected.count)
    var last: Int64 = -1
    var seen = 0
    while let next = planner.next {
      let (keys, _) = planner.due(at: next, limit: 7)
      #expect(!keys.isEmpty)
      for key in keys {
        #expect(expected[key] == next.milliseconds || expected[key] ?? -1 >= last)
        seen += 1
      }
      #expect(next.milliseconds >= last)
      last = next.milliseconds
    }
    #expect(seen == expected.count)
  }

  @Test func `what is not due stays, and says when`() {
    var planner = DeadlinePlanner<String>()
    planner.set("a", at: at(10))
    planner.set("b", at: at(20))
    let (keys, next) = planner.due(at: at(15), limit: 10)
    #expect(keys == ["a"])
    #expect(next == at(20))
    #expect(planner.deadline(of: "a") == nil)
    #expect(planner.deadline(of: "b") == at(20))
  }
}

@Suite struct HealthMachineTests {
  @Test func `the first result counts at once, a change only after three equal ones`() {
    var machine = HealthMachine()
    #expect(machine.probed(.healthy(latency: .milliseconds(5)), at: at(0)) == .unknown)
    #expect(machine.probed(.down(detail: "refused"), at: at(1)) == nil)
    #expect(machine.probed(.down(detail: "refused"), at: at(2)) == nil)
    #expect(machine.state == .healthy)
    #expect(machine.probed(.down(detail: "refused"), at: at(3)) == .healthy)
    #expect(machine.state == .down)
    #expect(machine.since == at(3))
  }

  @Test func `a flapping server does not change its state`() {
    var machine = HealthMachine()
    _ = machine.probed(.healthy(latency: .zero), at: at(0))
    for second in 1...60 {
      let result: ProbeResult = second % 3 == 0 ? .healthy(latency: .zero) : .down(detail: "x")
      #expect(machine.probed(result, at: at(Int64(second))) == nil)
    }
    #expect(machine.state == .healthy)
  }

  @Test func `a server that is settled is asked at its interval, an unsettled one sooner`() {
    var machine = HealthMachine()
    _ = machine.probed(.healthy(latency: .zero), at: at(0))
    let settled = machine.wait(interval: .seconds(300), chance: 0.5)
    #expect(settled >= .seconds(270) && settled <= .seconds(330))
    _ = machine.probed(.down(detail: "x"), at: at(1))
    #expect(machine.wait(interval: .seconds(300), chance: 0.5) < .seconds(100))
    #expect(machine.wait(interval: .seconds(10), chance: 0) >= HealthMachine.shortestWait)
  }
}

@Suite struct HealthProbeTests {
  @Test(arguments: [
    (200, "healthy"), (304, "healthy"), (401, "healthy"), (404, "healthy"), (408, "degraded"), (429, "degraded"),
    (500, "degraded"), (503, "degraded"),
  ])
  func `whatever a working server thinks of the request, it works`(status: Int, state: String) {
    #expect(HealthProbe.server(status, latency: .zero).state.rawValue == state)
  }

  private func discovered(_ source: DiscoverySource) -> DiscoveryRecord {
    DiscoveryRecord(
      fhirBaseURL: "https://h/R4", endpoints: ["token_url": Endpoint(url: "https://a/t", source: source.rawValue)],
      findings: [], discoveredAt: Timestamp(milliseconds: 0))
  }

  @Test func `the probe asks for what the server is known to have, and never searches`() {
    func document(_ discovery: DiscoveryRecord?, usesTokens: Bool = true, lacksSMART: Bool = false) -> ProbeDocument {
      HealthProbe.choice(discovery: discovery, usesTokens: usesTokens, lacksSMART: lacksSMART).document
    }
    #expect(document(discovered(.smartConfiguration)) == .smartConfiguration)
    #expect(document(discovered(.smartConfiguration), lacksSMART: true) == .smartConfiguration)
    #expect(document(discovered(.capabilityStatement)) == .capabilityStatement)
    #expect(document(discovered(.configured)) == .capabilityStatement)
    #expect(document(nil) == .smartConfiguration)
    #expect(document(nil, lacksSMART: true) == .capabilityStatement)
    #expect(document(nil, usesTokens: false) == .capabilityStatement)
  }

  @Test func `only what was declared is missed`() {
    #expect(
      HealthProbe.choice(discovery: discovered(.smartConfiguration), usesTokens: true, lacksSMART: false).isDeclared)
    #expect(!HealthProbe.choice(discovery: nil, usesTokens: true, lacksSMART: false).isDeclared)
  }
}

@Suite struct GlobTests {
  @Test(arguments: [
    ("*", "", true), ("*", "anything", true), ("lab*", "lab", true), ("lab*", "labor", true), ("lab*", "alab", false),
    ("*.service", "a.service", true), ("*.service", "a.socket", false), ("a*b*c", "axxbyyc", true),
    ("a*b*c", "axxbyy", false), ("token.*", "token.get", true), ("token.*", "tokenxget", false),
    ("epic", "Epic", false),
  ])
  func `a star stands for any text, everything else for itself`(pattern: String, text: String, matches: Bool) throws {
    #expect(try #require(Glob(pattern)).matches(text) == matches)
  }

  @Test func `a pattern full of stars ends soon on a long text`() throws {
    let glob = try #require(Glob(String(repeating: "*a", count: 100)))
    #expect(!glob.matches(String(repeating: "a", count: 5000) + "b"))
  }

  @Test func `an empty or endless pattern is none`() {
    #expect(Glob("") == nil)
    #expect(Glob(String(repeating: "x", count: Glob.bytesMax + 1)) == nil)
  }
}

@Suite struct EndpointGatesTests {
  private func key(_ n: UInt8) throws -> GrantKey { try #require(GrantKey(bytes: [UInt8](repeating: n, count: 32))) }

  @Test func `one endpoint gets no more than its share, and who waits comes next, callers first`() throws {
    var gates = EndpointGates(perEndpointMax: 2, totalMax: 10)
    #expect(gates.enter("a", try key(1), urgent: false, at: at(0)) == .admitted)
    #expect(gates.enter("a", try key(2), urgent: false, at: at(0)) == .admitted)
    #expect(gates.enter("a", try key(3), urgent: false, at: at(0)) == .queued)
    #expect(gates.enter("a", try key(4), urgent: true, at: at(0)) == .queued)
    #expect(gates.enter("b", try key(5), urgent: false, at: at(0)) == .admitted)
    #expect(gates.left("a", .answered, at: at(1), chance: 0) == [try key(4)])
    #expect(gates.enter("a", try key(4), urgent: true, at: at(1)) == .admitted)
    #expect(gates.left("a", .answered, at: at(2), chance: 0) == [try key(3)])
  }

  @Test func `an endpoint that fails again and again is left alone, and those who wait hear of it`() throws {
    var gates = EndpointGates(perEndpointMax: 1, totalMax: 10)
    var now: Int64 = 0
    for _ in 0..<Breaker.failuresMax {
      #expect(gates.enter("a", try key(1), urgent: false, at: at(now)) == .admitted)
      _ = gates.left("a", .failed, at: at(now), chance: 0)
      now += 1
    }
    guard case .closed(let until) = gates.enter("a", try key(2), urgent: false, at: at(now)) else {
      Issue.record("it is asked on")
      return
    }
    #expect(until > at(now))
    #expect(gates.enter("b", try key(3), urgent: false, at: at(now)) == .admitted)
    #expect(gates.enter("a", try key(2), urgent: false, at: until + .seconds(1)) == .admitted)
  }
}

@Suite struct RedactionTests {
  private final class Plain: SecretStorage {
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { bytes.withUnsafeBytes { body($0) } }
  }
  private func secret(_ text: String) -> SharedSecret {
    SharedSecret(SecretBytes(storage: Plain(Array(text.utf8)), count: text.utf8.count))
  }

  @Test func `a server that repeats the secret does not bring it into an error`() {
    let redaction = Redaction([secret("s3cret-of-ours"), secret("c2VjcmV0")])
    let error = redaction.clean(
      ControlError(
        .invalidClient, "unknown client s3cret-of-ours", detail: "Basic c2VjcmV0", hint: "s3cret-of-ours",
        oauth: OAuthErrorBody(error: "invalid_client", errorDescription: "got s3cret-of-ours!", errorURI: nil)))
    #expect(error.message == "unknown client [secret]")
    #expect(error.data.detail == "Basic [secret]")
    #expect(error.data.oauth?.errorDescription == "got [secret]!")
    #expect(error.data.oauth?.error == "invalid_client")
  }

  @Test func `a secret that the end of a text cuts off is taken out as well`() {
    let redaction = Redaction([secret("s3cret-of-ours")])
    #expect(redaction.clean("got s3cret-o") == "got [secret]")
    #expect(redaction.clean("s3cret is a word, ours too") == "s3cret is a word, ours too")
  }
}
