/// One Swift function for each method of the protocol, for those who do not want to spell method names.
public import FHIRControl

extension FHIRClient {
  /// A valid access token. Waits for a refresh only when the token in store is not valid long enough.
  /// - Parameters:
  ///   - connection: id or name.
  ///   - minValidSeconds: 0 to 86400; nil is 10.
  public func token(
    _ connection: String, subject: String? = nil, minValidSeconds: Double? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> TokenResult {
    try call(
      .tokenGet, TokenGetParameters(connection: connection, subject: subject, minValidSeconds: minValidSeconds),
      timeoutSeconds: timeoutSeconds)
  }

  public func tokenStatus(
    _ connection: String, subject: String? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> TokenStatus {
    try call(
      .tokenStatus, GrantReference(connection: connection, subject: subject), timeoutSeconds: timeoutSeconds)
  }

  /// Replaces the token now; joins a refresh that is already under way.
  public func refreshToken(
    _ connection: String, subject: String? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> TokenRefreshResult {
    try call(
      .tokenRefresh, GrantReference(connection: connection, subject: subject), timeoutSeconds: timeoutSeconds)
  }

  public func createConnection(
    _ fields: ConnectionFields, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionSummary {
    try call(.connectionCreate, fields, timeoutSeconds: timeoutSeconds)
  }

  public func connection(_ connection: String, timeoutSeconds: Double? = nil) throws(ClientError) -> ConnectionSummary {
    try call(.connectionGet, ConnectionReference(connection: connection), timeoutSeconds: timeoutSeconds)
  }

  /// Connections asked for at once: few enough that a page stays far below `replyBytesMax`.
  public static let pageConnections = 500
  /// More pages than any daemon has; a server that never ends its list is cut off here.
  static let pagesMax = 10_000

  /// Every connection that matches, all pages of them; `nextCursor` is nil.
  /// - Parameters:
  ///   - filter: a glob over names (`*`, `?`).
  ///   - timeoutSeconds: for each page.
  public func connections(
    filter: String? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionPage {
    var all = ConnectionPage(connections: [])
    var cursor: String?
    for _ in 0..<Self.pagesMax {
      let page: ConnectionPage = try call(
        .connectionList, ConnectionListParameters(filter: filter, limit: Self.pageConnections, cursor: cursor),
        timeoutSeconds: timeoutSeconds)
      all.connections += page.connections
      if let unreadable = page.unreadable, !unreadable.isEmpty {
        all.unreadable = (all.unreadable ?? []) + unreadable
      }
      guard let next = page.nextCursor else { return all }
      guard next != cursor else { break }
      cursor = next
    }
    throw ClientError(.protocolViolation, "the daemon's list of connections has no end")
  }

  /// A page of a connection's grants.
  public func grants(
    _ parameters: TokenListParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> TokenPage {
    try call(.tokenList, parameters, timeoutSeconds: timeoutSeconds)
  }

  /// What the server says that it can do.
  public func connectionSchema(
    _ parameters: ConnectionSchemaParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionSchemaResult {
    try call(.connectionSchema, parameters, timeoutSeconds: timeoutSeconds)
  }

  public func updateConnection(
    _ parameters: ConnectionUpdateParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionUpdateResult {
    try call(.connectionUpdate, parameters, timeoutSeconds: timeoutSeconds)
  }

  /// - Parameter revoke: end the tokens at the server first; nil is true.
  public func deleteConnection(
    _ connection: String, revoke: Bool? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionDeleteResult {
    try call(
      .connectionDelete, ConnectionDeleteParameters(connection: connection, revoke: revoke),
      timeoutSeconds: timeoutSeconds)
  }

  public func testConnection(
    _ parameters: ConnectionTestParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionTestResult {
    try call(.connectionTest, parameters, timeoutSeconds: timeoutSeconds)
  }

  /// - Parameters:
  ///   - connection: nil asks about the daemon alone.
  ///   - historyDays: with a connection: the history of its server, 1 to 90 days of it.
  public func health(
    connection: String? = nil, historyDays: Int? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> HealthReport {
    try call(
      .healthGet,
      HealthParameters(connection: connection, historyDays: historyDays, limit: connection == nil ? 0 : nil),
      timeoutSeconds: timeoutSeconds)
  }

  /// The daemon and every connection that the caller may see, all pages of them; `nextCursor` is nil.
  /// - Parameter timeoutSeconds: for each page.
  public func healthOfAll(timeoutSeconds: Double? = nil) throws(ClientError) -> HealthReport {
    var all: HealthReport?
    var cursor: String?
    for _ in 0..<Self.pagesMax {
      let page: HealthReport = try call(.healthGet, HealthParameters(cursor: cursor), timeoutSeconds: timeoutSeconds)
      var merged = all ?? page
      if all != nil { merged.connectionHealth = (merged.connectionHealth ?? []) + (page.connectionHealth ?? []) }
      merged.nextCursor = nil
      guard let next = page.nextCursor else { return merged }
      guard next != cursor else { break }
      (all, cursor) = (merged, next)
    }
    throw ClientError(.protocolViolation, "the daemon's list of connections has no end")
  }

  /// Probes a connection's server now; joins a probe that is under way.
  public func checkHealth(_ connection: String, timeoutSeconds: Double? = nil) throws(ClientError) -> HealthReport {
    try call(.healthCheck, ConnectionReference(connection: connection), timeoutSeconds: timeoutSeconds)
  }

  public func accessRules(timeoutSeconds: Double? = nil) throws(ClientError) -> AccessRuleList {
    try call(.accessList, NoParameters(), timeoutSeconds: timeoutSeconds)
  }

  public func grantAccess(
    _ rule: AccessGrantParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> AccessRule {
    try call(.accessGrant, rule, timeoutSeconds: timeoutSeconds)
  }

  /// - Parameter rule: the rule's id.
  public func revokeAccess(_ rule: String, timeoutSeconds: Double? = nil) throws(ClientError) -> AccessRevokeResult {
    try call(.accessRevoke, AccessRevokeParameters(rule: rule), timeoutSeconds: timeoutSeconds)
  }

  /// Gives the store's free pages back to the file system. Whatever changes a record waits until it is done.
  public func compactStore(timeoutSeconds: Double? = nil) throws(ClientError) -> StoreCompaction {
    try call(.storeCompact, NoParameters(), timeoutSeconds: timeoutSeconds)
  }

  /// Open to every local caller.
  public func serverInfo(timeoutSeconds: Double? = nil) throws(ClientError) -> ServerInfo {
    try call(.serverInfo, NoParameters(), timeoutSeconds: timeoutSeconds)
  }
}
