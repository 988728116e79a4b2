/// When a cleanup task has its next step. Pure: the caller brings the time.
package import SMARTProtocol

/// What one step of a task has done, and where the next one goes on; nil: the round is over.
package struct CleanupStep: Sendable, Equatable {
  package var removed: Int
  package var next: [UInt8]?
  package init(removed: Int = 0, next: [UInt8]? = nil) {
    self.removed = removed
    self.next = next
  }
}

/// A round is a walk through a table in steps of bounded work, so that nobody waits long for the writer; a pause follows.
package struct CleanupSchedule: Sendable {
  private let interval: Instant.Span
  private var nextRound: Instant
  /// Where the round goes on.
  package private(set) var after: [UInt8]?
  private var removedInRound = 0
  /// Since the start.
  package private(set) var removed = 0

  /// - Parameter interval: from the end of a round to the next.
  package init(interval: Instant.Span, firstRound: Instant) {
    self.interval = interval
    nextRound = firstRound
  }

  package func isDue(at now: Instant) -> Bool { after != nil || now >= nextRound }

  /// - Returns: what the round has removed, when it is over.
  package mutating func stepped(_ step: CleanupStep, at now: Instant) -> Int? {
    removed += step.removed
    removedInRound += step.removed
    after = step.next
    guard after == nil else { return nil }
    defer { removedInRound = 0 }
    nextRound = now + interval
    return removedInRound
  }

  /// The next round begins anew: what kept this one from going on may be where it stood.
  package mutating func failed(at now: Instant) {
    after = nil
    removedInRound = 0
    nextRound = now + interval
  }
}
