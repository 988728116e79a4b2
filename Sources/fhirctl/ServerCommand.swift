/// `fhirctl server`: the daemon itself.
import ArgumentParser
import FHIRClient
import FHIRControl

struct ServerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "server", abstract: "See the daemon itself, and look after its store.",
    subcommands: [ServerInfoCommand.self, ServerCompactCommand.self])
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

struct ServerCompactCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compact",
    abstract: "Give the store's free space back to the file system.",
    discussion: """
      After many connections or grants have been deleted, the store's file holds free pages. They are used again, and \
      the file does not shrink by itself; "fhirctl health" shows both. This writes a copy without them beside the \
      file, checks it, and puts it in the file's place. Tokens are served meanwhile; whatever changes a record, \
      refreshes among it, waits until it is done: some seconds for each GB. The file system must have room for \
      the copy. Interrupting fhirctl does not end it; if the daemon or the machine fails meanwhile, the store is the \
      one from before or the new one, whole.

      For administrators: root, fhird's own user, the group fhird-admin.

      Examples:
        fhirctl server compact
        fhirctl server compact --json | jq .bytes_after
      """)

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let done = try globals.client.compactStore(timeoutSeconds: globals.timeout)
    try globals.show(done) { $0.text }
  }
}

extension StoreCompaction {
  var text: String {
    "the store has \(ByteText.of(bytesAfter)), before \(ByteText.of(bytesBefore)); \(counted(records, "record")), "
      + "\(Moment.span(seconds))\n"
  }
}

extension StoreFacts {
  var text: String {
    "\(ByteText.of(bytes)), \(ByteText.of(bytesFree)) of it free, \(counted(records, "record")); "
      + "the limit is \(ByteText.of(bytesMax))"
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
