/// A JSON value that a server sent, and how it is written again. Pure; no Foundation, because its decoder neither
/// bounds depth nor tells of members that come twice.

package enum JSON: Sendable, Hashable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// Never infinite and never NaN: a number beyond the range of `Double` is held at its end.
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// The member of an object; nil for anything that is no object.
  package subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  package var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  package var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  package var object: [String: JSON]? {
    guard case .object(let members) = self else { return nil }
    return members
  }

  /// The elements of an array; none for anything else.
  package var elements: [JSON] {
    guard case .array(let values) = self else { return [] }
    return values
  }

  package var isNull: Bool { self == .null }

  /// What kind of value it is, for sentences.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// Appends the value as JSON text, members in the order of their names, so that equal values have equal text.
  package func append(to bytes: inout [UInt8]) {
    switch self {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): bytes.append(contentsOf: String(value).utf8)
    case .number(let value): bytes.append(contentsOf: "\(value)".utf8)
    case .string(let text): JSON.appendLiteral(text.utf8, to: &bytes)
    case .array(let values):
      bytes.append(UInt8(ascii: "["))
      for (i, value) in values.enumerated() {
        if i > 0 { bytes.append(UInt8(ascii: ",")) }
        value.append(to: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      for (i, name) in members.keys.sorted().enumerated() {
        if i > 0 { bytes.append(UInt8(ascii: ",")) }
        JSON.appendLiteral(name.utf8, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        (members[name] ?? .null).append(to: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  /// Appends a string literal with its quotes. Source: RFC 8259 section 7: quotation mark, reverse solidus and the
  /// control characters must be escaped; DEL and everything beyond ASCII may stand as they are.
  /// - Parameter text: UTF-8; the caller answers for its being valid.
  package static func appendLiteral(_ text: some Sequence<UInt8>, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0x0A: bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "n")])
      case 0x0D: bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "r")])
      case 0x09: bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "t")])
      case 0..<0x20:
        let hex = Array("0123456789abcdef".utf8)
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(hex[Int(byte >> 4)])
        bytes.append(hex[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  /// Appends `"name":value` and, where something stands before it, a comma: members of an object without its braces.
  package static func appendMember(_ name: String, _ value: JSON, to bytes: inout [UInt8]) {
    if !bytes.isEmpty, bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
    appendLiteral(name.utf8, to: &bytes)
    bytes.append(UInt8(ascii: ":"))
    value.append(to: &bytes)
  }

  /// The value as text; for logs and tests, not for answers on the hot path.
  package var text: String {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }
}
