/// `fhirctl health`: how the daemon's parts are, and of each connection the server, its metadata, its tokens and its grants.
import ArgumentParser
import FHIRClient
import FHIRControl

struct HealthCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health",
    abstract: "Show how the daemon and the connections are.",
    discussion: """
      Of each connection: whether its server answers, whether what the server says of itself (smart-configuration or \
      CapabilityStatement) can be read and is what it was, whether the token endpoint gives tokens, and how the grants \
      are. Each has its own state, the reason and since when: healthy, degraded, down, unknown (nothing was found out \
      yet), maintenance (a window of the field health.maintenance) or off (nothing to watch).

      A state changes only after three equal probes in a row. --check probes now; asked again within five seconds, \
      or where the server has asked to be left alone, it tells what the last probe found. --history shows the server's \
      changes and days, 90 at the most.

      Exit status 0 when everything is well, 2 when something is degraded, down or failed.

      Examples:
        fhirctl health
        fhirctl health epic --check
        fhirctl health epic --history --days 7
        fhirctl health --json |
          jq -r '.connection_health[] | select(.state == "down").connection_name'
      """)

  @Argument(help: "A connection's name or id; else the daemon and every connection.", completion: .connections)
  var name: String?

  @Flag(help: "Probe the connection's server now.")
  var check = false

  @Flag(help: "Show the history of the connection's server.")
  var history = false

  @Option(help: ArgumentHelp("How far back the history goes, 1 to 90.", valueName: "number"))
  var days: Int?

  @OptionGroup var globals: GlobalOptions

  /// Something is not well; the table has said what.
  static let findings = ExitCode(2)

  func validate() throws {
    if name == nil, check || history || days != nil {
      throw ValidationError("--check and --history are for one connection: name it")
    }
    if let days, !(1...HealthParameters.historyDaysMax).contains(days) {
      throw ValidationError("--days is a number from 1 to \(HealthParameters.historyDaysMax)")
    }
  }

  func run() throws {
    let client = globals.client
    let report: HealthReport
    if let name {
      let wanted = history || days != nil ? days ?? HealthParameters.historyDaysMax : nil
      var found: HealthReport?
      if check { found = try client.checkHealth(name, timeoutSeconds: globals.timeout) }
      if found == nil || wanted != nil {
        found = try client.health(connection: name, historyDays: wanted, timeoutSeconds: globals.timeout)
      }
      guard let found else { return }
      report = found
    } else {
      report = try client.healthOfAll(timeoutSeconds: globals.timeout)
    }
    try globals.show(report) { $0.text(at: Moment.now, of: name) }
    guard report.isWell(of: name) else { throw Self.findings }
  }
}

extension HealthReport {
  /// - Parameter connection: of this one alone; nil: the daemon and everything that it watches.
  func isWell(of connection: String?) -> Bool {
    let connections = (connectionHealth ?? []).allSatisfy { !$0.state.isTrouble }
    return connections && (connection != nil || state == "ok")
  }

  func text(at now: Timestamp, of connection: String?) -> String {
    if connection != nil {
      var text = connectionHealth?.first?.facts(at: now).rendered() ?? server?.facts(at: now).rendered() ?? ""
      if let history { text += "\n" + history.text(at: now) }
      return text
    }
    let rows = components.map { [Cell(spaced($0.name)), outcomeCell($0.state), Cell($0.detail ?? "")] }
    var text = headline(at: now, withComponents: false)
    text += "\n" + Table(header: ["PART", "STATE", "DETAIL"], rows: rows).rendered()
    let known = HealthState.allCases.compactMap { state in
      servers[state.rawValue].map { "\($0) \(state.rawValue)" }
    }
    if !known.isEmpty { text += "\nservers: \(known.joined(separator: ", "))\n" }
    if let store { text += "\nstore: \(store.text)\n" }
    if let list = connectionHealth, !list.isEmpty { text += "\n" + Self.table(list, at: now).rendered() }
    return text
  }

