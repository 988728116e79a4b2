/// The methods of the control protocol; the raw value is the name on the wire.
public enum ControlMethod: String, Sendable, CaseIterable, Codable {
  case connectionCreate = "connection.create"
  case connectionList = "connection.list"
  case connectionGet = "connection.get"
  case connectionUpdate = "connection.update"
  case connectionDelete = "connection.delete"
  case connectionTest = "connection.test"
  case connectionRegister = "connection.register"
  case connectionSchema = "connection.schema"
  case tokenGet = "token.get"
  case tokenStatus = "token.status"
  case tokenList = "token.list"
  case tokenRefresh = "token.refresh"
  case tokenRevoke = "token.revoke"
  case tokenIntrospect = "token.introspect"
  case authorizationStart = "authorization.start"
  case authorizationComplete = "authorization.complete"
  case authorizationStatus = "authorization.status"
  case authorizationCancel = "authorization.cancel"
  case fhirRead = "fhir.read"
  case fhirSearch = "fhir.search"
  case fhirRequest = "fhir.request"
  case keyCreate = "key.create"
  case keyRotate = "key.rotate"
  case keyList = "key.list"
  case jwksGet = "jwks.get"
  case healthGet = "health.get"
  case healthCheck = "health.check"
  case accessList = "access.list"
  case accessGrant = "access.grant"
  case accessRevoke = "access.revoke"
  case storeCompact = "store.compact"
  case serverInfo = "server.info"

  /// How long the daemon works on a request that brings no `timeout_seconds`.
  public var defaultTimeoutSeconds: Double {
    switch self {
    // What a large store on a slow disk takes is not known beforehand.
    case .storeCompact: timeoutSecondsMax
    case .connectionTest, .fhirRead, .fhirSearch, .fhirRequest: 120
    case .connectionRegister, .connectionSchema, .tokenGet, .tokenRefresh, .tokenRevoke, .tokenIntrospect,
      .authorizationStart,
      .authorizationComplete, .healthCheck:
      60
    case .connectionCreate, .connectionUpdate, .connectionDelete, .connectionList, .connectionGet, .tokenStatus,
      .tokenList,
      .authorizationStatus, .authorizationCancel, .keyCreate, .keyRotate, .keyList, .jwksGet, .healthGet, .accessList,
      .accessGrant, .accessRevoke, .serverInfo:
      30
    }
  }
}

/// The longest `timeout_seconds` that a request may bring: an hour.
public let timeoutSecondsMax: Double = 3600
