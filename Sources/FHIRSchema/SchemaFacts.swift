/// A schema as a list of single facts, each with its place: what two schemas are compared by.

struct SchemaFact: Hashable {
  var area: SchemaDiff.Area
  /// nil for what belongs to the statement.
  var mode: Schema.Mode?
  var resource: String?
  var name: String
}

extension Schema {
  /// Each fact with its value, or its values where a statement has a name several times: HAPI names 117 operations
  /// `validate`, in an order of the moment.
  var facts: [SchemaFact: Set<String>] {
    var list = FactList()
    list.add(.statement, "resource_type", resourceType)
    list.add(.version, "fhir_version", fhirVersion)
    list.add(.statement, "kind", kind)
    list.add(.statement, "status", status)
    list.add(.statement, "experimental", isExperimental)
    list.add(.statement, "url", url)
    list.add(.statement, "version", version)
    list.add(.software, "name", software?.name)
    list.add(.software, "version", software?.version)
    list.add(.software, "release_date", software?.releaseDate)
    list.add(.implementation, "url", implementation?.url)
    list.add(.implementation, "description", implementation?.description)
    for format in formats { list.add(.format, format, "") }
    for format in patchFormats { list.add(.format, "patch \(format)", "") }
    for url in instantiates { list.add(.profile, "instantiates \(url)", "") }
    for url in imports { list.add(.profile, "imports \(url)", "") }
    for url in implementationGuides { list.add(.profile, "guide \(url)", "") }
    for url in profiles { list.add(.profile, url, "") }
    list.add(.statement, "messaging", offersMessaging)
    list.add(.statement, "documents", offersDocuments)
    for part in rest { list.add(part) }
    return list.facts
  }
}

private struct FactList {
  private(set) var facts: [SchemaFact: Set<String>] = [:]
  private var mode: Schema.Mode?
  private var resource: String?

  mutating func add(_ area: SchemaDiff.Area, _ name: String, _ value: String?) {
    guard let value else { return }
    facts[SchemaFact(area: area, mode: mode, resource: resource, name: name), default: []].insert(value)
  }

  /// Of everything that may have one, so that a documentation that comes or goes is a change of it.
  private mutating func add(documentation: String?, of name: String) {
    add(.documentation, name, documentation ?? "")
  }

  private mutating func add(_ items: [Schema.Interaction]) {
    for item in items {
      add(.interaction, item.code, item.isProhibited == true ? "prohibited" : "")
      add(documentation: item.documentation, of: "interaction \(item.code)")
    }
  }

  private mutating func add(_ items: [Schema.SearchParameter]) {
    for item in items {
      let words =
        [item.type ?? "no type", item.definition ?? ""] + item.targets + [item.isProhibited == true ? "prohibited" : ""]
      add(.searchParameter, item.name, words.filter { !$0.isEmpty }.joined(separator: " "))
      add(documentation: item.documentation, of: "search parameter \(item.name)")
    }
  }

  private mutating func add(_ items: [Schema.Operation]) {
    for item in items {
      let words = [item.definition ?? "", item.isProhibited == true ? "prohibited" : ""]
      add(.operation, item.name, words.filter { !$0.isEmpty }.joined(separator: " "))
      add(documentation: item.documentation, of: "operation \(item.name)")
    }
  }

  mutating func add(_ area: SchemaDiff.Area, _ name: String, _ value: Bool?) {
    add(area, name, value.map { $0 ? "true" : "false" })
  }

  mutating func add(_ rest: Schema.Rest) {
    mode = rest.mode
    resource = nil
    add(documentation: rest.documentation, of: "rest")
    add(rest.interactions)
    add(rest.searchParameters)
    add(rest.operations)
    for compartment in rest.compartments { add(.compartment, compartment, "") }
    add(.setting, "transaction_mode", rest.transactionMode)
    if let security = rest.security { add(security) }
    for item in rest.resources { add(item) }
  }

  private mutating func add(_ security: Schema.Security) {
    add(.security, "cors", security.cors)
    add(.security, "description", security.description)
    for service in security.services {
      let codes = service.codings.compactMap(\.code)
      add(.security, "service \(codes.isEmpty ? service.text ?? "" : codes.joined(separator: " "))", "")
    }
    for uri in security.oauthURIs { add(.security, "oauth \(uri.name)", uri.url) }
    for capability in security.capabilities { add(.security, "capability \(capability)", "") }
  }

  private mutating func add(_ item: Schema.Resource) {
    resource = nil
    add(.resource, item.type, "")
    resource = item.type
    add(.profile, "profile", item.profile)
    for profile in item.supportedProfiles { add(.profile, profile, "") }
    add(documentation: item.documentation, of: "type")
    add(item.interactions)
    add(item.searchParameters)
    add(item.operations)
    for include in item.searchIncludes { add(.include, include, "") }
    for include in item.searchRevIncludes { add(.include, "reverse \(include)", "") }
    add(.setting, "versioning", item.versioning)
    add(.setting, "read_history", item.readHistory)
    add(.setting, "update_create", item.updateCreate)
    add(.setting, "conditional_create", item.conditionalCreate)
    add(.setting, "conditional_read", item.conditionalRead)
    add(.setting, "conditional_update", item.conditionalUpdate)
    add(.setting, "conditional_patch", item.conditionalPatch)
    add(.setting, "conditional_delete", item.conditionalDelete)
    for policy in item.referencePolicies { add(.setting, "reference_policy \(policy)", "") }
  }
}
