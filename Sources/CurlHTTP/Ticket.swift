/// One answer for one waiting task, whoever brings it first.
import SMARTProtocol
import Synchronization

final class Ticket<Answer: Sendable>: Sendable {
  private struct State {
    var continuation: CheckedContinuation<Answer, Never>?
    var isCancelled = false
    var isStarted = false
  }

  private let state = Mutex(State())

  /// Waits for `resume`. `begin` is called once the ticket can be resumed.
  func answer(_ begin: () -> Void) async -> Answer {
    await withCheckedContinuation { continuation in
      state.withLock { $0.continuation = continuation }
      begin()
    }
  }

  /// Waits no longer than `time`, then answers `otherwise`.
  func answer(orAfter time: Instant.Span, _ otherwise: Answer, _ begin: () -> Void) async -> Answer {
    let timer = Task {
      try? await Task.sleep(for: .milliseconds(max(0, time.milliseconds)))
      self.resume(otherwise)
    }
    defer { timer.cancel() }
    return await answer(begin)
  }

  /// The first answer counts.
  func resume(_ answer: Answer) {
    let continuation = state.withLock { state in
      defer { state.continuation = nil }
      return state.continuation
    }
    continuation?.resume(returning: answer)
  }

  /// - Returns: false where it was cancelled before it began.
  func begin() -> Bool {
    state.withLock { state in
      state.isStarted = !state.isCancelled
      return state.isStarted
    }
  }

  /// - Returns: whether it has begun: who began it must be told.
  func markCancelled() -> Bool {
    state.withLock { state in
      state.isCancelled = true
      return state.isStarted
    }
  }
}
