/// The records of the tables `connections` and `capabilities`: what the operator said, and what the server told.
package import FHIRControl
import SMARTProtocol

/// Sealed JSON: read when a command or a refresh needs it, never on the hot path. The secret is a record of its own.
package struct ConnectionRecord: Codable, Sendable, Equatable {
  package static let recordVersion: UInt8 = 1

  package var id: String
  /// Normalized and complete; `clientSecret` is always nil here.
  package var fields: ConnectionFields
  package var hasClientSecret: Bool
  package var createdAt: Timestamp
  package var updatedAt: Timestamp

  package init(
    id: ConnectionID, fields: ConnectionFields, hasClientSecret: Bool, createdAt: Timestamp, updatedAt: Timestamp
  ) {
    self.id = id.description
    self.fields = fields
    self.fields.clientSecret = nil
    self.hasClientSecret = hasClientSecret
    self.createdAt = createdAt
    self.updatedAt = updatedAt
  }

  package var name: String { fields.connectionName ?? "" }
  package var baseURL: String { fields.fhirBaseURL ?? "" }

  /// Whether tokens are obtained at all; an open server has none.
  package var usesTokens: Bool { fields.authMethod != AuthMethod.none.rawValue }

  package var usesLogins: Bool { fields.authMethod == AuthMethod.authorizationCode.rawValue }

  /// How a grant without a login begins.
  package var firstRenewal: GrantRecord.Renewal { usesLogins ? .login : .client }
}

/// `auth_method`.
package enum AuthMethod: String, Sendable, CaseIterable {
  case none
  case clientCredentials = "client_credentials"
  /// People log in by browser; their grants are renewed with refresh tokens.
  case authorizationCode = "authorization_code"
}

/// `client_authentication`.
package enum ClientAuthenticationMethod: String, Sendable, CaseIterable {
  case none
  case clientSecretBasic = "client_secret_basic"
  case clientSecretPost = "client_secret_post"
  case privateKeyJWT = "private_key_jwt"
  /// The client's certificate is the proof. Source: RFC 8705 section 2.1.
  case tlsClientAuth = "tls_client_auth"
}

/// `search_method`.
package enum SearchMethod: String, Sendable, CaseIterable { case auto, get, post }

/// What discovery found, kept until it is older than the capability lifetime or the endpoint turns out to be gone.
package struct DiscoveryRecord: Codable, Sendable, Equatable {
  package static let recordVersion: UInt8 = 1

  package var fhirBaseURL: String
  package var endpoints: [String: Endpoint]
  package var findings: [String]
  package var discoveredAt: Timestamp
  package var issuer: String?
  /// Answers to authorization requests name the issuer (RFC 9207).
  package var answersWithIssuer: Bool?
  package var capabilities: [String]?
  package var signingAlgorithms: [String]?
  /// `ETag` of the smart-configuration, when every endpoint stands in it.
  package var entityTag: String?
  /// Endpoints are those for clients that show a certificate.
  package var forCertificates: Bool?

  package init(fhirBaseURL: String, endpoints: [String: Endpoint], findings: [String], discoveredAt: Timestamp) {
    self.fhirBaseURL = fhirBaseURL
    self.endpoints = endpoints
    self.findings = findings
    self.discoveredAt = discoveredAt
  }
}

/// A record with the generation under which it was read.
package struct Versioned<Record: Sendable>: Sendable {
  package var record: Record
  package var generation: Generation
  package init(_ record: Record, _ generation: Generation) {
    self.record = record
    self.generation = generation
  }
}
