/// How answers are written, and which error each bad line gets.
import FHIRControl
import FoundationEssentials

extension ByteBuffer {
  private static let prefix: StaticString = "{\"jsonrpc\":\"2.0\",\"id\":"

  /// - Parameter id: as written; nil: `null`, the line could not be read.
  mutating func appendResult(id: [UInt8], _ result: [UInt8]) {
    append(Self.prefix)
    append(id)
    append(",\"result\":")
    append(result)
    append("}\n")
  }

  mutating func appendProgress(id: [UInt8], _ members: [UInt8]) {
    append("{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":")
    append(id)
    append(",")
    append(members)
    append("}}\n")
  }

  mutating func appendError(id: [UInt8]?, _ error: ControlError) {
    append(Self.prefix)
    if let id { append(id) } else { append("null") }
    append(",\"error\":")
    append(ControlAnswer.json(error))
    append("}\n")
  }
}

enum ControlAnswer {
  static func json(_ error: ControlError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // A retry_after_seconds that is not finite is the one thing that cannot be encoded.
    guard let data = try? encoder.encode(error) else {
      return json(ControlError(error.data.code, error.message, hint: error.data.hint))
    }
    return Array(data)
  }

  static func error(for problem: RequestEnvelope.Problem) -> ControlError {
    switch problem {
    case .malformed(let at):
      ControlError(
        .parseError, "the line is not JSON in UTF-8: byte \(at + 1) does not fit",
        hint: "send one JSON object per line, ended by LF")
    case .tooDeep(let limit):
      ControlError(.invalidRequest, "the line is nested deeper than \(limit) levels")
    case .batch:
      ControlError(
        .invalidRequest, "batch arrays are not supported",
        hint: "send each request on a line of its own without waiting; the id ties the answers")
    case .notAnObject: ControlError(.invalidRequest, "a request is a JSON object")
    case .version: ControlError(.invalidRequest, "jsonrpc must be \"2.0\"")
    case .id:
      ControlError(
        .invalidRequest, "id must be a text or a number of at most \(RequestEnvelope.idBytesMax) bytes",
        hint: "leave id out for a request that needs no answer")
    case .method: ControlError(.invalidRequest, "method must be a text")
    case .params: ControlError(.invalidParams, "params must be an object")
    case .unknownMember("timeout_seconds"):
      ControlError(.invalidRequest, "unknown member \"timeout_seconds\"", hint: "put timeout_seconds into params")
    case .unknownMember(let name):
      ControlError(
        .invalidRequest, "unknown member \"\(shown(name))\"", hint: "a request has jsonrpc, id, method and params")
    case .repeatedMember(let name): ControlError(.invalidRequest, "member \"\(shown(name))\" is given twice")
    }
  }

  static func unknownMethod(_ name: String) -> ControlError {
    ControlError(
      .methodNotFound, "unknown method \"\(shown(name))\"", hint: "server.info lists the methods of this daemon")
  }

  static func timeout(_ seconds: Double) -> ControlError {
    ControlError(
      .timeout, "not done within \(JSONNumber(seconds)) s",
      hint: "ask again, with a larger timeout_seconds if the server is slow")
  }

  static let shuttingDown = ControlError(
    .shuttingDown, "fhird is shutting down", hint: "connect again in a moment",
    retryAfterSeconds: ControlOptions.retryAfterSeconds)

  static func overloaded(_ what: String) -> ControlError {
    ControlError(
      .overloaded, what, hint: "ask again in a moment", retryAfterSeconds: ControlOptions.retryAfterSeconds)
  }

  static func lineTooLong(_ limit: Int) -> ControlError {
    ControlError(.invalidRequest, "the line is longer than \(limit) bytes", hint: "the connection is closed")
  }

  /// What is told back of a name that a stranger chose.
  private static let shownCharactersMax = 64

  private static func shown(_ name: String) -> String {
    name.count <= shownCharactersMax ? name : "\(name.prefix(shownCharactersMax))…"
  }
}

/// A number as people write it: `30`, not `30.0`.
private struct JSONNumber: CustomStringConvertible {
  let description: String
  init(_ value: Double) { description = value == value.rounded() ? "\(Int64(value))" : "\(value)" }
}
