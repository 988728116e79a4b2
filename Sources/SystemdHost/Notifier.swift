/// Tells systemd how the service is doing (sd_notify(3)). Without systemd every call does nothing, and says it did.
import CSystemd
import Glibc
package import SMARTProtocol

package struct Notifier: Sendable {
  /// `systemctl status` shows it on one line.
  package static let statusBytesMax = 512

  package init() {}

  /// Somebody listens: `$NOTIFY_SOCKET` is set.
  package var isSupervised: Bool { ProcessEnvironment.value("NOTIFY_SOCKET") != nil }

  /// How long systemd waits for a sign of life before it kills this process: send one twice as often. nil: it does not.
  package var watchdogInterval: Instant.Span? {
    var microseconds: UInt64 = 0
    guard unsafe sd_watchdog_enabled(0, &microseconds) > 0 else { return nil }
    return .milliseconds(Int64(clamping: microseconds / 1000))
  }

  /// Started, or done with a reload. Every function here: false, when systemd listens but was not told.
  @discardableResult
  package func ready(status: String) -> Bool { send(["READY=1", Self.line(status)]) }

  @discardableResult
  package func status(_ text: String) -> Bool { send([Self.line(text)]) }

  /// A reload has begun; `ready` ends it.
  @discardableResult
  package func reloading() -> Bool {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return send(["RELOADING=1", "MONOTONIC_USEC=\(Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)"])
  }

  @discardableResult
  package func stopping(status: String) -> Bool { send(["STOPPING=1", Self.line(status)]) }

  @discardableResult
  package func watchdog() -> Bool { send(["WATCHDOG=1"]) }

  /// Starting, reloading or stopping takes this much longer, counted from now.
  @discardableResult
  package func extendTimeout(microseconds: UInt64) -> Bool { send(["EXTEND_TIMEOUT_USEC=\(microseconds)"]) }

  private static func line(_ status: String) -> String {
    "STATUS=\(LogText.plain(status, bytesMax: statusBytesMax))"
  }

  private func send(_ assignments: [String]) -> Bool {
    // 0: nobody listens. The variable stays set: fhird starts no children that could use it.
    unsafe sd_notify(0, assignments.joined(separator: "\n")) >= 0
  }
}
