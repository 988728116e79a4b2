/// What the daemon answers about connections.

/// An endpoint and where the daemon has it from: `configured`, `smart-configuration`, `oauth-metadata`,
/// `openid-configuration` or `capability-statement`.
public struct Endpoint: Codable, Sendable, Hashable {
  public var url: String
  public var source: String
  public init(url: String, source: String) {
    self.url = url
    self.source = source
  }
}

/// The state of a grant, as one word.
public enum GrantState: String, Codable, Sendable, CaseIterable {
  /// An open server: there is nothing to obtain.
  case open
  /// No token yet.
  case new
  /// A valid token.
  case active
  /// A valid token with less scope than asked for.
  case degraded
  /// The token has expired and nothing is under way.
  case expired
  /// The last attempt failed; another comes at `next_refresh_at`.
  case retrying
  /// The server refuses the client itself: the configuration must change.
  case misconfigured
  /// The server ended the grant: a person must log in again.
  case needsLogin = "needs_login"
  /// The stored record does not open.
  case unreadable
}

/// The last thing that went wrong with a grant; gone after the next success.
public struct LastError: Codable, Sendable, Hashable {
  public var code: ErrorCode
  public var message: String
  public var at: Timestamp
  /// How many attempts in a row have failed.
  public var attempts: Int
  public init(code: ErrorCode, message: String, at: Timestamp, attempts: Int) {
    self.code = code
    self.message = message
    self.at = at
    self.attempts = attempts
  }
}

/// `token.status`, and part of every connection's summary. Never holds a secret.
public struct TokenStatus: Codable, Sendable, Hashable {
  public var subject: String?
  public var state: GrantState
  public var isAuthenticated: Bool
  public var tokenExpiresAt: Timestamp?
  public var expiresIn: Double?
  public var obtainedAt: Timestamp?
  public var nextRefreshAt: Timestamp?
  public var refreshUnderWay: Bool
  public var scope: String?
  /// What was asked for and not granted.
  public var missingScope: [String]?
  /// What was odd about the server's last token response; nothing that hinders.
  public var findings: [String]?
  public var generation: UInt64
  public var lastError: LastError?
  /// For logins: whether the grant renews itself.
  public var hasRefreshToken: Bool?
  /// When a person logged in.
  public var authorizedAt: Timestamp?
  /// What became of the login's `id_token`: `verified`, or `unverified: ` and why.
  public var identity: String?
  /// What the server does with a refresh token that was used: `unknown`, `kept`, `rotated`.
  public var rotation: String?
  /// Refreshes in a row whose reply was lost.
  public var lostReplies: Int?
  /// What to do, where a person must.
  public var hint: String?

  public init(state: GrantState, isAuthenticated: Bool, refreshUnderWay: Bool, generation: UInt64) {
    self.state = state
    self.isAuthenticated = isAuthenticated
    self.refreshUnderWay = refreshUnderWay
    self.generation = generation
  }

  enum CodingKeys: String, CodingKey {
    case subject, state, scope, generation, rotation, hint, identity, findings
    case hasRefreshToken = "has_refresh_token"
    case authorizedAt = "authorized_at"
    case lostReplies = "lost_replies"
    case isAuthenticated = "is_authenticated"
    case tokenExpiresAt = "token_expires_at"
    case expiresIn = "expires_in"
    case obtainedAt = "obtained_at"
    case nextRefreshAt = "next_refresh_at"
    case refreshUnderWay = "refresh_under_way"
    case missingScope = "missing_scope"
    case lastError = "last_error"
  }
}

/// A connection without its secrets, with the state of its default grant and of its server.
public struct ConnectionSummary: Codable, Sendable, Hashable {
  public var id: String
  public var generation: UInt64
  public var fields: ConnectionFields
  public var hasClientSecret: Bool
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  /// By field name: `token_url`, `auth_url`, `revocation_url`, `introspection_url`; discovered or configured.
  public var endpoints: [String: Endpoint]
  /// What discovery found wanting; never fatal by itself.
  public var findings: [String]?
  public var isAuthenticated: Bool
  public var tokenExpiresAt: Timestamp?
  public var token: TokenStatus
  public var serverHealth: ServerHealth
  /// Grants under the connection, the default one included.
  public var grants: Int

  public init(
    id: String, generation: UInt64, fields: ConnectionFields, hasClientSecret: Bool, createdAt: Timestamp,
    updatedAt: Timestamp, endpoints: [String: Endpoint], findings: [String]?, token: TokenStatus,
    serverHealth: ServerHealth, grants: Int
  ) {
    self.id = id
    self.generation = generation
    self.fields = fields
    self.fields.clientSecret = nil
    self.hasClientSecret = hasClientSecret
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.endpoints = endpoints
    self.findings = findings
    self.token = token
    self.isAuthenticated = token.isAuthenticated
    self.tokenExpiresAt = token.tokenExpiresAt
    self.serverHealth = serverHealth
    self.grants = grants
  }

  enum CodingKeys: String, CodingKey {
    case id, generation, endpoints, findings, token, grants
    case hasClientSecret = "has_client_secret"
    case createdAt = "created_at"
    case updatedAt = "updated_at"
    case isAuthenticated = "is_authenticated"
    case tokenExpiresAt = "token_expires_at"
    case serverHealth = "server_health"
  }

