/// Answers as a daemon gives them, made from the same types.
import FHIRControl
import Foundation

enum Samples {
  static func json(_ value: some Encodable) -> String {
    guard let data = try? JSONEncoder().encode(value) else { preconditionFailure("a sample that is no JSON") }
    return String(decoding: data, as: UTF8.self)
  }

  static func fromNow(_ seconds: Double) -> Timestamp {
    Timestamp(milliseconds: Int64((Date().timeIntervalSince1970 + seconds) * 1000))
  }

  static func connection(
    _ name: String, state: GrantState = .active, health: HealthState = .healthy, error: LastError? = nil,
    url: String = "https://fhir.example.org/R4"
  ) -> ConnectionSummary {
    var fields = ConnectionFields()
    fields.connectionName = name
    fields.fhirBaseURL = url
    fields.authMethod = "client_credentials"
    fields.clientID = "abc"
    fields.labels = ["ward": "7"]
    fields.refresh = RefreshFields(mode: "ahead", marginSeconds: 60)
    var token = TokenStatus(
      state: state, isAuthenticated: state == .active, refreshUnderWay: false, generation: 3)
    token.tokenExpiresAt = fromNow(290)
    token.nextRefreshAt = fromNow(200)
    token.scope = "system/*.rs"
    token.lastError = error
    var server = ServerHealth(state: health)
    server.since = fromNow(-7300)
    server.latencyMilliseconds = 12.34
    return ConnectionSummary(
      id: "0b8f8a4e-5c6e-4f0b-9f43-aaaaaaaaaaaa", generation: 5, fields: fields, hasClientSecret: true,
      createdAt: fromNow(-90_000), updatedAt: fromNow(-4000),
      endpoints: ["token_url": Endpoint(url: "https://as.example.org/token", source: "smart-configuration")],
      findings: ["grant_types_supported is missing"], token: token, serverHealth: server, grants: 2)
  }

  static func page(_ connections: ConnectionSummary...) -> String {
    json(ConnectionPage(connections: connections))
  }

  static let health = HealthReport(
    state: "degraded", version: "0.1.0", startedAt: fromNow(-7300),
    components: [
      ComponentHealth(name: "engine", state: "ok"),
      ComponentHealth(name: "store", state: "degraded", detail: "the disk is nearly full"),
    ], connections: 2, grants: 3, servers: ["healthy": 1, "down": 1], refreshesUnderWay: 1, server: nil,
    warnings: ["http:// to loopback is allowed"])

  static func connectionHealth(
    _ name: String, server state: HealthState = .healthy, grants: HealthState = .degraded
  ) -> ConnectionHealth {
    var server = ServerHealth(state: state)
    server.since = fromNow(-7300)
    server.reason = state == .down ? "connection refused" : nil
    var metadata = MetadataHealth(state: .healthy)
    metadata.document = "smart-configuration"
    metadata.documentChoice = "discovery found it"
    var token = TokenHealth(state: .healthy)
    token.lastObtainedAt = fromNow(-60)
    var all = GrantsHealth(state: grants, states: ["active": 1, "degraded": 1])
    if grants != .healthy {
      all.reason = "granted less scope than asked for: system/Observation.rs"
      all.hint = "fhirctl token list '\(name)'"
    }
    return ConnectionHealth(
      id: "0b8f8a4e-5c6e-4f0b-9f43-aaaaaaaaaaaa", connectionName: name, server: server, metadata: metadata,
      token: token, grants: all)
  }

  static let history = ServerHistory(
    days: [
      HealthDay(
        day: "2026-11-25", probes: 288, healthySeconds: 80_000, degradedSeconds: 0, downSeconds: 6400,
        maintenanceSeconds: 0, latency: .init(min: 3, mean: 5, max: 9))
    ],
    changes: [
      HealthChange(
        at: fromNow(-7300), what: "server", from: .healthy, to: .down, reason: "connection refused")
    ], changesDropped: 4)

  static let token =
    #"{"access_token":"at-s3cret","token_type":"bearer","expires_at":"2099-01-01T00:00:00Z","expires_in":600,"#
    + #""scope":"system/*.rs","fhir_base_url":"https://fhir.example.org/R4","context":{"patient":"p1"}}"#

  static let rule = AccessRule(
    id: "7", principal: .user("lab"), methods: ["token.get"], connections: ["epic"], subjects: [], note: "nightly",
    createdAt: fromNow(-300))

  static let info = ServerInfo(
    name: "fhird", version: "0.1.0", protocolVersion: 1, pid: 4711, startedAt: fromNow(-300),
    methods: ["server.info", "token.get"],
    caller: CallerIdentity(uid: 1000, gid: 1000, pid: 99, user: "lab", groups: ["lab", "wheel"], unit: "lab.service"),
    warnings: ["http:// to loopback is allowed"])

  static let test = ConnectionTestResult(
    connectionName: "epic", fhirBaseURL: "https://fhir.example.org/R4",
    steps: [
      TestStep(name: "resolve", outcome: "passed", milliseconds: 1.25, detail: "192.0.2.1"),
      TestStep(name: "token", outcome: "failed", milliseconds: 250.4, detail: "invalid_client"),
      TestStep(name: "authorized_read", outcome: "skipped", milliseconds: 0, detail: "no token"),
    ])
}

func object(_ json: String) throws -> [String: Any]? {
  try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
}
