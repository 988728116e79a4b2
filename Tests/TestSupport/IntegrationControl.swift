/// A bare client of the control socket: what any program in any language would write, and nothing of FHIRClient.
import Synchronization

/// One line from the daemon.
package struct Answer: Sendable, CustomStringConvertible {
  package let json: WireJSON
  package init(json: WireJSON) { self.json = json }
  package var id: WireJSON { json["id"] }
  package var result: WireJSON { json["result"] }
  package var error: WireJSON { json["error"] }
  /// `data.code` of an error, or nil.
  package var code: String? { error["data"]["code"].string }
  package var hint: String? { error["data"]["hint"].string }
  package var message: String? { error["message"].string }
  package var succeeded: Bool { json.object.keys.contains("result") }
  package var description: String { json.text }
}

package final class ControlConnection: Sendable {
  private struct State {
    var nextID = 1
    /// Answers that came while another was waited for.
    var early: [Answer] = []
  }
  private let state = Mutex(State())
  private let socket: TestSocket

  package init(path: String) async throws {
    socket = try await blockingWork { try TestSocket(.unix(path)) }
  }

  package func close() { socket.shut() }
  package func shutWriting() { socket.shutWriting() }

  package func write(bytes: [UInt8], within seconds: Double = TestSocket.secondsDefault) async throws {
    try await blockingWork { [socket] in try socket.write(bytes, within: seconds) }
  }

  package func write(line: String) async throws { try await write(bytes: Array(line.utf8) + [10]) }

  /// nil: the daemon closed the connection.
  package func readLine(within seconds: Double = TestSocket.secondsDefault) async throws -> String? {
    try await blockingWork { [socket] in try socket.readLine(within: seconds) }
  }

  /// The next answer, whatever it belongs to.
  package func readAnswer(within seconds: Double = TestSocket.secondsDefault) async throws -> Answer {
    if let early = state.withLock({ $0.early.isEmpty ? nil : $0.early.removeFirst() }) { return early }
    guard let line = try await readLine(within: seconds) else {
      throw IntegrationFailure("the daemon closed the connection instead of answering")
    }
    return Answer(json: try WireJSON(parsing: line))
  }

  private func request(_ method: String, _ parameters: WireJSON?) -> (id: Int, line: String) {
    let id = state.withLock { s in
      defer { s.nextID += 1 }
      return s.nextID
    }
    var line: WireJSON = ["jsonrpc": "2.0", "id": .integer(Int64(id)), "method": .string(method)]
    if let parameters { line = line.merging(["params": parameters]) }
    return (id, line.text)
  }

  /// Sends without waiting: pipelining.
  /// - Returns: the id of the request.
  @discardableResult
  package func begin(_ method: String, _ parameters: WireJSON? = nil) async throws -> Int {
    let (id, line) = request(method, parameters)
    try await write(line: line)
    return id
  }

  /// Many requests in one write.
  package func begin(_ method: String, _ parameters: WireJSON, times: Int) async throws -> [Int] {
    let all = (0..<times).map { _ in request(method, parameters) }
    try await write(bytes: Array(all.map { $0.line + "\n" }.joined().utf8))
    return all.map(\.id)
  }

  /// The answer to that request; others are kept for whoever waits for them.
  package func answer(to id: Int, within seconds: Double = TestSocket.secondsDefault) async throws -> Answer {
    let wanted = WireJSON.integer(Int64(id))
    let known = state.withLock { s -> Answer? in
      guard let at = s.early.firstIndex(where: { $0.id == wanted }) else { return nil }
      return s.early.remove(at: at)
    }
    if let known { return known }
    let deadline = monotonicSeconds() + seconds
    while true {
      guard let line = try await readLine(within: max(deadline - monotonicSeconds(), 0.001)) else {
        throw IntegrationFailure("the daemon closed the connection before answering request \(id)")
      }
      let answer = Answer(json: try WireJSON(parsing: line))
      if answer.id == wanted { return answer }
      state.withLock { $0.early.append(answer) }
    }
  }

  package func call(
    _ method: String, _ parameters: WireJSON? = nil, within seconds: Double = TestSocket.secondsDefault
  ) async throws -> Answer {
    try await answer(to: try await begin(method, parameters), within: seconds)
  }

  /// The `result`, or a failure that shows the whole answer.
  @discardableResult
  package func result(
    _ method: String, _ parameters: WireJSON? = nil, within seconds: Double = TestSocket.secondsDefault
  ) async throws -> WireJSON {
    let answer = try await call(method, parameters, within: seconds)
    guard answer.succeeded else { throw IntegrationFailure("\(method) was refused: \(answer)") }
    return answer.result
  }
}
