/// Parameters of a method. The names are the wire's; an unknown one is refused by name.
public protocol ControlParameters: Codable, Sendable {
  static var parameterNames: Set<String> { get }
}

/// A key set that can list itself: one source for coding and for the refusal of unknown names.
public protocol ListedCodingKey: CodingKey, CaseIterable {}
extension ListedCodingKey {
  static var names: Set<String> { Set(allCases.map(\.stringValue)) }
}

public struct NoParameters: ControlParameters {
  public init() {}
  public static let parameterNames: Set<String> = []
}

/// `connection.list`
public struct ConnectionListParameters: ControlParameters {
  /// Only connections whose name matches this glob (`*`, `?`).
  public var filter: String?
  /// 1 to 1000; 100 unless given.
  public var limit: Int?
  /// `next_cursor` of the page before.
  public var cursor: String?
  public init(filter: String? = nil, limit: Int? = nil, cursor: String? = nil) {
    self.filter = filter
    self.limit = limit
    self.cursor = cursor
  }
  enum CodingKeys: String, ListedCodingKey { case filter, limit, cursor }
  public static let parameterNames = CodingKeys.names
}

/// `connection.get`, `health.check`
public struct ConnectionReference: ControlParameters {
  /// The connection's id or name.
  public var connection: String
  public init(connection: String) { self.connection = connection }
  enum CodingKeys: String, ListedCodingKey { case connection }
  public static let parameterNames = CodingKeys.names
}

/// `connection.delete`
public struct ConnectionDeleteParameters: ControlParameters {
  public var connection: String
  /// Revoke the tokens at the server first; true unless given.
  public var revoke: Bool?
  public init(connection: String, revoke: Bool? = nil) {
    self.connection = connection
    self.revoke = revoke
  }
  enum CodingKeys: String, ListedCodingKey { case connection, revoke }
  public static let parameterNames = CodingKeys.names
}

/// `connection.update`: the connection and the fields to change; an empty text takes a field away.
public struct ConnectionUpdateParameters: ControlParameters {
  public var connection: String
  /// The update holds only if the connection still has this generation.
  public var ifGeneration: UInt64?
  public var fields: ConnectionFields
  public init(connection: String, ifGeneration: UInt64? = nil, fields: ConnectionFields) {
    self.connection = connection
    self.ifGeneration = ifGeneration
    self.fields = fields
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection
    case ifGeneration = "if_generation"
  }
  public static let parameterNames = CodingKeys.names.union(ConnectionFields.parameterNames)
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    connection = try container.decode(String.self, forKey: .connection)
    ifGeneration = try container.decodeIfPresent(UInt64.self, forKey: .ifGeneration)
    fields = try ConnectionFields(from: decoder)
  }
  public func encode(to encoder: any Encoder) throws {
    try fields.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(connection, forKey: .connection)
    try container.encodeIfPresent(ifGeneration, forKey: .ifGeneration)
  }
}

/// `connection.test`: a saved connection by id or name, or the fields of one that is not saved.
public struct ConnectionTestParameters: ControlParameters {
  public var connection: String?
  public var fields: ConnectionFields
  public init(connection: String? = nil, fields: ConnectionFields = ConnectionFields()) {
    self.connection = connection
    self.fields = fields
  }
  enum CodingKeys: String, ListedCodingKey { case connection }
  public static let parameterNames = CodingKeys.names.union(ConnectionFields.parameterNames)
  public init(from decoder: any Decoder) throws {
    connection = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(String.self, forKey: .connection)
    fields = try ConnectionFields(from: decoder)
  }
  public func encode(to encoder: any Encoder) throws {
    try fields.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(connection, forKey: .connection)
  }
}

/// `token.get`
public struct TokenGetParameters: ControlParameters {
  public var connection: String
  /// Whose grant; empty or absent: the connection's default grant.
  public var subject: String?
  /// The token must live at least this long, 0 to 86400; 10 unless given, and never more than half its lifetime.
  public var minValidSeconds: Double?
  public init(connection: String, subject: String? = nil, minValidSeconds: Double? = nil) {
    self.connection = connection
    self.subject = subject
    self.minValidSeconds = minValidSeconds
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection, subject
    case minValidSeconds = "min_valid_seconds"
  }
  public static let parameterNames = CodingKeys.names
  public static let minValidSecondsDefault: Double = 10
  public static let minValidSecondsMax: Double = 86400
}

/// `token.status`, `token.refresh`
public struct GrantReference: ControlParameters {
  public var connection: String
  public var subject: String?
  public init(connection: String, subject: String? = nil) {
    self.connection = connection
    self.subject = subject
  }
  enum CodingKeys: String, ListedCodingKey { case connection, subject }
  public static let parameterNames = CodingKeys.names
}

/// `health.get`: one connection, or everything.
public struct HealthParameters: ControlParameters {
  public var connection: String?
  /// With a connection: the history of its server, this many days of it, 1 to 90.
  public var historyDays: Int?
  /// Without a connection: how many connections a page has, 0 to 500; 100 unless given.
  public var limit: Int?
  /// `next_cursor` of the page before.
  public var cursor: String?
  public init(connection: String? = nil, historyDays: Int? = nil, limit: Int? = nil, cursor: String? = nil) {
    self.connection = connection
    self.historyDays = historyDays
    self.limit = limit
    self.cursor = cursor
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection, limit, cursor
    case historyDays = "history_days"
  }
  public static let parameterNames = CodingKeys.names
  public static let historyDaysMax = 90
}

/// `access.grant`
public struct AccessGrantParameters: ControlParameters {
  public var principal: Principal
  /// Method globs, one at least: `token.get`, `fhir.*`, `*`.
  public var methods: [String]
  /// Connection name globs or ids; absent: every connection.
  public var connections: [String]?
  /// Subject globs; absent: every subject.
  public var subjects: [String]?
  public var note: String?
  public init(
    principal: Principal, methods: [String], connections: [String]? = nil, subjects: [String]? = nil,
    note: String? = nil
  ) {
    self.principal = principal
    self.methods = methods
    self.connections = connections
    self.subjects = subjects
    self.note = note
  }
  enum CodingKeys: String, ListedCodingKey { case principal, methods, connections, subjects, note }
  public static let parameterNames = CodingKeys.names
}

/// `token.list`
public struct TokenListParameters: ControlParameters {
  public var connection: String
  /// Only grants in this state, as `token.status` calls it.
  public var state: GrantState?
  /// 1 to 1000; 100 unless given.
  public var limit: Int?
  /// `next_cursor` of the page before.
  public var cursor: String?
  public init(connection: String, state: GrantState? = nil, limit: Int? = nil, cursor: String? = nil) {
    self.connection = connection
    self.state = state
    self.limit = limit
    self.cursor = cursor
  }
  enum CodingKeys: String, ListedCodingKey { case connection, state, limit, cursor }
  public static let parameterNames = CodingKeys.names
}

/// `access.revoke`
public struct AccessRevokeParameters: ControlParameters {
  public var rule: String
  public init(rule: String) { self.rule = rule }
  enum CodingKeys: String, ListedCodingKey { case rule }
  public static let parameterNames = CodingKeys.names
}
