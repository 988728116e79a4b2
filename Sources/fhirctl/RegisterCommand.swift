/// `fhirctl connection register`: the server makes the client (RFC 7591).
import ArgumentParser
import FHIRClient
import FHIRControl

struct ConnectionRegister: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "register",
    abstract: "Have the server register the client that a connection will be.",
    discussion: """
      For servers with dynamic client registration (RFC 7591). The connection is made with --registration dynamic and \
      without a client id; what the server gives, id and secret, is stored. A client with a key needs the key first.

      Examples:
        fhirctl connection create there --registration dynamic --auth-method client_credentials \
          --client-authentication private_key_jwt --url https://fhir.example.org/R4 --scope 'system/*.rs'
        fhirctl key create there
        fhirctl connection register there --initial-access-token-file token
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(help: ArgumentHelp("What the server's people call the client.", valueName: "name"))
  var clientName: String?

  @Option(
    help: ArgumentHelp("Read the server's initial access token from a file; - is standard input.", valueName: "file"),
    completion: .file())
  var initialAccessTokenFile: String?

  @Option(
    help: ArgumentHelp("Read a software statement (a JWT) from a file; - is standard input.", valueName: "file"),
    completion: .file())
  var softwareStatementFile: String?

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    if initialAccessTokenFile == "-", softwareStatementFile == "-" {
      throw ValidationError("standard input cannot be both, the token and the statement")
    }
  }

  func run() throws {
    let result = try globals.client.registerClient(
      ConnectionRegisterParameters(
        connection: name, clientName: clientName,
        initialAccessToken: try Self.read(initialAccessTokenFile, "initial access token"),
        softwareStatement: try Self.read(softwareStatementFile, "software statement")),
      timeoutSeconds: globals.timeout)
    try globals.show(result) { result in
      var facts = Facts()
      facts.add("client id", Text.printable(result.clientID))
      facts.add("client secret", result.hasClientSecret ? "stored" : "none")
      facts.add("secret ends", result.clientSecretExpiresAt.map { Moment.relative($0) })
      facts.add("managed at", result.registrationClientURI.map { Text.printable($0) })
      let name = Text.printable(result.connection.name)
      return "registered: \(name)\n" + facts.rendered() + "test it: fhirctl connection test \(name)\n"
    }
  }

  private static func read(_ file: String?, _ what: String) throws(Failure) -> String? {
    guard let file else { return nil }
    return file == "-" ? try SecretReader.standardInput(what: what) : try SecretReader.file(file, what: what)
  }
}
