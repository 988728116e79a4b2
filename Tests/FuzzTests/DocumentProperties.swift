/// Documents of servers: metadata, CapabilityStatements, OperationOutcomes.
import FHIRSchema
import FoundationEssentials
import SMARTProtocol

extension FuzzTarget {
  static let operationOutcome = FuzzTarget(
    "operation-outcome",
    seeds: [
      "404\n\n{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"code\":\"not-found\",\"diagnostics\":\"no Patient/1\"}]}",
      "400\n\n{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"details\":{\"text\":\"a\",\"coding\":[{\"display\":\"b\"}]}}"
        + ",{\"code\":\"x\"},{\"code\":\"y\"},{\"code\":\"z\"}],\"text\":{\"div\":\"<div>no &amp; no</div>\"}}",
      "400\n\n<OperationOutcome><issue><diagnostics value=\"no &lt;here&gt;\"/></issue></OperationOutcome>",
      "500\n\n<html><head><title>Bad\n Gateway</title></head></html>", "401\nWWW-Authenticate: Bearer error=\"x\"\n\n",
      "500\n\njava.lang.NullPointerException", "503\n\n",
    ],
    words: Reply.words + [
      "OperationOutcome", "<diagnostics value=\"", "<text value='", "<display value=", "<TITLE>", "&amp;", "&lt;",
      "issue",
      "diagnostics", "details", "coding", "display", "resourceType", "\u{301}",
    ]
  ) { bytes in
    let reply = Reply(bytes)
    // 600 bytes and a half: three issues of 300 characters of up to four bytes, and the words around them.
    try holdSentence(
      OperationOutcome.sentence(status: reply.status, header: { reply.header($0) }, body: reply.body), "outcome")
    if let text = OperationOutcome.text(reply.body) { try holdSentence(text, "issues") }
  }

  static let discovery = FuzzTarget(
    "discovery", bytesMax: 16 << 10, seeds: discoverySeeds,
    words: Reply.words + [
      "\n---\n", "issuer", "token_endpoint", "authorization_endpoint", "revocation_endpoint", "introspection_endpoint",
      "jwks_uri", "capabilities", "scopes_supported", "code_challenge_methods_supported", "grant_types_supported",
      "https://fhir.example.org/r4", "http://127.0.0.1:8080/", "//evil.example/", "../", "/token", "{tenantid}",
      "authorization_response_iss_parameter_supported", "sso-openid-connect", "launch-ehr", "rest", "security",
      "extension", "oauth-uris", "valueUri", "CapabilityStatement", "Conformance", "resourceType", "authorize", "token",
    ], folders: ["smart-config", "capability"], wrap: { Array("0\n".utf8) + Reply.wrap($0) }
  ) { bytes in
    let flags = bytes.first ?? 0
    var rest = bytes.drop { $0 != 0x0A }.dropFirst()
    let insecure = flags & 1 != 0
    let issuer = flags & 2 != 0 ? "https://login.example.org" : nil
    let fixed = try EndpointURL("https://fhir.example.org/fixed", allowInsecureLoopback: false)
    var discovery = Discovery(
      base: try FHIRBaseURL("https://fhir.example.org/r4", allowInsecureLoopback: false),
      allowInsecureLoopback: insecure, issuer: issuer, configured: flags & 4 != 0 ? [.revocation: fixed] : [:],
      needed: flags & 8 != 0 ? [.token, .authorization, .introspection] : [.token], askAnyway: flags & 16 != 0)
    var asked = 0
    while let request = discovery.next {
      asked += 1
      try hold(asked <= 5, "discovery does not end")
      try holdUsable(request.url, insecure: insecure, "a request to")
      let end = rest.firstSplit(at: Array("\n---\n".utf8))
      let reply = Reply(rest[..<end])
      rest = rest[end...].dropFirst(5)
      if reply.status == 599 {
        discovery.failed()
      } else {
        discovery.replied(status: reply.status, contentType: reply.header("Content-Type"), body: reply.body)
      }
    }
    let found = discovery.result
    for (role, endpoint) in found.endpoints {
      try holdUsable(endpoint.url, insecure: insecure, "the \(role.words)")
      if flags & 4 != 0, role == .revocation { try hold(endpoint.url == fixed.text, "the operator's URL was replaced") }
    }
    if let issuer { try hold(found.issuer?.url == issuer, "the operator's issuer was replaced") }
    // 64 for the documents; what is missing is told where there is room.
    try hold(found.findings.count <= 64, "\(found.findings.count) findings")
    for finding in found.findings { try holdSentence(finding.sentence, max: 20_000, "finding") }
    try hold(found.otherMembers.count <= 64, "too many members are kept")
  }

