/// A schema as a list of single facts, each with its place: what two schemas are compared by.

struct SchemaFact: Hashable {
  var area: SchemaDiff.Area
  /// nil for what belongs to the statement.
  var mode: Schema.Mode?
  var resource: String?
  var name: String
}

extension Schema {
  /// Each fact with its value. Where a statement says a thing twice, the values stand together.
  var facts: [SchemaFact: String] {
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
  private(set) var facts: [SchemaFact: String] = [:]
  private var mode: Schema.Mode?
  private var resource: String?
  /// Bytes of one value; a name that stands very often gets no more.
  private static let valueBytesMax = 8000

  mutating func add(_ area: SchemaDiff.Area, _ name: String, _ value: String?) {
    guard let value else { return }
    let fact = SchemaFact(area: area, mode: mode, resource: resource, name: name)
    guard facts[fact] != nil else {
      facts[fact] = value
      return
    }
    if !value.isEmpty, facts[fact] != value, facts[fact, default: ""].utf8.count < Self.valueBytesMax {
      facts[fact, default: ""].append(" | \(value)")
    }
  }

  mutating func add(_ area: SchemaDiff.Area, _ name: String, _ value: Bool?) {
    add(area, name, value.map { $0 ? "true" : "false" })
  }

  mutating func add(_ rest: Schema.Rest) {
    mode = rest.mode
    resource = nil
    for interaction in rest.interactions { add(.interaction, interaction.code, "") }
    for parameter in rest.searchParameters { add(parameter) }
    for operation in rest.operations { add(.operation, operation.name, operation.definition ?? "") }
    for compartment in rest.compartments { add(.compartment, compartment, "") }
    add(.setting, "transaction_mode", rest.transactionMode)
    if let security = rest.security { add(security) }
    for item in rest.resources { add(item) }
  }

  private mutating func add(_ parameter: Schema.SearchParameter) {
    let words = [parameter.type ?? "no type", parameter.definition ?? ""] + parameter.targets
    add(.searchParameter, parameter.name, words.filter { !$0.isEmpty }.joined(separator: " "))
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
    for interaction in item.interactions { add(.interaction, interaction.code, "") }
    for parameter in item.searchParameters { add(parameter) }
    for operation in item.operations { add(.operation, operation.name, operation.definition ?? "") }
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
