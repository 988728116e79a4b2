/// Takes the fields of a statement as they should be, or as servers write them: whatever is there is read, whatever is
/// odd becomes a finding. Nothing here fails.
import SMARTProtocol

struct FieldReader {
  var findings = FindingList()
  /// Whose fields are read, for the places of findings: `Patient`, or nothing for the statement itself.
  var owner = ""
  let release: FHIRRelease?

  /// Characters kept of a name, a code or a title.
  static let textMax = 200
  /// Characters kept of an address.
  static let uriMax = 2000
  /// Characters kept of a documentation.
  static let documentationMax = 4000
  /// Entries of one list: HAPI has named 1188 operations. And resource types: R5 has 157 of them.
  static let entriesMax = 5000
  static let resourcesMax = 2000
  /// Entries of what nobody has many of: rests, interactions, security services, types that stand twice.
  static let fewMax = 100

  init(release: FHIRRelease?) { self.release = release }

  mutating func note(
    _ id: String, _ severity: SchemaFinding.Severity, _ sentence: @autoclosure () -> String, _ item: String? = nil
  ) {
    let place = owner.isEmpty ? item : item.map { "\(owner).\($0)" } ?? owner
    findings.note(id, severity, sentence(), at: place)
  }

  /// - Parameter id: of the finding, when it is not `name` with `-type`.
  mutating func oddShape(_ value: JSON, _ name: String, _ expected: String) {
    note("\(name)-type", .error, "\(name) is \(value.kind), not \(expected)")
  }

  mutating func text(_ value: JSON?, _ name: String, max: Int = textMax) -> String? {
    switch value {
    case nil, .null?: return nil
    case .string(let text)?: return text.isEmpty ? nil : Words.clean(text, max: max)
    case let other?:
      oddShape(other, name, "a string")
      return Self.inner(other).map { Words.clean($0, max: max) }
    }
  }

  /// What something is called, as it is written; nil and no finding when there is nothing to read.
  mutating func word(_ value: JSON?, _ name: String) -> String? {
    if case .string(let text)? = value { return text.isEmpty ? nil : text }
    guard let value, let text = Self.inner(value) else { return nil }
    oddShape(value, name, "a string")
    return text
  }

  /// The text of an object where a text should be: a value as XML would have it, a Reference, a Coding.
  private static func inner(_ value: JSON) -> String? {
    guard case .object(let members) = value,
      let text = (members["value"] ?? members["reference"] ?? members["code"])?.string
    else { return nil }
    return text.isEmpty ? nil : text
  }

  mutating func uri(_ value: JSON?, _ name: String) -> String? { text(value, name, max: Self.uriMax) }

  mutating func documentation(_ value: JSON?) -> String? {
    text(value, "documentation", max: Self.documentationMax)
  }

  mutating func bool(_ value: JSON?, _ name: String) -> Bool? {
    switch value {
    case nil, .null?: return nil
    case .bool(let bool)?: return bool
    case .string("true")?, .string("false")?:
      note("\(name)-type", .warning, "\(name) is a string, not a boolean")
      return value == .string("true")
    case let other?:
      oddShape(other, name, "a boolean")
      return nil
    }
  }

  /// One of a closed set of codes; others are kept as they are.
  mutating func code(_ value: JSON?, _ name: String, of known: Set<String>) -> String? {
    guard let code = text(value, name) else { return nil }
    if !known.contains(code) {
      note(
        "code-unknown", .warning, "a code that the specification does not have", "\(name) \(Words.clean(code, max: 40))"
      )
    }
    return code
  }

  mutating func texts(_ value: JSON?, _ name: String, max: Int = textMax) -> [String] {
    switch value {
    case nil, .null?: return []
    case .array(let values)?:
      var texts: [String] = []
      texts.reserveCapacity(values.count)
      var isOdd = false
      for value in limited(values, name) {
        guard case .string(let text) = value else {
          // FHIR's JSON has null where a text has an extension only, which stands beside the array.
          guard value != .null else { continue }
          isOdd = true
          if let text = Self.inner(value) { texts.append(Words.clean(text, max: max)) }
          continue
        }
        if !text.isEmpty { texts.append(Words.clean(text, max: max)) }
      }
      if isOdd { note("\(name)-type", .error, "\(name) holds values that are not strings") }
      return texts
    case .string(let text)?:
      note("\(name)-type", .error, "\(name) is a string, not an array")
      return text.isEmpty ? [] : [Words.clean(text, max: max)]
    case let other?:
      oddShape(other, name, "an array")
      return []
    }
  }

  /// An array's objects; an object alone where the array was forgotten.
  mutating func objects(_ value: JSON?, _ name: String) -> [JSON] {
    switch value {
    case nil, .null?: return []
    case .object?:
      note("\(name)-type", .error, "\(name) is an object, not an array")
      return value.map { [$0] } ?? []
    case .array(let values)?:
      guard values.contains(where: { $0.object == nil }) else { return limited(values, name) }
      note("\(name)-type", .error, "\(name) holds values that are not objects")
      return limited(values.filter { $0.object != nil }, name)
    case let other?:
      oddShape(other, name, "an array")
      return []
    }
  }

  /// An object; the first of an array where one was written.
  mutating func object(_ value: JSON?, _ name: String) -> JSON? {
    switch value {
    case nil, .null?: return nil
    case .object?: return value
    case .array(let values)? where values.contains { $0.object != nil }:
      note("\(name)-type", .error, "\(name) is an array, not an object; its first object was taken")
      return values.first { $0.object != nil }
    case let other?:
      oddShape(other, name, "an object")
      return nil
    }
  }

  private mutating func limited<T>(_ values: [T], _ name: String) -> [T] {
    guard values.count > Self.entriesMax else { return values }
    note("too-many-entries", .error, "a list has too many entries; the others were left out", name)
    return Array(values.prefix(Self.entriesMax))
  }

  // MARK: references

  /// An address that is a canonical since R4 and a Reference object before; either is read in every release.
  mutating func reference(_ value: JSON?, _ name: String) -> String? {
    switch value {
    case nil, .null?: return nil
    case .string(let text)?:
      if let release, release >= .dstu2, release < .r4 {
        note(
          "canonical-for-reference", .warning,
          "an address stands alone where FHIR \(release.rawValue) has a Reference object", name)
      }
      return text.isEmpty ? nil : Words.clean(text, max: Self.uriMax)
    case .object(let members)?:
      if let release, release >= .r4 {
        note(
          "reference-for-canonical", .warning,
          "a Reference object stands where FHIR \(release.rawValue) has an address alone", name)
      }
      guard let text = members["reference"]?.string, !text.isEmpty else {
        note("reference-empty", .warning, "a Reference object has no reference", name)
        return nil
      }
      return Words.clean(text, max: Self.uriMax)
    case let other?:
      oddShape(other, name, "an address")
      return nil
    }
  }

  mutating func references(_ value: JSON?, _ name: String) -> [String] {
    switch value {
    case .array(let values)?: return limited(values, name).compactMap { reference($0, name) }
    case nil, .null?: return []
    case let alone?:
      note("\(name)-type", .error, "\(name) is \(alone.kind), not an array")
      return reference(alone, name).map { [$0] } ?? []
    }
  }
}
