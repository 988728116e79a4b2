/// `fhirctl status`: the whole picture, once or live.
import ArgumentParser
import FHIRClient
import FHIRControl
import Glibc

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show the daemon and every connection.",
    discussion: """
      One line a connection: its state, when its token expires and is next refreshed, how its server is, and the last \
      error. With --watch the picture stays live until interrupted (Ctrl-C); where standard output is not a terminal, \
      each interval prints one more block (with --json: one object a line).

      Examples:
        fhirctl status
        fhirctl status --watch --interval 1
        fhirctl status --json |
          jq -r '.connections[] | select(.is_authenticated | not).connection_name'
      """)

  /// Faster than this only heats the machine; seconds.
  static let intervalSecondsMin: Double = 0.2

  @Flag(name: .shortAndLong, help: "Keep the picture live.")
  var watch = false

  @Option(help: ArgumentHelp("Time between two looks with --watch.", valueName: "seconds"))
  var interval: Double = 2

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    guard interval >= Self.intervalSecondsMin, interval <= timeoutSecondsMax else {
      throw ValidationError(
        "--interval is a number of seconds from \(Self.intervalSecondsMin) to \(Int(timeoutSecondsMax))")
    }
  }

  func run() throws {
    let client = globals.client
    let first = try StatusReport(client, globals.timeout)
    guard watch else { return try globals.show(first) { $0.text(at: Moment.now) } }
    // An interrupt is the normal end of a watch. Each picture is one write, so nothing is left half done.
    signal(SIGINT) { _ in _exit(0) }
    var report: Result<StatusReport, ClientError> = .success(first)
    while true {
      try draw(report)
      pause()
      report = Result { () throws(ClientError) in try StatusReport(client, globals.timeout) }
    }
  }

  /// A daemon that restarts must not end the watch: what went wrong is shown in the picture's place.
  private func draw(_ report: Result<StatusReport, ClientError>) throws {
    switch report {
    case .success(let report) where globals.json: Console.write(try JSONText.line(report))
    case .success(let report) where Console.outputIsTerminal:
      Console.write(Self.home + Self.fitted(report.text(at: Moment.now), Console.size) + Self.clearBelow)
    case .success(let report): Console.write(report.text(at: Moment.now) + "\n")
    case .failure(let error) where Console.outputIsTerminal && !globals.json:
      Console.write("\(Self.home)fhirctl: \(Text.printable(error.message))\n\(Self.clearBelow)")
    case .failure(let error): _ = Failure(error).tell()
    }
  }

  private func pause() {
    var left = timespec(tv_sec: Int(interval), tv_nsec: Int((interval - interval.rounded(.down)) * 1e9))
    var rest = timespec()
    while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
  }

  /// Cursor to the upper left corner and the screen cleared. Source: ECMA-48, CUP and ED.
  private static let home = "\u{1b}[H\u{1b}[2J"
  private static let clearBelow = "\u{1b}[J"

  /// A picture taller than the terminal would scroll: its end is left out and counted.
  static func fitted(_ text: String, _ size: (rows: Int, columns: Int)?) -> String {
    guard let size else { return text }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    // The last row stays free for the cursor.
    guard lines.count >= size.rows, size.rows > 2 else { return text }
    let shown = lines.prefix(size.rows - 2)
    return shown.joined(separator: "\n") + "\n… and \(lines.count - shown.count) more lines\n"
  }
}

/// What `status` tells; the daemon's own answers, together.
struct StatusReport: Codable {
  var daemon: HealthReport
  var connections: [ConnectionSummary]
  var unreadable: [UnreadableRecord]?

  init(_ client: FHIRClient, _ timeout: Double?) throws(ClientError) {
    daemon = try client.health(timeoutSeconds: timeout)
    let page = try client.connections(timeoutSeconds: timeout)
    connections = page.connections
    unreadable = page.unreadable
  }

  func text(at now: Timestamp) -> String {
    var text = daemon.headline(at: now)
    if connections.isEmpty {
      text += "\nno connections yet; make one: fhirctl connection create NAME --url URL\n"
    } else {
      text += "\n" + Self.table(connections, at: now).rendered()
    }
    return text + unreadableText(unreadable)
  }

  private static func table(_ connections: [ConnectionSummary], at now: Timestamp) -> Table {
    Table(
      header: ["NAME", "STATE", "EXPIRES", "NEXT REFRESH", "HEALTH", "LAST ERROR"],
      rows: connections.map { connection in
        [
          Cell(connection.name), connection.token.state.cell, connection.token.expiry(at: now),
          connection.token.nextRefresh(at: now), connection.serverHealth.state.cell,
          Cell(connection.token.lastError?.words(at: now) ?? ""),
        ]
      })
  }
}

extension HealthReport {
  /// The daemon in one line, then only what is not well.
  func headline(at now: Timestamp, withComponents: Bool = true) -> String {
    let colours = Console.colours
    var text = "fhird \(Text.printable(version)) is \(outcomeCell(state).rendered(colours: colours))"
    text += ", started \(Moment.relative(startedAt, to: now))"
    text += ": \(counted(connections, "connection")), \(counted(grants, "grant"))"
    if refreshesUnderWay > 0 { text += ", \(counted(refreshesUnderWay, "refresh", "refreshes")) under way" }
    text += "\n"
    for component in components where withComponents && component.state != "ok" {
      let detail = component.detail.map { ": \(Text.printable($0))" } ?? ""
      text +=
        "  \(Text.printable(component.name)): \(outcomeCell(component.state).rendered(colours: colours))\(detail)\n"
    }
    for warning in warnings {
      text += "\(Cell("warning", .warning).rendered(colours: colours)): \(Text.printable(warning))\n"
    }
    return text
  }
}
