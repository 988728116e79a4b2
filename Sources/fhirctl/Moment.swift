/// Says times as people do: "in 4 min", "3 min ago".
import FHIRControl
import Glibc

enum Moment {
  static var now: Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }

  static func relative(_ time: Timestamp, to now: Timestamp = Moment.now) -> String {
    let seconds = Double(time.milliseconds - now.milliseconds) / 1000
    // Two clocks of one machine, read one after the other, differ by less than this.
    if abs(seconds) < 1 { return "now" }
    return seconds > 0 ? "in \(span(seconds))" : "\(span(-seconds)) ago"
  }

  /// `42 s`, `4 min`, `7 h`, `12 days`: one unit, rounded down, so that "in 4 min" never promises too much.
  static func span(_ seconds: Double) -> String {
    switch seconds {
    case ..<1: "\(Int(max(seconds, 0) * 1000)) ms"
    case ..<120: "\(Int(seconds)) s"
    case ..<7200: "\(Int(seconds / 60)) min"
    case ..<172_800: "\(Int(seconds / 3600)) h"
    default: "\(Int(min(seconds / 86_400, 1e9))) days"
    }
  }

  static func milliseconds(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e12 else { return "?" }
    return value < 10 ? "\((value * 10).rounded() / 10) ms" : "\(Int(value.rounded())) ms"
  }
}
