/// The methods of the control protocol; the raw value is the name on the wire.
public enum ControlMethod: String, Sendable, CaseIterable, Codable {
  case connectionCreate = "connection.create"
  case connectionList = "connection.list"
  case connectionGet = "connection.get"
  case connectionUpdate = "connection.update"
  case connectionDelete = "connection.delete"
  case connectionTest = "connection.test"
  case tokenGet = "token.get"
  case tokenStatus = "token.status"
  case tokenRefresh = "token.refresh"
  case healthGet = "health.get"
  case accessList = "access.list"
  case accessGrant = "access.grant"
  case accessRevoke = "access.revoke"
  case serverInfo = "server.info"

  /// How long the daemon works on a request that brings no `timeout_seconds`.
  public var defaultTimeoutSeconds: Double {
    switch self {
    case .connectionTest: 120
    case .tokenGet, .tokenRefresh: 60
    case .connectionCreate, .connectionUpdate, .connectionDelete, .connectionList, .connectionGet, .tokenStatus,
      .healthGet, .accessList, .accessGrant, .accessRevoke, .serverInfo:
      30
    }
  }
}

/// The longest `timeout_seconds` that a request may bring: an hour.
public let timeoutSecondsMax: Double = 3600
