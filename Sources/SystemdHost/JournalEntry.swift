/// One entry on its way to the journal.
import CSystemd
import ConnectionCore
import Glibc

struct JournalEntry {
  /// Also where standard error shows the pipe of the journal, and the identifier would be the same.
  static let identifier = "fhird"
  /// Where libsystemd sends to. Source: sd-journal, `journal-send.c`.
  private static let socketPath = "/run/systemd/journal/socket"

  private var bytes: [UInt8] = []
  /// Where each `NAME=value` ends.
  private var ends: [Int] = []

  init(_ level: LogLevel, _ message: StaticString, _ fields: KeyValuePairs<LogField, String>) {
    add("MESSAGE", message.description)
    add("PRIORITY", "\(level.rawValue)")
    add("SYSLOG_IDENTIFIER", Self.identifier)
    for (field, value) in fields { add(field.rawValue, value) }
  }

  private mutating func add(_ name: String, _ value: String) {
    bytes.append(contentsOf: name.utf8)
    bytes.append(UInt8(ascii: "="))
    LogText.appendEscaped(value, to: &bytes)
    ends.append(bytes.count)
  }

  /// Waits while the journal's queue is full. False: nobody has the entry.
  consuming func send() -> Bool {
    // sd_journal_sendv says 0, as if all were well, when there is no journal.
    guard unsafe access(Self.socketPath, F_OK) == 0 else { return false }
    let ends = ends
    return unsafe bytes.withUnsafeMutableBytes { bytes in
      var start = 0
      let parts = unsafe ends.map { end in
        defer { start = end }
        return unsafe iovec(iov_base: bytes.baseAddress.map { unsafe $0 + start }, iov_len: end - start)
      }
      return unsafe sd_journal_sendv(parts, Int32(parts.count)) >= 0
    }
  }
}
