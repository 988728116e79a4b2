/// A deadline on the boot clock, told on an actor's queue. One deadline at a time; arming again moves it.
import CLinux
import Dispatch

/// A timerfd on CLOCK_BOOTTIME and not a dispatch timer: Dispatch's uptime deadlines stop in suspend, and its wall
/// deadlines go wrong by as much as somebody sets the clock.
package struct QueueTimer: ~Copyable {
  private let source: ReadSource
  private let descriptor: Int32

  /// - Parameter handler: runs on the executor's queue, so an actor there may use `assumeIsolated`. It may run although
  ///   the deadline has just been moved: look at the clock, then arm again.
  package init(on executor: QueueExecutor, _ handler: @escaping @Sendable () -> Void) throws(LinuxError) {
    let timer = Descriptor(owning: try check(clinux_timerfd(), "timerfd_create"))
    let number = timer.number
    descriptor = number
    source = ReadSource(owning: timer, on: executor) {
      clinux_eventfd_drain(number)
      handler()
    }
  }

  /// Tells at this time of the boot clock, at once when it has passed. Never later than `waitMillisecondsMax` from now:
  /// the handler looks at what is due and arms again.
  package func arm(atBootMilliseconds deadline: Int64) {
    let now = bootMilliseconds()
    let result = clinux_timerfd_arm(descriptor, max(1, min(deadline, now + waitMillisecondsMax)))
    precondition(result == 0, "timerfd_settime takes every time of the boot clock")
  }

  package func arm(afterMilliseconds delay: Int64) {
    arm(atBootMilliseconds: bootMilliseconds() + max(0, min(delay, waitMillisecondsMax)))
  }

  package func disarm() {
    let result = clinux_timerfd_arm(descriptor, 0)
    precondition(result == 0, "timerfd_settime disarms every timer")
  }
}
