/// `fhirctl connection`: make, see, change, test and delete connections.
import ArgumentParser
import FHIRClient
import FHIRControl

struct ConnectionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "connection",
    abstract: "Make, see, change, test and delete connections.",
    subcommands: [
      ConnectionCreate.self, ConnectionList.self, ConnectionShow.self, ConnectionUpdate.self, ConnectionDelete.self,
      ConnectionTest.self, ConnectionRegister.self, ConnectionSchema.self,
    ])
}

struct ConnectionCreate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Make a connection.",
    discussion: """
      Endpoints that are left out are discovered at the server. A client secret that the connection needs is asked for \
      on the terminal, without echo; in scripts it comes from --client-secret-file or --client-secret-stdin. It is \
      never taken as an argument, where other users could read it.

      Examples:
        fhirctl connection create open --auth-method none \\
          --url https://hapi.example.org/baseR4
        fhirctl connection create epic --auth-method client_credentials \\
          --url https://fhir.example.org/R4 --client-id abc --scope 'system/*.rs'
        pass show epic | fhirctl connection create epic --client-secret-stdin \\
          --url https://fhir.example.org/R4 --client-id abc
      """)

  @Argument(help: "The connection's name, unique without regard to case.")
  var name: String

  @OptionGroup(title: "Connection fields") var flags: ConnectionFlags
  @OptionGroup(title: "Client secret") var secret: SecretFlags
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    var fields = try flags.fields()
    fields.connectionName = name
    fields.clientSecret = try secret.secret(wanted: fields.wantsSecret)
    try globals.show(try globals.client.createConnection(fields, timeoutSeconds: globals.timeout)) { connection in
      "created connection \(Text.printable(connection.name)) (\(Text.printable(connection.id)))\n"
        + connection.findingsText + "test it: fhirctl connection test \(Text.printable(connection.name))\n"
    }
  }
}

extension ConnectionFields {
  /// Whether a client with these fields proves itself by a secret. Where it is not said, a client that has an id does.
  var wantsSecret: Bool {
    if registration != nil, clientID == nil { return false }
    return provesByASecret
  }

  private var provesByASecret: Bool {
    switch (clientAuthentication, authMethod) {
    case (.some(let way), _): way.hasPrefix("client_secret")
    case (nil, .some(let method)): method == "client_credentials"
    case (nil, nil): clientID != nil
    }
  }
}

struct ConnectionList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List connections.",
    discussion: """
      Examples:
        fhirctl connection list
        fhirctl connection list --filter 'epic-*' --json
      """)

  @Option(help: ArgumentHelp("Only names that match this pattern (*, ?).", valueName: "glob"))
  var filter: String?

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let page = try globals.client.connections(filter: filter, timeoutSeconds: globals.timeout)
    try globals.show(page) { page in
      let now = Moment.now
      guard !page.connections.isEmpty else {
        return "no connections\(filter == nil ? " yet" : " match")\n" + unreadableText(page.unreadable)
      }
      let rows = page.connections.map { connection in
        [
          Cell(connection.name), connection.token.state.cell, connection.token.expiry(at: now),
          connection.serverHealth.state.cell, Cell(connection.fields.fhirBaseURL ?? ""),
        ]
      }
      return Table(header: ["NAME", "STATE", "EXPIRES", "HEALTH", "SERVER"], rows: rows).rendered()
        + unreadableText(page.unreadable)
    }
  }
}

