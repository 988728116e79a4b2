/// What callers say and hear about client keys (`private_key_jwt`): `key.*` and `jwks.get`. Private keys go in, never out.

/// `key.create`
public struct KeyCreateParameters: ControlParameters {
  public var connection: String
  /// `ES384` or `RS384`, and `RS256`, `ES256` for servers that list nothing else; absent: the connection's
  /// `signing_algorithm`, else ES384.
  public var algorithm: String?
  /// A private key to import instead of making one: PEM (PKCS#8, PKCS#1 or SEC 1) or a JWK. Write-only.
  public var privateKey: String?
  /// With `privateKey`: the `kid` that the server knows the key by; absent: its RFC 7638 thumbprint.
  public var kid: String?
  public init(connection: String, algorithm: String? = nil, privateKey: String? = nil, kid: String? = nil) {
    self.connection = connection
    self.algorithm = algorithm
    self.privateKey = privateKey
    self.kid = kid
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection, algorithm, kid
    case privateKey = "private_key"
  }
  public static let parameterNames = CodingKeys.names
}

/// `key.rotate`
public struct KeyRotateParameters: ControlParameters {
  public var connection: String
  /// The old key signs on for this long while both are published; 0 to 604800, 86400 unless given.
  public var overlapSeconds: Double?
  public init(connection: String, overlapSeconds: Double? = nil) {
    self.connection = connection
    self.overlapSeconds = overlapSeconds
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection
    case overlapSeconds = "overlap_seconds"
  }
  public static let parameterNames = CodingKeys.names
  public static let overlapSecondsDefault: Double = 86400
  public static let overlapSecondsMax: Double = 604_800
}

/// `key.list`, `jwks.get`: one connection's, or everybody's.
public struct KeyListParameters: ControlParameters {
  public var connection: String?
  public init(connection: String? = nil) { self.connection = connection }
  enum CodingKeys: String, ListedCodingKey { case connection }
  public static let parameterNames = CodingKeys.names
}

public enum KeyState: String, Codable, Sendable, CaseIterable {
  /// Published, not yet used: it signs from `signs_from` on.
  case next
  /// Signs.
  case active
  /// Signs no more, and is published until `published_until`.
  case retired
}

/// One client key, without its private half.
public struct KeySummary: Codable, Sendable, Hashable {
  /// RFC 7638 thumbprint of the public key, SHA-256, base64url.
  public var kid: String
  public var connectionName: String
  public var connectionID: String
  public var algorithm: String
  public var state: KeyState
  public var createdAt: Timestamp
  public var signsFrom: Timestamp
  public var publishedUntil: Timestamp?
  /// As it stands in the key set.
  public var jwk: [String: JSONValue]
  public init(
    kid: String, connectionName: String, connectionID: String, algorithm: String, state: KeyState,
    createdAt: Timestamp, signsFrom: Timestamp, publishedUntil: Timestamp?, jwk: [String: JSONValue]
  ) {
    self.kid = kid
    self.connectionName = connectionName
    self.connectionID = connectionID
    self.algorithm = algorithm
    self.state = state
    self.createdAt = createdAt
    self.signsFrom = signsFrom
    self.publishedUntil = publishedUntil
    self.jwk = jwk
  }
  enum CodingKeys: String, CodingKey {
    case kid, algorithm, state, jwk
    case connectionName = "connection_name"
    case connectionID = "connection_id"
    case createdAt = "created_at"
    case signsFrom = "signs_from"
    case publishedUntil = "published_until"
  }
}

/// `key.list`
public struct KeyList: Codable, Sendable, Hashable {
  public var keys: [KeySummary]
  public init(keys: [KeySummary]) { self.keys = keys }
}

/// `jwks.get`: a JSON Web Key Set of public keys. Source: RFC 7517 section 5.
public struct JWKSet: Codable, Sendable, Hashable {
  public var keys: [[String: JSONValue]]
  public init(keys: [[String: JSONValue]]) { self.keys = keys }
}
