/// What the daemon answers about tokens, access and itself.

/// `token.get`: the one answer that carries a secret. Member names are RFC 6749's where it has them.
public struct TokenResult: Codable, Sendable {
  public var accessToken: String
  /// `Bearer`, as the server spelled it.
  public var tokenType: String
  public var expiresAt: Timestamp
  /// Whole seconds, rounded down.
  public var expiresIn: Int
  public var scope: String?
  public var fhirBaseURL: String
  /// SMART launch context and other members of the token response that were strings, numbers or booleans.
  public var context: [String: JSONValue]?
  enum CodingKeys: String, CodingKey {
    case scope, context
    case accessToken = "access_token"
    case tokenType = "token_type"
    case expiresAt = "expires_at"
    case expiresIn = "expires_in"
    case fhirBaseURL = "fhir_base_url"
  }
}

/// `token.refresh`
public struct TokenRefreshResult: Codable, Sendable, Hashable {
  public var expiresAt: Timestamp
  public var expiresIn: Int
  public var generation: UInt64
  public init(expiresAt: Timestamp, expiresIn: Int, generation: UInt64) {
    self.expiresAt = expiresAt
    self.expiresIn = expiresIn
    self.generation = generation
  }
  enum CodingKeys: String, CodingKey {
    case generation
    case expiresAt = "expires_at"
    case expiresIn = "expires_in"
  }
}

/// One access rule.
public struct AccessRule: Codable, Sendable, Hashable {
  public var id: String
  public var principal: Principal
  public var methods: [String]
  public var connections: [String]
  public var subjects: [String]
  public var note: String?
  public var createdAt: Timestamp
  public init(
    id: String, principal: Principal, methods: [String], connections: [String], subjects: [String], note: String?,
    createdAt: Timestamp
  ) {
    self.id = id
    self.principal = principal
    self.methods = methods
    self.connections = connections
    self.subjects = subjects
    self.note = note
    self.createdAt = createdAt
  }
  enum CodingKeys: String, CodingKey {
    case id, principal, methods, connections, subjects, note
    case createdAt = "created_at"
  }
}

/// `token.list`: a page of a connection's grants. A page may have fewer than asked for, and still a next one.
public struct TokenPage: Codable, Sendable, Hashable {
  /// `subject` is absent for the default grant.
  public var grants: [TokenStatus]
  public var nextCursor: String?
  public init(grants: [TokenStatus], nextCursor: String? = nil) {
    self.grants = grants
    self.nextCursor = nextCursor
  }
  enum CodingKeys: String, CodingKey {
    case grants
    case nextCursor = "next_cursor"
  }
}

/// `access.list`
public struct AccessRuleList: Codable, Sendable, Hashable {
  public var rules: [AccessRule]
  public var unreadable: [UnreadableRecord]?
  public init(rules: [AccessRule], unreadable: [UnreadableRecord]? = nil) {
    self.rules = rules
    self.unreadable = unreadable
  }
}

/// `access.revoke`
public struct AccessRevokeResult: Codable, Sendable, Hashable {
  public var revoked: AccessRule
  public init(revoked: AccessRule) { self.revoked = revoked }
}

/// Who the daemon takes the caller for.
public struct CallerIdentity: Codable, Sendable, Hashable {
  public var uid: UInt32
  public var gid: UInt32
  public var pid: Int32
  public var user: String?
  public var groups: [String]
  public var unit: String?
  public init(uid: UInt32, gid: UInt32, pid: Int32, user: String?, groups: [String], unit: String?) {
    self.uid = uid
    self.gid = gid
    self.pid = pid
    self.user = user
    self.groups = groups
    self.unit = unit
  }
}

/// `server.info`: open to every local caller; nothing of the connections is in it.
public struct ServerInfo: Codable, Sendable, Hashable {
  public var name: String
  public var version: String
  public var protocolVersion: Int
  public var pid: Int32
  public var startedAt: Timestamp
  public var methods: [String]
  public var caller: CallerIdentity
  /// Settings that an operator must know of: `http:// to loopback is allowed`.
  public var warnings: [String]
  public init(
    name: String, version: String, protocolVersion: Int, pid: Int32, startedAt: Timestamp, methods: [String],
    caller: CallerIdentity, warnings: [String]
  ) {
    self.name = name
    self.version = version
    self.protocolVersion = protocolVersion
    self.pid = pid
    self.startedAt = startedAt
    self.methods = methods
    self.caller = caller
    self.warnings = warnings
  }
  enum CodingKeys: String, CodingKey {
    case name, version, pid, methods, caller, warnings
    case protocolVersion = "protocol_version"
    case startedAt = "started_at"
  }
}
