/// FHIR's XML as the JSON that FHIR has for the same: values from attributes, elements that may repeat as arrays. As far
/// as a CapabilityStatement or a Conformance needs it; narratives and contained resources are left out.
package import SMARTProtocol

package enum FHIRXML {
  package enum Fault: Error, Sendable, Hashable {
    case xml(String)
    package var sentence: String {
      switch self {
      case .xml(let sentence): sentence
      }
    }
  }

  /// - Returns: an object with `resourceType`, whatever resource it is.
  package static func json(_ bytes: [UInt8]) throws(Fault) -> JSON {
    do {
      var reader = try XMLReader(bytes, limits: .large)
      guard case .start(let name, _)? = try reader.next() else { throw XMLReader.Fault.endsEarly }
      guard case .object(var members) = try element(named: name, [:], parent: "", &reader) else {
        return .object(["resourceType": .string(name)])
      }
      // To its end: something broken after the root is broken all the same.
      while try reader.next() != nil {}
      members["resourceType"] = .string(name)
      return .object(members)
    } catch let fault as XMLReader.Fault {
      throw .xml(fault.sentence)
    } catch {
      throw .xml("the answer is not XML")
    }
  }

  /// Elements that are arrays in JSON even when there is one. `profile` depends on where it stands.
  private static let repeating: Set<String> = [
    "rest", "resource", "interaction", "searchParam", "operation", "searchInclude", "searchRevInclude",
    "supportedProfile", "format", "patchFormat", "extension", "modifierExtension", "service", "coding", "contact",
    "telecom", "implementationGuide", "instantiates", "imports", "compartment", "referencePolicy", "messaging",
    "document", "endpoint", "event", "supportedMessage", "target", "chain", "certificate", "useContext",
    "jurisdiction", "acceptLanguage", "contained", "identifier",
  ]
  private static let booleans: Set<String> = [
    "readHistory", "updateCreate", "conditionalCreate", "conditionalUpdate", "conditionalPatch", "cors",
    "experimental", "valueBoolean",
  ]
  private static let numbers: Set<String> = ["reliableCache", "valueInteger", "valueDecimal", "valuePositiveInt"]

  private static func repeats(_ name: String, in parent: String) -> Bool {
    if name == "profile" { return parent != "resource" && parent != "document" }
    return repeating.contains(name)
  }

  /// The element that has just started, to its end. Bounded by the reader's depth.
  private static func element(
    named name: String, _ attributes: [String: String], parent: String, _ reader: inout XMLReader
  ) throws(XMLReader.Fault) -> JSON {
    var members: [String: JSON] = [:]
    if let url = attributes["url"] { members["url"] = .string(url) }
    while case .start(let child, let attributes)? = try reader.next() {
      if child == "text" || child == "contained", parent.isEmpty {
        try reader.skipElement()
        continue
      }
      let value = try element(named: child, attributes, parent: name, &reader)
      append(value, named: child, in: name, to: &members)
    }
    // An extension of a value would stand beside it in JSON; nobody here reads it.
    if let value = attributes["value"] { return primitive(value, named: name) }
    return .object(members)
  }

  private static func append(_ value: JSON, named name: String, in parent: String, to members: inout [String: JSON]) {
    switch members.removeValue(forKey: name) {
    case nil: members[name] = repeats(name, in: parent) ? .array([value]) : value
    case .array(var values)?:
      values.append(value)
      members[name] = .array(values)
    // Not known to repeat, and it does.
    case let first?: members[name] = .array([first, value])
    }
  }

  private static func primitive(_ text: String, named name: String) -> JSON {
    if booleans.contains(name), text == "true" || text == "false" { return .bool(text == "true") }
    if numbers.contains(name) {
      if let integer = Int64(text) { return .integer(integer) }
      if let number = Double(text), number.isFinite { return .number(number) }
    }
    return .string(text)
  }
}
