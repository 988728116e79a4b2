/// Dynamic client registration: what is sent, and what came back. Source: RFC 7591.

package struct ClientRegistration: Sendable {
  package var clientName: String
  package var redirectURIs: [String] = []
  package var grantTypes: [String]
  package var scope: String?
  /// `token_endpoint_auth_method`
  package var authentication: String
  /// Where the server fetches the public keys; nil: they stand in the request.
  package var jwksURI: String?
  package var jwks: JSON?
  /// A JWT of somebody whom the server trusts. Source: RFC 7591 section 2.3.
  package var softwareStatement: String?
  package var softwareVersion: String

  package init(clientName: String, grantTypes: [String], authentication: String, softwareVersion: String) {
    self.clientName = clientName
    self.grantTypes = grantTypes
    self.authentication = authentication
    self.softwareVersion = softwareVersion
  }

  /// The request's body.
  package var body: [UInt8] {
    var members: [String: JSON] = [
      "client_name": .string(clientName), "grant_types": .array(grantTypes.map { .string($0) }),
      "token_endpoint_auth_method": .string(authentication), "software_id": .string("fhird"),
      "software_version": .string(softwareVersion),
    ]
    if !redirectURIs.isEmpty { members["redirect_uris"] = .array(redirectURIs.map { .string($0) }) }
    // RFC 7591 section 2.1: each grant type has its response type, and client_credentials has none.
    members["response_types"] = .array(grantTypes.contains("authorization_code") ? [.string("code")] : [])
    if let scope { members["scope"] = .string(scope) }
    // Both would contradict each other. Source: RFC 7591 section 2.
    if let jwksURI { members["jwks_uri"] = .string(jwksURI) } else if let jwks { members["jwks"] = jwks }
    if let softwareStatement { members["software_statement"] = .string(softwareStatement) }
    var bytes: [UInt8] = []
    JSON.object(members).append(to: &bytes)
    return bytes
  }
}

/// What a server has registered. Source: RFC 7591 section 3.2.1.
package struct RegisteredClient: Sendable {
  package var clientID: String
  package var clientSecret: SecretText?
  /// Seconds since 1970; nil: it does not expire, or nobody said.
  package var secretExpiresAt: Int64?
  /// What the server made of the request, where it says.
  package var authentication: String?
  package var scope: String?
  /// Where the registration can be read and changed (RFC 7592).
  package var managementURI: String?

  /// The longest id and secret, in bytes.
  package static let idBytesMax = 1024
  package static let secretBytesMax = 8192

  /// - Parameter header: looks a header up without regard to case.
  package static func read(
    status: Int, header: (String) -> String?, body: [UInt8]
  ) -> Result<RegisteredClient, TokenRefusal> {
    let answer = NeighbourAnswer(
      endpoint: "registration endpoint", field: "the server's metadata", status: status, header: header, body: body,
      lifting: ["client_secret", "registration_access_token"])
    guard answer.isSuccess, answer.oauth == nil else { return .failure(answer.refusal()) }
    func useless(_ detail: String) -> Result<RegisteredClient, TokenRefusal> {
      .failure(
        TokenRefusal(status: status, sentence: "the registration endpoint's \(status) registers nobody: \(detail)"))
    }
    guard let document = answer.document else { return useless(answer.fault ?? "it is not JSON") }
    let root = document.root
    guard let id = root["client_id"]?.string, !id.isEmpty, id.utf8.count <= idBytesMax else {
      return useless("client_id is missing")
    }
    var client = RegisteredClient(clientID: id)
    if let secret = document.lifted["client_secret"], !secret.isEmpty {
      guard secret.count <= secretBytesMax else { return useless("client_secret is too long") }
      client.clientSecret = SecretText(secret)
    }
    if case .integer(let at)? = root["client_secret_expires_at"], at > 0 { client.secretExpiresAt = at }
    client.authentication = root["token_endpoint_auth_method"]?.string
    client.scope = root["scope"]?.string
    client.managementURI = root["registration_client_uri"]?.string.map { Words.clean($0, max: WebURL.bytesMax) }
    return .success(client)
  }
}
