/// A time without new token requests, for work during which nothing can be stored.
import FHIRControl
import SMARTProtocol

extension Engine {
  /// The longest wait for what is under way: longer than a token request may take.
  private static let settleMax = Instant.Span.seconds(120)
  private static let settlePause = Instant.Span.milliseconds(20)

  /// From now on requests wait for their turn. Returns when those that were sent are stored, or after `settleMax`: what is
  /// not stored by then waits for a store that takes nothing. Tokens at hand are served all the time. `resumeAttempts` must
  /// follow.
  package func holdAttempts() async {
    holders += 1
    gates.totalMax = 0
    let deadline = clock.now() + Self.settleMax
    while runs.values.contains(where: { $0.machine.isUnderWay && !$0.isQueued }), clock.now() < deadline {
      await clock.pause(Self.settlePause)
    }
  }

  package func resumeAttempts() {
    holders -= 1
    guard holders == 0 else { return }
    gates.totalMax = options.concurrency
    while let key = gates.nudge() {
      if runs[key]?.isQueued == true { enter(key) }
    }
  }
}
