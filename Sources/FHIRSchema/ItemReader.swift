/// Reads what resource types and the system both have: interactions, search parameters, operations. A big statement has
/// thousands of these objects, so each is gone through once.
import SMARTProtocol

/// The members of such an object that anybody here reads.
private struct Item {
  var name, code, type, definition, documentation, target, chain, modifiers: JSON?

  init(_ value: JSON) {
    for (name, member) in value.object ?? [:] {
      switch name {
      case "name": self.name = member
      case "code": code = member
      case "type": type = member
      case "definition": definition = member
      case "documentation": documentation = member
      case "target": target = member
      case "chain": chain = member
      case "modifierExtension": modifiers = member
      default: break
      }
    }
  }

  /// The specification's `capabilitystatement-prohibited`; DSTU2 called it `conformance-prohibited`.
  var isProhibited: Bool? {
    guard let modifiers else { return nil }
    let found = modifiers.elements.contains { item in
      item["url"]?.string?.hasSuffix("-prohibited") == true && item["valueBoolean"] == .bool(true)
    }
    return found ? true : nil
  }
}

extension RestReader {
  /// What DSTU1 calls `operation` is what later releases call `interaction`, so the two are read together.
  mutating func offers(
    _ interaction: JSON?, _ operation: JSON?, known: Set<String>
  ) -> (interactions: [Schema.Interaction], operations: [Schema.Operation]) {
    var interactions = interactions(interaction)
    let operations = operations(operation, &interactions)
    for interaction in interactions where !known.contains(interaction.code) {
      fields.note(
        "interaction-unknown", .warning, "an interaction that the specification does not have there",
        Words.clean(interaction.code, max: 40))
    }
    return (interactions, operations)
  }

  private mutating func interactions(_ value: JSON?) -> [Schema.Interaction] {
    var found: [Schema.Interaction] = []
    // A list of codes alone is understood too.
    if case .array(let values)? = value {
      found = values.prefix(FieldReader.fewMax).compactMap(\.string).map {
        Schema.Interaction(code: Words.clean($0, max: FieldReader.textMax), documentation: nil)
      }
    }
    for item in fields.objects(value, "interaction").prefix(FieldReader.fewMax) {
      let item = Item(item)
      guard let code = fields.word(item.code, "interaction.code") else {
        fields.note("interaction-no-code", .error, "an interaction has no code")
        continue
      }
      add(interaction(code, item), to: &found)
    }
    return found
  }

  private mutating func interaction(_ code: String, _ item: Item) -> Schema.Interaction {
    let clean = Words.clean(code, max: FieldReader.textMax)
    return Schema.Interaction(
      code: clean, documentation: fields.documentation(item.documentation), isProhibited: prohibited(item, clean))
  }

  private mutating func add(_ interaction: Schema.Interaction, to found: inout [Schema.Interaction]) {
    if found.contains(where: { $0.code == interaction.code }) {
      fields.note("interaction-twice", .warning, "an interaction stands twice", interaction.code)
    } else {
      found.append(interaction)
    }
  }

  private mutating func prohibited(_ item: Item, _ name: String) -> Bool? {
    guard item.isProhibited == true else { return nil }
    fields.note("prohibited", .information, "the statement prohibits what it names here", name)
    return true
  }

  mutating func searchParameters(_ value: JSON?) -> [Schema.SearchParameter] {
    let items = fields.objects(value, "searchParam")
    var found: [Schema.SearchParameter] = []
    found.reserveCapacity(items.count)
    var names = Set<String>(minimumCapacity: items.count)
    for item in items {
      let item = Item(item)
      guard let name = fields.word(item.name, "searchParam.name") else {
        fields.note("search-parameter-no-name", .error, "a search parameter has no name")
        continue
      }
      let clean = Words.clean(name, max: FieldReader.textMax)
      if !names.insert(clean).inserted {
        fields.note("search-parameter-twice", .warning, "a search parameter stands twice", clean)
      }
      found.append(
        Schema.SearchParameter(
          name: clean, type: parameterType(item.type, of: clean),
          definition: fields.uri(item.definition, "searchParam.definition"),
          documentation: fields.documentation(item.documentation),
          targets: fields.texts(item.target, "searchParam.target"),
          chains: fields.texts(item.chain, "searchParam.chain"), isProhibited: prohibited(item, clean)))
    }
    return found
  }

  private mutating func parameterType(_ value: JSON?, of name: String) -> String? {
    let type = fields.text(value, "searchParam.type")
    guard let type else {
      fields.note("search-parameter-no-type", .warning, "a search parameter has no type", name)
      return nil
    }
    if !Self.parameterTypes.contains(type) {
      fields.note(
        "search-parameter-type-unknown", .warning, "the type of a search parameter is unknown",
        "\(name) \(Words.clean(type, max: 40))")
    }
    return type
  }

  private mutating func operations(
    _ value: JSON?, _ interactions: inout [Schema.Interaction]
  ) -> [Schema.Operation] {
    var found: [Schema.Operation] = []
    for item in fields.objects(value, "operation") {
      let item = Item(item)
      guard let name = fields.word(item.name, "operation.name") else {
        if let code = fields.word(item.code, "operation.code"), interactions.count < FieldReader.fewMax {
          if let release = fields.release, release > .dstu1 {
            fields.note(
              "operation-for-interaction", .warning,
              "an operation has a code instead of a name, as interactions had in DSTU1; it was taken for one", code)
          }
          add(interaction(code, item), to: &interactions)
        } else {
          fields.note("operation-no-name", .error, "an operation has no name")
        }
        continue
      }
      var clean = Words.clean(name, max: FieldReader.textMax)
      if clean.hasPrefix("$") {
        fields.note("operation-dollar", .warning, "the name of an operation begins with $", clean)
        clean.removeFirst()
      }
      let definition = fields.reference(item.definition, "operation.definition")
      if definition == nil { fields.note("operation-no-definition", .warning, "an operation has no definition", clean) }
      found.append(
        Schema.Operation(
          name: clean, definition: definition, documentation: fields.documentation(item.documentation),
          isProhibited: prohibited(item, clean)))
    }
    return found
  }
}
