/// What the daemon answers about health: of itself, and of each connection.

public enum HealthState: String, Codable, Sendable, CaseIterable {
  case unknown, healthy, degraded, down, maintenance, off

  /// For the worst of several: the higher, the worse.
  public var severity: Int {
    switch self {
    case .off: 0
    case .healthy: 1
    case .unknown: 2
    case .maintenance: 3
    case .degraded: 4
    case .down: 5
    }
  }

  /// Somebody should look at it.
  public var isTrouble: Bool {
    switch self {
    case .degraded, .down: true
    case .unknown, .healthy, .maintenance, .off: false
    }
  }
}

/// One server's health, whether it answers: a state changes only after several equal results.
public struct ServerHealth: Codable, Sendable, Hashable {
  public var state: HealthState
  /// Why it is in this state; absent when it is well.
  public var reason: String?
  public var since: Timestamp?
  public var lastProbeAt: Timestamp?
  public var nextProbeAt: Timestamp?
  public var latencyMilliseconds: Double?
  /// What the last probe said, in words.
  public var detail: String?
  public init(state: HealthState) { self.state = state }
  enum CodingKeys: String, CodingKey {
    case state, reason, since, detail
    case lastProbeAt = "last_probe_at"
    case nextProbeAt = "next_probe_at"
    case latencyMilliseconds = "latency_ms"
  }
}

/// Whether what a server says of itself can be read, and is what it was.
public struct MetadataHealth: Codable, Sendable, Hashable {
  public var state: HealthState
  public var reason: String?
  public var since: Timestamp?
  /// What the probe asks for: `smart-configuration` or `metadata`.
  public var document: String?
  /// Why this one.
  public var documentChoice: String?
  /// When it was last read, or said to be the same.
  public var lastReadAt: Timestamp?
  public init(state: HealthState) { self.state = state }
  enum CodingKeys: String, CodingKey {
    case state, reason, since, document
    case documentChoice = "document_choice"
    case lastReadAt = "last_read_at"
  }
}

/// Whether the token endpoint gives this connection tokens.
public struct TokenHealth: Codable, Sendable, Hashable {
  public var state: HealthState
  public var reason: String?
  public var since: Timestamp?
  public var lastObtainedAt: Timestamp?
  public var lastError: LastError?
  /// The endpoint is left alone until then.
  public var restingUntil: Timestamp?
  public init(state: HealthState) { self.state = state }
  enum CodingKeys: String, CodingKey {
    case state, reason, since
    case lastObtainedAt = "last_obtained_at"
    case lastError = "last_error"
    case restingUntil = "resting_until"
  }
}

/// How a connection's grants are, all of them together. Names no subject.
public struct GrantsHealth: Codable, Sendable, Hashable {
  public var state: HealthState
  public var reason: String?
  public var since: Timestamp?
  /// What to do, where a person must.
  public var hint: String?
  /// How many grants are in each state, as `token.status` calls it.
  public var states: [String: Int]
  /// What was asked for and not granted, of all grants together.
  public var missingScope: [String]?
  /// There are more grants than were looked at.
  public var hasMore: Bool?
  public init(state: HealthState, states: [String: Int] = [:]) {
    self.state = state
    self.states = states
  }
  enum CodingKeys: String, CodingKey {
    case state, reason, since, hint, states
    case missingScope = "missing_scope"
    case hasMore = "has_more"
  }
}

/// How one connection is: its server, what that says of itself, its token endpoint, its grants.
public struct ConnectionHealth: Codable, Sendable, Hashable {
  public var id: String
  public var connectionName: String
  /// The worst of the four.
  public var state: HealthState
  public var server: ServerHealth
  public var metadata: MetadataHealth
  public var token: TokenHealth
  public var grants: GrantsHealth
  public init(
    id: String, connectionName: String, server: ServerHealth, metadata: MetadataHealth, token: TokenHealth,
    grants: GrantsHealth
  ) {
    self.id = id
    self.connectionName = connectionName
    self.server = server
    self.metadata = metadata
    self.token = token
    self.grants = grants
    state =
      [server.state, metadata.state, token.state, grants.state].max { $0.severity < $1.severity } ?? .unknown
  }
  enum CodingKeys: String, CodingKey {
    case id, state, server, metadata, token, grants
    case connectionName = "connection_name"
  }
}

