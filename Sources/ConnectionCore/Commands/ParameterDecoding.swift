/// Reads the `params` of a request: unknown names are refused by name, wrong types by path.
import FHIRControl
import FoundationEssentials

enum ParameterDecoding {
  static func decode<P: ControlParameters>(_ type: P.Type, from bytes: [UInt8]) throws(ControlError) -> P {
    let bytes = bytes.isEmpty ? Array("{}".utf8) : bytes
    let given: [String: JSONValue]
    do { given = try JSONDecoder().decode([String: JSONValue].self, from: Data(bytes)) } catch {
      throw ControlError(.invalidParams, "params must be an object with named members")
    }
    var unknown = given.keys.filter { !P.parameterNames.contains($0) }
    unknown += unknownNested(given["refresh"], "refresh", RefreshFields.names)
    unknown += unknownNested(given["health"], "health", HealthFields.names)
    unknown += unknownNested(given["requests"], "requests", RequestFields.names)
    guard unknown.isEmpty else {
      let names = unknown.sorted()
      throw ControlError(
        .invalidParams, "unknown parameter \(names.map(\.debugDescription).joined(separator: ", "))",
        detail: "known are \(P.parameterNames.sorted().joined(separator: ", "))",
        fields: names.map { FieldError($0, "is not a parameter of this method") })
    }
    do { return try JSONDecoder().decode(P.self, from: Data(bytes)) } catch let error as DecodingError {
      throw refusal(error)
    } catch { throw ControlError(.invalidParams, "params cannot be read") }
  }

  private static func unknownNested(_ value: JSONValue?, _ name: String, _ known: Set<String>) -> [String] {
    guard case .object(let members)? = value else { return [] }
    return members.keys.filter { !known.contains($0) }.map { "\(name).\($0)" }
  }

  /// Names the parameter; never repeats its value, which may be a secret.
  private static func refusal(_ error: DecodingError) -> ControlError {
    func path(_ keys: [any CodingKey], _ last: String? = nil) -> String {
      (keys.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue } + (last.map { [$0] } ?? [])).joined(separator: ".")
    }
    let name: String
    let words: String
    switch error {
    case .keyNotFound(let key, let context):
      name = path(context.codingPath, key.stringValue)
      words = "is required"
    case .typeMismatch(let type, let context):
      name = path(context.codingPath)
      words = "must be \(spoken(type))"
    case .valueNotFound(let type, let context):
      name = path(context.codingPath)
      words = "must be \(spoken(type)), not null"
    case .dataCorrupted(let context):
      name = path(context.codingPath)
      words = context.codingPath.last?.stringValue == "principal" ? context.debugDescription : "is malformed"
    @unknown default:
      name = "params"
      words = "cannot be read"
    }
    return ControlError(
      .invalidParams, "parameter \(name.isEmpty ? "params" : name) \(words)", fields: [FieldError(name, words)])
  }

  private static func spoken(_ type: Any.Type) -> String {
    if type == String.self { return "a string" }
    if type == Bool.self { return "true or false" }
    if type == Double.self || type == Int.self || type == UInt64.self { return "a number" }
    let name = "\(type)"
    if name.hasPrefix("Array") { return "an array" }
    return name.hasPrefix("Dictionary") || name.hasSuffix("Fields") ? "an object" : "of another type"
  }
}