  private static func holdUsable(_ url: String, insecure: Bool, _ what: String) throws {
    do {
      _ = try EndpointURL(url, allowInsecureLoopback: insecure)
    } catch URLProblem.tooLong {
      // An issuer of full length and a well-known path: refused where it would be fetched.
    } catch {
      throw Violation(description: "\(what) \(url): \(error)")
    }
  }

  static let capability = FuzzTarget(
    "capability-statement", bytesMax: 16 << 10,
    seeds: [
      "{\"resourceType\":\"CapabilityStatement\",\"fhirVersion\":\"4.0.1\",\"kind\":\"instance\",\"format\":[\"json\"],"
        + "\"software\":{\"name\":\"x\",\"version\":\"1\"},\"rest\":[{\"mode\":\"server\",\"resource\":[{\"type\":\"Patient\","
        + "\"interaction\":[{\"code\":\"read\"},{\"code\":\"search-type\"}]}],\"interaction\":[{\"code\":\"transaction\"}]}]}",
      "{\"resourceType\":\"Conformance\",\"fhirVersion\":\"1.0.2\",\"rest\":{\"resource\":{\"type\":\"Patient\"}}}",
      "{\"resourceType\":\"Patient\"}", "<CapabilityStatement/>", "<html>", "",
    ],
    words: [
      "resourceType", "CapabilityStatement", "Conformance", "fhirVersion", "rest", "mode", "server", "client",
      "resource",
      "type", "interaction", "code", "format", "software", "name", "version", "kind", "\":[{\"", "\":\"", "null",
      "4.0.1",
      "9999999999999999999.0", "\\ud800",
    ], folders: ["capability"]
  ) { bytes in
    let summary: CapabilitySummary
    do throws(CapabilitySummary.Problem) {
      summary = try CapabilitySummary(json: bytes)
    } catch {
      return try holdSentence(error.sentence, "metadata")
    }
    // A document that names no resource is taken for what its `rest` says it is, and told.
    let isNamed = ["CapabilityStatement", "Conformance"].contains(summary.resourceType)
    let isTold = summary.resourceType.isEmpty && summary.findings.contains { $0.id == "other-resource" }
    try hold(isNamed || isTold, "another resource was taken")
    let types = summary.resources.map(\.type)
    try hold(types == types.sorted() && Set(types).count == types.count, "resources are not sorted, each once")
    for resource in summary.resources {
      try holdSentence(resource.type, max: 900, "resource type")
      try hold(resource.interactions == Set(resource.interactions).sorted(), "interactions are not sorted, each once")
    }
    try hold(summary.findings.count <= 50, "\(summary.findings.count) findings")
    for finding in summary.findings { try holdSentence(finding.sentence, "finding") }
    try holdSentence(summary.sentence, "summary")
    guard bytes.count < 2048 else { return }
    let again = try JSONDecoder().decode(CapabilitySummary.self, from: JSONEncoder().encode(summary))
    try hold(again == summary, "the summary changed when it was stored")
  }

  private static let discoverySeeds = [
    "0\n200\nContent-Type: application/json\n\n{\"token_endpoint\":\"https://fhir.example.org/token\",\"capabilities\":"
      + "[\"client-confidential-symmetric\"],\"grant_types_supported\":[\"client_credentials\"],"
      + "\"code_challenge_methods_supported\":[\"S256\"]}",
    "8\n404\n\n\n---\n200\n\n{\"issuer\":\"https://login.example.org/a\",\"token_endpoint\":\"/token\"}\n---\n599\n\n\n---\n"
      + "200\n\n{\"resourceType\":\"CapabilityStatement\",\"rest\":[{\"security\":{\"extension\":[{\"url\":"
      + "\"http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris\",\"extension\":[{\"url\":\"token\","
      + "\"valueUri\":\"https://fhir.example.org/token\"}]}]}}]}",
    "3\n200\n\n{\"issuer\":\"https://other.example.org\",\"token_endpoint\":\"http://127.0.0.1:9/token\"}\n---\n200\n\n"
      + "{\"issuer\":\"https://login.example.org\",\"token_endpoint\":\"../token?x=1\"}",
    "1\n200\n\n<html>\n---\n406\n\n\n---\n406\n\n\n---\n406\n\n<xml/>\n---\n200\n\n{\"resourceType\":\"Conformance\"}",
  ]
}

extension Collection<UInt8> {
  /// Where the separator begins; the end where there is none.
  func firstSplit(at separator: [UInt8]) -> Index {
    var at = startIndex
    while at != endIndex {
      if self[at...].starts(with: separator) { return at }
      formIndex(after: &at)
    }
    return endIndex
  }
}
