/// A body between curl's thread, which brings it, and the task that reads it: bounded, so that a slow reader slows its own
/// server and nothing else.
import ConnectionCore
import Synchronization

final class BodyFlow: HTTPBody {
  /// Bytes that wait for the reader before the transfer is paused: most pages fit, so that a slow reader holds no
  /// connection.
  static let bytesMax = 2 << 20

  private struct State {
    var waiting: [UInt8] = []
    /// curl holds the next bytes until it is told to go on.
    var isPaused = false
    var end: Result<Void, HTTPFailure>?
    var reader: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())
  private let core: LoopCore
  private let ticket: Ticket<Result<HTTPReply, HTTPFailure>>

  init(_ core: LoopCore, _ ticket: Ticket<Result<HTTPReply, HTTPFailure>>) {
    self.core = core
    self.ticket = ticket
  }

  deinit {
    if state.withLock({ $0.end == nil }) { core.cancel(ticket) }
  }

  var hasArrived: Bool {
    state.withLock { state in
      if case .success? = state.end { true } else { false }
    }
  }

  func next() async throws(HTTPFailure) -> [UInt8]? {
    while true {
      if let answer = take() { return try answer.get() }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            guard state.waiting.isEmpty, state.end == nil else { return true }
            state.reader = continuation
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        core.cancel(ticket)
      }
    }
  }

  /// nil: nothing is there yet.
  private func take() -> Result<[UInt8]?, HTTPFailure>? {
    var goesOn = false
    let answer = state.withLock { state -> Result<[UInt8]?, HTTPFailure>? in
      if !state.waiting.isEmpty {
        var taken: [UInt8] = []
        swap(&taken, &state.waiting)
        goesOn = state.isPaused
        state.isPaused = false
        return .success(taken)
      }
      return state.end.map { end in end.map { nil } }
    }
    if goesOn { core.goOn(ticket) }
    return answer
  }

  // MARK: on the loop's thread

  /// - Returns: false: there is no room; curl must keep the bytes until `LoopCore.goOn`.
  func bring(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let (isTaken, reader) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
      guard state.waiting.isEmpty || state.waiting.count + bytes.count <= Self.bytesMax else {
        state.isPaused = true
        return (false, nil)
      }
      unsafe state.waiting.append(contentsOf: bytes)
      defer { state.reader = nil }
      return (true, state.reader)
    }
    reader?.resume()
    return isTaken
  }

  /// The first end counts.
  func end(_ end: Result<Void, HTTPFailure>) {
    let reader = state.withLock { state -> CheckedContinuation<Void, Never>? in
      if state.end == nil { state.end = end }
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume()
  }
}
