/// The event log: systemd's journal with its fields, or lines on standard error for a daemon started by hand.
package import ConnectionCore
import Glibc
import Synchronization

package final class JournalLog: EventLog {
  package enum Destination: Sendable {
    /// The journal where standard error leads there anyway, else standard error.
    case automatic
    /// The journal; standard error for what it does not take.
    case journal
    case standardError
  }

  private let minimum: Atomic<Int>
  private let usesJournal: Bool
  private let stream: ErrorStream

  /// - Parameters:
  ///   - minimum: the least urgent level that is logged.
  ///   - descriptor: of standard error; not closed.
  ///   - journalStream: `$JOURNAL_STREAM`.
  package init(
    minimum: LogLevel, destination: Destination = .automatic, descriptor: Int32 = STDERR_FILENO,
    journalStream: String? = ProcessEnvironment.value("JOURNAL_STREAM")
  ) {
    self.minimum = Atomic(minimum.rawValue)
    stream = ErrorStream(descriptor)
    usesJournal =
      switch destination {
      case .automatic: stream.isJournal(journalStream)
      case .journal: true
      case .standardError: false
      }
  }

  /// May be changed at any time by any thread; holds from the next entry on.
  package var minimumLevel: LogLevel {
    get { LogLevel(rawValue: minimum.load(ordering: .relaxed)) ?? .debug }
    set { minimum.store(newValue.rawValue, ordering: .relaxed) }
  }

  package func record(_ level: LogLevel, _ message: StaticString, _ fields: KeyValuePairs<LogField, String>) {
    guard level.rawValue <= minimum.load(ordering: .relaxed) else { return }
    if usesJournal, JournalEntry(level, message, fields).send() { return }
    stream.write(ErrorStream.line(level, message, fields, at: SystemClock.wallNow()))
  }
}
