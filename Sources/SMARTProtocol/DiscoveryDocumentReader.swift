/// Reads the documents of discovery into one configuration: what is there is taken, what is odd becomes a finding.

struct DiscoveryDocumentReader: Sendable {
  enum CapabilityOutcome { case read, unusable, otherFormat }

  private(set) var configuration = DiscoveredConfiguration()
  private let base: FHIRBaseURL
  private let allowInsecureLoopback: Bool
  private let configuredIssuer: String?

  /// Findings of one discovery; beyond it a server is only making noise.
  static let findingsMax = 64
  /// Text kept of one member that nothing here reads.
  static let otherMemberBytesMax = 4096
  static let otherMembersMax = 64
  /// Elements kept of one list; Cerner names 160 scopes.
  static let listElementsMax = 2000

  init(
    base: FHIRBaseURL, allowInsecureLoopback: Bool, issuer: String?, configured: Discovery.ConfiguredEndpoints,
    showsCertificate: Bool = false
  ) {
    configuration.forCertificates = showsCertificate
    self.base = base
    self.allowInsecureLoopback = allowInsecureLoopback
    configuredIssuer = issuer
    for (role, url) in configured {
      configuration.endpoints[role] = DiscoveredEndpoint(url: url.text, source: .configured)
    }
    configuration.issuer = issuer.map { DiscoveredEndpoint(url: $0, source: .configured) }
  }

  mutating func note(_ id: String, _ sentence: String) {
    guard configuration.findings.count < Self.findingsMax else { return }
    let finding = Finding(id, sentence)
    if !configuration.findings.contains(finding) { configuration.findings.append(finding) }
  }

  /// Longest tag that is kept, in bytes.
  static let entityTagBytesMax = 512

  /// Source: RFC 9110 section 8.8.3.
  mutating func keep(entityTag: String?) {
    guard let tag = entityTag, tag.hasPrefix("\"") || tag.hasPrefix("W/\""), tag.hasSuffix("\""),
      tag.utf8.count <= Self.entityTagBytesMax, tag.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { return }
    configuration.entityTag = tag
  }

  // MARK: SMART, OAuth and OpenID metadata

  mutating func readMetadata(_ asked: DiscoveryRequest, status: Int, contentType: String?, body: [UInt8]) {
    let name = asked.source.rawValue
    guard (200...299).contains(status) else {
      note("\(name)-missing", "\(asked.url) answers \(status)")
      return
    }
    let root: JSON
    do {
      let document = try JSONDocument(body, limits: .small)
      root = document.root
      if !document.topLevelDuplicates.isEmpty {
        let names = document.topLevelDuplicates.sorted().joined(separator: ", ")
        note("\(name)-duplicates", "\(Words.clean(names, max: 200)) stands there twice")
      }
    } catch {
      note("\(name)-unusable", "\(asked.url) \(BodyKind(body).answered ?? error.sentence)")
      return
    }
    guard let members = root.object else {
      note("\(name)-unusable", "\(asked.url) answered with \(root.kind), not with an object")
      return
    }
    if let contentType, !contentType.lowercased().contains("json") {
      note("\(name)-content-type", "the document is JSON but comes as \(Words.clean(contentType, max: 80))")
    }
    guard acceptsIssuer(members["issuer"], of: asked) else { return }
    readEndpoints(members, of: asked)
    readLists(members, of: asked)
    if members["authorization_response_iss_parameter_supported"]?.bool == true {
      configuration.answersWithIssuer = true
    }
    keepOthers(members)
    if asked.source == .smartConfiguration { judgeSMART(members) }
  }

  /// RFC 8414 section 3.3: the issuer in the metadata must be the one they were asked for with.
  private mutating func acceptsIssuer(_ member: JSON?, of asked: DiscoveryRequest) -> Bool {
    guard let issuer = member?.string, !issuer.isEmpty else {
      if let member, !member.isNull { note("issuer-type", "issuer is \(member.kind), not a string") }
      return true
    }
    if let configuredIssuer, asked.source != .smartConfiguration {
      if Self.sameIssuer(issuer, configuredIssuer) { return true }
      guard issuer.contains("{") else {
        note("issuer-mismatch", "\(asked.url) is the metadata of another issuer, \(Words.clean(issuer, max: 200))")
        return false
      }
      // Microsoft Entra's "common" metadata name {tenantid} instead of a tenant.
      note("issuer-template", "the issuer in the metadata is a template: \(Words.clean(issuer, max: 200))")
      return true
    }
    if configuration.issuer == nil {
      configuration.issuer = DiscoveredEndpoint(url: Words.clean(issuer, max: WebURL.bytesMax), source: asked.source)
    }
    return true
  }

