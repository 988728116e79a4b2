/// What callers say and hear about a server's own description of itself: `connection.schema`.

public struct ConnectionSchemaParameters: ControlParameters {
  public var connection: String
  /// Asks the server now, whatever is stored.
  public var refresh: Bool?
  /// One resource type instead of all.
  public var resource: String?
  /// `schema` (the default), `text`, `graph`, `dot`, `mermaid`, `html`, or `document`, as the server wrote it.
  public var format: String?
  /// The differences from another connection, by id or name, to this one; or from what this server said before:
  /// `previous`.
  public var since: String?
  public init(
    connection: String, refresh: Bool? = nil, resource: String? = nil, format: String? = nil, since: String? = nil
  ) {
    self.connection = connection
    self.refresh = refresh
    self.resource = resource
    self.format = format
    self.since = since
  }
  enum CodingKeys: String, ListedCodingKey { case connection, refresh, resource, format, since }
  public static let parameterNames = CodingKeys.names
}

/// One of `schema`, `graph`, `diff` and `text` is there, by what was asked for.
public struct ConnectionSchemaResult: Codable, Sendable, Hashable {
  public var connectionName: String
  public var connectionID: String
  public var url: String
  /// When the server last said so, or said that it has not changed.
  public var fetchedAt: Timestamp
  /// When the document was first seen like this.
  public var changedAt: Timestamp
  /// The server could not be asked now, and why: this is what it said the last time.
  public var stale: String?
  public var schema: JSONValue?
  public var graph: JSONValue?
  public var diff: JSONValue?
  public var text: String?
  enum CodingKeys: String, CodingKey {
    case url, stale, schema, graph, diff, text
    case connectionName = "connection_name"
    case connectionID = "connection_id"
    case fetchedAt = "fetched_at"
    case changedAt = "changed_at"
  }
}
