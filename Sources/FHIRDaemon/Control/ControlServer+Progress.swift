/// What a request sends before its answer: `progress` notifications, as fast as the client reads them.
import ConnectionCore
import FHIRControl
import Synchronization

/// One request's way back to its client. What is sent waits here until the control server's next turn, and longer while the
/// client does not read; the sender waits only when much has gathered.
final class ControlProgress: ProgressSink {
  /// Notifications that wait here, in bytes, before the sender does; with the client's own buffer it bounds a stream.
  private static let bytesMax = 256 << 10

  private struct State {
    var notices: [[UInt8]] = []
    var bytes = 0
    /// The server will come, in its turn or when the client has read.
    var isCalled = false
    var isOver = false
    var sender: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())
  private weak let server: ControlServer?
  let serial: UInt64
  let client: UInt64

  init(server: ControlServer, serial: UInt64, client: UInt64) {
    self.server = server
    self.serial = serial
    self.client = client
  }

  func send(_ members: [UInt8]) async -> Bool {
    let mustCall: Bool? = state.withLock { state in
      guard !state.isOver else { return nil }
      state.notices.append(members)
      state.bytes += members.count
      defer { state.isCalled = true }
      return !state.isCalled
    }
    guard let mustCall else { return false }
    // Not waited for: the next part of a page is read meanwhile.
    if mustCall { Task { [server] in await server?.deliver(self) } }
    await withCheckedContinuation { continuation in
      let isReady = state.withLock { state in
        guard state.bytes >= Self.bytesMax, !state.isOver else { return true }
        // One task sends for one request.
        precondition(state.sender == nil, "a second sender")
        state.sender = continuation
        return false
      }
      if isReady { continuation.resume() }
    }
    return state.withLock { !$0.isOver }
  }

  func hasRoom(for bytes: Int) -> Bool { state.withLock { $0.isOver || $0.bytes + bytes < Self.bytesMax } }

  /// Gives out what waits, as long as there is room. - Returns: false: some is left.
  fileprivate func drain(_ put: ([UInt8]) -> Bool) -> Bool {
    let (isDone, sender) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
      var given = 0
      while given < state.notices.count {
        state.bytes -= state.notices[given].count
        given += 1
        guard put(state.notices[given - 1]) else { break }
      }
      state.notices.removeFirst(given)
      state.isCalled = !state.notices.isEmpty
      guard state.bytes < Self.bytesMax else { return (false, nil) }
      defer { state.sender = nil }
      return (state.notices.isEmpty, state.sender)
    }
    sender?.resume()
    return isDone
  }

  /// The request is answered, or its client has gone.
  func end() {
    let sender = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.isOver = true
      state.notices = []
      state.bytes = 0
      defer { state.sender = nil }
      return state.sender
    }
    sender?.resume()
  }
}

extension ControlServer {
  fileprivate func deliver(_ progress: ControlProgress) {
    guard let client = client(progress.client), client.underWay[progress.serial] != nil else { return progress.end() }
    client.underWay[progress.serial]?.isStreaming = true
    deliver(progress, to: client)
  }

  private func deliver(_ progress: ControlProgress, to client: ClientConnection) {
    guard let id = client.underWay[progress.serial]?.id else { return progress.end() }
    guard client.output.count < options.outputBytesHigh else {
      client.stalled.insert(progress.serial)
      return
    }
    let isDone = progress.drain { members in
      lendOutput(to: client)
      client.output.appendProgress(id: id, members)
      return client.output.count < options.outputBytesHigh
    }
    if !isDone { client.stalled.insert(progress.serial) }
    markDirty(client)
  }

  /// Called when bytes have gone out.
  func deliverMore(to client: ClientConnection) {
    guard !client.stalled.isEmpty, client.output.count <= options.outputBytesHigh / 2 else { return }
    let stalled = client.stalled
    client.stalled = []
    for serial in stalled {
      if let progress = client.underWay[serial]?.progress { deliver(progress, to: client) }
    }
  }

  /// Takes a request out that is over. What it has sent goes out before its answer; what it still sends goes nowhere.
  /// - Parameter isAnswered: its own answer follows.
  func takeRequest(_ serial: UInt64, of client: ClientConnection, isAnswered: Bool) -> ClientConnection.UnderWay? {
    guard let request = client.underWay[serial] else { return nil }
    if isAnswered, let progress = request.progress, let id = request.id {
      lendOutput(to: client)
      // No more than was bounded above.
      _ = progress.drain { members in
        client.output.appendProgress(id: id, members)
        return true
      }
    }
    client.underWay[serial] = nil
    client.stalled.remove(serial)
    request.progress?.end()
    return request
  }
}
