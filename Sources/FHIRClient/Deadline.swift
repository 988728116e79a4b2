/// A moment that a wait must not pass. Monotonic, and it counts on while the machine sleeps.

struct Deadline: Sendable {
  private let moment: ContinuousClock.Instant

  init(seconds: Double) {
    moment = ContinuousClock.now.advanced(by: .seconds(seconds))
  }

  private init(moment: ContinuousClock.Instant) { self.moment = moment }

  /// The earlier of this deadline and one `seconds` from now.
  func sooner(seconds: Double) -> Deadline {
    Deadline(moment: min(moment, ContinuousClock.now.advanced(by: .seconds(seconds))))
  }

  /// What is left, rounded up, so that a wait of this length does not end just before the deadline; 0 when it passed.
  var millisecondsLeft: Int32 {
    let left = ContinuousClock.now.duration(to: moment).components
    guard left.seconds >= 0, left.attoseconds >= 0 else { return 0 }
    let milliseconds = left.seconds * 1000 + (left.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    return Int32(clamping: milliseconds)
  }
}
