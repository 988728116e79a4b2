/// The stable error codes of the control protocol, with their JSON-RPC number and the exit status that `fhirctl` gives.

public enum ErrorCode: String, Sendable, Codable, CaseIterable {
  // JSON-RPC's own.
  case parseError = "PARSE_ERROR"
  case invalidRequest = "INVALID_REQUEST"
  case methodNotFound = "METHOD_NOT_FOUND"
  case invalidParams = "INVALID_PARAMS"
  case internalError = "INTERNAL_ERROR"
  // Connections and callers.
  case connectionNotFound = "CONNECTION_NOT_FOUND"
  case connectionExists = "CONNECTION_EXISTS"
  case validationFailed = "VALIDATION_FAILED"
  case generationConflict = "GENERATION_CONFLICT"
  case accessDenied = "ACCESS_DENIED"
  case ruleNotFound = "RULE_NOT_FOUND"
  // Authorization.
  case needsLogin = "NEEDS_LOGIN"
  case invalidClient = "INVALID_CLIENT"
  case invalidGrant = "INVALID_GRANT"
  case invalidScope = "INVALID_SCOPE"
  case unauthorizedClient = "UNAUTHORIZED_CLIENT"
  case unsupportedGrantType = "UNSUPPORTED_GRANT_TYPE"
  case stateMismatch = "STATE_MISMATCH"
  case notSupportedByServer = "NOT_SUPPORTED_BY_SERVER"
  case noAuthorization = "NO_AUTHORIZATION"
  case tokenExpired = "TOKEN_EXPIRED"
  // FHIR and network.
  case fhirAuthentication = "FHIR_AUTHENTICATION"
  case fhirAuthorization = "FHIR_AUTHORIZATION"
  case fhirRateLimited = "FHIR_RATE_LIMITED"
  case fhirNotFound = "FHIR_NOT_FOUND"
  case fhirAPIError = "FHIR_API_ERROR"
  case serverUnreachable = "SERVER_UNREACHABLE"
  case serverAnswerUnusable = "SERVER_ANSWER_UNUSABLE"
  case throttled = "THROTTLED"
  case timeout = "TIMEOUT"
  case tlsFailure = "TLS_FAILURE"
  // The daemon itself.
  case storeFull = "STORE_FULL"
  case storeReadOnly = "STORE_READ_ONLY"
  case storeCorrupt = "STORE_CORRUPT"
  case shuttingDown = "SHUTTING_DOWN"
  case overloaded = "OVERLOADED"

  /// The `code` of the JSON-RPC error object.
  public var number: Int {
    switch self {
    case .parseError: -32700
    case .invalidRequest: -32600
    case .methodNotFound: -32601
    case .invalidParams: -32602
    case .internalError: -32603
    case .connectionNotFound: -32001
    case .connectionExists: -32002
    case .validationFailed: -32003
    case .generationConflict: -32004
    case .accessDenied: -32005
    case .ruleNotFound: -32006
    case .needsLogin: -32010
    case .invalidClient: -32011
    case .invalidGrant: -32012
    case .invalidScope: -32013
    case .unauthorizedClient: -32014
    case .unsupportedGrantType: -32015
    case .stateMismatch: -32016
    case .notSupportedByServer: -32017
    case .noAuthorization: -32018
    case .tokenExpired: -32019
    case .fhirAuthentication: -32030
    case .fhirAuthorization: -32031
    case .fhirRateLimited: -32032
    case .fhirNotFound: -32033
    case .fhirAPIError: -32034
    case .serverUnreachable: -32040
    case .serverAnswerUnusable: -32041
    case .throttled: -32042
    case .timeout: -32043
    case .tlsFailure: -32044
    case .storeFull: -32050
    case .storeReadOnly: -32051
    case .storeCorrupt: -32052
    case .shuttingDown: -32060
    case .overloaded: -32061
    }
  }

