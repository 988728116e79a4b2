/// What callers say and hear about logins: `authorization.*`. Member names are RFC 6749's and SMART's where they have them.

/// `authorization.start`
public struct AuthorizationStartParameters: ControlParameters {
  /// Id or name; may be left out when `iss` names a base URL that exactly one connection has (EHR launch).
  public var connection: String?
  /// Whose grant; absent or empty: the connection's default grant.
  public var subject: String?
  /// Absent: the connection's `scope`.
  public var scope: String?
  /// Byte for byte as registered at the server; absent: the connection's `redirect_uri`, else the gateway's callback.
  public var redirectURI: String?
  /// The EHR's opaque `launch` value, for a launch that the EHR began.
  public var launch: String?
  /// The FHIR base URL that the EHR sent with `launch`; must be the connection's.
  public var iss: String?
  /// `code`, by a browser that comes back (the default), or `device`: a person types a code on any device (RFC 8628).
  public var flow: String?
  public init(
    connection: String? = nil, subject: String? = nil, scope: String? = nil, redirectURI: String? = nil,
    launch: String? = nil, iss: String? = nil, flow: String? = nil
  ) {
    self.flow = flow
    self.connection = connection
    self.subject = subject
    self.scope = scope
    self.redirectURI = redirectURI
    self.launch = launch
    self.iss = iss
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection, subject, scope, launch, iss, flow
    case redirectURI = "redirect_uri"
  }
  public static let parameterNames = CodingKeys.names
}

/// What a browser is to be sent to.
public struct AuthorizationStart: Codable, Sendable, Hashable {
  /// For a browser's address bar. Not secret, but whoever opens it logs in for this grant.
  public var authorizationURL: String
  /// Names this login in `authorization.status`, `authorization.cancel` and `authorization.complete`.
  public var state: String
  public var expiresAt: Timestamp
  /// Where the server sends the browser afterwards; nil: nowhere, in the device flow.
  public var redirectURI: String?
  /// The same request as a form, where the URL is longer than servers take and this one takes forms (`authorize-post`).
  public var authorizationPost: AuthorizationForm?
  /// In the device flow: what the person types at `authorizationURL`, and the address with the code in it.
  public var userCode: String?
  public var authorizationURLComplete: String?
  public init(
    authorizationURL: String, state: String, expiresAt: Timestamp, redirectURI: String? = nil,
    authorizationPost: AuthorizationForm? = nil
  ) {
    self.authorizationPost = authorizationPost
    self.authorizationURL = authorizationURL
    self.state = state
    self.expiresAt = expiresAt
    self.redirectURI = redirectURI
  }
  enum CodingKeys: String, CodingKey {
    case state
    case authorizationURL = "authorization_url"
    case authorizationPost = "authorization_post"
    case userCode = "user_code"
    case authorizationURLComplete = "authorization_url_complete"
    case expiresAt = "expires_at"
    case redirectURI = "redirect_uri"
  }
}

/// What a page with hidden inputs posts to the authorization endpoint. Source: SMART App Launch, `authorize-post`.
public struct AuthorizationForm: Codable, Sendable, Hashable {
  public var url: String
  public var parameters: [String: String]
  public init(url: String, parameters: [String: String]) {
    self.url = url
    self.parameters = parameters
  }
}

/// `authorization.complete`: what the server sent the browser back with, either in members or as the whole address.
public struct AuthorizationCompleteParameters: ControlParameters {
  public var state: String?
  public var code: String?
  public var iss: String?
  public var error: String?
  public var errorDescription: String?
  public var errorURI: String?
  /// The whole redirect URL as it stood in the address bar, instead of the members above.
  public var redirectURL: String?
  /// Id of the connection whose own redirect URI the browser came to; another connection's login is refused there.
  public var connectionID: String?
  public init(
    state: String? = nil, code: String? = nil, iss: String? = nil, error: String? = nil,
    errorDescription: String? = nil, errorURI: String? = nil, redirectURL: String? = nil, connectionID: String? = nil
  ) {
    self.state = state
    self.code = code
    self.iss = iss
    self.error = error
    self.errorDescription = errorDescription
    self.errorURI = errorURI
    self.redirectURL = redirectURL
    self.connectionID = connectionID
  }
  enum CodingKeys: String, ListedCodingKey {
    case state, code, iss, error
    case connectionID = "connection_id"
    case errorDescription = "error_description"
    case errorURI = "error_uri"
    case redirectURL = "redirect_url"
  }
  public static let parameterNames = CodingKeys.names
}

/// `authorization.status`, `authorization.cancel`
public struct AuthorizationReference: ControlParameters {
  public var state: String
  public init(state: String) { self.state = state }
  enum CodingKeys: String, ListedCodingKey { case state }
  public static let parameterNames = CodingKeys.names
}

/// How a login stands.
public enum AuthorizationProgress: String, Codable, Sendable, CaseIterable {
  /// The browser has not come back.
  case pending
  /// The code is being exchanged.
  case redeeming
  /// There is a grant.
  case completed
  /// The server or the exchange said no; `error` says why.
  case failed
  case cancelled
  case expired
}

/// `authorization.status`, `authorization.complete` and `authorization.cancel`
public struct AuthorizationStatus: Codable, Sendable, Hashable {
  public var progress: AuthorizationProgress
  public var connectionName: String
  public var connectionID: String
  public var subject: String?
  public var expiresAt: Timestamp
  public var error: LastError?
  /// The server's own words, where it refused.
  public var oauth: OAuthErrorBody?
  /// The grant, once there is one.
  public var token: TokenStatus?
  public init(
    progress: AuthorizationProgress, connectionName: String, connectionID: String, subject: String?,
    expiresAt: Timestamp, error: LastError? = nil, oauth: OAuthErrorBody? = nil, token: TokenStatus? = nil
  ) {
    self.progress = progress
    self.connectionName = connectionName
    self.connectionID = connectionID
    self.subject = subject
    self.expiresAt = expiresAt
    self.error = error
    self.oauth = oauth
    self.token = token
  }
  enum CodingKeys: String, CodingKey {
    case progress, subject, error, oauth, token
    case connectionName = "connection_name"
    case connectionID = "connection_id"
    case expiresAt = "expires_at"
  }
}

/// `token.revoke`: what the server said of each token, and that it is erased here whatever the server said.
public struct TokenRevokeResult: Codable, Sendable, Hashable {
  public struct Part: Codable, Sendable, Hashable {
    /// `refresh_token` or `access_token`.
    public var token: String
    /// `revoked`, `not_supported_by_server` or `failed`.
    public var outcome: String
    public var detail: String?
    public init(token: String, outcome: String, detail: String? = nil) {
      self.token = token
      self.outcome = outcome
      self.detail = detail
    }
  }
  public var server: [Part]
  /// Tokens of the grant that were erased from the store.
  public var erased: [String]
  public init(server: [Part], erased: [String]) {
    self.server = server
    self.erased = erased
  }
}

/// `token.introspect`: the server's answer. Source: RFC 7662 section 2.2.
public struct TokenIntrospection: Codable, Sendable, Hashable {
  public var active: Bool
  /// Every member of the answer, `active` included.
  public var claims: [String: JSONValue]
  public init(active: Bool, claims: [String: JSONValue]) {
    self.active = active
    self.claims = claims
  }
}
