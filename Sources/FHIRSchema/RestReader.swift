/// Reads one `rest`, or several of the same mode one after the other, and unites what is said twice.
import SMARTProtocol

struct RestReader {
  var fields: FieldReader
  private var rest: Schema.Rest
  /// Where each type stands in `rest.resources`.
  private var places: [String: Int] = [:]
  /// Whether resources of this entry have been seen before in the same entry.
  private var seenHere: Set<String> = []
  private var unions = 0

  private static let systemInteractions: Set<String> = ["transaction", "batch", "search-system", "history-system"]
  private static let resourceInteractions: Set<String> = [
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
    // DSTU1 only.
    "validate",
  ]
  static let parameterTypes: Set<String> = [
    "number", "date", "string", "token", "reference", "composite", "quantity", "uri", "special", "resource",
  ]
  private static let versionings: Set<String> = ["no-version", "versioned", "versioned-update"]
  private static let conditionalReads: Set<String> = ["not-supported", "modified-since", "not-match", "full-support"]
  private static let conditionalDeletes: Set<String> = ["not-supported", "single", "multiple"]
  private static let policies: Set<String> = ["literal", "logical", "resolves", "enforced", "local"]

  static func empty(_ mode: Schema.Mode) -> Schema.Rest {
    Schema.Rest(
      mode: mode, documentation: nil, security: nil, resources: [], interactions: [], searchParameters: [],
      operations: [], compartments: [], transactionMode: nil)
  }

  init(_ rest: Schema.Rest, fields: FieldReader) {
    self.rest = rest
    self.fields = fields
    for (i, resource) in rest.resources.enumerated() { places[resource.type] = i }
  }

  func finished() -> Schema.Rest {
    var result = rest
    result.resources.sort { $0.type < $1.type }
    return result
  }

  mutating func take(_ item: JSON) {
    fields.owner = ""
    rest.documentation = united(rest.documentation, fields.documentation(item["documentation"]))
    rest.transactionMode = rest.transactionMode ?? fields.text(item["transactionMode"], "transactionMode")
    for entry in fields.objects(item["resource"], "rest.resource") {
      guard let type = fields.word(entry["type"], "rest.resource.type") else {
        fields.note("resource-no-type", .error, "a rest.resource has no type")
        continue
      }
      let name = Words.clean(type, max: FieldReader.textMax)
      guard places[name] != nil || rest.resources.count < FieldReader.resourcesMax else {
        fields.note("too-many-resources", .error, "there are more than \(FieldReader.resourcesMax) resource types")
        break
      }
      add(resource(entry, name))
    }
    fields.owner = "rest"
    let offers = offers(item["interaction"], item["operation"], known: Self.systemInteractions)
    for interaction in offers.interactions where !rest.interactions.contains(where: { $0.code == interaction.code }) {
      rest.interactions.append(interaction)
    }
    // Another entry of the same mode may say the same again.
    let (saidParameters, saidOperations) = (Set(rest.searchParameters), Set(rest.operations))
    rest.searchParameters.append(
      contentsOf: searchParameters(item["searchParam"]).filter { !saidParameters.contains($0) })
    rest.operations.append(contentsOf: offers.operations.filter { !saidOperations.contains($0) })
    for compartment in fields.texts(item["compartment"], "compartment", max: FieldReader.uriMax)
    where rest.compartments.count < FieldReader.fewMax && !rest.compartments.contains(compartment) {
      rest.compartments.append(compartment)
    }
    fields.owner = ""
    if let security = fields.object(item["security"], "security") {
      var reader = SecurityReader(rest.security ?? Schema.Security(), fields: fields)
      rest.security = reader.take(security)
      fields = reader.fields
    }
  }

  private func united(_ first: String?, _ second: String?) -> String? {
    guard let first, let second, first != second else { return first ?? second }
    return Words.clean("\(first) / \(second)", max: FieldReader.documentationMax)
  }

  // MARK: resources

  private mutating func add(_ resource: Schema.Resource) {
    guard let at = places[resource.type] else {
      places[resource.type] = rest.resources.count
      seenHere.insert(resource.type)
      rest.resources.append(resource)
      return
    }
    if !seenHere.insert(resource.type).inserted {
      fields.owner = ""
      fields.note("resource-twice", .warning, "a resource type stands twice; both are shown as one", resource.type)
    }
    unions += 1
    guard unions <= FieldReader.resourcesMax else {
      fields.note("too-many-entries", .error, "a list has too many entries; the others were left out", resource.type)
      return
    }
    rest.resources[at].unite(with: resource)
  }

