/// `fhir.read`, `fhir.search` and `fhir.request`. Resources leave as the server wrote them: their numbers keep every digit.
import FHIRControl
import FHIRInteraction
import SMARTProtocol

extension Commands {
  /// The longest answer, in bytes: what a client that is slow to read may have waiting.
  static var fhirAnswerBytesMax: Int { 3 << 20 }

  func read(_ parameters: FHIRReadParameters, _ call: ControlCall) async throws(ControlError) -> [UInt8] {
    var target = try target(parameters.connection, parameters.subject, call)
    if let tag = parameters.ifNoneMatch {
      guard let tag = EntityTag(tag) else {
        throw ControlError.validation([FieldError("if_none_match", "is no entity tag")])
      }
      target.options.ifNoneMatch = tag
    }
    if let date = parameters.ifModifiedSince {
      guard HTTPDate.parse(date, now: clock.wall().milliseconds) != nil else {
        throw ControlError.validation([
          FieldError("if_modified_since", "is no HTTP date, as in Sat, 24 Oct 2026 08:00:00 GMT")
        ])
      }
      target.options.ifModifiedSince = date
    }
    let interaction: Interaction =
      parameters.version.map { .vread(type: parameters.resourceType, id: parameters.id, version: $0) }
      ?? .read(type: parameters.resourceType, id: parameters.id)
    return try await carryOut(interaction, target, field: "id")
  }

  func request(_ parameters: FHIRRequestParameters, _ call: ControlCall) async throws(ControlError) -> [UInt8] {
    var target = try target(parameters.connection, parameters.subject, call)
    guard let method = FHIRRequest.Method(rawValue: parameters.method.uppercased()) else {
      let known = FHIRRequest.Method.allCases.map(\.rawValue).joined(separator: ", ")
      throw ControlError.validation([
        FieldError("method", "is \(parameters.method.debugDescription); allowed are \(known)")
      ])
    }
    target.options.headers = (parameters.headers ?? [:]).sorted { $0.key < $1.key }
      .map { FHIRRequest.Header($0.key, $0.value) }
    let body = parameters.body.map { Array($0.utf8) }
    return try await carryOut(.raw(method, path: parameters.path, body: body), target, field: "path")
  }

  private func carryOut(_ interaction: Interaction, _ target: FHIRTarget, field: String) async throws(ControlError)
    -> [UInt8]
  {
    let request: FHIRRequest
    do { request = try FHIRRequest(interaction, at: target.base, options: target.options) } catch {
      throw ControlError(error, field: field)
    }
    let exchange = try await perform(request, at: target)
    var facts = facts(exchange)
    guard !exchange.body.isEmpty, exchange.reply.kind != .notModified else { return try answer(facts) }
    guard let line = Self.line(exchange.body) else {
      facts.text = String(decoding: exchange.body, as: UTF8.self)
      return try answer(facts)
    }
    return try answer(facts, member: "resource", [line], isList: false)
  }

  func search(_ parameters: FHIRSearchParameters, _ call: ControlCall) async throws(ControlError) -> [UInt8] {
    var target = try target(parameters.connection, parameters.subject, call)
    if let handling = parameters.handling {
      guard let known = RequestOptions.Handling(rawValue: handling) else {
        throw ControlError.validation([
          FieldError("handling", "is \(handling.debugDescription); allowed are strict, lenient")
        ])
      }
      target.options.handling = known
    }
    if parameters.post == true { target.options.searchForm = .post }
    let first: FHIRRequest
    do {
      first = try FHIRRequest(
        .search(type: parameters.resourceType, in: nil, parameters: try Self.searchParameters(parameters.params ?? [])),
        at: target.base, options: target.options)
    } catch let problem as FHIRRequest.Problem { throw ControlError(problem, field: "params") } catch {
      throw error as? ControlError ?? ControlError(.internalError, "the search could not be made")
    }
    let allowed = Dictionary(
      uniqueKeysWithValues: target.connection.allowedOrigins.map { ($0, Paging.Permission.withToken) })
    var paging: Paging
    let request: FHIRRequest
    if let page = parameters.page {
      request = try Self.page(page, target)
      paging = Paging(resuming: page, of: first, allowed: allowed)
    } else {
      (request, paging) = (first, Paging(first, allowed: allowed))
    }
    let exchange: FHIRExchange
    do { exchange = try await perform(request, at: target) } catch {
      throw parameters.page == nil ? error : Self.afterPages(error)
    }
    return try page(exchange, &paging)
  }

