/// Parameters that an operator adds to a request: what is wrong with them. One check for every kind of request.

/// The sentence continues "extra_parameters …".
package enum ExtraParameterProblem: Error, Sendable, Hashable {
  /// The request sets it itself.
  case reserved(String, request: String)
  /// The name is empty, or name or value has a control character. The name is cleaned.
  case unusable(String)

  package var field: String { "extra_parameters" }

  package var sentence: String {
    switch self {
    case .reserved(let name, let request): "may not set \(name): it belongs to the \(request) itself"
    case .unusable(let name): "has an unusable name or value: \(name.isEmpty ? "(empty)" : name)"
    }
  }
}

enum ExtraParameters {
  /// Characters of a name that are shown.
  private static let nameCharactersMax = 60

  /// All at once, in the order of the names.
  static func problems(
    in parameters: [String: String], reserved: Set<String>, request: String
  ) -> [ExtraParameterProblem] {
    sorted(parameters).compactMap { name, value in
      if reserved.contains(name) { return .reserved(name, request: request) }
      guard isVisible(name.utf8), value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
        return .unusable(Words.clean(name, max: nameCharactersMax))
      }
      return nil
    }
  }

  /// In the order of their names: equal parameters give equal requests.
  static func sorted(_ parameters: [String: String]) -> [(name: String, value: String)] {
    parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Not empty and without control characters.
  static func isVisible(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }
}
