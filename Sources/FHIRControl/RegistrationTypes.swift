/// What callers say and hear about dynamic client registration: `connection.register`. Source: RFC 7591.

public struct ConnectionRegisterParameters: ControlParameters {
  /// Id or name; its `registration` is `dynamic`.
  public var connection: String
  /// What the server's people call the client; absent: `fhird` and the connection's name.
  public var clientName: String?
  /// Lets the request in, at servers that register not everybody. Secret; used once.
  public var initialAccessToken: String?
  /// A signed JWT that vouches for the client.
  public var softwareStatement: String?
  public init(
    connection: String, clientName: String? = nil, initialAccessToken: String? = nil, softwareStatement: String? = nil
  ) {
    self.connection = connection
    self.clientName = clientName
    self.initialAccessToken = initialAccessToken
    self.softwareStatement = softwareStatement
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection
    case clientName = "client_name"
    case initialAccessToken = "initial_access_token"
    case softwareStatement = "software_statement"
  }
  public static let parameterNames = CodingKeys.names
}

/// The client that the server has made, and the connection that uses it from now on.
public struct ConnectionRegisterResult: Codable, Sendable, Hashable {
  public var clientID: String
  /// Whether the server gave a secret; it is stored and never told.
  public var hasClientSecret: Bool
  /// When the secret ends; absent: never, or the server did not say.
  public var clientSecretExpiresAt: Timestamp?
  /// Where the registration can be managed (RFC 7592), by its operator: fhird does not keep the token for it.
  public var registrationClientURI: String?
  public var connection: ConnectionSummary
  public init(clientID: String, hasClientSecret: Bool, connection: ConnectionSummary) {
    self.clientID = clientID
    self.hasClientSecret = hasClientSecret
    self.connection = connection
  }
  enum CodingKeys: String, CodingKey {
    case connection
    case clientID = "client_id"
    case hasClientSecret = "has_client_secret"
    case clientSecretExpiresAt = "client_secret_expires_at"
    case registrationClientURI = "registration_client_uri"
  }
}
