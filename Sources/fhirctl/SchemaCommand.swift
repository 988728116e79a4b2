/// `fhirctl connection schema`: what a server can do, as text, JSON or a picture.
import ArgumentParser
import FHIRClient
import FHIRControl

struct ConnectionSchema: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "Show what a server can do, and how its resources point at each other.",
    discussion: """
      From the server's CapabilityStatement (DSTU2 to R5), which is kept and asked for again after a day, or with --refresh. \
      The graph's edges say where they come from: the server's own includes and parameters, or the specification's.

      Examples:
        fhirctl connection schema epic
        fhirctl connection schema epic --resource Patient
        fhirctl connection schema epic --json | jq '.schema.rest[0].resources[].type'
        fhirctl connection schema epic --graph --format html > epic.html
        fhirctl connection schema epic --graph --format dot | dot -Tsvg > epic.svg
        fhirctl connection schema epic --diff cerner     # what cerner has that epic has not, and the other way
        fhirctl connection schema epic --diff previous   # what has changed at the server
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(help: ArgumentHelp("One resource type.", valueName: "type"))
  var resource: String?

  @Flag(help: "How the resources point at each other.")
  var graph = false

  @Option(
    help: ArgumentHelp("Of --graph: dot (unless given), mermaid, html or json.", valueName: "format"),
    completion: .list(["dot", "mermaid", "html", "json"]))
  var format: String?

  @Option(
    help: ArgumentHelp(
      "The differences to another connection, or to what the server said before: previous.",
      valueName: "connection"), completion: .connections)
  var diff: String?

  @Flag(help: "The document as the server wrote it.")
  var document = false

  @Flag(help: "Ask the server now.")
  var refresh = false

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    guard [graph, diff != nil, document].count(where: { $0 }) <= 1 else {
      throw ValidationError("--graph, --diff and --document exclude each other")
    }
    if let format {
      guard graph else { throw ValidationError("--format goes with --graph") }
      guard ["dot", "mermaid", "html", "json"].contains(format) else {
        throw ValidationError("--format is dot, mermaid, html or json")
      }
    }
  }

  func run() throws {
    // --diff goes from this connection to the other.
    let other = diff == nil || diff == "previous" ? nil : diff
    let result = try globals.client.connectionSchema(
      ConnectionSchemaParameters(
        connection: other ?? name, refresh: refresh ? true : nil, resource: resource, format: wireFormat,
        since: other == nil ? diff : name), timeoutSeconds: globals.timeout)
    if let stale = result.stale {
      Console.complain("fhirctl: the server cannot be asked now: \(Text.printable(stale))\n")
      Console.complain("hint: this is what it said \(Moment.relative(result.fetchedAt))\n")
    }
    if globals.json || format == "json" {
      return Console.write(try JSONText.document(result))
    }
    guard let text = result.text else { return }
    // A page, a picture's source, a document: for files, as they are.
    let isForFiles = graph || document
    Console.write(
      isForFiles
        ? text
        : text.split(separator: "\n", omittingEmptySubsequences: false).map { Text.printable(String($0)) }.joined(
          separator: "\n"))
  }

  private var wireFormat: String {
    if graph { return format == "json" || globals.json ? "graph" : format ?? "dot" }
    if document { return "document" }
    return globals.json ? "schema" : "text"
  }
}