  private static func sameIssuer(_ a: String, _ b: String) -> Bool {
    func bare(_ text: String) -> Substring { text.hasSuffix("/") ? text.dropLast() : text[...] }
    return bare(a) == bare(b)
  }

  private mutating func readEndpoints(_ members: [String: JSON], of asked: DiscoveryRequest) {
    for role in EndpointRole.allCases {
      let alias = configuration.forCertificates ? members["mtls_endpoint_aliases"]?[role.rawValue] : nil
      guard let member = alias ?? members[role.rawValue], !member.isNull else { continue }
      guard let text = member.string else {
        note("\(role.rawValue)-type", "\(role.rawValue) is \(member.kind), not a string")
        continue
      }
      take(role, text, of: asked.source)
    }
  }

  /// R2.03: relative endpoints are resolved against the FHIR base URL, read as a directory, as FHIR reads its own
  /// relative references.
  private mutating func take(_ role: EndpointRole, _ text: String, of source: DiscoverySource) {
    guard !text.isEmpty else {
      note("\(role.rawValue)-empty", "\(role.rawValue) is empty")
      return
    }
    var url = text
    if !URLReference.isAbsolute(text) {
      url = URLReference.resolve(text, against: base.text + "/")
      note("\(role.rawValue)-relative", "\(role.rawValue) is relative; taken as \(Words.clean(url, max: 300))")
    }
    do {
      let endpoint = try EndpointURL(url, allowInsecureLoopback: allowInsecureLoopback)
      if configuration.endpoints[role] == nil {
        configuration.endpoints[role] = DiscoveredEndpoint(url: endpoint.text, source: source)
      }
    } catch {
      note("\(role.rawValue)-unusable", "\(role.rawValue) of the server's \(source.rawValue) \(error.sentence)")
    }
  }

  private mutating func readLists(_ members: [String: JSON], of asked: DiscoveryRequest) {
    for (name, path) in Self.lists {
      guard let member = members[name], !member.isNull else { continue }
      let list: [String]
      switch member {
      case .array(let values):
        list = values.prefix(Self.listElementsMax).compactMap(\.string)
        if list.count < min(values.count, Self.listElementsMax) {
          note("\(name)-type", "\(name) holds values that are not strings")
        }
      case .string(let text):
        list = text.split(whereSeparator: { $0 == " " || $0 == "," }).prefix(Self.listElementsMax).map(String.init)
        note("\(name)-type", "\(name) is a string, not an array")
      case .null, .bool, .integer, .number, .object:
        note("\(name)-type", "\(name) is \(member.kind), not an array")
        continue
      }
      if configuration[keyPath: path] == nil { configuration[keyPath: path] = list }
    }
  }

  private static var lists: [(String, WritableKeyPath<DiscoveredConfiguration, [String]?>)] {
    [
      ("capabilities", \.capabilities),
      ("scopes_supported", \.scopesSupported),
      ("grant_types_supported", \.grantTypes),
      ("token_endpoint_auth_methods_supported", \.authMethods),
      ("token_endpoint_auth_signing_alg_values_supported", \.signingAlgorithms),
      ("code_challenge_methods_supported", \.pkceMethods),
      ("response_types_supported", \.responseTypes),
    ]
  }

  private mutating func keepOthers(_ members: [String: JSON]) {
    let known = Set(EndpointRole.allCases.map(\.rawValue)).union(Self.lists.map(\.0)).union([
      "issuer", "authorization_response_iss_parameter_supported",
    ])
    for name in members.keys.sorted() where !known.contains(name) {
      guard configuration.otherMembers.count < Self.otherMembersMax, configuration.otherMembers[name] == nil,
        let text = members[name]?.text, text.utf8.count <= Self.otherMemberBytesMax
      else { continue }
      configuration.otherMembers[Words.clean(name, max: 200)] = text
    }
  }

