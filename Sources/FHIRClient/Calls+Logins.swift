/// One Swift function for each method about logins and about the end of tokens.
public import FHIRControl

extension FHIRClient {
  /// Begins a login; send a browser to the result's `authorizationURL`.
  public func startLogin(
    _ parameters: AuthorizationStartParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> AuthorizationStart {
    try call(.authorizationStart, parameters, timeoutSeconds: timeoutSeconds)
  }

  /// Hands over what the browser was sent back with.
  public func completeLogin(
    _ parameters: AuthorizationCompleteParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> AuthorizationStatus {
    try call(.authorizationComplete, parameters, timeoutSeconds: timeoutSeconds)
  }

  public func loginStatus(
    state: String, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> AuthorizationStatus {
    try call(.authorizationStatus, AuthorizationReference(state: state), timeoutSeconds: timeoutSeconds)
  }

  public func cancelLogin(
    state: String, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> AuthorizationStatus {
    try call(.authorizationCancel, AuthorizationReference(state: state), timeoutSeconds: timeoutSeconds)
  }

  /// Has the server make the client that a connection will be (RFC 7591).
  public func registerClient(
    _ parameters: ConnectionRegisterParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> ConnectionRegisterResult {
    try call(.connectionRegister, parameters, timeoutSeconds: timeoutSeconds)
  }

  /// Gives a grant's tokens back to the server and erases them here, whatever the server says.
  public func revokeToken(
    _ connection: String, subject: String? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> TokenRevokeResult {
    try call(
      .tokenRevoke, GrantReference(connection: connection, subject: subject), timeoutSeconds: timeoutSeconds)
  }

  /// What the server says of the access token.
  public func introspectToken(
    _ connection: String, subject: String? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> TokenIntrospection {
    try call(
      .tokenIntrospect, GrantReference(connection: connection, subject: subject), timeoutSeconds: timeoutSeconds)
  }
}
