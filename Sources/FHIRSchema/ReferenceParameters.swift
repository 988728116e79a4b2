/// What the specification itself says of references: which search parameters of a type follow one, and to which types.
/// A server that declares `subject` rarely says where it points to; the release of FHIR does.

package enum ReferenceParameters {
  package enum Targets: Sendable, Hashable {
    case any
    case types([String])
  }

  /// The version whose definitions hold for a release, `4.0`, and whether it is the release's own.
  package struct Edition: Sendable, Hashable {
    package var version: String
    package var isExact: Bool
    fileprivate var bit: UInt8
  }

  /// DSTU2 and R6 have no table here; the definitions next to them mostly hold, and are marked as what they are.
  package static func edition(for release: FHIRRelease?) -> Edition {
    switch release {
    case .dstu1, .dstu2: Edition(version: "3.0", isExact: false, bit: 1)
    case .stu3: Edition(version: "3.0", isExact: true, bit: 1)
    case .r4: Edition(version: "4.0", isExact: true, bit: 2)
    case .r4b: Edition(version: "4.3", isExact: true, bit: 4)
    case .r5: Edition(version: "5.0", isExact: true, bit: 8)
    case .r6: Edition(version: "5.0", isExact: false, bit: 8)
    case nil: Edition(version: "4.0", isExact: false, bit: 2)
    }
  }

  /// Where a parameter points to. What every type has (`_profile` …) is defined for the type `Resource`.
  package static func targets(of type: String, _ parameter: String, in edition: Edition) -> Targets? {
    for name in [type, "DomainResource", "Resource"] {
      if let found = table[name]?[parameter]?.first(where: { $0.versions & edition.bit != 0 }) { return found.targets }
    }
    return nil
  }

  /// The reference parameters of a type's own, in the order of their names.
  package static func parameters(of type: String, in edition: Edition) -> [(name: String, targets: Targets)] {
    (table[type] ?? [:]).compactMap { name, entries in
      entries.first { $0.versions & edition.bit != 0 }.map { (name, $0.targets) }
    }.sorted { $0.name < $1.name }
  }

  // MARK: the table

  private struct Entry: Sendable {
    let targets: Targets
    let versions: UInt8
  }

  private static let table: [String: [String: [Entry]]] = {
    let sets = ReferenceTable.targets.split(separator: " ").map { words -> Targets in
      words == "*" ? .any : .types(words.split(separator: ",").map(String.init))
    }
    var table: [String: [String: [Entry]]] = [:]
    for line in ReferenceTable.parameters.split(separator: ";") {
      let words = line.split(separator: " ")
      guard let type = words.first else { continue }
      var parameters: [String: [Entry]] = [:]
      for word in words.dropFirst() {
        let parts = word.split(separator: ":")
        guard parts.count == 2 else { continue }
        parameters[String(parts[0])] = parts[1].split(separator: ",").compactMap { code in
          guard let set = Int(code.prefix(2), radix: 36), set < sets.count,
            let versions = UInt8(code.dropFirst(2), radix: 16)
          else { return nil }
          return Entry(targets: sets[set], versions: versions)
        }
      }
      table[String(type)] = parameters
    }
    return table
  }()
}
