/// The lines of the protocol as a client writes and reads them.
import FHIRControl
import FoundationEssentials

/// One request; `timeout_seconds` becomes a member of the parameters.
struct RequestLine<Parameters: ControlParameters>: Encodable {
  var id: Int64
  var method: ControlMethod
  var parameters: Parameters
  var timeoutSeconds: Double?

  enum CodingKeys: String, CodingKey {
    case jsonrpc, id, method
    case parameters = "params"
  }

  func encode(to encoder: any Encoder) throws {
    var c = encoder.container(keyedBy: CodingKeys.self)
    try c.encode("2.0", forKey: .jsonrpc)
    try c.encode(id, forKey: .id)
    try c.encode(method, forKey: .method)
    try c.encode(TimedParameters(parameters: parameters, timeoutSeconds: timeoutSeconds), forKey: .parameters)
  }
}

private struct TimedParameters<Parameters: ControlParameters>: Encodable {
  var parameters: Parameters
  var timeoutSeconds: Double?
  enum CodingKeys: String, CodingKey { case timeoutSeconds = "timeout_seconds" }

  func encode(to encoder: any Encoder) throws {
    try parameters.encode(to: encoder)
    var c = encoder.container(keyedBy: CodingKeys.self)
    try c.encodeIfPresent(timeoutSeconds, forKey: .timeoutSeconds)
  }
}

/// What a received line is.
struct ReplyLine<Result: Decodable>: Decodable {
  enum Content {
    case notification
    case result(Result)
    case failure(ClientError)
  }
  /// Nil where the daemon could not tell which request it answers (`"id":null`).
  var id: Int64?
  var content: Content

  enum CodingKeys: String, CodingKey { case id, method, result, error }

  init(from decoder: any Decoder) throws {
    let c = try decoder.container(keyedBy: CodingKeys.self)
    id = try c.decodeIfPresent(Int64.self, forKey: .id)
    if let error = try c.decodeIfPresent(ReplyError.self, forKey: .error) {
      content = .failure(error.clientError)
    } else if !c.contains(.id), c.contains(.method) {
      content = .notification
    } else {
      content = .result(try c.decode(Result.self, forKey: .result))
    }
  }
}

/// The `error` member, read so that a `data.code` of a later version is still told.
private struct ReplyError: Decodable {
  struct Data: Decodable {
    var hint: String?
  }
  var clientError: ClientError

  enum CodingKeys: String, CodingKey { case message, data }

  init(from decoder: any Decoder) throws {
    if let known = try? ControlError(from: decoder) {
      clientError = ClientError(known)
      return
    }
    let c = try decoder.container(keyedBy: CodingKeys.self)
    clientError = ClientError(
      .refused, try c.decode(String.self, forKey: .message),
      hint: (try? c.decodeIfPresent(Data.self, forKey: .data))?.hint)
  }
}

/// Takes any value: the caller wants its bytes, not its shape.
struct AnyResult: Decodable {
  init(from decoder: any Decoder) throws {}
}
