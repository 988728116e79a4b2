/// The stage of an integration test: a scripted server, a daemon of its own, a client connection; all gone afterwards.
import FHIRControl
import TestSupport
import Testing

/// What a suite needs of the machine. In continuous integration nothing is skipped: what is missing fails.
enum Need: String, Sendable {
  case python3 = "python3"
  case daemon = "the built fhird (swift build; or FHIRD_BIN)"
  case fhirctl = "the built fhirctl (swift build; or FHIRCTL_BIN)"
  case gateway = "the built fhird-gateway (swift build; or FHIRD_GATEWAY_BIN)"
  case root = "root, to change users and mount file systems"
  case compiler = "a C compiler, for Tests/ClockShim"
  case bash = "bash, for Tests/Peers"
  case packages = "root, or the Debian packages of Tests/Peers (glewlwyd nginx libnginx-mod-http-js sqlite3)"
  case setpriv = "setpriv (util-linux)"

  var isMet: Bool {
    switch self {
    case .python3: TestMachine.python3 != nil
    case .daemon: TestMachine.fhird != nil
    case .fhirctl: TestMachine.fhirctl != nil
    case .gateway: TestMachine.gateway != nil
    case .root: TestMachine.isRoot
    case .compiler: TestMachine.cCompiler != nil
    case .bash: TestMachine.program("bash") != nil
    case .packages:
      TestMachine.isRoot || (TestMachine.program("glewlwyd") != nil && TestMachine.program("nginx") != nil)
    case .setpriv: TestMachine.setpriv != nil
    }
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips with the reason where something is missing; in CI it runs, and fails by itself.
  static func needs(_ needs: Need...) -> Self {
    let missing = needs.filter { !$0.isMet }.map(\.rawValue).joined(separator: "; ")
    return .enabled(if: missing.isEmpty || TestMachine.isCI, "SKIPPED: this machine lacks \(missing)")
  }
}

/// Lets a few tests have their processes at a time: more would only measure each other.
private actor Slots {
  static let shared = Slots(count: TestMachine.environment("FHIRD_TEST_PARALLEL").flatMap(Int.init) ?? 4)

  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []
  private var patient: [CheckedContinuation<Void, Never>] = []
  init(count: Int) { free = max(1, count) }

  func take(isPatient: Bool) async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { if isPatient { patient.append($0) } else { waiting.append($0) } }
    }
  }

  func give() {
    if !waiting.isEmpty {
      waiting.removeFirst().resume()
    } else if !patient.isEmpty {
      patient.removeFirst().resume()
    } else {
      free += 1
    }
  }
}

/// Takes one of the few slots for as long as `body` runs.
/// - Parameter isPatient: everybody else goes first: dozens of small tests would use up the time limits of those behind.
func withSlot(isPatient: Bool = false, _ body: () async throws -> Void) async throws {
  await Slots.shared.take(isPatient: isPatient)
  do {
    try await body()
    await Slots.shared.give()
  } catch {
    await Slots.shared.give()
    throw error
  }
}

struct Stage: Sendable {
  static let clientID = "test-client"
  static let clientSecret = "a-client-secret-of-the-tests"

  let server: ScriptedServer
  let daemon: DaemonUnderTest
  let control: ControlConnection

  /// Creates a connection to the scripted server: client credentials, refreshed on demand, no health probes, so that
  /// every request on the wire is one that the test caused. `fields` go on top; a null takes one away.
  @discardableResult
  func create(_ name: String, tenant: String = "", _ fields: WireJSON = [:]) async throws -> WireJSON {
    try await control.result("connection.create", connection(name, tenant: tenant, fields))
  }

  func connection(_ name: String, tenant: String = "", _ fields: WireJSON = [:]) -> WireJSON {
    let all: WireJSON = [
      "connection_name": .string(name), "fhir_base_url": .string(server.base(tenant)),
      "auth_method": "client_credentials", "client_authentication": "client_secret_basic",
      "client_id": .string(Self.clientID), "client_secret": .string(Self.clientSecret), "scope": "system/*.rs",
      "refresh": ["mode": "on_demand", "min_interval_seconds": 1], "health": ["enabled": false],
    ]
    return .object(all.merging(fields).object.filter { $0.value != .null })
  }

  func token(_ name: String, _ more: WireJSON = [:]) async throws -> String {
    let named: WireJSON = ["connection": .string(name)]
    let result = try await control.result("token.get", named.merging(more))
    return try #require(result["access_token"].string)
  }

  func status(_ name: String) async throws -> WireJSON {
    try await control.result("token.status", ["connection": .string(name)])
  }

  /// Waits until the grant is in one of these states.
  @discardableResult
  func status(_ name: String, becomes states: GrantState..., within seconds: Double = 20) async throws -> WireJSON {
    try await eventually("state \(states.map(\.rawValue)) of \(name)", within: seconds) {
      let status = try await self.status(name)
      return states.contains { $0.rawValue == status["state"].string } ? status : nil
    }
  }
}

/// Sets the stage, plays, and clears it whatever happened. A test that throws shows the daemon's last words.
func onStage(
  isPatient: Bool = false, _ change: @Sendable (inout DaemonUnderTest.Options) -> Void = { _ in },
  _ play: (Stage) async throws -> Void
) async throws {
  try await withSlot(isPatient: isPatient) {
    let server = try await ScriptedServer.start()
    defer { server.stop() }
    var options = DaemonUnderTest.Options()
    change(&options)
    let daemon = try DaemonUnderTest(options)
    do {
      try await server.register(client: Stage.clientID, secret: Stage.clientSecret)
      try await daemon.start()
      try await play(Stage(server: server, daemon: daemon, control: try await daemon.connect()))
    } catch {
      let tail = daemon.tail
      await daemon.cleanUp()
      Issue.record("the daemon's last words: \(tail)")
      throw error
    }
    await daemon.cleanUp()
  }
}

/// The code of an error, for comparisons that read well.
func code(_ answer: Answer) -> ErrorCode? { answer.code.flatMap(ErrorCode.init(rawValue:)) }