  private static func table(_ list: [ConnectionHealth], at now: Timestamp) -> Table {
    Table(
      header: ["NAME", "SERVER", "METADATA", "TOKEN", "GRANTS", "SINCE", "REASON"],
      rows: list.map { health in
        let worst = health.worst
        return [
          Cell(health.connectionName), health.server.state.cell, health.metadata.state.cell, health.token.state.cell,
          health.grants.state.cell, worst.since.map { Cell(Moment.relative($0, to: now)) } ?? Cell("-", .quiet),
          Cell(worst.reason ?? ""),
        ]
      })
  }
}

extension ConnectionHealth {
  /// Since when and why of the worst of the four.
  fileprivate var worst: (since: Timestamp?, reason: String?) {
    let aspects: [(state: HealthState, since: Timestamp?, reason: String?)] = [
      (server.state, server.since, server.reason), (metadata.state, metadata.since, metadata.reason),
      (token.state, token.since, token.reason), (grants.state, grants.since, grants.reason),
    ]
    let worst = aspects.first { $0.state == state }
    return (worst?.since, worst?.reason)
  }

  func facts(at now: Timestamp) -> Facts {
    func words(_ state: HealthState, _ since: Timestamp?, _ reason: String?) -> Cell {
      var text = state.rawValue
      if let since { text += " since \(Moment.relative(since, to: now))" }
      if let reason { text += ": \(reason)" }
      return Cell(text, state.cell.tone)
    }
    var facts = Facts()
    facts.add("connection", connectionName)
    facts.add("state", state.cell)
    facts.add("server", server.words(at: now))
    facts.add("last probe", server.lastProbeAt.map { Moment.relative($0, to: now) })
    facts.add("next probe", server.nextProbeAt.map { Moment.relative($0, to: now) })
    facts.add("metadata", words(metadata.state, metadata.since, metadata.reason))
    if let document = metadata.document {
      facts.add("probe", document + (metadata.documentChoice.map { ": \($0)" } ?? ""))
    }
    facts.add("last read", metadata.lastReadAt.map { Moment.relative($0, to: now) })
    facts.add("token", words(token.state, token.since, token.reason))
    facts.add("obtained", token.lastObtainedAt.map { Moment.relative($0, to: now) })
    facts.add("last error", token.lastError.map { Cell($0.words(at: now), .bad) })
    facts.add("grants", words(grants.state, grants.since, grants.reason))
    let counts = grants.states.sorted { $0.key < $1.key }.map { "\($0.value) \(spaced($0.key))" }
    if grants.states.values.reduce(0, +) > 1 { facts.add("of them", counts.joined(separator: ", ")) }
    facts.add("to do", grants.hint.map { Cell($0, .warning) })
    return facts
  }
}

extension ServerHistory {
  func text(at now: Timestamp) -> String {
    var text = ""
    if changes.isEmpty {
      text += "no change in this time\n"
    } else {
      text += Table(
        header: ["CHANGED", "WHAT", "FROM", "TO", "REASON"],
        rows: changes.map {
          [Cell($0.at.description), Cell($0.what), $0.from.cell, $0.to.cell, Cell($0.reason ?? "")]
        }
      ).rendered()
    }
    if changesDropped > 0 { text += "\(counted(changesDropped, "older change")) not kept\n" }
    guard !days.isEmpty else { return text }
    func time(_ seconds: Int, _ state: HealthState) -> Cell {
      seconds == 0 ? Cell("-", .quiet) : Cell(Moment.span(Double(seconds)), state.cell.tone)
    }
    let rows = days.map { day in
      [
        Cell(day.day), Cell("\(day.probes)"), time(day.healthySeconds, .healthy),
        time(day.degradedSeconds, .degraded), time(day.downSeconds, .down),
        time(day.maintenanceSeconds, .maintenance),
        day.latency.map { Cell("\($0.min)/\($0.mean)/\($0.max) ms") } ?? Cell("-", .quiet),
      ]
    }
    return text + "\n"
      + Table(header: ["DAY", "PROBES", "HEALTHY", "DEGRADED", "DOWN", "MAINTENANCE", "MIN/MEAN/MAX"], rows: rows)
      .rendered()
  }
}
