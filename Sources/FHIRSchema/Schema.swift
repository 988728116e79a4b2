/// What a server says it can do: its CapabilityStatement (or DSTU2's Conformance) as one value, the same for every
/// release of FHIR. The JSON names are part of the control protocol.
package struct Schema: Sendable, Hashable, Codable {
  /// `CapabilityStatement` or `Conformance`.
  package var resourceType: String
  /// As the server writes it; `release` is what it stands for.
  package var fhirVersion: String?
  package var release: FHIRRelease?
  /// `instance`, `capability`, `requirements`.
  package var kind: String?
  package var status: String?
  package var isExperimental: Bool?
  /// Of the statement itself: its canonical address, its version, its names, who wrote it and when.
  package var url: String?
  package var version: String?
  package var name: String?
  package var title: String?
  package var publisher: String?
  package var date: String?
  package var description: String?
  package var software: Software?
  package var implementation: Implementation?
  package var formats: [String]
  package var patchFormats: [String]
  package var instantiates: [String]
  package var imports: [String]
  package var implementationGuides: [String]
  /// What DSTU2 and STU3 list for the whole statement; later releases have profiles in each resource only.
  package var profiles: [String]
  /// At most one of mode `server` and one of mode `client`, in this order; what a statement says in several is united.
  package var rest: [Rest]
  package var offersMessaging: Bool
  package var offersDocuments: Bool
  package var findings: [SchemaFinding]

  enum CodingKeys: String, CodingKey {
    case resourceType = "resource_type"
    case fhirVersion = "fhir_version"
    case release, kind, status
    case isExperimental = "experimental"
    case url, version, name, title, publisher, date, description, software, implementation, formats
    case patchFormats = "patch_formats"
    case instantiates, imports
    case implementationGuides = "implementation_guides"
    case profiles, rest
    case offersMessaging = "messaging"
    case offersDocuments = "documents"
    case findings
  }

  /// What is on offer; what the system would do as a client is not.
  package var server: Rest? { rest.first { $0.mode == .server } }
  package var client: Rest? { rest.first { $0.mode == .client } }

  package struct Software: Sendable, Hashable, Codable {
    package var name: String?
    package var version: String?
    package var releaseDate: String?
    enum CodingKeys: String, CodingKey {
      case name, version
      case releaseDate = "release_date"
    }
  }

  package struct Implementation: Sendable, Hashable, Codable {
    package var description: String?
    package var url: String?
    package var custodian: String?
  }

  package enum Mode: String, Sendable, Hashable, Codable { case server, client }

  package struct Rest: Sendable, Hashable, Codable {
    package var mode: Mode
    package var documentation: String?
    package var security: Security?
    /// In the order of their types, one entry each.
    package var resources: [Resource]
    /// Of the whole system: `transaction`, `search-system`, …
    package var interactions: [Interaction]
    /// Parameters that every resource type has.
    package var searchParameters: [SearchParameter]
    package var operations: [Operation]
    package var compartments: [String]
    /// DSTU2 and older only; later releases have system interactions.
    package var transactionMode: String?

    enum CodingKeys: String, CodingKey {
      case mode, documentation, security, resources, interactions
      case searchParameters = "search_parameters"
      case operations, compartments
      case transactionMode = "transaction_mode"
    }

    package func resource(_ type: String) -> Resource? { resources.first { $0.type == type } }
  }

  package struct Interaction: Sendable, Hashable, Codable {
    package var code: String
    package var documentation: String?
    /// The statement names it to say that a server must not offer it.
    package var isProhibited: Bool?
    enum CodingKeys: String, CodingKey {
      case code, documentation
      case isProhibited = "prohibited"
    }
  }

  package struct SearchParameter: Sendable, Hashable, Codable {
    package var name: String
    /// `reference`, `token`, …
    package var type: String?
    package var definition: String?
    package var documentation: String?
    /// Resource types that a reference points to, where the statement itself names them: DSTU2 and older.
    package var targets: [String]
    /// Parameters that can be chained, in the same releases.
    package var chains: [String]
    package var isProhibited: Bool?
    enum CodingKeys: String, CodingKey {
      case name, type, definition, documentation, targets, chains
      case isProhibited = "prohibited"
    }
  }

  package struct Operation: Sendable, Hashable, Codable {
    /// Without `$`.
    package var name: String
    package var definition: String?
    package var documentation: String?
    package var isProhibited: Bool?
    enum CodingKeys: String, CodingKey {
      case name, definition, documentation
      case isProhibited = "prohibited"
    }
  }
}

