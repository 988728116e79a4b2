/// Every method of the control protocol: one case, one function, one answer. The hot path has taken what it could.
package import FHIRControl
import FoundationEssentials
package import SMARTProtocol

package struct Commands: CommandHandler {
  package struct About: Sendable {
    package var version: String
    package var pid: Int32
    package var startedAt: Timestamp
    package init(version: String, pid: Int32, startedAt: Timestamp) {
      self.version = version
      self.pid = pid
      self.startedAt = startedAt
    }
  }

  let engine: Engine
  let directory: Directory
  let health: any HealthSource
  let tester: ConnectionTester
  let authorizer: Authorizer
  let gates: RequestGates
  let store: any StoreMaintenance
  let signer: any ClientSigner
  let clock: any Clock
  let entropy: any Entropy
  let log: any EventLog
  let about: About
  /// Settings that can change while the daemon runs.
  let settings: any SettingsSource

  package init(
    engine: Engine, directory: Directory, health: any HealthSource, tester: ConnectionTester,
    authorizer: Authorizer, store: any StoreMaintenance, signer: any ClientSigner, clock: any Clock,
    entropy: any Entropy, log: any EventLog,
    about: About,
    settings: any SettingsSource
  ) {
    self.engine = engine
    self.directory = directory
    self.health = health
    self.tester = tester
    self.authorizer = authorizer
    gates = RequestGates(clock: clock)
    self.store = store
    self.signer = signer
    self.clock = clock
    self.entropy = entropy
    self.log = log
    self.about = about
    self.settings = settings
  }

  var ledger: Ledger { directory.ledger }

  package func result(of call: ControlCall) async throws(ControlError) -> [UInt8] {
    do {
      switch call.method {
      case .connectionCreate: return try await encoded(createConnection(decode(call), call.caller))
      case .connectionList: return try await encoded(listConnections(decode(call), call.caller))
      case .connectionGet: return try await encoded(getConnection(decode(call), call.caller))
      case .connectionUpdate: return try await encoded(updateConnection(decode(call), call.caller))
      case .connectionDelete: return try await encoded(deleteConnection(decode(call), call.caller))
      case .connectionTest: return try await encoded(testConnection(decode(call), call.caller))
      case .connectionSchema: return try await schema(decode(call), call.caller)
      case .connectionRegister: return try await encoded(registerClient(decode(call), call.caller))
      case .tokenGet: return try await getToken(decode(call), call.caller)
      case .tokenStatus: return try await encoded(tokenStatus(decode(call), call.caller))
      case .tokenList: return try await encoded(listGrants(decode(call), call.caller))
      case .tokenRefresh: return try await encoded(refreshToken(decode(call), call.caller))
      case .tokenRevoke: return try await encoded(revokeToken(decode(call), call.caller))
      case .tokenIntrospect: return try await encoded(introspectToken(decode(call), call.caller))
      case .authorizationStart: return try await encoded(startLogin(decode(call), call.caller))
      case .authorizationComplete: return try await encoded(completeLogin(decode(call), call.caller))
      case .authorizationStatus: return try await encoded(loginStatus(decode(call), call.caller))
      case .authorizationCancel: return try await encoded(cancelLogin(decode(call), call.caller))
      case .fhirRead: return try await read(decode(call), call)
      case .fhirSearch: return try await search(decode(call), call)
      case .fhirRequest: return try await request(decode(call), call)
      case .keyCreate: return try await encoded(createKey(decode(call), call.caller))
      case .keyRotate: return try await encoded(rotateKey(decode(call), call.caller))
      case .keyList: return try await encoded(listKeys(decode(call), call.caller))
      case .jwksGet: return try await encoded(jwks(decode(call), call.caller))
      case .healthGet: return try await encoded(getHealth(decode(call), call.caller))
      case .healthCheck: return try await encoded(checkHealth(decode(call), call.caller))
      case .accessList: return try encoded(listRules(decode(call), call.caller))
      case .accessGrant: return try await encoded(grantRule(decode(call), call.caller))
      case .accessRevoke: return try await encoded(revokeRule(decode(call), call.caller))
      case .storeCompact: return try await encoded(compactStore(decode(call), call.caller))
      case .serverInfo: return try encoded(serverInfo(decode(call), call.caller))
      }
    } catch {
      if error.data.code == .accessDenied {
        log.record(
          .warning, "a caller was refused",
          [.event: "access_denied", .method: call.method.rawValue, .caller: error.data.detail])
      }
      throw error
    }
  }

  private func decode<P: ControlParameters>(_ call: ControlCall) throws(ControlError) -> P {
    // Whoever has no access at all learns nothing, not even what the parameters are called.
    _ = try directory.require(call.method, call.caller)
    return try ParameterDecoding.decode(P.self, from: call.parameters)
  }

  func encoded(_ value: some Encodable) throws(ControlError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return Array(try encoder.encode(value)) } catch {
      throw ControlError(
        .internalError, "the answer could not be encoded", hint: "report this with the journal's entries")
    }
  }

  func read<R>(_ body: () throws(LedgerError) -> R) throws(ControlError) -> R {
    do { return try body() } catch { throw ControlError(error) }
  }

  // MARK: server

  private func serverInfo(_: NoParameters, _ caller: Caller) throws(ControlError) -> ServerInfo {
    ServerInfo(
      name: "fhird", version: about.version, protocolVersion: 1, pid: about.pid, startedAt: about.startedAt,
      methods: ControlMethod.allCases.map(\.rawValue), caller: directory.identity(of: caller),
      warnings: settings.current.warnings)
  }
}

/// Settings that a reload can change.
package struct Settings: Sendable, Equatable {
  package var allowInsecureLoopback: Bool
  package var connectTimeout: Instant.Span
  package var requestTimeout: Instant.Span
  package var responseBytesMax: Int
  package var capabilityLifetime: Instant.Span
  package var healthInterval: Instant.Span
  /// Where browsers reach the gateway after a login; nil: there is no gateway.
  package var callbackURL: String?
  /// Where servers fetch the public keys; nil: there is no gateway.
  package var keySetURL: String?
  package init(
    allowInsecureLoopback: Bool, connectTimeout: Instant.Span, requestTimeout: Instant.Span, responseBytesMax: Int,
    capabilityLifetime: Instant.Span, healthInterval: Instant.Span, callbackURL: String? = nil, keySetURL: String? = nil
  ) {
    self.keySetURL = keySetURL
    self.allowInsecureLoopback = allowInsecureLoopback
    self.connectTimeout = connectTimeout
    self.requestTimeout = requestTimeout
    self.responseBytesMax = responseBytesMax
    self.capabilityLifetime = capabilityLifetime
    self.healthInterval = healthInterval
    self.callbackURL = callbackURL
  }

  /// Shown in every status.
  package var warnings: [String] {
    allowInsecureLoopback
      ? ["http:// to loopback addresses is allowed (FHIRD_ALLOW_INSECURE_LOOPBACK): for tests only"] : []
  }
}

package protocol SettingsSource: Sendable {
  var current: Settings { get }
}
