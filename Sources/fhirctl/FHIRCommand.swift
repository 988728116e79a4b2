/// `fhirctl fhir`: reads, searches and other interactions through the daemon; resources on standard output, one a line.
import ArgumentParser
import FHIRClient
import FHIRControl

struct FHIRCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fhir",
    abstract: "Read, search and change resources at a connection's server.",
    discussion: """
      The daemon puts the token in; nobody here sees it. Resources are printed as the server wrote them, each on one line \
      (NDJSON); what is worth knowing beside them goes to standard error.
      """,
    subcommands: [FHIRRead.self, FHIRSearch.self, FHIRRequestCommand.self])
}

struct FHIRRead: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Read one resource.",
    discussion: """
      Examples:
        fhirctl fhir read epic Patient/123
        fhirctl fhir read epic Patient/123/_history/2
        fhirctl fhir read epic Observation/7 --subject patient-7 | jq .valueQuantity
        fhirctl fhir read epic Patient/123 --if-none-match 'W/"2"'
      """)

  @OptionGroup var grant: GrantOptions
  @Argument(help: "Type/id, or Type/id/_history/version.")
  var reference: String
  @Option(
    help: ArgumentHelp(
      "Only if the resource is not of this version any more: its ETag, on most servers W/\"versionId\".",
      valueName: "tag"))
  var ifNoneMatch: String?
  @Option(
    help: ArgumentHelp(
      "Only if it has changed since, as in 'Sat, 24 Oct 2026 08:00:00 GMT'.", valueName: "date"))
  var ifModifiedSince: String?
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let parts = reference.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 || (parts.count == 4 && parts[2] == "_history") else {
      throw Failure.usage("\(reference) is not Type/id", hint: "fhirctl fhir read \(grant.name) Patient/123")
    }
    let answer = try globals.client.read(
      FHIRReadParameters(
        connection: grant.name, subject: grant.subject, resourceType: parts[0], id: parts[1],
        version: parts.count == 4 ? parts[3] : nil, ifNoneMatch: ifNoneMatch, ifModifiedSince: ifModifiedSince),
      timeoutSeconds: globals.timeout)
    answer.show(findings: true)
    if answer.facts.notModified == true { Console.complain("fhirctl: \(reference) has not changed\n") }
  }
}

struct FHIRSearch: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Search for resources of a type.",
    discussion: """
      Prints the first page, or with --all every page, one after the other, while they come from the server: memory stays \
      small, and a slow reader slows the search. Values are encoded here: write them plainly.

      A search that was cut off names the page to go on with: --page takes it.

      Examples:
        fhirctl fhir search epic Patient name=smith birthdate=ge1970
        fhirctl fhir search epic Observation patient=123 _count=200 --all | jq -r .id
        fhirctl fhir search epic Patient identifier='http://hospital|4711' --post
      """)

  @OptionGroup var grant: GrantOptions
  @Argument(help: "The resource type.")
  var type: String
  @Argument(help: "name=value; repeatable.")
  var parameters: [String] = []
  @Flag(help: "All pages.")
  var all = false
  @Option(help: ArgumentHelp("No more pages than this; without it and --all: one.", valueName: "number"))
  var maxPages: Int?
  @Option(help: ArgumentHelp("No more matches than this.", valueName: "number"))
  var maxResources: Int?
  @Option(help: ArgumentHelp("Begin with this page, which an earlier search named.", valueName: "url"))
  var page: String?
  @Flag(help: "Send the parameters in a form, so that they stay out of addresses and logs.")
  var post = false
  @Option(
    help: ArgumentHelp(
      "What the server does with parameters that it does not know: strict or lenient.", valueName: "how"),
    completion: .list(["strict", "lenient"]))
  var handling: String?
  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    for (name, value) in [("--max-pages", maxPages), ("--max-resources", maxResources)] {
      if let value, value < 1 { throw ValidationError("\(name) is a number above 0") }
    }
  }

  func run() throws {
    var progress = SearchProgress(isShown: Console.errorIsTerminal && !Console.outputIsTerminal)
    let wanted = FHIRSearchParameters(
      connection: grant.name, subject: grant.subject, resourceType: type, params: parameters, post: post ? true : nil,
      handling: handling, page: page, maxPages: all || maxResources != nil ? maxPages : maxPages ?? 1,
      maxResources: maxResources)
    let facts: FHIRAnswerFacts
    do {
      facts = try globals.client.search(wanted, timeoutSeconds: globals.timeout) { part in
        if !part.lines.isEmpty { Console.write(part.lines) }
        progress.add(part)
      }
    } catch {
      progress.end()
      if let next = progress.next.map(Self.quotable) {
        Console.complain("fhirctl: the pages before this one are complete: --page '\(next)'\n")
      }
      throw error
    }
    progress.end()
    for finding in facts.findings ?? [] { Console.complain("finding: \(Text.printable(finding))\n") }
    if let next = facts.next.map(Self.quotable) {
      Console.complain("fhirctl: there are more pages\nhint: --all, or --page '\(next)'\n")
    }
    let ends = ["paging: ", "next-elsewhere: "]
    guard !(facts.findings ?? []).contains(where: { finding in ends.contains { finding.hasPrefix($0) } }) else {
      throw Failure("the search ended early", hint: "what was printed is good", exitStatus: 1)
    }
  }
}