struct ConnectionShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show everything about a connection, without its secrets.",
    discussion: """
      Examples:
        fhirctl connection show epic
        fhirctl connection show epic --json | jq -r .token_url
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let connection = try globals.client.connection(name, timeoutSeconds: globals.timeout)
    try globals.show(connection) { $0.text(at: Moment.now) }
  }
}

struct ConnectionUpdate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "update",
    abstract: "Change fields of a connection.",
    discussion: """
      Only the fields that are given change; an empty text takes a field away. A repeatable field is replaced as a \
      whole. The answer says which tokens the change ended.

      Examples:
        fhirctl connection update epic --scope 'system/Patient.rs'
        fhirctl connection update epic --client-secret-prompt
        fhirctl connection update epic --proxy '' --if-generation 7
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(help: ArgumentHelp("A new name.", valueName: "name"))
  var connectionName: String?

  @Option(help: ArgumentHelp("Change only if the connection still has this generation.", valueName: "number"))
  var ifGeneration: UInt64?

  @OptionGroup(title: "Connection fields") var flags: ConnectionFlags
  @OptionGroup(title: "Client secret") var secret: SecretFlags
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    var fields = try flags.fields()
    fields.connectionName = connectionName
    fields.clientSecret = try secret.secret(wanted: false)
    guard fields != ConnectionFields() else {
      throw Failure.usage("nothing to change was given", hint: "see: fhirctl connection update --help")
    }
    let result = try globals.client.updateConnection(
      ConnectionUpdateParameters(connection: name, ifGeneration: ifGeneration, fields: fields),
      timeoutSeconds: globals.timeout)
    try globals.show(result) { result in
      var text = "updated connection \(Text.printable(result.connection.name)), "
      text += "now generation \(result.connection.generation)\n" + result.connection.findingsText
      if result.grantsToRenew > 0 { text += "\(counted(result.grantsToRenew, "token")) to obtain anew, by itself\n" }
      if result.grantsNeedingLogin > 0 {
        text +=
          "\(counted(result.grantsNeedingLogin, "grant")) must be authorized again by a person: "
          + "fhirctl token list \(Text.printable(name)) --state needs_login\n"
      }
      return text
    }
  }
}

struct ConnectionDelete: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete a connection and its tokens.",
    discussion: """
      The tokens are revoked at the server first, where it offers that; --no-revoke only erases them here.

      Examples:
        fhirctl connection delete epic
        fhirctl connection delete epic --yes --no-revoke
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Flag(inversion: .prefixedNo, help: "Revoke the tokens at the server first.")
  var revoke = true

  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let client = globals.client
    if !yes { try ask(client) }
    let result = try client.deleteConnection(name, revoke: revoke, timeoutSeconds: globals.timeout)
    try globals.show(result) { result in
      var text = "deleted connection \(Text.printable(result.connectionName)), "
      text += "\(counted(result.grantsErased, "grant")) erased; "
      text += "revocation at the server: \(Text.printable(spaced(result.revocation)))"
      if let detail = result.revocationDetail { text += ": \(Text.printable(detail))" }
      return text + "\n"
    }
  }

  private func ask(_ client: FHIRClient) throws {
    guard Console.inputIsTerminal else {
      throw Failure.usage(
        "not deleted: standard input is not a terminal, so nobody can be asked", hint: "give --yes if you mean it")
    }
    let connection = try client.connection(name, timeoutSeconds: globals.timeout)
    let what = "\(connection.name) with \(counted(connection.grants, "grant"))"
    guard HiddenInput.confirmed("delete connection \(what)\(revoke ? ", and revoke its tokens" : "")?") else {
      throw Failure("not deleted", exitStatus: 1)
    }
  }
}

struct ConnectionTest: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test",
    abstract: "Test a connection step by step, saved or not.",
    discussion: """
      Name a connection, or give the fields of one that is not saved. Exit status 2 when a step failed.

      Examples:
        fhirctl connection test epic
        fhirctl connection test --auth-method none --url https://fhir.example.org/R4
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String?

  @OptionGroup(title: "Fields of an unsaved connection") var flags: ConnectionFlags
  @OptionGroup(title: "Client secret") var secret: SecretFlags
  @OptionGroup var globals: GlobalOptions

  /// A step failed; the table has said which.
  static let findings = ExitCode(2)

  func run() throws {
    var fields = try flags.fields()
    guard (name == nil) != (fields == ConnectionFields()) else {
      throw Failure.usage(
        "test takes the name of a connection, or the fields of one that is not saved",
        hint: "fhirctl connection test NAME, or fhirctl connection test --url URL …")
    }
    if name == nil { fields.clientSecret = try secret.secret(wanted: fields.wantsSecret) }
    let result = try globals.client.testConnection(
      ConnectionTestParameters(connection: name, fields: fields), timeoutSeconds: globals.timeout)
    try globals.show(result) { $0.text }
    if !result.passed { throw Self.findings }
  }
}
