/// One look at a FHIR server: the document that the server is known to have, asked for conditionally, without a credential.
import FHIRControl
import FHIRSchema
import SMARTProtocol

package struct HealthProbe: Sendable {
  let exchange: Exchange
  let ledger: Ledger
  let clock: any Clock

  package init(exchange: Exchange, ledger: Ledger, clock: any Clock) {
    self.exchange = exchange
    self.ledger = ledger
    self.clock = clock
  }

  /// A probe waits no longer than this, whatever token requests are allowed.
  static let timeoutMax = Instant.Span.seconds(20)
  /// A validator longer than this is not kept, in bytes.
  static let validatorBytesMax = 512
  /// A longer CapabilityStatement is not looked at, in bytes: the largest that was seen has a fifth.
  static let statementBytesMax = 4 << 20
  /// A statement longer than this is asked for in the small form, if it comes anew each time, in bytes.
  static let largeStatementBytes = 64 << 10

  /// What is asked for, and why.
  package struct Choice: Sendable, Equatable {
    package var document: ProbeDocument
    package var why: String
    /// The server has said that it has this document: when it is gone, that is trouble.
    package var isDeclared: Bool
  }

  /// Never a search: whatever a server holds, it need not hold any one type of resource.
  package static func choice(
    discovery: DiscoveryRecord?, usesTokens: Bool, lacksSMART: Bool
  ) -> Choice {
    if let discovery {
      return discovery.endpoints.values.contains { $0.source == DiscoverySource.smartConfiguration.rawValue }
        ? Choice(document: .smartConfiguration, why: "discovery found it", isDeclared: true)
        : Choice(
          document: .capabilityStatement, why: "discovery found no smart-configuration", isDeclared: true)
    }
    if lacksSMART {
      return Choice(document: .capabilityStatement, why: "the server has no smart-configuration", isDeclared: true)
    }
    return usesTokens
      ? Choice(document: .smartConfiguration, why: "nothing is discovered yet", isDeclared: false)
      : Choice(document: .capabilityStatement, why: "every FHIR server has it", isDeclared: true)
  }

  /// Ends before a deadline of its own.
  /// - Parameter id: of one of the connections to this server: its CA, proxy and extra headers are used.
  /// - Returns: nil when nothing was found out: the connection is gone, or the daemon stops.
  package func probe(_ id: ConnectionID, _ memory: inout ProbeMemory) async -> ProbeReport? {
    guard let connection = (try? ledger.connection(id))??.record else { return nil }
    let known = ((try? ledger.discovery(id)) ?? nil).flatMap { $0.fits(connection) ? $0 : nil }
    let choice = Self.choice(discovery: known, usesTokens: connection.usesTokens, lacksSMART: memory.lacksSMART)
    guard
      let base = try? FHIRBaseURL(
        connection.baseURL, allowInsecureLoopback: exchange.settings.current.allowInsecureLoopback)
    else {
      let words = "\(connection.baseURL) may not be used: it is not https"
      return ProbeReport(
        server: .down(detail: words), metadata: .unread(words), document: choice.document, choice: choice.why)
    }
    let look = Look(id: id, connection: connection, base: base, known: known)
    let first = await ask(choice, look, &memory)
    // What a server has is learned once: two requests, one after the other.
    guard let first, first.asksAgain else { return first?.report }
    let again = Self.choice(discovery: known, usesTokens: connection.usesTokens, lacksSMART: memory.lacksSMART)
    return await ask(again, look, &memory)?.report
  }

  struct Look {
    var id: ConnectionID
    var connection: ConnectionRecord
    var base: FHIRBaseURL
    var known: DiscoveryRecord?
  }

  private struct Answer {
    var report: ProbeReport
    var asksAgain: Bool
  }

  private func ask(_ choice: Choice, _ look: Look, _ memory: inout ProbeMemory) async -> Answer? {
    memory.turn(to: choice.document)
    let stored = choice.document == .capabilityStatement ? storedStatement(look) : nil
    let request = self.request(choice.document, look, stored, memory)
    let started = clock.now()
    func report(_ server: ProbeResult, _ metadata: MetadataFinding, _ retryAfter: Instant.Span? = nil) -> ProbeReport {
      ProbeReport(
        server: server, metadata: metadata, document: choice.document, choice: choice.why, retryAfter: retryAfter)
    }
    do {
      let reply = try await exchange.http.send(request)
      let server = Self.server(reply.status, latency: clock.now() - started)
      let before = (memory.lacksSMART, memory.form)
      let metadata = metadata(reply, choice, look, stored, &memory)
      let asksAgain = !memory.sawDocument && before != (memory.lacksSMART, memory.form)
      let wait =
        reply.status == 429 || reply.status == 503
        ? RetryAfter.parse(status: reply.status, header: { reply.header($0) }, now: clock.wall().milliseconds) : nil
      return Answer(report: report(server, metadata, wait), asksAgain: asksAgain)
    } catch {
      let words = Words.clean(error.detail, max: HealthHistory.reasonCharactersMax)
      switch error.kind {
      case .cancelled: return nil
      case .tooLarge:
        return Answer(
          report: report(
            .healthy(latency: clock.now() - started),
            .unknown("the \(choice.document.name) has more than \(request.responseBytesMax) bytes")),
          asksAgain: false)
      case .tooManyRedirects, .badReply:
        return Answer(
          report: report(.degraded(detail: words, latency: clock.now() - started), .unread(words)), asksAgain: false)
      case .badRequest, .resolve, .connect, .tls, .timeout, .reset, .emptyReply:
        return Answer(report: report(.down(detail: words), .unread(words)), asksAgain: false)
      }
    }
  }

  private func request(
    _ document: ProbeDocument, _ look: Look, _ stored: CapabilityDocument?, _ memory: ProbeMemory
  ) -> HTTPRequest {
    var request: HTTPRequest
    var (tag, date) = (memory.etag, memory.lastModified)
    switch document {
    case .smartConfiguration:
      request = exchange.request(
        .get, look.base.appending(".well-known/smart-configuration"), accept: "application/json", for: look.connection)
    case .capabilityStatement:
      let accept =
        memory.form == .json ? "application/json" : Authorizer.statementType(look.connection.fields.fhirVersion)
      request = exchange.request(
        .get, look.base.appending("metadata") + memory.form.query, accept: accept, for: look.connection)
      request.responseBytesMax = min(Self.statementBytesMax, exchange.settings.current.responseBytesMax)
      // What `connection.schema` has kept is asked for by its own validators.
      if tag == nil, date == nil, memory.form == .whole { (tag, date) = (stored?.entityTag, stored?.lastModified) }
    }
    if let tag { request.headers.append(HTTPHeader("If-None-Match", tag)) }
    if let date { request.headers.append(HTTPHeader("If-Modified-Since", date)) }
    request.redirects = .follow(max: Exchange.redirectsMax)
    request.totalTimeout = min(request.totalTimeout, Self.timeoutMax)
    return request
  }

  private func storedStatement(_ look: Look) -> CapabilityDocument? {
    guard let stored = (try? ledger.document(look.id)) ?? nil, stored.url == look.connection.baseURL + "/metadata"
    else { return nil }
    return stored
  }

  // MARK: what an answer says

  /// Whatever a working server says of the request, it works: 401, 403 and 404 are healthy.
  static func server(_ status: Int, latency: Instant.Span) -> ProbeResult {
    isTrouble(status) ? .degraded(detail: "answers with HTTP \(status)", latency: latency) : .healthy(latency: latency)
  }

  private static func isTrouble(_ status: Int) -> Bool { status == 408 || status == 429 || status >= 500 }

  private func metadata(
    _ reply: HTTPReply, _ choice: Choice, _ look: Look, _ stored: CapabilityDocument?, _ memory: inout ProbeMemory
  ) -> MetadataFinding {
    guard !Self.isTrouble(reply.status) else { return .unread("the server answers with HTTP \(reply.status)") }
    if reply.status == 304 {
      // Of an answer to a question that was not asked nothing follows.
      guard stored?.entityTag ?? stored?.lastModified ?? memory.etag ?? memory.lastModified != nil else {
        return .trouble("answers 304 (not modified) to a request that set no condition")
      }
      memory.sawDocument = true
      return .readable
    }
    let finding =
      switch choice.document {
      case .smartConfiguration: smartConfiguration(reply, choice, look, &memory)
      case .capabilityStatement: statement(reply, stored, &memory)
      }
    guard finding == .readable else { return finding }
    memory.sawDocument = true
    memory.etag = reply.header("etag").flatMap(Self.usable)
    memory.lastModified = reply.header("last-modified").flatMap(Self.usable)
    if choice.document == .capabilityStatement { Self.learnForm(reply, &memory) }
    return .readable
  }

  private func smartConfiguration(
    _ reply: HTTPReply, _ choice: Choice, _ look: Look, _ memory: inout ProbeMemory
  ) -> MetadataFinding {
    let insecure = exchange.settings.current.allowInsecureLoopback
    var discovery = Discovery(
      base: look.base, allowInsecureLoopback: insecure, needed: [], askAnyway: true,
      showsCertificate: look.known?.forCertificates ?? false)
    discovery.replied(status: reply.status, contentType: reply.header("content-type"), body: reply.body)
    let found = discovery.result
    let isExpected = choice.isDeclared || memory.sawDocument
    let ids = ["smart-configuration-missing", "smart-configuration-unusable"]
    if let missing = found.findings.first(where: { ids.contains($0.id) }) {
      let words = Words.clean(missing.sentence, max: HealthHistory.reasonCharactersMax)
      if isExpected { return .trouble(words) }
      memory.lacksSMART = true
      return .unknown(words)
    }
    memory.lacksSMART = false
    for (role, field) in [(EndpointRole.token, "token_url"), (.authorization, "auth_url")] {
      guard let used = look.known?.endpoints[field],
        used.source == DiscoverySource.smartConfiguration.rawValue, found.url(role) != used.url
      else { continue }
      return .trouble("the smart-configuration names another \(role.words) than the one in use")
    }
    return .readable
  }

  private func statement(
    _ reply: HTTPReply, _ stored: CapabilityDocument?, _ memory: inout ProbeMemory
  ) -> MetadataFinding {
    switch reply.status {
    case 200...299: break
    case 401, 403:
      let words = "the metadata may not be read without a token: HTTP \(reply.status)"
      return memory.sawDocument ? .trouble(words) : .unknown(words)
    case _ where memory.form == .summaryTrial:
      memory.turn(to: .wholeOnly)
      return .unread("the small form of the metadata is not known here: HTTP \(reply.status)")
    default:  // the server's own numbers
      return .trouble("the metadata answers with HTTP \(reply.status)")
    }
    let schema: Schema
    do { schema = try Schema(body: reply.body) } catch {
      if memory.form == .summaryTrial {
        memory.turn(to: .wholeOnly)
        return .unread("the small form of the metadata is not known here")
      }
      // R9.01: some answer with a page unless they are asked by _format.
      if !memory.sawDocument, memory.form == .whole { memory.turn(to: .json) }
      return .trouble("the metadata " + Words.clean(error.sentence, max: HealthHistory.reasonCharactersMax))
    }
    if let before = stored.flatMap({ try? Schema(body: $0.body) })?.fhirVersion, let now = schema.fhirVersion,
      before != now
    {
      return .trouble(
        "the metadata says FHIR \(Words.clean(now, max: 20)) where it said \(Words.clean(before, max: 20))")
    }
    return .readable
  }

  /// A large statement that comes whole every time is asked for in the small form, where the server knows that.
  private static func learnForm(_ reply: HTTPReply, _ memory: inout ProbeMemory) {
    switch memory.form {
    case .whole:
      guard memory.etag == nil, memory.lastModified == nil, reply.body.count > largeStatementBytes else { return }
      memory.turn(to: .summaryTrial)
    case .summaryTrial:
      // Some take no notice of the parameter and send everything.
      memory.turn(to: reply.body.count > largeStatementBytes ? .wholeOnly : .summary)
    case .summary, .wholeOnly, .json: break
    }
  }

  private static func usable(_ validator: String) -> String? {
    validator.utf8.count <= validatorBytesMax && validator.utf8.allSatisfy { (0x20...0x7E).contains($0) }
      ? validator : nil
  }
}
