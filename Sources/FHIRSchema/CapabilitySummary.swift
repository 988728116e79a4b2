/// What a CapabilityStatement (or DSTU2's Conformance) says, as far as connection tests and status need it. Reading is
/// total: whatever is there is taken, whatever is odd becomes a finding, and only what is no such document is an error.
package import SMARTProtocol

package struct CapabilitySummary: Sendable, Hashable, Codable {
  package enum Problem: Error, Sendable, Hashable {
    case empty
    case xml
    case html
    case notJSON(String)
    /// A JSON document, but another resource, or none; `found` is its resourceType.
    case otherResource(found: String?)

    /// Lower case, no full stop; continues "the metadata …".
    package var sentence: String {
      switch self {
      case .empty: "is empty"
      case .xml: "is XML; the server must be asked for JSON (Accept: application/fhir+json, or _format=json)"
      case .html: "is an HTML page: the base URL may be wrong, or a login or maintenance page stands before it"
      case .notJSON(let why): "is unusable: \(why)"
      case .otherResource(let found?): "is a resource of type \(found), not a CapabilityStatement"
      case .otherResource(nil): "is JSON without a resourceType, not a CapabilityStatement"
      }
    }
  }

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

  package init(json bytes: [UInt8]) throws(Problem) {
    let document: JSONDocument
    switch BodyKind(bytes) {
    case .empty: throw .empty
    case .xml: throw .xml
    case .html: throw .html
    case .json, .text:
      do {
        document = try JSONDocument(bytes, limits: .large)
      } catch {
        throw .notJSON(error.sentence)
      }
    }
    let root = document.root
    guard let type = root["resourceType"]?.string else { throw .otherResource(found: nil) }
    guard type == "CapabilityStatement" || type == "Conformance" else {
      throw .otherResource(found: Words.clean(type, max: 80))
    }
    var reader = CapabilityReader(document)
    resourceType = type
    fhirVersion = reader.text(root["fhirVersion"], "fhirVersion", isExpected: true)
    release = fhirVersion.flatMap { FHIRRelease(version: $0) }
    if let fhirVersion, release == nil {
      reader.note("fhir-version-unknown", "no FHIR release has version \(fhirVersion)")
    }
    kind = reader.text(root["kind"], "kind", isExpected: type == "CapabilityStatement")
    softwareName = reader.text(root["software"]?["name"], "software.name", isExpected: false)
    softwareVersion = reader.text(root["software"]?["version"], "software.version", isExpected: false)
    formats = reader.texts(root["format"], "format", isExpected: true)
    (resources, systemInteractions) = reader.rest(root["rest"])
    if resources.isEmpty { reader.note("no-resources", "the \(type) names no resource type") }
    findings = reader.findings
  }
}

/// Collects findings while the parts of a statement are read.
private struct CapabilityReader {
  private(set) var findings: [Finding] = []

  /// Findings of one statement; an odd one can have the same oddity in every resource.
  private static let findingsMax = 50
  /// Characters kept of one text, and resource types kept: R5 has 157 of them.
  private static let textMax = 200
  private static let resourcesMax = 2000

  init(_ document: JSONDocument) {
    if !document.topLevelDuplicates.isEmpty || document.hasInnerDuplicates {
      note("duplicate-members", "an object of the statement has a member twice; the last one was taken")
    }
    if document.repairedText { note("bad-text", "the statement has text that is not UTF-8") }
  }

  mutating func note(_ id: String, _ sentence: String) {
    let finding = Finding(id, sentence)
    if findings.count < Self.findingsMax, !findings.contains(finding) { findings.append(finding) }
  }

  mutating func text(_ value: JSON?, _ name: String, isExpected: Bool) -> String? {
    switch value ?? .null {
    case .string(let text) where !text.isEmpty: return Words.clean(text, max: Self.textMax)
    case .null, .string:
      if isExpected { note("no-\(name)", "the statement has no \(name)") }
      return nil
    case let other:
      note("\(name)-type", "\(name) is \(other.kind), not a string")
      return nil
    }
  }

  mutating func texts(_ value: JSON?, _ name: String, isExpected: Bool) -> [String] {
    switch value ?? .null {
    case .array(let values):
      let texts = values.compactMap(\.string)
      if texts.count < values.count { note("\(name)-type", "\(name) holds values that are not strings") }
      return texts.prefix(Self.resourcesMax).map { Words.clean($0, max: Self.textMax) }
    case .string(let text):
      note("\(name)-type", "\(name) is a string, not an array")
      return [Words.clean(text, max: Self.textMax)]
    case .null:
      if isExpected { note("no-\(name)", "the statement has no \(name)") }
      return []
    case let other:
      note("\(name)-type", "\(name) is \(other.kind), not an array")
      return []
    }
  }

  /// An array's objects; an object alone where the array was forgotten.
  private mutating func objects(_ value: JSON?, _ name: String) -> [JSON] {
    switch value ?? .null {
    case .null: return []
    case .object:
      note("\(name)-type", "\(name) is an object, not an array")
      return value.map { [$0] } ?? []
    case .array(let values):
      let objects = values.filter { $0.object != nil }
      if objects.count < values.count { note("\(name)-type", "\(name) holds values that are not objects") }
      return objects
    case let other:
      note("\(name)-type", "\(name) is \(other.kind), not an array")
      return []
    }
  }

  mutating func rest(_ value: JSON?) -> ([CapabilitySummary.Resource], [String]) {
    let all = objects(value, "rest")
    if all.isEmpty { note("no-rest", "the statement has no rest") }
    var interactions: [String: Set<String>] = [:]
    var system: Set<String> = []
    // A server describes itself with mode "server"; what it would do as a client is not on offer.
    for rest in all where rest["mode"]?.string != "client" {
      for resource in objects(rest["resource"], "rest.resource") {
        guard let type = resource["type"]?.string, !type.isEmpty else {
          note("resource-no-type", "a rest.resource has no type")
          continue
        }
        guard interactions.count < Self.resourcesMax else { break }
        interactions[Words.clean(type, max: Self.textMax), default: []].formUnion(
          codes(resource["interaction"], of: type))
      }
      system.formUnion(codes(rest["interaction"], of: "rest"))
    }
    let resources = interactions.sorted { $0.key < $1.key }.map {
      CapabilitySummary.Resource(type: $0.key, interactions: $0.value.sorted())
    }
    return (resources, system.sorted())
  }

  private mutating func codes(_ value: JSON?, of owner: String) -> [String] {
    objects(value, "interaction").compactMap { interaction in
      guard let code = interaction["code"]?.string else {
        note("interaction-no-code", "an interaction of \(Words.clean(owner, max: 80)) has no code")
        return nil
      }
      return Words.clean(code, max: Self.textMax)
    }
  }
}
