/// Discovery, driven by what it asks for and what comes back.
import Foundation
import SMARTProtocol
import TestSupport
import Testing

@Suite struct DiscoveryTests {
  private static let smart = ".well-known/smart-configuration"

  private func start(
    _ base: String = "https://h/a/fhir", issuer: String? = nil, configured: [EndpointRole: String] = [:],
    needed: Set<EndpointRole> = [.token], askAnyway: Bool = false, loopback: Bool = false
  ) throws -> Discovery {
    try Discovery(
      base: FHIRBaseURL(base, allowInsecureLoopback: loopback), allowInsecureLoopback: loopback, issuer: issuer,
      configured: configured.mapValues { try EndpointURL($0, allowInsecureLoopback: false) }, needed: needed,
      askAnyway: askAnyway)
  }

  private func ids(_ discovery: Discovery) -> [String] { discovery.result.findings.map(\.id) }

  private let oauthURIs = """
    {"resourceType":"CapabilityStatement","rest":[{"mode":"server"},{"security":{"extension":[{"url":
    "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris","extension":[
    {"url":"token","valueUri":"https://as/token"},{"url":"authorize","valueUri":"https://as/auth"},
    {"url":"revoke","valueUri":"https://as/revoke"}]}]}}]}
    """

  @Test func `R2.01 R2.02 the first request is the smart-configuration below the base, as JSON`() throws {
    let discovery = try start()
    #expect(
      discovery.next
        == DiscoveryRequest(
          url: "https://h/a/fhir/.well-known/smart-configuration", accept: "application/json",
          source: .smartConfiguration)
    )
  }

  @Test func `a member's name that stands twice is told in one short line`() throws {
    for name in ["\u{1b}[2Jx\u{85}", String(repeating: "x", count: 10_000)] {
      var discovery = try start()
      let body = "{\"\(name.contains("x\u{85}") ? "\\u001b[2Jx\u{85}" : name)\":1,"
      discovery.replied(
        status: 200, contentType: "application/json", body: Array((body + body.dropFirst() + "\"a\":1}").utf8))
      let told = try #require(discovery.result.findings.first { $0.id == "smart-configuration-duplicates" })
      #expect(told.sentence.count < 300)
      #expect(told.sentence.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) })
    }
  }

  @Test func `what is needed and known ends discovery at once`() throws {
    var discovery = try start()
    discovery.replied(
      status: 200, contentType: "application/json", body: Array("{\"token_endpoint\":\"https://as/t\"}".utf8))
    #expect(discovery.next == nil)
    #expect(
      discovery.result.endpoints == [.token: DiscoveredEndpoint(url: "https://as/t", source: .smartConfiguration)])
    #expect(discovery.missing.isEmpty)
  }

  @Test func `a configured endpoint needs no request and is never overridden`() throws {
    let configured = try start(configured: [.token: "https://mine/t"])
    #expect(configured.next == nil)
    #expect(configured.result.endpoints[.token]?.source == .configured)

    var asked = try start(configured: [.token: "https://mine/t"], askAnyway: true)
    let body = "{\"token_endpoint\":\"https://as/t\",\"revocation_endpoint\":\"https://as/r\"}"
    asked.replied(status: 200, contentType: "application/json", body: Array(body.utf8))
    #expect(asked.next == nil)
    #expect(asked.result.url(.token) == "https://mine/t")
    #expect(asked.result.url(.revocation) == "https://as/r")
  }

  @Test func `R2.07 the documents are asked in order, never in a race, and the source is told`() throws {
    var discovery = try start()
    var asked: [String] = []
    while let next = discovery.next {
      asked.append("\(next.accept) \(next.url)")
      if next.source == .capabilityStatement {
        discovery.replied(status: 200, contentType: "application/fhir+json", body: Array(oauthURIs.utf8))
      } else {
        discovery.replied(status: 404, contentType: "text/html", body: Array("<html>not here</html>".utf8))
      }
    }
    #expect(
      asked == [
        "application/json https://h/a/fhir/.well-known/smart-configuration",
        "application/json https://h/.well-known/oauth-authorization-server",
        "application/json https://h/.well-known/openid-configuration",
        "application/fhir+json https://h/a/fhir/metadata",
      ])
    #expect(
      discovery.result.endpoints[.token] == DiscoveredEndpoint(url: "https://as/token", source: .capabilityStatement))
    #expect(discovery.result.url(.revocation) == "https://as/revoke")
    #expect(ids(discovery).contains("smart-configuration-missing"))
  }

  @Test func `RFC 8414 puts the well-known path before the issuer's path, OpenID Connect behind it`() throws {
    var discovery = try start(issuer: "https://as.example.org/realms/lab")
    discovery.failed()
    #expect(discovery.next?.url == "https://as.example.org/.well-known/oauth-authorization-server/realms/lab")
    discovery.replied(status: 404, contentType: nil, body: [])
    #expect(discovery.next?.url == "https://as.example.org/realms/lab/.well-known/openid-configuration")
    let body = "{\"issuer\":\"https://as.example.org/realms/lab/\",\"token_endpoint\":\"https://as.example.org/t\"}"
    discovery.replied(status: 200, contentType: "application/json", body: Array(body.utf8))
    #expect(discovery.next == nil)
    #expect(discovery.result.endpoints[.token]?.source == .openidConfiguration)
  }

  @Test func `R2.10 metadata of another issuer than the configured one are not used`() throws {
    var discovery = try start(issuer: "https://as.example.org")
    discovery.failed()
    let body = "{\"issuer\":\"https://evil.example\",\"token_endpoint\":\"https://evil.example/t\"}"
    discovery.replied(status: 200, contentType: "application/json", body: Array(body.utf8))
    #expect(discovery.result.endpoints.isEmpty)
    #expect(ids(discovery).contains("issuer-mismatch"))
    #expect(discovery.next != nil)
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `R2.10 the placeholder in Entra's common metadata is accepted with a finding`() throws {
    var discovery = try start(issuer: "https://login.microsoftonline.com/common/v2.0")
    discovery.failed()
    discovery.failed()
    discovery.replied(
      status: 200, contentType: "application/json",
      body: try SharedData.bytes("smart-config/microsoft-entra-common-openid-configuration.json"))
    #expect(discovery.result.url(.token) == "https://login.microsoftonline.com/common/oauth2/v2.0/token")
    #expect(ids(discovery).contains("issuer-template"))
  }

  @Test func `R5.16 clients that show a certificate get the endpoints for such`() throws {
    let body = """
      {"token_endpoint":"https://as/t","revocation_endpoint":"https://as/r",
      "mtls_endpoint_aliases":{"token_endpoint":"https://mtls.as/t"}}
      """
    for (shows, token) in [(true, "https://mtls.as/t"), (false, "https://as/t")] {
      var discovery = Discovery(
        base: try FHIRBaseURL("https://h/a/fhir", allowInsecureLoopback: false), allowInsecureLoopback: false,
        showsCertificate: shows)
      discovery.replied(status: 200, contentType: "application/json", body: Array(body.utf8))
      #expect(discovery.result.url(.token) == token)
      #expect(discovery.result.url(.revocation) == "https://as/r")
    }
  }

  @Test func `R2.03 relative endpoints are resolved against the base with a warning`() throws {
    for (relative, absolute) in [
      ("auth/token", "https://h/a/fhir/auth/token"), ("/auth/token", "https://h/auth/token"),
      ("../token", "https://h/a/token"), ("//as/token", "https://as/token"),
    ] {
      var discovery = try start()
      let body = "{\"token_endpoint\":\"\(relative)\"}"
      discovery.replied(status: 200, contentType: "application/json", body: Array(body.utf8))
      #expect(discovery.result.url(.token) == absolute)
      #expect(ids(discovery).contains("token_endpoint-relative"))
    }
  }

  @Test(arguments: [
    "\"http://as/t\"", "\"\"", "\"https://u:p@as/t\"", "\"javascript:alert(1)\"", "17", "null", "[\"https://as/t\"]",
    "{\"url\":\"https://as/t\"}", "\"https://as/t#x\"", "\"https://as/\\u0000\"",
  ])
  func `an unusable endpoint counts as absent and never crashes`(value: String) throws {
    var discovery = try start()
    discovery.replied(status: 200, contentType: "application/json", body: Array("{\"token_endpoint\":\(value)}".utf8))
    #expect(discovery.result.endpoints.isEmpty)
    #expect(discovery.next?.source == .oauthMetadata)
  }

  @Test(arguments: [
    "", "<html><body>Sign in</body></html>", "null", "[]", "17", "\"x\"", "{\"token_endpoint\":", "\u{0}",
    "<?xml?><a/>",
  ])
  func `R2.07 HTML, nothing, half a document and other JSON go on to the next source`(body: String) throws {
    var discovery = try start()
    discovery.replied(status: 200, contentType: "text/html", body: Array(body.utf8))
    #expect(discovery.next?.source == .oauthMetadata)
    #expect(ids(discovery) == ["smart-configuration-unusable"])
  }

  @Test func `R2.04 what SMART requires and the document lacks is a finding and not fatal`() throws {
    var discovery = try start()
    let body = """
      {"token_endpoint":"https://as/t","capabilities":["launch-standalone","sso-openid-connect"],
      "code_challenge_methods_supported":["plain"]}
      """
    discovery.replied(status: 200, contentType: "application/json", body: Array(body.utf8))
    #expect(discovery.next == nil)
    #expect(
      Set(ids(discovery)) == [
        "smart-no-grant_types_supported", "smart-no-s256", "smart-plain", "smart-no-authorization_endpoint",
        "smart-no-issuer", "smart-no-jwks_uri",
      ])
  }

  @Test func `R2.06 R2.12 unknown members are kept for display and lists of a wrong type are forgiven`() throws {
    var discovery = try start()
    let body = """
      {"token_endpoint":"https://as/t","associated_endpoints":[{"url":"https://s"}],"x-vendor":1,
      "scopes_supported":"openid system/*.rs","grant_types_supported":["client_credentials",7],"capabilities":{}}
      """
    discovery.replied(status: 200, contentType: "text/plain", body: Array(body.utf8))
    let result = discovery.result
    #expect(result.otherMembers == ["associated_endpoints": "[{\"url\":\"https://s\"}]", "x-vendor": "1"])
    #expect(result.scopesSupported == ["openid", "system/*.rs"])
    #expect(result.grantTypes == ["client_credentials"])
    #expect(result.capabilities == nil)
    #expect(ids(discovery).contains("smart-configuration-content-type"))
  }

  @Test func `R2.07 the old form of oauth-uris is read`() throws {
    var discovery = try start()
    for _ in 0..<3 { discovery.failed() }
    let prefix = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    let body = """
      {"resourceType":"Conformance","rest":{"security":{"extension":[
      {"url":"\(prefix)#token","valueUri":"https://as/token"},{"url":"\(prefix)#authorize","valueUri":"https://as/a"}]}}}
      """
    discovery.replied(status: 200, contentType: "application/json+fhir", body: Array(body.utf8))
    #expect(discovery.result.url(.token) == "https://as/token")
    #expect(discovery.result.url(.authorization) == "https://as/a")
  }

  @Test func `R9.01 R9.03 metadata in XML are asked for again as JSON, once`() throws {
    var discovery = try start()
    for _ in 0..<3 { discovery.failed() }
    discovery.replied(status: 200, contentType: "application/xml", body: Array("<CapabilityStatement/>".utf8))
    #expect(discovery.next?.url == "https://h/a/fhir/metadata?_format=json")
    #expect(discovery.next?.accept == "application/json")
    discovery.replied(status: 200, contentType: "application/xml", body: Array("<CapabilityStatement/>".utf8))
    #expect(discovery.next == nil)
    #expect(discovery.missing == [.token])
    #expect(ids(discovery).last == "missing-token_endpoint")
  }

  @Test func `R2.08 an optional endpoint that is missing does not keep discovery going`() throws {
    var discovery = try start(needed: [.token])
    discovery.replied(
      status: 200, contentType: "application/json", body: Array("{\"token_endpoint\":\"https://as/t\"}".utf8))
    #expect(discovery.result.url(.revocation) == nil)
    #expect(discovery.next == nil)
  }

  @Test func `a late reply after the end changes nothing`() throws {
    var discovery = try start()
    discovery.replied(status: 200, contentType: nil, body: Array("{\"token_endpoint\":\"https://as/t\"}".utf8))
    let before = discovery.result
    discovery.replied(status: 200, contentType: nil, body: Array("{\"token_endpoint\":\"https://evil/t\"}".utf8))
    discovery.failed()
    #expect(discovery.result == before)
  }

  @Test func `loopback endpoints are taken only where they are allowed`() throws {
    let body = Array("{\"token_endpoint\":\"http://127.0.0.1:9/t\"}".utf8)
    var allowed = try start("http://127.0.0.1:8/fhir", loopback: true)
    allowed.replied(status: 200, contentType: nil, body: body)
    #expect(allowed.result.url(.token) == "http://127.0.0.1:9/t")
    var refused = try start()
    refused.replied(status: 200, contentType: nil, body: body)
    #expect(refused.result.url(.token) == nil)
  }

  @Test func `a result survives its record`() throws {
    var discovery = try start()
    discovery.replied(status: 200, contentType: nil, body: Array("{\"token_endpoint\":\"https://as/t\",\"x\":1}".utf8))
    let data = try JSONEncoder().encode(discovery.result)
    #expect(try JSONDecoder().decode(DiscoveredConfiguration.self, from: data) == discovery.result)
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `R2.04 every real smart-configuration gives its token endpoint`() throws {
    let all = try SharedData.all("smart-config")
    #expect(all.count >= 7)
    for (name, bytes) in all {
      var discovery = try start()
      discovery.replied(status: 200, contentType: "application/json", body: bytes)
      #expect(discovery.result.url(.token)?.hasPrefix("https://") == true, "\(name)")
      #expect(discovery.next == nil, "\(name)")
    }
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `Cerner's issuer is the address of its metadata and is taken back to what it is of`() throws {
    var discovery = try start(needed: [.token, .deviceAuthorization])
    discovery.replied(
      status: 200, contentType: "application/json", body: try SharedData.bytes("smart-config/lantern-cerner.json"))
    let tenant = "ec2458f2-1e24-41c8-b71b-0e701af7583d"
    #expect(
      discovery.next?.url
        == "https://authorization.cerner.com/.well-known/oauth-authorization-server/tenants/\(tenant)/oidc/idsps/\(tenant)"
    )
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `R2.07 every real CapabilityStatement with oauth-uris gives its token endpoint`() throws {
    var found = 0
    for (name, bytes) in try SharedData.all("capability") where name.hasSuffix(".json") {
      var discovery = try start()
      for _ in 0..<3 { discovery.failed() }
      discovery.replied(status: 200, contentType: "application/fhir+json", body: bytes)
      let text = String(decoding: bytes, as: UTF8.self)
      // One of them names http://localhost, which is not allowed here.
      let names = text.contains("oauth-uris") && text.contains("valueUri") && !text.contains("http://localhost")
      #expect((discovery.result.url(.token) != nil) == names, "\(name)")
      found += discovery.result.url(.token) == nil ? 0 : 1
    }
    #expect(found >= 10)
  }

  @Test func `of eight thousand damaged documents none crashes discovery and all end`() throws {
    var originals = [Array(oauthURIs.utf8)]
    originals.append(
      Array(
        """
        {"issuer":"https://as","token_endpoint":"https://as/t","jwks_uri":"/keys","capabilities":["sso-openid-connect"],
        "scopes_supported":["openid"],"code_challenge_methods_supported":["S256"],"grant_types_supported":["x"],"y":{"z":[1]}}
        """.utf8))
    if SharedData.isPresent {
      originals += try SharedData.all("smart-config").map(\.bytes)
      originals.append(try SharedData.bytes("capability/clientpy-valid.json"))
    }
    var mutator = Mutator(seed: 3)
    for i in 0..<8000 {
      var discovery = try start(needed: [.token, .management])
      var steps = 0
      while discovery.next != nil, steps < 10 {
        steps += 1
        discovery.replied(status: 200, contentType: "x", body: mutator.mutate(originals[i % originals.count]))
      }
      #expect(discovery.next == nil)
      for endpoint in discovery.result.endpoints.values { #expect(endpoint.url.lowercased().hasPrefix("https://")) }
    }
  }
}
