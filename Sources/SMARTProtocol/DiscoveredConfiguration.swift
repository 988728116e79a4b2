/// What discovery found out about a server: endpoints with where each is known from, what the server offers, and what
/// is wanting. Kept as a record; nothing in it is secret.

/// Where an endpoint is known from; the raw values stand in answers.
package enum DiscoverySource: String, Codable, Sendable, CaseIterable {
  case configured
  case smartConfiguration = "smart-configuration"
  case oauthMetadata = "oauth-metadata"
  case openidConfiguration = "openid-configuration"
  case capabilityStatement = "capability-statement"
}

/// What an endpoint is for; the raw value is its member in SMART's and OAuth's metadata.
package enum EndpointRole: String, Codable, CodingKeyRepresentable, Sendable, CaseIterable {
  case authorization = "authorization_endpoint"
  case token = "token_endpoint"
  case revocation = "revocation_endpoint"
  case introspection = "introspection_endpoint"
  case registration = "registration_endpoint"
  case management = "management_endpoint"
  case jwks = "jwks_uri"
  case deviceAuthorization = "device_authorization_endpoint"

  /// The connection's field that sets it, where there is one.
  package var fieldName: String? {
    switch self {
    case .authorization: "auth_url"
    case .token: "token_url"
    case .revocation: "revocation_url"
    case .introspection: "introspection_url"
    case .registration, .management, .jwks, .deviceAuthorization: nil
    }
  }

  /// For sentences.
  package var words: String {
    switch self {
    case .authorization: "authorization endpoint"
    case .token: "token endpoint"
    case .revocation: "revocation endpoint"
    case .introspection: "introspection endpoint"
    case .registration: "registration endpoint"
    case .management: "management endpoint"
    case .jwks: "key set URL"
    case .deviceAuthorization: "device authorization endpoint"
    }
  }
}

package struct DiscoveredEndpoint: Codable, Sendable, Hashable {
  package var url: String
  package var source: DiscoverySource
  package init(url: String, source: DiscoverySource) {
    self.url = url
    self.source = source
  }
}

/// Something that a server does not do as the specifications say. Never fatal by itself.
package struct Finding: Codable, Sendable, Hashable, CustomStringConvertible {
  /// Stable; `smart-configuration-missing`.
  package var id: String
  /// Lower case, no full stop.
  package var sentence: String
  package init(_ id: String, _ sentence: String) {
    self.id = id
    self.sentence = sentence
  }
  package var description: String { "\(id): \(sentence)" }
}

package struct DiscoveredConfiguration: Codable, Sendable, Hashable {
  package var endpoints: [EndpointRole: DiscoveredEndpoint] = [:]
  package var issuer: DiscoveredEndpoint?
  /// nil: the server did not say; empty: it said that there are none.
  package var capabilities: [String]?
  /// Never exhaustive: an unlisted scope may still be asked for. Source: SMART App Launch, conformance.
  package var scopesSupported: [String]?
  package var grantTypes: [String]?
  package var authMethods: [String]?
  package var signingAlgorithms: [String]?
  /// `ETag` of the smart-configuration, where it is one.
  package var entityTag: String?
  /// Endpoints are those for clients that show a certificate, where the server has such.
  package var forCertificates = false
  package var pkceMethods: [String]?
  package var responseTypes: [String]?
  /// `authorization_response_iss_parameter_supported`. Source: RFC 9207.
  package var answersWithIssuer = false
  /// Members that nothing here reads, as JSON text by name, for display: `associated_endpoints`, vendors' own.
  package var otherMembers: [String: String] = [:]
  package var findings: [Finding] = []

  package init() {}

  package func url(_ role: EndpointRole) -> String? { endpoints[role]?.url }
}

/// One document to fetch with GET, without any credentials.
package struct DiscoveryRequest: Sendable, Hashable {
  package var url: String
  package var accept: String
  package var source: DiscoverySource
  package init(url: String, accept: String, source: DiscoverySource) {
    self.url = url
    self.accept = accept
    self.source = source
  }
}