  /// The fields stand beside the rest, as in the earlier interface.
  public init(from decoder: any Decoder) throws {
    let c = try decoder.container(keyedBy: CodingKeys.self)
    id = try c.decode(String.self, forKey: .id)
    generation = try c.decode(UInt64.self, forKey: .generation)
    fields = try ConnectionFields(from: decoder)
    hasClientSecret = try c.decode(Bool.self, forKey: .hasClientSecret)
    createdAt = try c.decode(Timestamp.self, forKey: .createdAt)
    updatedAt = try c.decode(Timestamp.self, forKey: .updatedAt)
    endpoints = try c.decode([String: Endpoint].self, forKey: .endpoints)
    findings = try c.decodeIfPresent([String].self, forKey: .findings)
    isAuthenticated = try c.decode(Bool.self, forKey: .isAuthenticated)
    tokenExpiresAt = try c.decodeIfPresent(Timestamp.self, forKey: .tokenExpiresAt)
    token = try c.decode(TokenStatus.self, forKey: .token)
    serverHealth = try c.decode(ServerHealth.self, forKey: .serverHealth)
    grants = try c.decode(Int.self, forKey: .grants)
  }

  public func encode(to encoder: any Encoder) throws {
    try fields.encode(to: encoder)
    var c = encoder.container(keyedBy: CodingKeys.self)
    try c.encode(id, forKey: .id)
    try c.encode(generation, forKey: .generation)
    try c.encode(hasClientSecret, forKey: .hasClientSecret)
    try c.encode(createdAt, forKey: .createdAt)
    try c.encode(updatedAt, forKey: .updatedAt)
    try c.encode(endpoints, forKey: .endpoints)
    try c.encodeIfPresent(findings, forKey: .findings)
    try c.encode(isAuthenticated, forKey: .isAuthenticated)
    try c.encodeIfPresent(tokenExpiresAt, forKey: .tokenExpiresAt)
    try c.encode(token, forKey: .token)
    try c.encode(serverHealth, forKey: .serverHealth)
    try c.encode(grants, forKey: .grants)
  }
}

/// `connection.list`
public struct ConnectionPage: Codable, Sendable, Hashable {
  public var connections: [ConnectionSummary]
  /// Connections whose record does not open: told, not hidden. Id and what to do.
  public var unreadable: [UnreadableRecord]?
  public var nextCursor: String?
  public init(connections: [ConnectionSummary], unreadable: [UnreadableRecord]? = nil, nextCursor: String? = nil) {
    self.connections = connections
    self.unreadable = unreadable
    self.nextCursor = nextCursor
  }
  enum CodingKeys: String, CodingKey {
    case connections, unreadable
    case nextCursor = "next_cursor"
  }
}

public struct UnreadableRecord: Codable, Sendable, Hashable {
  public var id: String
  public var detail: String
  public var hint: String
  public init(id: String, detail: String, hint: String) {
    self.id = id
    self.detail = detail
    self.hint = hint
  }
}

/// `connection.update`: the connection and what the change did to its grants.
public struct ConnectionUpdateResult: Codable, Sendable, Hashable {
  public var connection: ConnectionSummary
  /// Grants whose token was dropped because client, server or scope changed; a new one is obtained by itself.
  public var grantsToRenew: Int
  /// Grants that a person must authorize again.
  public var grantsNeedingLogin: Int
  public init(connection: ConnectionSummary, grantsToRenew: Int, grantsNeedingLogin: Int) {
    self.connection = connection
    self.grantsToRenew = grantsToRenew
    self.grantsNeedingLogin = grantsNeedingLogin
  }
  enum CodingKeys: String, CodingKey {
    case connection
    case grantsToRenew = "grants_to_renew"
    case grantsNeedingLogin = "grants_needing_login"
  }
}

/// `connection.delete`
public struct ConnectionDeleteResult: Codable, Sendable, Hashable {
  public var id: String
  public var connectionName: String
  public var grantsErased: Int
  /// `revoked`, `not_supported_by_server`, `failed` or `not_asked`, with words in `revocation_detail`.
  public var revocation: String
  public var revocationDetail: String?
  public init(
    id: String, connectionName: String, grantsErased: Int, revocation: String, revocationDetail: String? = nil
  ) {
    self.id = id
    self.connectionName = connectionName
    self.grantsErased = grantsErased
    self.revocation = revocation
    self.revocationDetail = revocationDetail
  }
  enum CodingKeys: String, CodingKey {
    case id, revocation
    case connectionName = "connection_name"
    case grantsErased = "grants_erased"
    case revocationDetail = "revocation_detail"
  }
}

/// One step of `connection.test`.
public struct TestStep: Codable, Sendable, Hashable {
  /// `resolve`, `tcp`, `tls`, `discovery`, `metadata`, `token`, `authorized_read`.
  public var name: String
  /// `passed`, `failed`, `warning` or `skipped`.
  public var outcome: String
  public var milliseconds: Double
  public var detail: String
  public init(name: String, outcome: String, milliseconds: Double, detail: String) {
    self.name = name
    self.outcome = outcome
    self.milliseconds = milliseconds
    self.detail = detail
  }
}

/// `connection.test`
public struct ConnectionTestResult: Codable, Sendable, Hashable {
  public var connectionName: String?
  public var fhirBaseURL: String
  /// No step failed.
  public var passed: Bool
  public var steps: [TestStep]
  public init(connectionName: String?, fhirBaseURL: String, steps: [TestStep]) {
    self.connectionName = connectionName
    self.fhirBaseURL = fhirBaseURL
    self.steps = steps
    self.passed = !steps.contains { $0.outcome == "failed" }
  }
  enum CodingKeys: String, CodingKey {
    case passed, steps
    case connectionName = "connection_name"
    case fhirBaseURL = "fhir_base_url"
  }
}
