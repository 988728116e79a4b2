/// `fhirctl token list`: a connection's grants and how they are.
import ArgumentParser
import FHIRClient
import FHIRControl

struct TokenListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List a connection's grants: whose they are, and how.",
    discussion: """
      Prints while it reads, so a hundred thousand are no matter; with --json one object a line.

      Examples:
        fhirctl token list epic
        fhirctl token list epic --state needs_login
        fhirctl token list epic --json | jq -r .subject
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(
    help: ArgumentHelp("Only grants in this state.", valueName: "state"),
    completion: .list(GrantState.allCases.map(\.rawValue)))
  var state: String?

  @OptionGroup var globals: GlobalOptions

  /// Grants asked for at once.
  private static let page = 500

  func validate() throws {
    guard state == nil || state.flatMap(GrantState.init(rawValue:)) != nil else {
      throw ValidationError("--state is one of \(GrantState.allCases.map(\.rawValue).joined(separator: ", "))")
    }
  }

  func run() throws {
    let wanted = state.flatMap(GrantState.init(rawValue:))
    var cursor: String?
    var count = 0
    let now = Moment.now
    repeat {
      let page = try globals.client.grants(
        TokenListParameters(connection: name, state: wanted, limit: Self.page, cursor: cursor),
        timeoutSeconds: globals.timeout)
      if globals.json {
        for grant in page.grants { Console.write(try JSONText.line(grant)) }
      } else if !page.grants.isEmpty {
        let rows = page.grants.map { grant in
          [Cell(Text.printable(grant.subject ?? "(default)")), grant.state.cell, grant.expiry(at: now)]
        }
        Console.write(Table(header: count == 0 ? ["SUBJECT", "STATE", "EXPIRES"] : [], rows: rows).rendered())
      }
      count += page.grants.count
      guard page.nextCursor != cursor else { break }
      cursor = page.nextCursor
    } while cursor != nil
    if count == 0, !globals.json { Console.write("no grants\(state.map { " in state \($0)" } ?? "")\n") }
  }
}
