/// Standard error, a line at a time.
import ConnectionCore
import FHIRControl
import Glibc
import Synchronization

final class ErrorStream: Sendable {
  private let descriptor: Int32
  /// Lines longer than PIPE_BUF of two threads would otherwise mix. True: the last line was cut off before its end.
  private let isTorn = Mutex(false)

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// `2026-11-24T08:44:00Z notice token refreshed event=token_refreshed connection=epic`, and a newline.
  static func line(
    _ level: LogLevel, _ message: StaticString, _ fields: KeyValuePairs<LogField, String>, at time: Timestamp
  ) -> [UInt8] {
    var bytes = Array("\(time) \(level.name) ".utf8)
    LogText.appendEscaped(message.description, to: &bytes)
    for (field, value) in fields {
      bytes.append(UInt8(ascii: " "))
      bytes.append(contentsOf: name(of: field).utf8)
      bytes.append(UInt8(ascii: "="))
      LogText.appendLogfmt(value, to: &bytes)
    }
    bytes.append(UInt8(ascii: "\n"))
    return bytes
  }

  /// `FHIRD_RETRY_AFTER_SECONDS` is `retry_after_seconds`.
  private static func name(of field: LogField) -> String {
    field.rawValue.dropFirst("FHIRD_".count).lowercased()
  }

  /// One write(2) where the stream takes the whole line. A line that cannot be written is lost: nobody is left to tell.
  func write(_ line: [UInt8]) {
    isTorn.withLock { isTorn in
      let line = isTorn ? [UInt8(ascii: "\n")] + line : line
      var rest = line[...]
      while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { break }
        rest = rest.dropFirst(count)
      }
      // Nothing written at all leaves what was there before as it was.
      if rest.count < line.count { isTorn = !rest.isEmpty }
    }
  }

  /// Whether the descriptor is the very stream that systemd connected to the journal.
  ///
  /// A child of a service inherits the variable but may write elsewhere. Source: systemd.exec(5), `$JOURNAL_STREAM`.
  /// - Parameter stream: `DEVICE:INODE` in decimal, or nil.
  func isJournal(_ stream: String?) -> Bool {
    let numbers = stream?.split(separator: ":", omittingEmptySubsequences: false).map { UInt64($0) }
    var status = stat()
    guard let numbers, numbers.count == 2, unsafe fstat(descriptor, &status) == 0 else { return false }
    return numbers[0] == UInt64(status.st_dev) && numbers[1] == UInt64(status.st_ino)
  }
}
