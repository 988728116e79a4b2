/// The fields of a connection as callers write them. Every one is optional here; the daemon says which are missing.
/// Names are those of the earlier HTTP interface and of SMART.
public struct ConnectionFields: ControlParameters, Hashable {
  /// 1 to 128 characters, unique without regard to case; not the form of a UUID.
  public var connectionName: String?
  /// Normalized once: scheme and host in lower case, no default port, no trailing slash.
  public var fhirBaseURL: String?
  /// `none` (an open server), `client_credentials` or `authorization_code`.
  public var authMethod: String?
  /// `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth` or `none`.
  public var clientAuthentication: String?
  public var clientID: String?
  /// `dynamic`: `client_id` comes from the server (RFC 7591), by `connection.register`.
  public var registration: String?
  /// Write-only.
  public var clientSecret: String?
  public var authURL: String?
  public var tokenURL: String?
  public var issuer: String?
  public var revocationURL: String?
  public var introspectionURL: String?
  public var scope: String?
  /// `auto`: in the spelling, v1 or v2, that the server names alone (the default); `as_written`.
  public var scopeVersion: String?
  public var aud: String?
  /// How `client_secret_basic` encodes id and secret: `rfc6749` (form-urlencoded first) or `raw`.
  public var basicEncoding: String?
  /// Where the server sends browsers after a login, byte for byte as registered there.
  public var redirectURI: String?
  /// `S256`, or `none` for a server that refuses PKCE.
  public var pkce: String?
  /// `ES384`, `RS384`, `ES256` or `RS256`: what client assertions are signed with.
  public var signingAlgorithm: String?
  /// Sends `client_id` in the body of token requests also beside another client authentication.
  public var sendsClientID: Bool?
  /// More parameters for the token request.
  public var extraParameters: [String: String]?
  /// More parameters for the authorization request: `prompt`, `login_hint` and others.
  public var authorizationParameters: [String: String]?
  /// More headers for every request to this server.
  public var extraHeaders: [String: String]?
  public var caFile: String?
  /// PEM file with the client's certificate chain and its key, shown to servers that ask for one (mTLS, RFC 8705);
  /// readable by fhird's user and by no others.
  public var clientCertificateFile: String?
  public var proxy: String?
  /// Origins other than the base URL's that the token may be sent to.
  public var allowedOrigins: [String]?
  /// Origins in the server's links to next pages, and what they are read as: for a server that does not know its own name
  /// behind a proxy.
  public var linkRewrites: [String: String]?
  public var refresh: RefreshFields?
  public var health: HealthFields?
  public var requests: RequestFields?
  /// `auto`: by GET, and by POST where the URL would be too long (the default); `get`; `post`: values never stand in URLs.
  public var searchMethod: String?
  public var fhirVersion: String?
  /// Names the FHIR version in the media type (`; fhirVersion=4.0`), for servers with several at one base URL.
  public var sendsFHIRVersion: Bool?
  public var labels: [String: String]?
  public var additionalNotes: String?

  public init() {}

  enum CodingKeys: String, ListedCodingKey {
    case issuer, scope, aud, proxy, refresh, health, requests, labels
    case connectionName = "connection_name"
    case fhirBaseURL = "fhir_base_url"
    case authMethod = "auth_method"
    case clientAuthentication = "client_authentication"
    case clientID = "client_id"
    case registration
    case clientSecret = "client_secret"
    case authURL = "auth_url"
    case tokenURL = "token_url"
    case revocationURL = "revocation_url"
    case introspectionURL = "introspection_url"
    case scopeVersion = "scope_version"
    case basicEncoding = "basic_encoding"
    case redirectURI = "redirect_uri"
    case pkce
    case signingAlgorithm = "signing_algorithm"
    case sendsClientID = "sends_client_id"
    case extraParameters = "extra_parameters"
    case authorizationParameters = "authorization_parameters"
    case extraHeaders = "extra_headers"
    case caFile = "ca_file"
    case clientCertificateFile = "client_certificate_file"
    case allowedOrigins = "allowed_origins"
    case linkRewrites = "link_rewrites"
    case searchMethod = "search_method"
    case fhirVersion = "fhir_version"
    case sendsFHIRVersion = "sends_fhir_version"
    case additionalNotes = "additional_notes"
  }
  public static let parameterNames = CodingKeys.names
}