extension FHIRSearch {
  /// A server's link between single quotes, for a shell.
  fileprivate static func quotable(_ link: String) -> String { Text.printable(link).replacing("'", with: "%27") }
}

/// Counts on standard error while resources go to a file or a pipe.
private struct SearchProgress {
  let isShown: Bool
  /// Where the first page that is not complete begins.
  private(set) var next: String?
  private var resources = 0
  private var pages = 0

  init(isShown: Bool) { self.isShown = isShown }

  mutating func add(_ part: FHIRPagePart) {
    resources += part.count
    if let next = part.next { self.next = next }
    guard isShown, part.page > pages || part.next != nil else { return }
    pages = part.page
    Console.complain("\r\(resources) resources, \(pages) pages")
  }

  func end() {
    if isShown, pages > 0 { Console.complain("\n") }
  }
}

struct FHIRRequestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "request",
    abstract: "Make any interaction: create, update, patch, delete, operations, batches.",
    discussion: """
      The path is relative to the connection's base URL, with its query as it is to be sent. A request that could change \
      something twice is never sent twice.

      Examples:
        fhirctl fhir request epic GET 'Patient?name=smith&_summary=count'
        fhirctl fhir request epic POST Observation --body observation.json
        fhirctl fhir request epic PUT Patient/123 --body - --header 'If-Match: W/"3"' < patient.json
        fhirctl fhir request epic POST 'Patient/$match' --body parameters.json
        fhirctl fhir request epic DELETE Observation/7
      """)

  @OptionGroup var grant: GrantOptions
  @Argument(
    help: "GET, HEAD, POST, PUT, PATCH or DELETE.", completion: .list(["GET", "POST", "PUT", "PATCH", "DELETE"]))
  var method: String
  @Argument(help: "The path below the base URL.")
  var path: String
  @Option(help: ArgumentHelp("Read the body from a file; - is standard input.", valueName: "file"), completion: .file())
  var body: String?
  @Option(
    name: [.customShort("H"), .long], parsing: .unconditionalSingleValue,
    help: ArgumentHelp("One more header; repeatable.", valueName: "name: value"))
  var header: [Header] = []
  @OptionGroup var globals: GlobalOptions

  func run() throws {
    var headers: [String: String] = [:]
    for each in header { headers[each.name] = each.value }
    let text = try body.map {
      String(decoding: try InputFile.contents(of: $0, bytesMax: Self.bodyBytesMax), as: UTF8.self)
    }
    let answer = try globals.client.request(
      FHIRRequestParameters(
        connection: grant.name, subject: grant.subject, method: method, path: path,
        headers: headers.isEmpty ? nil : headers, body: text), timeoutSeconds: globals.timeout)
    answer.show(findings: true)
    if answer.resources.isEmpty, answer.facts.text == nil {
      Console.complain("\(answer.facts.status)\(answer.facts.location.map { " \(Text.printable($0))" } ?? "")\n")
    }
  }

  /// A request line holds a mebibyte, with the body's quotes and line ends escaped.
  private static let bodyBytesMax = 900 << 10
}

extension FHIRAnswer {
  /// - Parameter findings: told on standard error.
  func show(findings: Bool) {
    for resource in resources { Console.write(resource + [UInt8(ascii: "\n")]) }
    if let text = facts.text { Console.write(text.hasSuffix("\n") ? text : text + "\n") }
    guard findings else { return }
    for finding in facts.findings ?? [] { Console.complain("finding: \(Text.printable(finding))\n") }
  }
}