  /// `data.type`: the family that users of the earlier HTTP interface switch on.
  public var family: String {
    switch self {
    case .parseError, .invalidRequest, .methodNotFound, .invalidParams: "protocol_error"
    case .validationFailed, .connectionNotFound, .connectionExists, .generationConflict, .ruleNotFound:
      "connection_error"
    case .accessDenied: "access_error"
    case .needsLogin, .invalidClient, .invalidGrant, .invalidScope, .unauthorizedClient, .unsupportedGrantType,
      .stateMismatch, .notSupportedByServer, .noAuthorization, .tokenExpired:
      "oauth_error"
    case .fhirAuthentication, .fhirAuthorization, .fhirRateLimited, .fhirNotFound, .fhirAPIError: "fhir_error"
    case .serverUnreachable, .serverAnswerUnusable, .throttled, .timeout, .tlsFailure: "network_error"
    case .storeFull, .storeReadOnly, .storeCorrupt: "store_error"
    case .shuttingDown, .overloaded, .internalError: "server_error"
    }
  }

  /// The exit status of `fhirctl`: 1 the daemon said no, 3 needs login, 64 usage, 75 try again later, 77 access denied.
  public var exitStatus: Int32 {
    switch self {
    case .needsLogin: 3
    case .invalidParams, .validationFailed: 64
    case .serverUnreachable, .throttled, .timeout, .fhirRateLimited, .storeFull, .shuttingDown, .overloaded: 75
    case .accessDenied: 77
    case .parseError, .invalidRequest, .methodNotFound, .internalError, .connectionNotFound, .connectionExists,
      .generationConflict, .ruleNotFound, .invalidClient, .invalidGrant, .invalidScope, .unauthorizedClient,
      .unsupportedGrantType, .stateMismatch, .notSupportedByServer, .noAuthorization, .tokenExpired,
      .fhirAuthentication, .fhirAuthorization, .fhirNotFound, .fhirAPIError, .serverAnswerUnusable, .tlsFailure,
      .storeReadOnly, .storeCorrupt:
      1
    }
  }
}

/// One field that did not pass, in the caller's own name for it.
public struct FieldError: Sendable, Codable, Hashable {
  public var field: String
  public var message: String
  public init(_ field: String, _ message: String) {
    self.field = field
    self.message = message
  }
}

/// The authorization server's own words. Source: RFC 6749 section 5.2.
public struct OAuthErrorBody: Sendable, Codable, Hashable {
  public var error: String
  public var errorDescription: String?
  public var errorURI: String?
  public init(error: String, errorDescription: String? = nil, errorURI: String? = nil) {
    self.error = error
    self.errorDescription = errorDescription
    self.errorURI = errorURI
  }
  enum CodingKeys: String, CodingKey {
    case error
    case errorDescription = "error_description"
    case errorURI = "error_uri"
  }
}

/// The `error` member of an answer.
public struct ControlError: Error, Sendable, Codable, Hashable {
  public struct Details: Sendable, Codable, Hashable {
    public var detail: String
    public var type: String
    public var code: ErrorCode
    public var hint: String?
    public var retryAfterSeconds: Double?
    public var oauth: OAuthErrorBody?
    public var fields: [FieldError]?
    enum CodingKeys: String, CodingKey {
      case detail, type, code, hint, oauth, fields
      case retryAfterSeconds = "retry_after_seconds"
    }
  }
  public var code: Int
  public var message: String
  public var data: Details

  /// - Parameters:
  ///   - message: one sentence for people, lower case, no full stop; nothing secret.
  ///   - hint: what to do next, a command where there is one.
  public init(
    _ code: ErrorCode, _ message: String, detail: String? = nil, hint: String? = nil,
    retryAfterSeconds: Double? = nil, oauth: OAuthErrorBody? = nil, fields: [FieldError]? = nil
  ) {
    self.code = code.number
    self.message = message
    self.data = Details(
      detail: detail ?? message, type: code.family, code: code, hint: hint, retryAfterSeconds: retryAfterSeconds,
      oauth: oauth, fields: fields)
  }
}
