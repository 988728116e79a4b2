/// `fhirctl server`: the daemon itself.
import ArgumentParser
import FHIRClient
import FHIRControl

struct ServerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "server", abstract: "See the daemon itself.", subcommands: [ServerInfoCommand.self])
}

struct ServerInfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Show the daemon's version, and who it takes you for.",
    discussion: """
      Open to every local user.

      Example:
        fhirctl server info
      """)

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let info = try globals.client.serverInfo(timeoutSeconds: globals.timeout)
    try globals.show(info) { $0.text(at: Moment.now) }
  }
}

extension ServerInfo {
  func text(at now: Timestamp) -> String {
    var facts = Facts()
    facts.add("daemon", "\(name) \(version), protocol \(protocolVersion)")
    facts.add("process", "\(pid), started \(Moment.relative(startedAt, to: now))")
    facts.add("you are", caller.words)
    facts.add("methods", methods.joined(separator: " "))
    for warning in warnings { facts.add("warning", Cell(warning, .warning)) }
    return facts.rendered()
  }
}

extension CallerIdentity {
  var words: String {
    var text = "uid \(uid)"
    if let user { text += " (\(user))" }
    text += ", gid \(gid), process \(pid)"
    if !groups.isEmpty { text += ", groups \(groups.joined(separator: " "))" }
    if let unit { text += ", unit \(unit)" }
    return text
  }
}
