/// Finds a server's OAuth endpoints, one document after the other, until what is needed is known. Pure: it says what
/// to fetch and is told what came. In order: smart-configuration, OAuth and OpenID metadata, CapabilityStatement.
///
/// The order is never a race: a server's own smart-configuration goes before whatever its /metadata says.

package struct Discovery: Sendable {
  /// What the operator set; it goes before anything a server says.
  package typealias ConfiguredEndpoints = [EndpointRole: EndpointURL]

  private enum Stage {
    /// Can become: wellKnown, metadata, done.
    case smartConfiguration
    /// The metadata of the authorization server, what is left to ask. Can become: itself, metadata, done.
    case wellKnown(rest: [DiscoveryRequest])
    /// Can become: metadataAsJSON, done.
    case metadata
    /// Again, with `_format=json`: the server answered XML or HTML. Can become: done.
    case metadataAsJSON
    case done
  }

  private let base: FHIRBaseURL
  private let allowInsecureLoopback: Bool
  private let configuredIssuer: String?
  private let needed: Set<EndpointRole>
  private var stage: Stage
  private var document: DiscoveryDocumentReader

  /// What to fetch now; nil: `result` is complete.
  package private(set) var next: DiscoveryRequest?

  /// - Parameters:
  ///   - issuer: the authorization server's issuer, if the operator set it; its metadata must then name it.
  ///   - needed: discovery ends as soon as these are known.
  ///   - showsCertificate: the client shows one: `mtls_endpoint_aliases` go before the endpoints (RFC 8705 section 5).
  ///   - askAnyway: asks for the smart-configuration even when nothing is missing (`connection.test`).
  package init(
    base: FHIRBaseURL, allowInsecureLoopback: Bool, issuer: String? = nil, configured: ConfiguredEndpoints = [:],
    needed: Set<EndpointRole> = [.token], askAnyway: Bool = false, showsCertificate: Bool = false
  ) {
    self.base = base
    self.allowInsecureLoopback = allowInsecureLoopback
    configuredIssuer = issuer
    self.needed = needed
    document = DiscoveryDocumentReader(
      base: base, allowInsecureLoopback: allowInsecureLoopback, issuer: issuer, configured: configured,
      showsCertificate: showsCertificate)
    stage = .smartConfiguration
    next = DiscoveryRequest(
      url: base.appending(".well-known/smart-configuration"), accept: "application/json", source: .smartConfiguration)
    if !askAnyway { stopIfKnown() }
  }

  /// What is known so far; complete once `next` is nil.
  package var result: DiscoveredConfiguration { document.configuration }

  /// Needed endpoints that were not found.
  package var missing: [EndpointRole] {
    EndpointRole.allCases.filter { needed.contains($0) && document.configuration.endpoints[$0] == nil }
  }

  /// The answer to `next` came.
  package mutating func replied(status: Int, contentType: String?, entityTag: String? = nil, body: [UInt8]) {
    guard let asked = next else { return }  // a late reply; discovery is over
    switch stage {
    case .smartConfiguration, .wellKnown:
      if case .smartConfiguration = stage { document.keep(entityTag: entityTag) }
      document.readMetadata(asked, status: status, contentType: contentType, body: body)
    case .metadata:
      let outcome = document.readCapabilities(asked, status: status, body: body)
      if outcome == .otherFormat {
        stage = .metadataAsJSON
        next = DiscoveryRequest(
          url: base.appending("metadata?_format=json"), accept: "application/json", source: .capabilityStatement)
        return
      }
    case .metadataAsJSON: _ = document.readCapabilities(asked, status: status, body: body)
    case .done: return
    }
    advance()
  }

  /// `next` could not be fetched: no connection, no TLS, a timeout.
  package mutating func failed() {
    guard let asked = next else { return }
    document.note("\(asked.source.rawValue)-unreachable", "\(asked.url) could not be fetched")
    advance()
  }

  private mutating func advance() {
    stopIfKnown()
    switch stage {
    case .smartConfiguration: take(wellKnownRequests())
    case .wellKnown(let rest): take(rest)
    case .metadata, .metadataAsJSON: finish()
    case .done: return
    }
  }

  private mutating func take(_ requests: [DiscoveryRequest]) {
    if let first = requests.first {
      stage = .wellKnown(rest: Array(requests.dropFirst()))
      next = first
    } else {
      stage = .metadata
      next = DiscoveryRequest(
        url: base.appending("metadata"), accept: "application/fhir+json", source: .capabilityStatement)
    }
  }

  private mutating func stopIfKnown() {
    if missing.isEmpty { finish() }
  }

  private mutating func finish() {
    guard next != nil else { return }
    stage = .done
    next = nil
    for role in missing {
      let cure = role.fieldName.map { ": set \($0)" } ?? ""
      document.note("missing-\(role.rawValue)", "the server names no \(role.words)\(cure)")
    }
  }

  /// RFC 8414 section 3.1: the well-known path goes between host and path; OpenID Connect Discovery section 4: behind it.
  private func wellKnownRequests() -> [DiscoveryRequest] {
    let issuer = configuredIssuer ?? document.configuration.issuer?.url ?? base.origin.description
    guard let parsed = try? FHIRBaseURL(Self.bareIssuer(issuer), allowInsecureLoopback: allowInsecureLoopback) else {
      return []
    }
    return [
      DiscoveryRequest(
        url: parsed.origin.description + "/.well-known/oauth-authorization-server" + parsed.path,
        accept: "application/json", source: .oauthMetadata),
      DiscoveryRequest(
        url: parsed.appending(".well-known/openid-configuration"), accept: "application/json",
        source: .openidConfiguration),
    ]
  }

  /// Cerner publishes the address of its metadata as the issuer.
  private static func bareIssuer(_ issuer: String) -> String {
    for suffix in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
    where issuer.hasSuffix(suffix) {
      return String(issuer.dropLast(suffix.count))
    }
    return issuer
  }
}
