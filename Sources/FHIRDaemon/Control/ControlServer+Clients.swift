/// The control server's clients: how they come, are read, written to and go.
import CLinux
import ConnectionCore
import DispatchSupport
import FHIRControl
import Glibc
import SMARTProtocol

extension ControlServer {
  // MARK: Coming

  /// - Returns: whether more may be waiting.
  @discardableResult
  func accept(on index: Int) -> Bool {
    guard index < listeners.count else { return false }
    let listener = listeners[index].descriptor.number
    for _ in 0..<ControlOptions.acceptsPerTurn {
      switch clinux_accept(listener) {
      case -EAGAIN: return false
      case -ECONNABORTED, -EINTR: continue
      case -EMFILE, -ENFILE:
        guard turnOneAway(listener) else {
          pauseAccepting(on: index)
          return false
        }
      case let result where result < 0:
        pauseAccepting(on: index)
        return false
      case let number: admit(Descriptor(owning: number))
      }
    }
    return true
  }

  /// Takes in who has connected to a socket that goes with this process: nobody else will ever answer them. Those who
  /// wait at systemd's socket are the next daemon's.
  func acceptThoseWhoWait() {
    for index in listeners.indices where listeners[index].goesWithServer {
      for _ in 0..<ControlOptions.acceptTurnsAtEnd {
        guard accept(on: index) else { break }
      }
    }
  }

  private func admit(_ descriptor: consuming Descriptor) {
    let peer: PeerIdentity
    do {
      peer = try PeerIdentity(of: descriptor.number, unitOf: unitOf)
    } catch {
      return refuse(descriptor, "the daemon has no descriptors left")
    }
    let mayUseReserved = peer.uid == 0 || peer.uid == geteuid()
    let reserved = mayUseReserved ? 0 : min(options.clientsReserved, options.clientsMax / 2)
    guard counts.clients < options.clientsMax - reserved else {
      return refuse(descriptor, "the daemon has all the clients it may have")
    }
    let caller = Caller(uid: peer.uid, gid: peer.gid, pid: peer.pid, groups: peer.groups, unit: peer.unit)
    let slot = freeSlots.popLast() ?? clients.count
    if slot == clients.count {
      clients.append(nil)
      generations.append(0)
    }
    // 31 bits: the topmost bit of a token tells listeners from clients.
    generations[slot] = (generations[slot] &+ 1) & 0x7FFF_FFFF
    let token = UInt64(generations[slot]) << 32 | UInt64(slot)
    let client = ClientConnection(token: token, descriptor: descriptor, caller: caller)
    do {
      try loop.add(client.descriptor.number, .input, token: token)
    } catch {
      freeSlots.append(slot)
      counts.clientsRefused += 1
      return
    }
    clients[slot] = client
    counts.clients += 1
    counts.clientsAccepted += 1
  }

  /// One line, if it fits into the socket, and the end.
  private func refuse(_ descriptor: consuming Descriptor, _ what: String) {
    counts.clientsRefused += 1
    var line = ByteBuffer()
    line.appendError(id: nil, ControlAnswer.overloaded(what))
    _ = unsafe clinux_send(descriptor.number, line.bytes.baseAddress, line.count)
    // Ten seconds: a flood is one entry now and then, not a flood of entries.
    if let last = lastRefusalLog, moment.now - last < .seconds(10) { return }
    lastRefusalLog = moment.now
    log.record(
      .warning, "clients are turned away",
      [.count: "\(counts.clients)", .detail: what, .cure: "raise FHIRD_CLIENTS_MAX"])
  }

  /// There are no descriptors: the reserved one is given up, so that the client hears of it and does not wait.
  private func turnOneAway(_ listener: Int32) -> Bool {
    guard reserve != nil else { return false }
    reserve = nil
    let number = clinux_accept(listener)
    if number >= 0 { refuse(Descriptor(owning: number), "the daemon has no descriptors left") }
    reserve = Self.openReserve()
    return number >= 0 || number == -EAGAIN
  }

  static func openReserve() -> Descriptor? {
    let number = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
    return number < 0 ? nil : Descriptor(owning: number)
  }

  private func pauseAccepting(on index: Int) {
    try? loop.change(listeners[index].descriptor.number, [], token: Self.listenerToken(index))
    deadlines.insert(
      Deadlines.Entry(at: moment.now + ControlOptions.acceptPause, token: Self.listenerToken(index), serial: 0))
    log.record(.warning, "no client can be accepted for a moment", [.detail: "out of descriptors or memory"])
  }

