/// The clocks of this machine, by clock_gettime(2) of the C library.
import CSystemd
import ConnectionCore
package import FHIRControl
import Glibc
package import SMARTProtocol

package struct SystemClock: Clock {
  package let bootID: UInt64

  package init() {
    let id = csystemd_boot_id()
    // Without an id, instants that were written down by an earlier run of the daemon are as good as of another boot.
    bootID = id != 0 ? id : UInt64.random(in: 1...UInt64.max)
  }

  package func now() -> Instant { Instant(milliseconds: Self.milliseconds(CLOCK_BOOTTIME)) }
  package func wall() -> Timestamp { Self.wallNow() }

  package func pause(_ span: Instant.Span) async {
    try? await Task.sleep(nanoseconds: UInt64(max(0, span.milliseconds)) * 1_000_000)
  }

  static func wallNow() -> Timestamp { Timestamp(milliseconds: milliseconds(CLOCK_REALTIME)) }

  private static func milliseconds(_ clock: Int32) -> Int64 {
    var time = timespec()
    guard unsafe clock_gettime(clock, &time) == 0 else { preconditionFailure("clock \(clock) is part of every Linux") }
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
