/// The blocking client of the control socket: one request, one answer, always within a deadline.
public import FHIRControl
import FoundationEssentials

/// A client of fhird. It connects at the first call and keeps the connection; after a failure the next call connects
/// anew. One call at a time: use it from one thread, and make one client per thread that needs one.
///
/// ```swift
/// let token = try FHIRClient().token("epic")
/// ```
public final class FHIRClient {
  /// The longest answer that is read: far above any real one (a page of 1000 connections is about 2 MiB).
  public static let replyBytesMax = 16 << 20
  /// The longest request that the daemon reads. Source: the control protocol, "a request line is at most 1 MiB".
  public static let requestBytesMax = 1 << 20
  /// How long a local connect may take, in seconds: only a daemon that hangs needs longer.
  public static let connectTimeoutSeconds: Double = 5
  /// How much longer than the daemon this side waits, in seconds, so that the daemon's own words about a timeout arrive.
  public static let graceSeconds: Double = 1

  public let socketPath: String
  private var connection: LineConnection?
  private var lastID: Int64 = 0

  /// Does no I/O yet.
  /// - Parameter socketPath: nil takes `defaultSocketPath()`.
  public init(socketPath: String? = nil) {
    self.socketPath = socketPath ?? Self.defaultSocketPath()
  }

  /// Calls a method and decodes its result.
  /// - Parameter timeoutSeconds: sent with the request; nil leaves the method's default in force. Above 0, at most 3600.
  /// - Throws: `.refused` with the daemon's error; `.daemonUnreachable`, `.socketPermission`, `.connectionLost`,
  ///   `.timedOut` (`graceSeconds` after the timeout) or `.protocolViolation` when no usable answer came.
  public func call<P: ControlParameters, R: Decodable>(
    _ method: ControlMethod, _ parameters: P, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> R {
    try exchange(method, parameters, timeoutSeconds) { open, id, deadline throws(ClientError) in
      var answer: (line: [UInt8], result: R) = try Self.receive(from: open, method: method, id: id, deadline: deadline)
      wipe(&answer.line)
      return answer.result
    }
  }

  /// Calls a method and returns its result's JSON as the daemon wrote it, members unknown to this version included.
  public func callRaw<P: ControlParameters>(
    _ method: ControlMethod, _ parameters: P, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> [UInt8] {
    try exchange(method, parameters, timeoutSeconds) { open, id, deadline throws(ClientError) in
      try Self.receiveRaw(from: open, method: method, id: id, deadline: deadline)
    }
  }

  /// Calls a method that sends notifications before its answer, and returns its result's JSON.
  /// - Parameter notified: lent each line that may be one; says whether it was.
  func callStream<P: ControlParameters>(
    _ method: ControlMethod, _ parameters: P, timeoutSeconds: Double?,
    notified: (Span<UInt8>) throws(ClientError) -> Bool
  ) throws(ClientError) -> [UInt8] {
    try exchange(method, parameters, timeoutSeconds) { open, id, deadline throws(ClientError) in
      while true {
        let result: [UInt8]? = try open.withLine(bytesMax: Self.replyBytesMax, deadline: deadline) {
          line throws(ClientError) in
          try notified(line) ? nil : Self.result(in: line.copied, method: method, id: id)
        }
        if let result { return result }
      }
    }
  }

  private func exchange<P: ControlParameters, Answer>(
    _ method: ControlMethod, _ parameters: P, _ timeoutSeconds: Double?,
    _ receive: (LineConnection, Int64, Deadline) throws(ClientError) -> Answer
  ) throws(ClientError) -> Answer {
    if let timeoutSeconds, !(timeoutSeconds > 0 && timeoutSeconds <= timeoutSecondsMax) {
      throw ClientError(.unsendable, "a timeout is above 0 and at most \(Int(timeoutSecondsMax)) seconds")
    }
    lastID += 1
    let id = lastID
    var request = try Self.encode(
      RequestLine(id: id, method: method, parameters: parameters, timeoutSeconds: timeoutSeconds))
    defer { wipe(&request) }
    let deadline = Deadline(seconds: (timeoutSeconds ?? method.defaultTimeoutSeconds) + Self.graceSeconds)
    let open = try connected(deadline)
    do {
      try open.send(request, deadline: deadline)
      return try receive(open, id, deadline)
    } catch {
      // After a refusal the connection is as good as before; after anything else an answer may still be on its way.
      if error.code != .refused { connection = nil }
      throw error
    }
  }

  private func connected(_ deadline: Deadline) throws(ClientError) -> LineConnection {
    if let connection, connection.isIdle { return connection }
    let fresh = try LineConnection(
      path: socketPath, deadline: deadline.sooner(seconds: Self.connectTimeoutSeconds))
    connection = fresh
    return fresh
  }

  private static func receiveRaw(
    from connection: LineConnection, method: ControlMethod, id: Int64, deadline: Deadline
  ) throws(ClientError) -> [UInt8] {
    while true {
      var line = try connection.receiveLine(bytesMax: replyBytesMax, deadline: deadline)
      defer { wipe(&line) }
      if let result = try result(in: line, method: method, id: id) { return result }
    }
  }

  /// The result's bytes, found and not decoded: a page of resources has megabytes. nil: a notification.
  private static func result(
    in line: [UInt8], method: ControlMethod, id: Int64
  ) throws(ClientError) -> [UInt8]? {
    if let found = resultBytes(in: line, answering: id) { return found }
    // An error, a notification, or no answer at all: whatever it is, it is small.
    let reply: ReplyLine<AnyResult> = try decode(line, method: method)
    switch reply.content {
    case .notification: return nil
    case .failure(let error):
      guard reply.id == nil || reply.id == id else { throw violation("an answer came that nobody asked for") }
      throw error
    case .result: throw violation("an answer came that nobody asked for")
    }
  }

  private static func receive<R: Decodable>(
    from connection: LineConnection, method: ControlMethod, id: Int64, deadline: Deadline
  ) throws(ClientError) -> (line: [UInt8], result: R) {
    while true {
      let line = try connection.receiveLine(bytesMax: replyBytesMax, deadline: deadline)
      let reply: ReplyLine<R> = try decode(line, method: method)
      switch reply.content {
      case .notification: continue
      case .failure(let error):
        guard reply.id == nil || reply.id == id else { throw violation("an answer came that nobody asked for") }
        throw error
      case .result(let result):
        guard reply.id == id else { throw violation("an answer came that nobody asked for") }
        return (line, result)
      }
    }
  }

  private static func encode(_ request: some Encodable) throws(ClientError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    var bytes: [UInt8]
    do {
      bytes = Array(try encoder.encode(request))
    } catch {
      // The error itself could quote a value, and a value can be a secret.
      throw ClientError(.unsendable, "the parameters cannot be written as JSON")
    }
    bytes.append(UInt8(ascii: "\n"))
    guard bytes.count <= requestBytesMax else {
      wipe(&bytes)
      throw ClientError(.unsendable, "the request is longer than \(requestBytesMax >> 20) MiB")
    }
    return bytes
  }

  private static func decode<R: Decodable>(
    _ line: [UInt8], method: ControlMethod
  ) throws(ClientError) -> ReplyLine<R> {
    do {
      // A NUL would make JSONDecoder guess UTF-16; the protocol is UTF-8.
      guard !line.contains(0) else { throw violation("the answer to \(method.rawValue) is not JSON") }
      return try JSONDecoder().decode(ReplyLine<R>.self, from: Data(line))
    } catch let error as DecodingError {
      throw violation(words(error, method))
    } catch let error as ClientError {
      throw error
    } catch {
      throw violation("the answer to \(method.rawValue) is not JSON")
    }
  }

  /// Names the place, never the value.
  private static func words(_ error: DecodingError, _ method: ControlMethod) -> String {
    func place(_ path: [any CodingKey]) -> String { path.map(\.stringValue).joined(separator: ".") }
    switch error {
    case .keyNotFound(let key, let context):
      return "the answer to \(method.rawValue) has no \(place(context.codingPath + [key]))"
    case .typeMismatch(_, let context) where context.codingPath.isEmpty:
      return "the answer to \(method.rawValue) is not a JSON object"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      return "\(place(context.codingPath)) in the answer to \(method.rawValue) is of another kind than agreed"
    case .dataCorrupted(let context) where !context.codingPath.isEmpty:
      return "\(place(context.codingPath)) in the answer to \(method.rawValue) has a value unknown here"
    case .dataCorrupted: return "the answer to \(method.rawValue) is not JSON"
    @unknown default: return "the answer to \(method.rawValue) is not understood"
    }
  }

  private static func violation(_ message: String) -> ClientError {
    ClientError(
      .protocolViolation, message,
      hint: "is it fhird that listens there, and of this version? compare fhirctl --version and fhirctl server info")
  }
}
