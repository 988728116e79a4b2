/// `fhirctl health`: how the daemon's parts and the servers are.
import ArgumentParser
import FHIRClient
import FHIRControl

struct HealthCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health",
    abstract: "Show how the daemon's parts, or a connection's server, are.",
    discussion: """
      Examples:
        fhirctl health
        fhirctl health epic
        fhirctl health --json | jq -r .state
      """)

  @Argument(help: "A connection's name or id; else the daemon as a whole.", completion: .connections)
  var name: String?

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let report = try globals.client.health(connection: name, timeoutSeconds: globals.timeout)
    try globals.show(report) { $0.text(at: Moment.now, of: name) }
  }
}

extension HealthReport {
  func text(at now: Timestamp, of connection: String?) -> String {
    if connection != nil, let server { return server.facts(at: now).rendered() }
    let rows = components.map { [Cell(spaced($0.name)), outcomeCell($0.state), Cell($0.detail ?? "")] }
    var text = headline(at: now, withComponents: false)
    text += "\n" + Table(header: ["PART", "STATE", "DETAIL"], rows: rows).rendered()
    let known = HealthState.allCases.compactMap { state in
      servers[state.rawValue].map { "\($0) \(state.rawValue)" }
    }
    if !known.isEmpty { text += "\nservers: \(known.joined(separator: ", "))\n" }
    if let store { text += "\nstore: \(store.text)\n" }
    return text
  }
}