/// `refresh`: when a connection's tokens are replaced.
public struct RefreshFields: Codable, Sendable, Hashable {
  /// `ahead` (before expiry, always) or `on_demand` (when somebody asks).
  public var mode: String?
  /// The largest margin before expiry; scaled down for short tokens. 1 to 86400.
  public var marginSeconds: Double?
  /// Never refresh more often than this, unless the token lives shorter. 1 to 86400.
  public var minIntervalSeconds: Double?
  /// After a refresh whose reply was lost: `once` sends the refresh token once more, `never` does not.
  public var replay: String?
  /// The server's grace period: it takes a refresh token again for this long. 1 to 86400.
  public var replayWithinSeconds: Double?
  /// With `on_demand`: a grant that nobody asks for is refreshed this often all the same. 3600 to 7776000.
  public var keepAliveSeconds: Double?
  public init(
    mode: String? = nil, marginSeconds: Double? = nil, minIntervalSeconds: Double? = nil, replay: String? = nil,
    replayWithinSeconds: Double? = nil, keepAliveSeconds: Double? = nil
  ) {
    self.mode = mode
    self.marginSeconds = marginSeconds
    self.minIntervalSeconds = minIntervalSeconds
    self.replay = replay
    self.replayWithinSeconds = replayWithinSeconds
    self.keepAliveSeconds = keepAliveSeconds
  }
  enum CodingKeys: String, ListedCodingKey {
    case mode, replay
    case replayWithinSeconds = "replay_within_seconds"
    case keepAliveSeconds = "keep_alive_seconds"
    case marginSeconds = "margin_seconds"
    case minIntervalSeconds = "min_interval_seconds"
  }
  public static let names = CodingKeys.names
}

/// `health`: how a connection's server is probed.
public struct HealthFields: Codable, Sendable, Hashable {
  public var enabled: Bool?
  /// 10 to 86400.
  public var intervalSeconds: Double?
  /// When trouble is no news: `Sun 02:00-04:00`, `daily 23:30-00:30` (UTC), `2026-12-01T22:00Z/2026-12-02T04:00Z`.
  public var maintenance: [String]?
  public init(enabled: Bool? = nil, intervalSeconds: Double? = nil, maintenance: [String]? = nil) {
    self.enabled = enabled
    self.intervalSeconds = intervalSeconds
    self.maintenance = maintenance
  }
  enum CodingKeys: String, ListedCodingKey {
    case enabled, maintenance
    case intervalSeconds = "interval_seconds"
  }
  public static let names = CodingKeys.names
}

/// `requests`: how much of the server a connection's FHIR requests may take.
public struct RequestFields: Codable, Sendable, Hashable {
  /// 0.01 to 10000; absent: as many as come.
  public var perSecond: Double?
  /// That may go at once after a quiet time, 1 to 10000; absent: as many as go in a second.
  public var burst: Int?
  /// Under way at once, 1 to 256; absent: 8.
  public var concurrency: Int?
  public init(perSecond: Double? = nil, burst: Int? = nil, concurrency: Int? = nil) {
    self.perSecond = perSecond
    self.burst = burst
    self.concurrency = concurrency
  }
  enum CodingKeys: String, ListedCodingKey {
    case burst, concurrency
    case perSecond = "per_second"
  }
  public static let names = CodingKeys.names
}

/// Who a rule is for. On the wire one text: `uid:1000`, `user:lab`, `group:integration`, `unit:lab.service`, `everyone`.
public enum Principal: Sendable, Hashable, Codable, CustomStringConvertible {
  case uid(UInt32)
  case user(String)
  case group(String)
  /// A systemd unit, or a glob of units (`lab@*.service`).
  case unit(String)
  case everyone

  public init?(_ text: some StringProtocol) {
    if text == "everyone" {
      self = .everyone
      return
    }
    guard let colon = text.firstIndex(of: ":") else { return nil }
    let value = String(text[text.index(after: colon)...])
    guard !value.isEmpty, value.utf8.count <= 256, !value.utf8.contains(where: { $0 < 0x21 }) else { return nil }
    switch text[..<colon] {
    case "uid":
      guard let uid = UInt32(value) else { return nil }
      self = .uid(uid)
    case "user": self = .user(value)
    case "group": self = .group(value)
    case "unit": self = .unit(value)
    default: return nil
    }
  }

  public var description: String {
    switch self {
    case .uid(let uid): "uid:\(uid)"
    case .user(let name): "user:\(name)"
    case .group(let name): "group:\(name)"
    case .unit(let name): "unit:\(name)"
    case .everyone: "everyone"
    }
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Principal(text) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "expected uid:N, user:NAME, group:NAME, unit:NAME or everyone")
    }
    self = value
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