  private mutating func resource(_ entry: JSON, _ type: String) -> Schema.Resource {
    fields.owner = type
    // A resource's name, or the address of a logical model.
    if !type.utf8.allSatisfy({ (65...90).contains($0) || (97...122).contains($0) || (48...57).contains($0) }) {
      fields.note("resource-type-odd", .warning, "the name of a resource type has other signs than letters and digits")
    }
    let offers = offers(entry["interaction"], entry["operation"], known: Self.resourceInteractions)
    let resource = Schema.Resource(
      type: type, profile: fields.reference(entry["profile"], "profile"),
      supportedProfiles: fields.references(entry["supportedProfile"], "supportedProfile"),
      documentation: fields.documentation(entry["documentation"]),
      interactions: offers.interactions,
      versioning: fields.code(entry["versioning"], "versioning", of: Self.versionings),
      readHistory: fields.bool(entry["readHistory"], "readHistory"),
      updateCreate: fields.bool(entry["updateCreate"], "updateCreate"),
      conditionalCreate: fields.bool(entry["conditionalCreate"], "conditionalCreate"),
      conditionalRead: fields.code(entry["conditionalRead"], "conditionalRead", of: Self.conditionalReads),
      conditionalUpdate: fields.bool(entry["conditionalUpdate"], "conditionalUpdate"),
      conditionalPatch: fields.bool(entry["conditionalPatch"], "conditionalPatch"),
      conditionalDelete: conditionalDelete(entry["conditionalDelete"]),
      referencePolicies: fields.texts(entry["referencePolicy"], "referencePolicy"),
      searchIncludes: fields.texts(entry["searchInclude"], "searchInclude"),
      searchRevIncludes: fields.texts(entry["searchRevInclude"], "searchRevInclude"),
      searchParameters: searchParameters(entry["searchParam"]), operations: offers.operations)
    check(resource)
    return resource
  }

  /// A code since DSTU2's last draft; a boolean before, and at servers that stayed there.
  private mutating func conditionalDelete(_ value: JSON?) -> String? {
    guard case .bool(let isOffered)? = value else {
      return fields.code(value, "conditionalDelete", of: Self.conditionalDeletes)
    }
    fields.note("conditionalDelete-type", .warning, "conditionalDelete is a boolean, not a code")
    return isOffered ? "single" : "not-supported"
  }

  private mutating func check(_ resource: Schema.Resource) {
    if resource.interactions.isEmpty {
      fields.note("resource-no-interactions", .information, "a resource type has no interaction at all")
    } else if !resource.searchParameters.isEmpty, !resource.offers("search-type") {
      fields.note("parameters-without-search", .information, "a resource type has search parameters and no search")
    }
    for policy in resource.referencePolicies where !Self.policies.contains(policy) {
      fields.note(
        "code-unknown", .warning, "a code that the specification does not have",
        "referencePolicy \(Words.clean(policy, max: 40))")
    }
    for include in resource.searchIncludes where !IncludePath.isPath(include) { noteForm(include) }
    for include in resource.searchRevIncludes where !IncludePath.isPath(include) { noteForm(include) }
  }

  private mutating func noteForm(_ include: String) {
    fields.note("include-form", .warning, "an include is no Type:parameter", Words.clean(include, max: 40))
  }
}

extension Schema.Resource {
  /// Takes over what `other`, an entry of the same type, has and this one has not.
  mutating func unite(with other: Schema.Resource) {
    func add<T, Key: Hashable>(_ more: [T], to list: inout [T], by key: (T) -> Key) {
      var known = Set(list.map(key))
      for item in more where list.count < FieldReader.entriesMax && known.insert(key(item)).inserted {
        list.append(item)
      }
    }
    if let profile, let others = other.profile, others != profile {
      add([others], to: &supportedProfiles) { $0 }
    }
    profile = profile ?? other.profile
    documentation = documentation ?? other.documentation
    versioning = versioning ?? other.versioning
    readHistory = readHistory ?? other.readHistory
    updateCreate = updateCreate ?? other.updateCreate
    conditionalCreate = conditionalCreate ?? other.conditionalCreate
    conditionalRead = conditionalRead ?? other.conditionalRead
    conditionalUpdate = conditionalUpdate ?? other.conditionalUpdate
    conditionalPatch = conditionalPatch ?? other.conditionalPatch
    conditionalDelete = conditionalDelete ?? other.conditionalDelete
    add(other.supportedProfiles, to: &supportedProfiles) { $0 }
    add(other.interactions, to: &interactions, by: \.code)
    add(other.referencePolicies, to: &referencePolicies) { $0 }
    add(other.searchIncludes, to: &searchIncludes) { $0 }
    add(other.searchRevIncludes, to: &searchRevIncludes) { $0 }
    add(other.searchParameters, to: &searchParameters) { $0 }
    add(other.operations, to: &operations) { $0 }
  }
}