  func resumeAccepting(on index: Int) {
    guard index < listeners.count else { return }
    if reserve == nil { reserve = Self.openReserve() }
    try? loop.change(listeners[index].descriptor.number, .input, token: Self.listenerToken(index))
  }

  // MARK: Reading

  func take(_ events: EventLoop.Events, of client: ClientConnection) {
    if events.contains(.input), client.interest.contains(.input) {
      receive(client)
    } else if !events.isDisjoint(with: [.hangUp, .error]) {
      return close(client)
    }
    settle(client)
  }

  private func receive(_ client: ClientConnection) {
    let count = unsafe clinux_receive(client.descriptor.number, readBuffer.baseAddress, readBuffer.count)
    switch count {
    case -Int(EAGAIN): return
    case ..<0: return close(client)
    case 0:
      client.inputEnded = true
      return takeInput(client)
    default: break
    }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: readBuffer[..<count])
    if client.input.isEmpty {
      // The usual case: whole lines, answered from the server's own buffer, nothing copied.
      let taken = unsafe takeLines(client, bytes)
      if taken < count { unsafe client.input.append(UnsafeRawBufferPointer(rebasing: bytes[taken...])) }
    } else {
      unsafe client.input.append(bytes)
      takeInput(client)
    }
    unsafe clinux_wipe(readBuffer.baseAddress, count)
  }

  /// Answers the lines that wait in the client's own buffer.
  func takeInput(_ client: ClientConnection) {
    let taken = unsafe takeLines(client, client.input.bytes)
    client.input.consume(taken)
    // A client that shuts down its side need not end its last line.
    if client.inputEnded, !client.hasBacklog, !client.input.isEmpty, mayTake(client) {
      unsafe takeLine(client.input.bytes, of: client)
      client.input.consume(client.input.count)
      client.searched = 0
    }
    if client.input.isEmpty { client.input.release() }
  }

  /// Whether the next line of this client may be answered now.
  private func mayTake(_ client: ClientConnection) -> Bool {
    !client.isClosing && client.output.count < options.outputBytesHigh
      && client.underWay.count < options.requestsPerClientMax
  }

  /// Answers whole lines, as many as this turn allows. - Returns: how many bytes they were.
  private func takeLines(_ client: ClientConnection, _ bytes: UnsafeRawBufferPointer) -> Int {
    var start = 0
    var search = client.searched
    client.searched = 0
    for _ in 0..<options.linesPerTurn {
      guard mayTake(client) else { break }
      guard let end = unsafe Self.lineEnd(bytes, from: search) else {
        client.searched = bytes.count - start
        client.hasBacklog = false
        if client.searched > options.lineBytesMax { return refuseLongLine(client, bytes.count) }
        return start
      }
      if end - start > options.lineBytesMax { return refuseLongLine(client, bytes.count) }
      unsafe takeLine(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), of: client)
      start = end + 1
      search = start
    }
    client.hasBacklog = !client.isClosing && start < bytes.count
    return client.isClosing ? bytes.count : start
  }

  private static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    guard let base = bytes.baseAddress, start < bytes.count,
      let found = unsafe memchr(base + start, Int32(UInt8(ascii: "\n")), bytes.count - start)
    else { return nil }
    return unsafe UnsafeRawPointer(found) - base
  }

  /// What follows cannot be told apart any more: one answer, then the end.
  private func refuseLongLine(_ client: ClientConnection, _ count: Int) -> Int {
    counts.requests += 1
    refuseRequest(client, id: nil, ControlAnswer.lineTooLong(options.lineBytesMax))
    counts.clientsCutOff += 1
    client.isClosing = true
    client.hasBacklog = false
    return count
  }

  // MARK: Writing

  /// Flushes what can be flushed and decides what the client waits for next.
  func settle(_ client: ClientConnection) {
    guard isConnected(client), flush(client) else { return }
    guard client.output.count <= options.outputBytesMax else { return cutOff(client, "does not read its answers") }
    if client.hasBacklog, mayTake(client) {
      if !client.isQueued {
        client.isQueued = true
        backlog.append(client.token)
      }
    }
    if client.output.isEmpty {
      let nothingComes = client.inputEnded && client.input.isEmpty && !client.hasBacklog && client.underWay.isEmpty
      if client.isClosing || nothingComes { return close(client) }
    } else if !client.isStallWatched {
      client.isStallWatched = true
      client.lastProgress = moment.now
      deadlines.insert(Deadlines.Entry(at: moment.now + options.stallMax, token: client.token, serial: 0))
    }
    watch(client)
    account(client)
  }

  /// - Returns: false: the client is gone.
  private func flush(_ client: ClientConnection) -> Bool {
    if client.output.isEmpty { return true }
    let sent = unsafe clinux_send(client.descriptor.number, client.output.bytes.baseAddress, client.output.count)
    if sent < 0 {
      if sent == -Int(EAGAIN) { return true }
      close(client)
      return false
    }
    client.output.consume(sent)
    client.lastProgress = moment.now
    deliverMore(to: client)
    if client.output.isEmpty { returnOutput(of: client) }
    return true
  }

  /// The client's next answers go into the spare memory, if it has none of its own.
  func lendOutput(to client: ClientConnection) {
    if client.output.capacity == 0 { swap(&client.output, &spareOutput) }
  }

  private func returnOutput(of client: ClientConnection) {
    if spareOutput.capacity == 0, client.output.capacity <= options.outputBytesHigh * 2 {
      swap(&client.output, &spareOutput)
    } else {
      client.output.release()
    }
  }

  /// Tells epoll only what has changed: nothing, for a client that asks and reads.
  private func watch(_ client: ClientConnection) {
    var interest: EventLoop.Events = []
    if !client.inputEnded, !client.isClosing, !client.hasBacklog, mayTake(client) { interest.insert(.input) }
    if !client.output.isEmpty { interest.insert(.output) }
    guard interest != client.interest else { return }
    client.interest = interest
    do {
      try loop.change(client.descriptor.number, interest, token: client.token)
    } catch {
      close(client)
    }
  }

  func lookForStall(_ client: ClientConnection) {
    client.isStallWatched = false
    guard !client.output.isEmpty else { return }
    // A stream may stand still as long as its reader likes, until its own deadline: what waits for it is bounded.
    let isStreaming = client.underWay.values.contains(where: \.isStreaming)
    guard isStreaming || moment.now - client.lastProgress < options.stallMax else {
      return cutOff(client, "does not read its answers")
    }
    client.isStallWatched = true
    let next = (isStreaming ? moment.now : client.lastProgress) + options.stallMax
    deadlines.insert(Deadlines.Entry(at: next, token: client.token, serial: 0))
  }

  private func account(_ client: ClientConnection) {
    let bytes = client.input.capacity + client.output.capacity
    guard bytes != client.bufferedBytes else { return }
    let grew = bytes > client.bufferedBytes
    bufferedBytes += bytes - client.bufferedBytes
    client.bufferedBytes = bytes
    if grew, bufferedBytes > options.bufferedBytesMax, bytes > ControlOptions.bufferAlwaysAllowed {
      cutOff(client, "holds much memory while there is little left")
    }
  }

  // MARK: Going

  private func cutOff(_ client: ClientConnection, _ reason: String) {
    counts.clientsCutOff += 1
    log.record(
      .notice, "a client was cut off",
      [.caller: "uid \(client.caller.uid) pid \(client.caller.pid)", .detail: reason, .count: "\(client.output.count)"])
    close(client)
  }

  private func isConnected(_ client: ClientConnection) -> Bool { self.client(client.token) === client }

  func close(_ client: ClientConnection) {
    guard isConnected(client) else { return }
    for (serial, request) in client.underWay {
      // Nobody waits for the others; those without id were never waited for and are carried out.
      if request.id == nil { orphans[serial] = request.task } else { request.task.cancel() }
      request.progress?.end()
    }
    client.underWay = [:]
    // Closing the descriptor takes it out of epoll; it goes with the last reference to the client.
    let slot = Int(client.token & 0xFFFF_FFFF)
    clients[slot] = nil
    freeSlots.append(slot)
    counts.clients -= 1
    bufferedBytes -= client.bufferedBytes
  }

  /// The daemon goes: every request of this client that was not answered is told so.
  func dismiss(_ client: ClientConnection) {
    for (_, request) in client.underWay {
      request.task.cancel()
      request.progress?.end()
      if let id = request.id { refuseRequest(client, id: id, ControlAnswer.shuttingDown) }
    }
    client.underWay = [:]
    if !client.isClosing, !client.inputEnded { receive(client) }
    guard isConnected(client), flush(client) else { return }
    close(client)
  }
}
