/// `fhirctl access`: who may call what.
import ArgumentParser
import FHIRClient
import FHIRControl

struct AccessCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "access",
    abstract: "See and change who may call what.",
    discussion: """
      Without a rule only root, fhird's own user and the group fhird-admin may do anything; server info is open to all.
      """,
    subcommands: [AccessList.self, AccessGrant.self, AccessRevoke.self])
}

struct AccessList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the access rules.",
    discussion: """
      Example:
        fhirctl access list
      """)

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let list = try globals.client.accessRules(timeoutSeconds: globals.timeout)
    try globals.show(list) { list in
      guard !list.rules.isEmpty else {
        return "no rules: only root, fhird's own user and the group fhird-admin may call\n"
          + unreadableText(list.unreadable)
      }
      return list.rules.table + unreadableText(list.unreadable)
    }
  }
}

extension [AccessRule] {
  fileprivate var table: String {
    let now = Moment.now
    let rows = map { rule in
      [
        Cell(rule.id), Cell(rule.principal.description), Cell(rule.methods.joined(separator: " ")),
        Self.all(rule.connections), Self.all(rule.subjects), Cell(Moment.relative(rule.createdAt, to: now)),
        Cell(rule.note ?? ""),
      ]
    }
    return Table(header: ["RULE", "WHO", "METHODS", "CONNECTIONS", "SUBJECTS", "MADE", "NOTE"], rows: rows).rendered()
  }

  private static func all(_ globs: [String]) -> Cell {
    globs.isEmpty ? Cell("all", .quiet) : Cell(globs.joined(separator: " "))
  }
}

struct AccessGrant: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grant",
    abstract: "Let callers call methods.",
    discussion: """
      A principal is uid:1000, user:lab, group:integration, unit:import.service (or a pattern of units) or everyone; the \
      options say the same. Methods, connections and subjects are names or patterns (*, ?). Each principal gets a rule \
      of its own; it holds at once, for callers that are already connected too.

      Examples:
        fhirctl access grant user:lab --method token.get --connection 'epic-*'
        fhirctl access grant --unit import.service --method token.get \\
          --method token.status --note 'nightly import'
        fhirctl access grant --group integration --method health.get
      """)

  @Argument(help: "Who: uid:N, user:NAME, group:NAME, unit:NAME or everyone.")
  var principals: [String] = []

  @Option(parsing: .singleValue, help: ArgumentHelp("A user id; repeatable.", valueName: "number"))
  var uid: [UInt32] = []

  @Option(parsing: .singleValue, help: ArgumentHelp("A user; repeatable.", valueName: "name"))
  var user: [String] = []

  @Option(parsing: .singleValue, help: ArgumentHelp("A group; repeatable.", valueName: "name"))
  var group: [String] = []

  @Option(
    parsing: .singleValue, help: ArgumentHelp("A systemd unit or a pattern of units; repeatable.", valueName: "name"))
  var unit: [String] = []

  @Flag(help: "Every local caller.")
  var everyone = false

  @Option(
    name: [.customShort("m"), .long], parsing: .singleValue,
    help: ArgumentHelp("A method or a pattern of methods; repeatable.", valueName: "method"),
    completion: .list(ControlMethod.allCases.map(\.rawValue)))
  var method: [String] = []

  @Option(
    name: [.customShort("c"), .long], parsing: .singleValue,
    help: ArgumentHelp("A connection or a pattern; repeatable; else all.", valueName: "name"),
    completion: .connections)
  var connection: [String] = []

  @Option(
    name: [.customShort("s"), .long], parsing: .singleValue,
    help: ArgumentHelp("A subject or a pattern; repeatable; else all.", valueName: "subject"))
  var subject: [String] = []

  @Option(help: ArgumentHelp("Why this rule is there.", valueName: "text"))
  var note: String?

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let callers = try named()
    guard !method.isEmpty else {
      throw Failure.usage(
        "no method was named", hint: "give --method token.get, or another; --method '*' allows everything")
    }
    let client = globals.client
    var made: [AccessRule] = []
    do throws(ClientError) {
      for caller in callers {
        made.append(
          try client.grantAccess(
            AccessGrantParameters(
              principal: caller, methods: method, connections: connection.isEmpty ? nil : connection,
              subjects: subject.isEmpty ? nil : subject, note: note), timeoutSeconds: globals.timeout))
      }
    } catch {
      // What was made holds, so it is told.
      if !made.isEmpty { try show(made) }
      throw error
    }
    try show(made)
  }

  /// One rule is told as itself, several as a list.
  private func show(_ rules: [AccessRule]) throws {
    if globals.json, rules.count == 1 {
      Console.write(try JSONText.document(rules[0]))
    } else {
      try globals.show(AccessRuleList(rules: rules)) { $0.rules.table }
    }
  }

  private func named() throws(Failure) -> [Principal] {
    let texts =
      principals + uid.map { "uid:\($0)" } + user.map { "user:\($0)" } + group.map { "group:\($0)" }
      + unit.map { "unit:\($0)" } + (everyone ? ["everyone"] : [])
    guard !texts.isEmpty else {
      throw .usage("nobody was named", hint: "name uid:N, user:NAME, group:NAME, unit:NAME or everyone")
    }
    var result: [Principal] = []
    for text in texts {
      guard let principal = Principal(text) else {
        throw .usage("\(text) names nobody", hint: "write uid:N, user:NAME, group:NAME, unit:NAME or everyone")
      }
      result.append(principal)
    }
    return result
  }
}

struct AccessRevoke: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Take a rule away.",
    discussion: """
      It stops holding at once, for callers that are already connected too.

      Example:
        fhirctl access revoke 7
      """)

  @Argument(help: "The rule's id; see fhirctl access list.")
  var rule: String

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let result = try globals.client.revokeAccess(rule, timeoutSeconds: globals.timeout)
    try globals.show(result) { "revoked:\n" + [$0.revoked].table }
  }
}
