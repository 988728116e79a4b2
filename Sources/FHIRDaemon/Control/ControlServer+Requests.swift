/// The control server's requests: answered here when a valid token is all they ask for, handed to the commands otherwise.
import ConnectionCore
import FHIRControl
import SMARTProtocol

extension ControlServer {
  /// - Parameter bytes: one line without its LF.
  func takeLine(_ bytes: UnsafeRawBufferPointer, of client: ClientConnection) {
    let line = unsafe bytes.bindMemory(to: UInt8.self).span
    if line.count == 0 || (line.count == 1 && line[0] == UInt8(ascii: "\r")) { return }
    counts.requests += 1
    let request = RequestEnvelope(line)
    if let problem = request.problem {
      refuseRequest(client, id: Self.copy(line, request.id), ControlAnswer.error(for: problem))
    } else if phase != .running {
      if let id = request.id { refuseRequest(client, id: Self.copy(line, id), ControlAnswer.shuttingDown) }
    } else if !serveHot(line, request, client) {
      handOver(line, request, client)
    }
  }

  private func serveHot(_ line: Span<UInt8>, _ envelope: RequestEnvelope, _ client: ClientConnection) -> Bool {
    guard let hotPath, let id = envelope.id, let params = envelope.params,
      JSONScanner.matches("token.get", line, envelope.method), let request = HotRequest(line, params: params)
    else { return false }
    guard let key = tokenKey(line, request, client) else { return false }
    lendOutput(to: client)
    let keyBytes = key.span
    let idBytes = line.extracting(id)
    let served = hotPath.serve(
      key: keyBytes, minimum: request.minimum, at: moment, id: idBytes, into: &client.output)
    if served { counts.hotHits += 1 }
    return served
  }

  private func tokenKey(_ line: Span<UInt8>, _ request: HotRequest, _ client: ClientConnection) -> [UInt8]? {
    let epoch = directory.epoch
    if let known = client.grants.key(line, request, epoch: epoch) { return known }
    guard
      let found = directory.tokenKey(
        caller: client.caller, connection: JSONScanner.text(line, request.connection),
        subject: JSONScanner.text(line, request.subject))
    else { return nil }
    return client.grants.insert(found, line, request, epoch: epoch)
  }

  private func handOver(_ line: Span<UInt8>, _ envelope: RequestEnvelope, _ client: ClientConnection) {
    let id = Self.copy(line, envelope.id)
    let name = envelope.methodName(in: line)
    guard let method = ControlMethod(rawValue: name) else {
      return refuseUnlessSilent(client, id, ControlAnswer.unknownMethod(name))
    }
    let parameters: RequestParameters
    do {
      parameters = try RequestParameters(line, params: envelope.params)
    } catch {
      return refuseUnlessSilent(client, id, error)
    }
    guard counts.underWay < options.requestsMax else {
      return refuseUnlessSilent(client, id, ControlAnswer.overloaded("too many requests are under way"))
    }
    let timeoutSeconds = parameters.timeoutSeconds ?? method.defaultTimeoutSeconds
    let deadline = moment.now + Instant.Span(milliseconds: Int64((timeoutSeconds * 1000).rounded(.up)))
    lastSerial += 1
    let serial = lastSerial
    let token = client.token
    let progress = id.map { _ in ControlProgress(server: self, serial: serial, client: token) }
    let call = ControlCall(
      method: method, parameters: parameters.bytes, caller: client.caller, deadline: deadline, progress: progress)
    // Detached: the commands must not run on the control server's thread.
    let task = Task.detached { [handler, weak self] in
      let outcome: Result<[UInt8], ControlError>
      do throws(ControlError) {
        outcome = .success(try await handler.result(of: call))
      } catch {
        outcome = .failure(error)
      }
      await self?.requestFinished(serial, of: token, outcome)
      #if FAULT_POINTS
        if case .success = outcome { await self?.flushAndTell(method, token) }
      #endif
    }
    client.underWay[serial] = ClientConnection.UnderWay(
      id: id, task: task, timeoutSeconds: timeoutSeconds, progress: progress)
    deadlines.insert(Deadlines.Entry(at: deadline, token: token, serial: serial))
    counts.underWay += 1
    counts.slowPath += 1
  }

  private func requestFinished(_ serial: UInt64, of token: UInt64, _ outcome: Result<[UInt8], ControlError>) {
    counts.underWay -= 1
    orphans[serial] = nil
    // The client has gone, or was told TIMEOUT already.
    guard let client = client(token), let request = takeRequest(serial, of: client, isAnswered: true) else { return }
    if let id = request.id {
      lendOutput(to: client)
      switch outcome {
      case .success(let result): client.output.appendResult(id: id, Self.oneLine(result))
      case .failure(let error): client.output.appendError(id: id, error)
      }
    }
    markDirty(client)
  }

  #if FAULT_POINTS
    /// The answer goes out now and not at the end of the turn, so that there is a moment after it.
    private func flushAndTell(_ method: ControlMethod, _ token: UInt64) {
      if let client = client(token) { settle(client) }
      options.answered?(method)
    }
  #endif

  func requestTimedOut(_ entry: Deadlines.Entry) {
    if let task = orphans.removeValue(forKey: entry.serial) { return task.cancel() }
    guard let client = client(entry.token), let request = takeRequest(entry.serial, of: client, isAnswered: false)
    else { return }
    request.task.cancel()
    counts.timeouts += 1
    if let id = request.id {
      lendOutput(to: client)
      client.output.appendError(id: id, ControlAnswer.timeout(request.timeoutSeconds))
    }
    markDirty(client)
  }

  func refuseRequest(_ client: ClientConnection, id: [UInt8]?, _ error: ControlError) {
    counts.refused += 1
    lendOutput(to: client)
    client.output.appendError(id: id, error)
  }

  /// A request without `id` gets no answer, not even this one.
  private func refuseUnlessSilent(_ client: ClientConnection, _ id: [UInt8]?, _ error: ControlError) {
    if let id { refuseRequest(client, id: id, error) } else { counts.refused += 1 }
  }

  func markDirty(_ client: ClientConnection) {
    guard !client.isDirty else { return }
    client.isDirty = true
    dirty.append(client.token)
  }

  /// An answer is one line. In JSON an LF can only be white space.
  private static func oneLine(_ result: [UInt8]) -> [UInt8] {
    guard result.contains(UInt8(ascii: "\n")) else { return result }
    return result.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 }
  }

  private static func copy(_ line: Span<UInt8>, _ range: Range<Int>?) -> [UInt8]? {
    guard let range else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(range.count)
    for at in range { bytes.append(line[at]) }
    return bytes
  }
}
