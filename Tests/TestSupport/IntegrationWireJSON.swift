/// JSON as the integration tests read and write it: literals in, subscripts out, no type of ours in between.
import FoundationEssentials

package enum WireJSON: Sendable, Hashable, Codable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([WireJSON])
  case object([String: WireJSON])

  package init(from decoder: any Decoder) throws {
    let c = try decoder.singleValueContainer()
    if c.decodeNil() {
      self = .null
    } else if let value = try? c.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? c.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? c.decode(Double.self) {
      self = .number(value)
    } else if let value = try? c.decode(String.self) {
      self = .string(value)
    } else if let value = try? c.decode([WireJSON].self) {
      self = .array(value)
    } else {
      self = .object(try c.decode([String: WireJSON].self))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var c = encoder.singleValueContainer()
    switch self {
    case .null: try c.encodeNil()
    case .bool(let value): try c.encode(value)
    case .integer(let value): try c.encode(value)
    case .number(let value): try c.encode(value)
    case .string(let value): try c.encode(value)
    case .array(let value): try c.encode(value)
    case .object(let value): try c.encode(value)
    }
  }

  package init(parsing text: some StringProtocol) throws {
    do {
      self = try JSONDecoder().decode(WireJSON.self, from: Data(text.utf8))
    } catch {
      throw IntegrationFailure("not JSON: \(text.prefix(400))")
    }
  }

  /// One line, members in order, slashes as they are.
  package var text: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
  }

  package subscript(name: String) -> WireJSON {
    if case .object(let members) = self { members[name] ?? .null } else { .null }
  }
  package subscript(index: Int) -> WireJSON {
    if case .array(let items) = self, items.indices.contains(index) { items[index] } else { .null }
  }
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [WireJSON] { if case .array(let items) = self { items } else { [] } }
  package var object: [String: WireJSON] { if case .object(let members) = self { members } else { [:] } }
  package var exists: Bool { self != .null }
  package var int: Int? {
    switch self {
    case .integer(let value): Int(value)
    case .number(let value): Int(exactly: value)
    case .null, .bool, .string, .array, .object: nil
    }
  }
  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    case .null, .bool, .string, .array, .object: nil
    }
  }

  /// These members, with the other's on top.
  package func merging(_ other: WireJSON) -> WireJSON { .object(object.merging(other.object) { $1 }) }
}

extension WireJSON: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral items: WireJSON...) { self = .array(items) }
  package init(dictionaryLiteral members: (String, WireJSON)...) {
    self = .object(Dictionary(members) { $1 })
  }
}