/// What is remembered of a server: 90 days, in bounded space.
public struct ServerHistory: Codable, Sendable, Hashable {
  /// Oldest first.
  public var days: [HealthDay]
  /// Oldest first.
  public var changes: [HealthChange]
  /// Changes that were too many to be kept.
  public var changesDropped: Int
  public init(days: [HealthDay], changes: [HealthChange], changesDropped: Int) {
    self.days = days
    self.changes = changes
    self.changesDropped = changesDropped
  }
  enum CodingKeys: String, CodingKey {
    case days, changes
    case changesDropped = "changes_dropped"
  }
}

/// One day in UTC. Time that nobody watched is in none of the counts.
public struct HealthDay: Codable, Sendable, Hashable {
  /// `2026-11-25`
  public var day: String
  public var probes: Int
  public var healthySeconds: Int
  public var degradedSeconds: Int
  public var downSeconds: Int
  public var maintenanceSeconds: Int
  /// Of the probes that were answered.
  public var latency: Latency?
  public init(
    day: String, probes: Int, healthySeconds: Int, degradedSeconds: Int, downSeconds: Int, maintenanceSeconds: Int,
    latency: Latency?
  ) {
    self.day = day
    self.probes = probes
    self.healthySeconds = healthySeconds
    self.degradedSeconds = degradedSeconds
    self.downSeconds = downSeconds
    self.maintenanceSeconds = maintenanceSeconds
    self.latency = latency
  }

  /// In milliseconds.
  public struct Latency: Codable, Sendable, Hashable {
    public var min: Int
    public var mean: Int
    public var max: Int
    public init(min: Int, mean: Int, max: Int) {
      self.min = min
      self.mean = mean
      self.max = max
    }
  }
  enum CodingKeys: String, CodingKey {
    case day, probes
    case healthySeconds = "healthy_seconds"
    case degradedSeconds = "degraded_seconds"
    case downSeconds = "down_seconds"
    case maintenanceSeconds = "maintenance_seconds"
    case latency = "latency_ms"
  }
}

public struct HealthChange: Codable, Sendable, Hashable {
  public var at: Timestamp
  /// `server` or `metadata`.
  public var what: String
  public var from: HealthState
  public var to: HealthState
  public var reason: String?
  public init(at: Timestamp, what: String, from: HealthState, to: HealthState, reason: String?) {
    self.at = at
    self.what = what
    self.from = from
    self.to = to
    self.reason = reason
  }
}

/// One part of the daemon: `engine`, `refresh_loop`, `health_loop`, `cleanup_loop`, `control_server`, `store`, `http`.
public struct ComponentHealth: Codable, Sendable, Hashable {
  public var name: String
  /// `ok`, `degraded` or `failed`.
  public var state: String
  public var detail: String?
  public init(name: String, state: String, detail: String? = nil) {
    self.name = name
    self.state = state
    self.detail = detail
  }
}

/// `health.get` and `health.check`
public struct HealthReport: Codable, Sendable, Hashable {
  /// `ok`, `degraded` or `failed`: the worst of the components; servers that are down do not count.
  public var state: String
  public var version: String
  public var startedAt: Timestamp
  public var components: [ComponentHealth]
  public var connections: Int
  public var grants: Int
  /// How many servers are in each health state.
  public var servers: [String: Int]
  public var refreshesUnderWay: Int
  /// The asked connection's server.
  public var server: ServerHealth?
  /// The asked connection, or a page of those that the caller may see.
  public var connectionHealth: [ConnectionHealth]?
  public var nextCursor: String?
  /// Of the asked connection's server.
  public var history: ServerHistory?
  /// nil: an older daemon, or a store that cannot be read.
  public var store: StoreFacts?
  public var warnings: [String]
  public init(
    state: String, version: String, startedAt: Timestamp, components: [ComponentHealth], connections: Int, grants: Int,
    servers: [String: Int], refreshesUnderWay: Int, server: ServerHealth?, store: StoreFacts? = nil,
    warnings: [String]
  ) {
    self.state = state
    self.version = version
    self.startedAt = startedAt
    self.components = components
    self.connections = connections
    self.grants = grants
    self.servers = servers
    self.refreshesUnderWay = refreshesUnderWay
    self.server = server
    self.store = store
    self.warnings = warnings
  }
  enum CodingKeys: String, CodingKey {
    case state, version, components, connections, grants, servers, server, history, store, warnings
    case startedAt = "started_at"
    case refreshesUnderWay = "refreshes_under_way"
    case connectionHealth = "connection_health"
    case nextCursor = "next_cursor"
  }
}
