/// `fhirctl token`: get, look at, replace and revoke access tokens.
import ArgumentParser
import FHIRClient
import FHIRControl

struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token",
    abstract: "Get, look at, replace and revoke access tokens.",
    subcommands: [
      TokenGet.self, TokenStatusCommand.self, TokenListCommand.self, TokenRefresh.self, TokenRevoke.self,
      TokenIntrospect.self,
    ])
}

/// Whose token of which connection.
struct GrantOptions: ParsableArguments {
  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(help: ArgumentHelp("Whose grant; else the connection's default one.", valueName: "subject"))
  var subject: String?
}

/// How long a token must still live.
struct MinValidOption: ParsableArguments {
  @Option(
    help: ArgumentHelp("The token must live at least this long, 0 to 86400 (default: 10).", valueName: "seconds"))
  var minValid: Double?

  func validate() throws {
    if let minValid, !(minValid >= 0 && minValid <= TokenGetParameters.minValidSecondsMax) {
      throw ValidationError(
        "--min-valid is a number of seconds from 0 to \(Int(TokenGetParameters.minValidSecondsMax))")
    }
  }
}

struct TokenGet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get",
    abstract: "Print a valid access token.",
    discussion: """
      The token alone, with a newline; --header makes a whole header line of it, --json everything that is known about \
      it. To give a token to a program, prefer fhirctl exec: it puts the token neither into the environment nor into \
      the arguments.

      Examples:
        fhirctl token get epic --header |
          curl -H @- https://fhir.example.org/R4/Patient/1
        fhirctl token get epic --min-valid 120 --json | jq .expires_in
      """)

  @OptionGroup var grant: GrantOptions
  @OptionGroup var validity: MinValidOption

  @Flag(help: "Print a header line: Authorization: Bearer …")
  var header = false

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    if header, globals.json { throw ValidationError("give one of --header and --json") }
  }

  func run() throws {
    let result = try globals.client.token(
      grant.name, subject: grant.subject, minValidSeconds: validity.minValid, timeoutSeconds: globals.timeout)
    if globals.json { return Console.write(try JSONText.document(result)) }
    // RFC 6750 section 2.1: the scheme is written Bearer, however the server spelled the token's type.
    var bytes = Array("\(header ? "Authorization: Bearer " : "")\(try result.checkedToken)\n".utf8)
    defer { wipe(&bytes) }
    Console.write(bytes)
  }
}

extension TokenResult {
  /// The token, if it can stand in a header: a line end or a control in it would forge headers.
  /// Source: RFC 6750 section 2.1 (`b68token`); servers are laxer, so any visible ASCII passes.
  var checkedToken: String {
    get throws(Failure) {
      guard !accessToken.isEmpty, accessToken.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
        throw Failure(
          "the token holds characters that no header can carry", hint: "fhirctl token get NAME --json shows it",
          exitStatus: 1)
      }
      return accessToken
    }
  }
}

struct TokenStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show how a token is, without showing it.",
    discussion: """
      Examples:
        fhirctl token status epic
        fhirctl token status epic --subject patient-7 --json
      """)

  @OptionGroup var grant: GrantOptions
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let status = try globals.client.tokenStatus(
      grant.name, subject: grant.subject, timeoutSeconds: globals.timeout)
    try globals.show(status) { $0.facts(at: Moment.now).rendered() }
  }
}

struct TokenRefresh: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "refresh",
    abstract: "Replace a token now.",
    discussion: """
      Joins a refresh that is already under way.

      Example:
        fhirctl token refresh epic
      """)

  @OptionGroup var grant: GrantOptions
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let result = try globals.client.refreshToken(
      grant.name, subject: grant.subject, timeoutSeconds: globals.timeout)
    try globals.show(result) { result in
      "refreshed: expires \(Moment.relative(result.expiresAt)), generation \(result.generation)\n"
    }
  }
}

struct TokenRevoke: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Give a grant's tokens back to the server and erase them.",
    discussion: """
      They are erased here whatever the server says. A connection with logins needs a new one afterwards.

      Examples:
        fhirctl token revoke epic
        fhirctl token revoke epic --subject patient-7 --json
      """)

  @OptionGroup var grant: GrantOptions
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let result = try globals.client.revokeToken(grant.name, subject: grant.subject, timeoutSeconds: globals.timeout)
    try globals.show(result) { $0.text }
  }
}

extension TokenRevokeResult {
  var text: String {
    var text = ""
    for part in server {
      let detail = part.detail.map { ": \(Text.printable($0))" } ?? ""
      text += "\(spaced(part.token)) at the server: \(spaced(part.outcome))\(detail)\n"
    }
    text +=
      erased.isEmpty ? "there was no token here\n" : "erased here: \(erased.map(spaced).joined(separator: ", "))\n"
    return text
  }
}

struct TokenIntrospect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "introspect",
    abstract: "Ask the server what it thinks of the access token.",
    discussion: """
      Exit status 2: the server says that the token is not active.

      Examples:
        fhirctl token introspect epic
        fhirctl token introspect epic --json | jq .claims.scope
      """)

  @OptionGroup var grant: GrantOptions
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let result = try globals.client.introspectToken(
      grant.name, subject: grant.subject, timeoutSeconds: globals.timeout)
    try globals.show(result) { $0.text }
    if !result.active { throw ExitCode(2) }
  }
}

extension TokenIntrospection {
  var text: String {
    var facts = Facts()
    facts.add("active", Cell(active ? "yes" : "no", active ? .good : .bad))
    for (name, value) in claims.sorted(by: { $0.key < $1.key }) where name != "active" {
      if case .string(let text) = value {
        facts.add(name, text)
      } else if let text = try? JSONText.line(value) {
        facts.add(name, String(text.dropLast()))
      }
    }
    return facts.rendered()
  }
}
