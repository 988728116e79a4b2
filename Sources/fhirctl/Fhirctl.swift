/// The root command and what every command has in common.
import ArgumentParser
import FHIRClient
import FHIRControl
import FoundationEssentials

struct Fhirctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fhirctl",
    abstract: "Manage FHIR connections and get access tokens from fhird.",
    discussion: """
      fhirctl asks the daemon fhird over its Unix socket; it keeps nothing itself.

      Examples:
        fhirctl connection create epic --url https://fhir.example.org/R4 \\
          --auth-method client_credentials --client-id abc --scope 'system/*.rs'
        fhirctl connection test epic
        fhirctl status --watch
        fhirctl login epic
        fhirctl token get epic
        fhirctl exec epic -- ./nightly-import
        fhirctl access grant unit:import.service --method token.get -c epic

      Exit status: 0 done; 1 the daemon said no; 2 a test failed; 3 a person must log in; 64 wrong usage; 69 the daemon \
      is not reachable; 75 try again later; 77 access denied.
      """,
    version: "fhirctl \(productVersion)",
    subcommands: [
      StatusCommand.self, ConnectionCommand.self, LoginCommand.self, TokenCommand.self, ExecCommand.self,
      FHIRCommand.self,
      HealthCommand.self, KeyCommand.self, AccessCommand.self, ApplyCommand.self, ServerCommand.self,
    ])

  @OptionGroup var globals: GlobalOptions
}

/// Accepted in front of the command and behind it.
struct GlobalOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The daemon's socket; else $FHIRD_SOCKET, /run/fhird/fhird.sock or $XDG_RUNTIME_DIR/fhird.sock.",
      valueName: "path"), completion: .file())
  var socket: String?

  @Flag(help: "Print the result as one JSON document.")
  var json = false

  @Option(help: ArgumentHelp("How long the daemon may work on it.", valueName: "seconds"))
  var timeout: Double?

  mutating func validate() throws {
    if let timeout, !(timeout > 0 && timeout <= timeoutSecondsMax) {
      throw ValidationError("--timeout is a number of seconds above 0 and at most \(Int(timeoutSecondsMax))")
    }
    if let socket, socket.isEmpty { throw ValidationError("--socket needs a path") }
  }

  var client: FHIRClient { FHIRClient(socketPath: socket) }

  /// Tells one value: as JSON, or as text made from the same value.
  func show<Value: Encodable>(_ value: Value, _ text: (Value) -> String) throws {
    Console.write(json ? try JSONText.document(value) : text(value))
  }
}

/// JSON for standard output.
enum JSONText {
  /// Indented, keys in order, ended by a newline.
  static func document(_ value: some Encodable) throws -> String {
    try encoded(value, [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
  }

  /// One line: for streams.
  static func line(_ value: some Encodable) throws -> String {
    try encoded(value, [.sortedKeys, .withoutEscapingSlashes])
  }

  private static func encoded(_ value: some Encodable, _ format: JSONEncoder.OutputFormatting) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = format
    let text = String(decoding: try encoder.encode(value), as: UTF8.self)
    return Text.jsonPrintable(text) + "\n"
  }
}