  /// What SMART App Launch 2.2 requires of the document. Findings only: live servers omit more than they give.
  private mutating func judgeSMART(_ members: [String: JSON]) {
    func has(_ name: String) -> Bool { members[name].map { !$0.isNull } ?? false }
    for name in ["token_endpoint", "capabilities", "grant_types_supported", "code_challenge_methods_supported"]
    where !has(name) {
      note("smart-no-\(name)", "the smart-configuration lacks \(name), which SMART requires")
    }
    if has("code_challenge_methods_supported") {
      let methods = configuration.pkceMethods ?? []
      if !methods.contains("S256") { note("smart-no-s256", "code_challenge_methods_supported does not name S256") }
      if methods.contains("plain") {
        note("smart-plain", "code_challenge_methods_supported names plain, which SMART forbids")
      }
    }
    let capabilities = configuration.capabilities ?? []
    if capabilities.contains(where: { $0.hasPrefix("launch-") }), !has("authorization_endpoint") {
      note("smart-no-authorization_endpoint", "the server launches apps but names no authorization_endpoint")
    }
    if capabilities.contains("sso-openid-connect") {
      for name in ["issuer", "jwks_uri"] where !has(name) {
        note("smart-no-\(name)", "the server offers sso-openid-connect but names no \(name)")
      }
    }
  }

  // MARK: CapabilityStatement

  mutating func readCapabilities(_ asked: DiscoveryRequest, status: Int, body: [UInt8]) -> CapabilityOutcome {
    let kind = BodyKind(body)
    // 406, 415 and 400: servers that do not know application/fhir+json (DSTU2's name was another).
    let isOther = kind == .xml || kind == .html || [400, 406, 415].contains(status)
    guard (200...299).contains(status) else {
      note("metadata-missing", "\(asked.url) answers \(status)")
      return isOther ? .otherFormat : .unusable
    }
    let root: JSON
    do {
      root = try JSONDocument(body, limits: .large).root
    } catch {
      note("metadata-not-json", "\(asked.url) \(kind.answered ?? error.sentence)")
      return isOther ? .otherFormat : .unusable
    }
    let type = root["resourceType"]?.string
    guard type == "CapabilityStatement" || type == "Conformance" else {
      note("metadata-other-resource", "\(asked.url) answered with \(Words.clean(type ?? root.kind, max: 80))")
      return .unusable
    }
    let found = OAuthURIs.find(in: root)
    for (role, url) in found { take(role, url, of: .capabilityStatement) }
    if found.isEmpty { note("metadata-no-oauth-uris", "the \(type ?? "") has no oauth-uris in rest.security") }
    return .read
  }
}

/// The endpoints in a CapabilityStatement's `rest.security`: deprecated in SMART 2, and all that older servers have.
package enum OAuthURIs {
  static func find(in statement: JSON) -> [(EndpointRole, String)] {
    items(statement["rest"]).flatMap { items($0["security"]) }.flatMap(declared).compactMap { name, url in
      roles[name].map { ($0, url) }
    }
  }

  /// What one `security` names, in the nested form of the extension and in the old one with a fragment; as it is there.
  package static func declared(in security: JSON) -> [(name: String, url: String)] {
    var found: [(name: String, url: String)] = []
    func add(_ name: String?, _ value: JSON) {
      guard let name, let url = (value["valueUri"] ?? value["valueUrl"] ?? value["valueString"])?.string else { return }
      found.append((name, url))
    }
    for outer in items(security["extension"]) {
      guard let url = outer["url"]?.string else { continue }
      if url.hasSuffix("oauth-uris") {
        for inner in items(outer["extension"]) { add(inner["url"]?.string, inner) }
      } else if let mark = url.firstIndex(of: "#"), url[..<mark].hasSuffix("oauth-uris") {
        add(String(url[url.index(after: mark)...]), outer)
      }
    }
    return found
  }

  private static let roles: [String: EndpointRole] = [
    "authorize": .authorization, "token": .token, "register": .registration, "manage": .management,
    "introspect": .introspection, "revoke": .revocation,
  ]

  /// The elements, or the value itself where a server forgot the array.
  private static func items(_ value: JSON?) -> [JSON] {
    guard let value else { return [] }
    if case .object = value { return [value] }
    return value.elements
  }
}
