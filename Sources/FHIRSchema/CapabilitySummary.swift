/// What of a server's schema connection tests and status need. What is no CapabilityStatement at all is an error;
/// whatever is odd in one is a finding.
package import SMARTProtocol

package struct CapabilitySummary: Sendable, Hashable, Codable {
  package typealias Problem = StatementProblem

  package struct Resource: Sendable, Hashable, Codable {
    package var type: String
    /// `read`, `search-type`, …, sorted; what the statement names, nothing assumed.
    package var interactions: [String]
    package var offersSearch: Bool { interactions.contains("search-type") }
    package var offersRead: Bool { interactions.contains("read") }
    package init(type: String, interactions: [String]) {
      self.type = type
      self.interactions = interactions
    }
  }

  /// `CapabilityStatement` or `Conformance`.
  package var resourceType: String
  /// As the server writes it.
  package var fhirVersion: String?
  package var release: FHIRRelease?
  /// `instance`, `capability`, `requirements`.
  package var kind: String?
  package var softwareName: String?
  package var softwareVersion: String?
  package var formats: [String]
  /// In the order of their types; one entry each, whatever the statement does.
  package var resources: [Resource]
  /// Of the whole system: `transaction`, `search-system`, …
  package var systemInteractions: [String]
  package var findings: [Finding]

  package func resource(_ type: String) -> Resource? { resources.first { $0.type == type } }

  /// `FHIR R4 (4.0.1), HAPI FHIR Server 5.4, 117 resource types`
  package var sentence: String {
    var parts: [String] = []
    switch (release, fhirVersion) {
    case (let release?, let version?): parts.append("FHIR \(release.rawValue) (\(version))")
    case (nil, let version?): parts.append("FHIR version \(version)")
    case (_, nil): parts.append("FHIR of a version that it does not name")
    }
    if let softwareName { parts.append(softwareName + (softwareVersion.map { " \($0)" } ?? "")) }
    parts.append(resources.count == 1 ? "1 resource type" : "\(resources.count) resource types")
    return parts.joined(separator: ", ")
  }

  package init(json bytes: [UInt8]) throws(Problem) { self.init(try Schema(json: bytes)) }

  /// What of a schema tests and status need; of the findings, those that matter to them.
  package init(_ schema: Schema) {
    resourceType = schema.resourceType
    fhirVersion = schema.fhirVersion
    release = schema.release
    kind = schema.kind
    softwareName = schema.software?.name
    softwareVersion = schema.software?.version
    formats = schema.formats
    resources = (schema.server?.resources ?? []).map { resource in
      Resource(type: resource.type, interactions: Self.offered(resource.interactions))
    }
    systemInteractions = Self.offered(schema.server?.interactions ?? [])
    findings = schema.findings.filter { $0.severity == .error }.prefix(Self.findingsMax)
      .map { Finding($0.id, $0.description) }
  }

  private static func offered(_ interactions: [Schema.Interaction]) -> [String] {
    interactions.filter { $0.isProhibited != true }.map(\.code).sorted()
  }

  /// An odd statement can be odd in many ways; nobody reads more.
  private static let findingsMax = 50
}
