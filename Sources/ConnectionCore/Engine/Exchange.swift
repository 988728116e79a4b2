/// Requests to one connection's server, with what the operator set for it: CA, proxy, headers, timeouts.
import FHIRControl
import SMARTProtocol

package struct Exchange: Sendable {
  let http: any HTTPClient
  let settings: any SettingsSource

  package init(http: any HTTPClient, settings: any SettingsSource) {
    self.http = http
    self.settings = settings
  }

  /// Bytes of a token answer or a discovery document; real ones are below 64 KiB.
  static let documentBytesMax = 1 << 20
  /// Redirects of a GET that are followed; `http.html` knows none, gateways have one or two.
  static let redirectsMax = 5

  func request(_ method: HTTPRequest.Method, _ url: String, accept: String, for connection: ConnectionRecord)
    -> HTTPRequest
  {
    let now = settings.current
    let extra = (connection.fields.extraHeaders ?? [:]).sorted { $0.key < $1.key }.map { HTTPHeader($0.key, $0.value) }
    return HTTPRequest(
      method, url, headers: [HTTPHeader("Accept", accept)] + extra.filter { $0.name.lowercased() != "accept" },
      connectTimeout: now.connectTimeout, totalTimeout: now.requestTimeout, responseBytesMax: Self.documentBytesMax,
      caFile: connection.fields.caFile, certificateFile: connection.fields.clientCertificateFile,
      proxy: connection.fields.proxy)
  }

  /// A document that anybody may read: no credential, redirects followed.
  func get(_ url: String, accept: String, bytesMax: Int = documentBytesMax, for connection: ConnectionRecord)
    async throws(HTTPFailure) -> HTTPReply
  {
    var request = request(.get, url, accept: accept, for: connection)
    request.redirects = .follow(max: Self.redirectsMax)
    request.responseBytesMax = bytesMax
    return try await http.send(request)
  }

  /// Walks through the discovery documents until what is needed is known.
  /// - Returns: the machine at its end, and the first failure to reach the server at all.
  /// - Parameter needed: nil: what this connection's tokens need.
  func discover(_ connection: ConnectionRecord, askAnyway: Bool, needed: Set<EndpointRole>? = nil) async -> (
    Discovery, HTTPFailure?
  )? {
    let insecure = settings.current.allowInsecureLoopback
    guard let base = try? FHIRBaseURL(connection.baseURL, allowInsecureLoopback: insecure) else { return nil }
    var configured: Discovery.ConfiguredEndpoints = [:]
    let fields = connection.fields
    let given: [(EndpointRole, String?)] = [
      (.token, fields.tokenURL), (.authorization, fields.authURL), (.revocation, fields.revocationURL),
      (.introspection, fields.introspectionURL),
    ]
    for case (let role, let url?) in given {
      configured[role] = try? EndpointURL(url, allowInsecureLoopback: insecure)
    }
    var discovery = Discovery(
      base: base, allowInsecureLoopback: insecure, issuer: fields.issuer, configured: configured,
      needed: needed ?? (connection.usesLogins ? [.authorization, .token] : connection.usesTokens ? [.token] : []),
      askAnyway: askAnyway, showsCertificate: fields.clientCertificateFile != nil)
    var failure: HTTPFailure?
    var answered = false
    while let next = discovery.next {
      let bytesMax = next.source == .capabilityStatement ? settings.current.responseBytesMax : Self.documentBytesMax
      do {
        let reply = try await get(next.url, accept: next.accept, bytesMax: bytesMax, for: connection)
        answered = true
        discovery.replied(
          status: reply.status, contentType: reply.header("content-type"), entityTag: reply.header("etag"),
          body: reply.body)
      } catch {
        failure = failure ?? error
        // A server that cannot be reached at all is not asked three more times.
        if !answered, error.kind != .tooLarge, error.kind != .badReply { return (discovery, error) }
        discovery.failed()
      }
    }
    return (discovery, answered ? nil : failure)
  }
}

extension DiscoveryRecord {
  init(_ found: DiscoveredConfiguration, baseURL: String, at time: Timestamp) {
    var endpoints: [String: Endpoint] = [:]
    for (role, endpoint) in found.endpoints {
      endpoints[role.fieldName ?? role.rawValue] = Endpoint(url: endpoint.url, source: endpoint.source.rawValue)
    }
    self.init(
      fhirBaseURL: baseURL, endpoints: endpoints, findings: found.findings.map(\.description), discoveredAt: time)
    issuer = found.issuer?.url
    answersWithIssuer = found.answersWithIssuer
    capabilities = found.capabilities
    signingAlgorithms = found.signingAlgorithms
    if found.endpoints.values.allSatisfy({ $0.source == .smartConfiguration }) { entityTag = found.entityTag }
    forCertificates = found.forCertificates ? true : nil
  }
}

extension DiscoveryRecord {
  /// It was made for these fields.
  func fits(_ connection: ConnectionRecord) -> Bool {
    fhirBaseURL == connection.baseURL
      && (forCertificates ?? false) == (connection.fields.clientCertificateFile != nil)
  }
}

extension ControlError {
  /// The words for a request that brought no answer.
  package init(_ failure: HTTPFailure, asking what: String) {
    switch failure.kind {
    case .resolve, .connect, .reset, .emptyReply, .cancelled:
      self.init(.serverUnreachable, "\(what) cannot be reached: \(failure.detail)", hint: "fhirctl connection test")
    case .timeout:
      self.init(.timeout, "\(what) did not answer in time: \(failure.detail)", hint: "fhirctl connection test")
    case .tls:
      self.init(
        .tlsFailure, "no secure connection to \(what): \(failure.detail)",
        hint: "check the server's certificate, or set ca_file to the CA that signed it")
    case .badRequest: self.init(.validationFailed, "\(what) cannot be asked: \(failure.detail)")
    case .tooLarge, .tooManyRedirects, .badReply:
      self.init(.serverAnswerUnusable, "\(what) gave an answer that is no use: \(failure.detail)")
    }
  }
}
