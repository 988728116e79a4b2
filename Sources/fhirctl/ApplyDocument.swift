/// The document of `fhirctl apply`, read and checked as a whole before anything is done.
import FHIRControl
import FoundationEssentials

struct ApplyDocument {
  struct Connection {
    var name: String
    /// As written, by field.
    var members: [String: JSONValue]
    var fields: ConnectionFields
    var secretFile: String?
  }
  private(set) var connections: [Connection] = []
  private(set) var rules: [AccessGrantParameters] = []

  /// The longest document, in bytes: ten thousand connections.
  static let bytesMax = 32 << 20
  private static let secretMember = "client_secret_file"

  init(file: String) throws {
    let bytes = try InputFile.contents(of: file, bytesMax: Self.bytesMax)
    let root: JSONValue
    do { root = try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) } catch {
      throw Failure.usage("\(InputFile.named(file)) is not JSON", hint: "fhirctl apply --help shows a document")
    }
    guard case .object(let members) = root else {
      throw Failure.usage("\(InputFile.named(file)) is no JSON object", hint: "fhirctl apply --help shows a document")
    }
    try Self.refuseUnknown(members.keys, allowed: ["connections", "access"], at: "the document")
    for (index, value) in try Self.list(members["connections"], "connections").enumerated() {
      connections.append(try Self.connection(value, at: "connections[\(index)]", beside: file))
    }
    for (index, value) in try Self.list(members["access"], "access").enumerated() {
      let place = "access[\(index)]"
      guard case .object(let rule) = value else { throw Failure.usage("\(place) is no object", hint: "see --help") }
      try Self.refuseUnknown(rule.keys, allowed: AccessGrantParameters.parameterNames, at: place)
      rules.append(try Self.decode(value, at: place))
    }
    var names: Set<String> = []
    for each in connections where !names.insert(each.name.lowercased()).inserted {
      throw Failure.usage("the connection \(each.name.debugDescription) stands there twice", hint: "name it once")
    }
  }

  private static func list(_ value: JSONValue?, _ name: String) throws(Failure) -> [JSONValue] {
    guard let value else { return [] }
    guard case .array(let values) = value else { throw .usage("\(name) is no list", hint: "see fhirctl apply --help") }
    return values
  }

  private static func connection(_ value: JSONValue, at place: String, beside file: String) throws -> Connection {
    guard case .object(var members) = value else { throw Failure.usage("\(place) is no object", hint: "see --help") }
    if members["client_secret"] != nil {
      throw Failure.usage(
        "\(place) holds a client_secret", hint: "put it into a file of its own, and name that: \(secretMember)")
    }
    var secretFile: String?
    if let named = members.removeValue(forKey: secretMember) {
      guard case .string(let path) = named, !path.isEmpty else {
        throw Failure.usage("\(place).\(secretMember) is no file name", hint: "name a file that holds the secret alone")
      }
      let folder =
        file == "-"
        ? "" : file.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      secretFile = path.hasPrefix("/") || folder.isEmpty ? path : "\(folder)/\(path)"
    }
    try refuseUnknown(members.keys, allowed: ConnectionFields.parameterNames, at: place)
    for (member, names) in [
      ("refresh", RefreshFields.names), ("health", HealthFields.names), ("requests", RequestFields.names),
    ] {
      if case .object(let inner)? = members[member] {
        try refuseUnknown(inner.keys, allowed: names, at: "\(place).\(member)")
      }
    }
    let fields: ConnectionFields = try decode(.object(members), at: place)
    guard let name = fields.connectionName, !name.isEmpty else {
      throw Failure.usage("\(place) has no connection_name", hint: "every connection is known by its name")
    }
    return Connection(name: name, members: members, fields: fields, secretFile: secretFile)
  }

  private static func refuseUnknown(_ found: some Sequence<String>, allowed: Set<String>, at place: String)
    throws(Failure)
  {
    if let unknown = found.filter({ !allowed.contains($0) }).min() {
      throw .usage(
        "\(place) has an unknown member \(unknown.debugDescription)",
        hint: "allowed are \(allowed.subtracting(["client_secret"]).sorted().joined(separator: ", "))")
    }
  }

  private static func decode<Value: Decodable>(_ value: JSONValue, at place: String) throws -> Value {
    do { return try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value)) } catch let error
      as DecodingError
    {
      var path = place
      var detail = "is of the wrong type"
      switch error {
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
        path += context.codingPath.map { ".\($0.stringValue)" }.joined()
        if case .dataCorrupted = error { detail = context.debugDescription }
      case .keyNotFound(let key, _): (path, detail) = ("\(place).\(key.stringValue)", "is missing")
      @unknown default: break
      }
      throw Failure.usage("\(path): \(detail)", hint: "see fhirctl apply --help")
    }
  }
}
