/// The releases of FHIR and the version numbers that belong to each, previews included.

package enum FHIRRelease: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
  case dstu1 = "DSTU1"
  case dstu2 = "DSTU2"
  case stu3 = "STU3"
  case r4 = "R4"
  case r4b = "R4B"
  case r5 = "R5"
  case r6 = "R6"

  /// Older before newer.
  package static func < (a: FHIRRelease, b: FHIRRelease) -> Bool { a.order < b.order }
  private var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }

  /// From `fhirVersion`: `4.0.1`, `1.0.2`, `0.0.82`; a release's name, `R4`, is understood too. nil for what no release
  /// has had.
  package init?(version: String) {
    if let named = Self(rawValue: version.uppercased()) {
      self = named
      return
    }
    let parts = version.split(separator: ".", maxSplits: 2).prefix(2).map { part in Int(part.prefix { $0.isNumber }) }
    guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
    switch (major, minor) {
    // Drafts of DSTU1 had 0.05 to 0.12, DSTU1 itself has 0.0.8x.
    case (0, 4...5), (1, 0): self = .dstu2
    case (0, 0...99): self = .dstu1
    case (1, 1...8), (3, 0): self = .stu3
    case (3, 2...5), (4, 0): self = .r4
    case (4, 1), (4, 3): self = .r4b
    case (4, 2), (4, 4...6), (5, _): self = .r5
    case (6, _): self = .r6
    default: return nil
    }
  }
}