extension Schema {
  package struct Resource: Sendable, Hashable, Codable {
    package var type: String
    package var profile: String?
    package var supportedProfiles: [String]
    package var documentation: String?
    /// In the order of the statement.
    package var interactions: [Interaction]
    /// `no-version`, `versioned`, `versioned-update`.
    package var versioning: String?
    package var readHistory: Bool?
    package var updateCreate: Bool?
    package var conditionalCreate: Bool?
    /// `not-supported`, `modified-since`, `not-match`, `full-support`.
    package var conditionalRead: String?
    package var conditionalUpdate: Bool?
    package var conditionalPatch: Bool?
    /// `not-supported`, `single`, `multiple`.
    package var conditionalDelete: String?
    package var referencePolicies: [String]
    /// `Observation:subject`, `Slot:schedule:Schedule`, `*`: as the server writes them.
    package var searchIncludes: [String]
    package var searchRevIncludes: [String]
    package var searchParameters: [SearchParameter]
    package var operations: [Operation]

    enum CodingKeys: String, CodingKey {
      case type, profile
      case supportedProfiles = "supported_profiles"
      case documentation, interactions, versioning
      case readHistory = "read_history"
      case updateCreate = "update_create"
      case conditionalCreate = "conditional_create"
      case conditionalRead = "conditional_read"
      case conditionalUpdate = "conditional_update"
      case conditionalPatch = "conditional_patch"
      case conditionalDelete = "conditional_delete"
      case referencePolicies = "reference_policies"
      case searchIncludes = "search_includes"
      case searchRevIncludes = "search_rev_includes"
      case searchParameters = "search_parameters"
      case operations
    }

    package func offers(_ interaction: String) -> Bool {
      interactions.contains { $0.code == interaction && $0.isProhibited != true }
    }
  }

  package struct Security: Sendable, Hashable, Codable {
    package var cors: Bool?
    package var services: [Service]
    package var description: String?
    /// `authorize`, `token`, … with their addresses, in either form of the SMART extension.
    package var oauthURIs: [OAuthURI]
    /// SMART's, from its extension of that name: `launch-ehr`, `client-public`, …
    package var capabilities: [String]

    enum CodingKeys: String, CodingKey {
      case cors, services, description
      case oauthURIs = "oauth_uris"
      case capabilities
    }

    package init() { (services, oauthURIs, capabilities) = ([], [], []) }
    package var isEmpty: Bool { self == Security() }

    package struct Service: Sendable, Hashable, Codable {
      package var codings: [Coding]
      package var text: String?
    }
    package struct Coding: Sendable, Hashable, Codable {
      package var system: String?
      package var code: String?
      package var display: String?
    }
    package struct OAuthURI: Sendable, Hashable, Codable {
      package var name: String
      package var url: String
    }
  }
}

/// Something odd or wrong in a statement, told once with the places where it is.
package struct SchemaFinding: Sendable, Hashable, Codable, CustomStringConvertible {
  package enum Severity: String, Sendable, Hashable, Codable {
    /// Something could not be read as it stands, or what every statement needs is missing.
    case error
    /// Read, but not what the specification says.
    case warning
    /// Allowed, and good to know.
    case information
  }
  /// Stable; `search-parameter-no-type`.
  package var id: String
  package var severity: Severity
  /// Lower case, no full stop.
  package var sentence: String
  /// How often it is so.
  package var count: Int
  /// Some of the places: `Patient.birthdate`.
  package var places: [String]

  package var description: String {
    guard !places.isEmpty else { return sentence }
    let more = count > places.count ? " and \(count - places.count) more" : ""
    return "\(sentence) (\(places.joined(separator: ", "))\(more))"
  }
}

/// Why a body gives no schema.
package enum StatementProblem: Error, Sendable, Hashable {
  case empty
  /// Only where XML is not read.
  case xml
  case html
  case notJSON(String)
  case notXML(String)
  /// A document, but another resource, or none; `found` is its resourceType.
  case otherResource(found: String?)

  /// Lower case, no full stop; continues "the metadata …".
  package var sentence: String {
    switch self {
    case .empty: "is empty"
    case .xml: "is XML; the server must be asked for JSON (Accept: application/fhir+json, or _format=json)"
    case .html: "is an HTML page: the base URL may be wrong, or a login or maintenance page stands before it"
    case .notJSON(let why): "is unusable: \(why)"
    case .notXML(let why): "is unusable: \(why)"
    case .otherResource(let found?): "is a resource of type \(found), not a CapabilityStatement"
    case .otherResource(nil): "is JSON without a resourceType, not a CapabilityStatement"
    }
  }
}
