/// Clock, entropy and event log as the core sees them.
package import FHIRControl
package import SMARTProtocol

package protocol Clock: Sendable {
  /// The boot clock (CLOCK_BOOTTIME): goes on in suspend, is moved by nobody.
  func now() -> Instant
  /// The wall clock, for people and for records that outlive this boot.
  func wall() -> Timestamp
  /// Names this boot of the machine; instants of another boot mean nothing.
  var bootID: UInt64 { get }
  /// Returns after this long, or when the task is cancelled.
  func pause(_ span: Instant.Span) async
}

package protocol Entropy: Sendable {
  /// From the kernel's generator; never fails.
  func bytes(_ count: Int) -> [UInt8]
}

package enum LogLevel: Int, Sendable, Comparable, CaseIterable {
  case critical = 2, error = 3, warning = 4, notice = 5, info = 6, debug = 7
  package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
  package init?(name: String) {
    switch name {
    case "critical": self = .critical
    case "error": self = .error
    case "warning": self = .warning
    case "notice": self = .notice
    case "info": self = .info
    case "debug": self = .debug
    default: return nil
    }
  }
  package var name: String {
    switch self {
    case .critical: "critical"
    case .error: "error"
    case .warning: "warning"
    case .notice: "notice"
    case .info: "info"
    case .debug: "debug"
    }
  }
}

/// The fields of a journal entry; the raw value is the field's name there.
package enum LogField: String, Sendable, CaseIterable {
  /// The id, which never changes.
  case connection = "FHIRD_CONNECTION"
  case name = "FHIRD_CONNECTION_NAME"
  case event = "FHIRD_EVENT"
  case status = "FHIRD_STATUS"
  case outcome = "FHIRD_OUTCOME"
  case attempt = "FHIRD_ATTEMPT"
  case generation = "FHIRD_GENERATION"
  case detail = "FHIRD_DETAIL"
  case cure = "FHIRD_CURE"
  case method = "FHIRD_METHOD"
  case caller = "FHIRD_CALLER"
  case count = "FHIRD_COUNT"
  case durationMilliseconds = "FHIRD_DURATION_MS"
  case path = "FHIRD_PATH"
  case retryAfterSeconds = "FHIRD_RETRY_AFTER_SECONDS"
  case code = "FHIRD_CODE"
}

/// A fixed sentence and fields; nothing secret, no subject.
package protocol EventLog: Sendable {
  func record(_ level: LogLevel, _ message: StaticString, _ fields: KeyValuePairs<LogField, String>)
}
