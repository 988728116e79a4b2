/// `fhirctl apply`: brings connections and access rules to what a document says.
import ArgumentParser
import FHIRClient
import FHIRControl

struct ApplyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Create or change connections and access rules from one JSON document.",
    discussion: """
      The document is an object with two lists, both of them optional. The members of a connection are its fields; one \
      that is left out stays as it is, and an empty text takes a field away. Nothing is ever deleted.

        {"connections": [{"connection_name": "epic", "fhir_base_url": "https://fhir.example.org/R4",
                          "auth_method": "client_credentials", "client_id": "abc", "scope": "system/*.rs",
                          "client_secret_file": "epic.secret"}],
         "access": [{"principal": "unit:import.service", "methods": ["token.get"], "connections": ["epic"]}]}

      A secret stands in a file of its own, beside the document, never in it. It is sent for a connection that has none, \
      and with --replace-secrets for every one.

      Examples:
        fhirctl apply -f connections.json --dry-run
        fhirctl apply -f connections.json
        fhirctl --json apply -f - < connections.json
      """)

  @Option(
    name: [.customShort("f"), .long], help: ArgumentHelp("The document; - is standard input.", valueName: "file"),
    completion: .file())
  var file: String

  @Flag(help: "Show what would be done, and do nothing.")
  var dryRun = false

  @Flag(help: "Send the secrets of connections that have one already, too.")
  var replaceSecrets = false

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let document = try ApplyDocument(file: file)
    let client = globals.client
    var plan = ApplyPlan()
    for wanted in document.connections { try plan.add(wanted, replacesSecret: replaceSecrets, client) }
    if !document.rules.isEmpty { plan.add(document.rules, existing: try client.accessRules().rules) }
    guard !dryRun else { return try show(plan.changes) }
    var done: [ApplyChange] = []
    do {
      for change in plan.changes {
        try change.carryOut(client, globals.timeout)
        done.append(change)
      }
    } catch {
      // What was done holds, so it is told.
      try show(done)
      throw error
    }
    try show(done)
  }

  private func show(_ changes: [ApplyChange]) throws {
    try globals.show(ApplyReport(dryRun: dryRun, changes: changes.map(\.summary))) { report in
      var text = ""
      for change in report.changes {
        text += "\(change.action.padded(to: 10))\(change.kind) \(Text.printable(change.name))\n"
        for (field, values) in change.fields.sorted(by: { $0.key < $1.key }) {
          text += "  \(field): \(Text.printable(values.before ?? "not set")) -> \(Text.printable(values.after))\n"
        }
      }
      let open = report.changes.count { $0.action != "unchanged" }
      let words = open == 1 ? "1 change" : "\(open) changes"
      return text + (dryRun ? "\(words); nothing was done (--dry-run)\n" : "\(words)\n")
    }
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}

/// What was done, or would be.
struct ApplyReport: Encodable {
  struct Values: Encodable, Hashable {
    var before: String?
    var after: String
  }
  struct Change: Encodable {
    /// `create`, `update`, `grant` or `unchanged`.
    var action: String
    /// `connection` or `access`.
    var kind: String
    var name: String
    /// By field, as JSON; of a secret only that it is sent.
    var fields: [String: Values] = [:]
  }
  var dryRun: Bool
  var changes: [Change]
  enum CodingKeys: String, CodingKey {
    case changes
    case dryRun = "dry_run"
  }
}