  /// R9.07: a page that is gone is not a mistake of the caller's.
  private static func afterPages(_ error: ControlError) -> ControlError {
    guard [.fhirNotFound, .fhirAPIError].contains(error.data.code) else { return error }
    var lost = error
    lost.message = "the server has lost the state of this search: \(error.message)"
    lost.data.hint = "what came so far is good; begin the search again for the rest, with fewer results a page"
    return lost
  }

  private func page(_ exchange: FHIRExchange, _ paging: inout Paging) throws(ControlError) -> [UInt8] {
    let entries: [BundleEntry]
    let summary: BundleSummary
    do { (entries, summary) = try BundleReader.read(exchange.body) } catch {
      throw ControlError(
        .serverAnswerUnusable, "the answer is no page of a search: \(error.sentence)",
        hint: "fhirctl fhir request shows the answer as it is")
    }
    var tally = PageTally()
    for entry in entries { tally.add(entry) }
    var facts = facts(exchange)
    var findings = facts.findings ?? []
    switch paging.pageArrived(summary, tally) {
    case .fetch(let url, _): facts.next = url
    case .askPermission(let origin):
      findings.append(
        "next-elsewhere: the next page is at \(origin), which gets no token unless it is allowed: --allowed-origin")
    case .stop(let end): if !end.isComplete { findings.append("paging: \(end.sentence)") }
    }
    findings +=
      paging.result.findings.map(\.description)
      + paging.result.issues.map { [$0.severity, $0.code, $0.text].compactMap(\.self).joined(separator: ": ") }
    facts.findings = findings.isEmpty ? nil : findings
    facts.total = summary.total
    facts.matches = tally.matches
    facts.includes = tally.includes
    return try answer(
      facts, member: "resources", entries.filter { $0.role != .outcome }.compactMap(\.line), isList: true)
  }

  /// R9.06: only where the token may go.
  private static func page(_ url: String, _ target: FHIRTarget) throws(ControlError) -> FHIRRequest {
    // A server's own link may be longer than the URLs that people write, and have characters that theirs may not.
    guard let origin = (try? FHIRPageURL(url))?.origin,
      origin == target.base.origin || target.connection.allowedOrigins.contains(origin)
    else {
      throw ControlError.validation([FieldError("page", "is not at this server, nor at an allowed origin")])
    }
    do { return try FHIRRequest(page: url, at: target.base, options: target.options) } catch {
      throw ControlError(error, field: "page")
    }
  }

  private static func searchParameters(_ texts: [String]) throws(ControlError) -> [SearchParameter] {
    var parameters: [SearchParameter] = []
    for text in texts {
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw ControlError.validation([FieldError("params", "\(text.debugDescription) is not name=value")])
      }
      parameters.append(SearchParameter(String(text[..<equals]), String(text[text.index(after: equals)...])))
    }
    return parameters
  }

  // MARK: answers

  private func facts(_ exchange: FHIRExchange) -> FHIRAnswerFacts {
    var facts = FHIRAnswerFacts(status: exchange.reply.status, attempts: exchange.attempts)
    facts.etag = exchange.reply.entityTag?.description
    facts.lastModified = exchange.reply.lastModified
    facts.location = (exchange.reply.location ?? exchange.reply.contentLocation)?.url
    facts.notModified = exchange.reply.kind == .notModified ? true : nil
    facts.findings = exchange.findings.isEmpty ? nil : exchange.findings
    return facts
  }

  /// The JSON of a body on one line; nil: it is none. A line end within a text is always escaped, so each one that stands
  /// there as a byte is a blank.
  private static func line(_ body: [UInt8]) -> [UInt8]? {
    let bare = body.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(body.dropFirst(3)) : body
    guard (try? JSONDocument(bare, limits: .large)) != nil else { return nil }
    return bare.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
  }

  private func answer(_ facts: FHIRAnswerFacts, member: String = "", _ lines: [[UInt8]] = [], isList: Bool = false)
    throws(ControlError) -> [UInt8]
  {
    var bytes = try encoded(facts)
    if !member.isEmpty {
      bytes.removeLast()
      bytes += Array(",\"\(member)\":".utf8)
      if isList { bytes.append(UInt8(ascii: "[")) }
      for (index, line) in lines.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        bytes += line
      }
      bytes += Array((isList ? "]}" : "}").utf8)
    }
    guard bytes.count <= Self.fhirAnswerBytesMax else {
      throw ControlError(
        .fhirAPIError, "the answer has \(bytes.count >> 10) KiB; \(Self.fhirAnswerBytesMax >> 10) are carried",
        hint: "ask for fewer results a page: _count=50, or for fewer members: _elements=…")
    }
    return bytes
  }
}
