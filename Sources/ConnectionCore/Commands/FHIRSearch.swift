/// `fhir.search`: one page in the answer, or a stream of all pages before it.
import FHIRControl
import FHIRInteraction
import SMARTProtocol

extension Commands {
  func search(
    _ parameters: FHIRSearchParameters, _ call: ControlCall
  ) async throws(ControlError) -> [UInt8] {
    let target = try searchTarget(parameters, call)
    let isStream = parameters.stream == true
    guard isStream || (parameters.maxPages == nil && parameters.maxResources == nil) else {
      throw ControlError.validation([FieldError("stream", "must be true for max_pages and max_resources")])
    }
    let first = try Self.firstPage(parameters, target)
    let limits = try Self.limits(parameters)
    let allowed = Dictionary(
      uniqueKeysWithValues: target.connection.allowedOrigins.map { ($0, Paging.Permission.withToken) })
    let rewrites = target.connection.linkRewrites
    var paging: Paging
    let request: FHIRRequest
    if let page = parameters.page {
      request = try Self.page(page, target)
      paging = Paging(resuming: page, of: first, limits: limits, allowed: allowed, rewrites: rewrites)
    } else {
      (request, paging) = (first, Paging(first, limits: limits, allowed: allowed, rewrites: rewrites))
    }
    guard isStream else {
      let exchange: FHIRExchange
      do { exchange = try await perform(request, at: target) } catch {
        throw parameters.page == nil ? error : Self.afterPages(error)
      }
      return try page(exchange, &paging)
    }
    guard let progress = call.progress else { return [] }  // nobody hears what comes, nor the answer
    return try await stream(request, &paging, target, parameters, to: progress)
  }

  private func searchTarget(
    _ parameters: FHIRSearchParameters, _ call: ControlCall
  ) throws(ControlError) -> FHIRTarget {
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
    return target
  }

  private static func firstPage(
    _ parameters: FHIRSearchParameters, _ target: FHIRTarget
  ) throws(ControlError) -> FHIRRequest {
    let texts = try searchParameters(parameters.params ?? [])
    do {
      return try FHIRRequest(
        .search(type: parameters.resourceType, in: nil, parameters: texts), at: target.base, options: target.options)
    } catch { throw ControlError(error, field: "params") }
  }

  /// More than any search that is meant: what ends a server that never ends.
  private static var streamBytesMax: Int { 64 << 30 }

  private static func limits(_ parameters: FHIRSearchParameters) throws(ControlError) -> Paging.Limits {
    let fields = [("max_pages", parameters.maxPages), ("max_resources", parameters.maxResources)]
      .filter { $0.1.map { $0 < 1 } == true }
    guard fields.isEmpty else { throw ControlError.validation(fields.map { FieldError($0.0, "must be above 0") }) }
    return Paging.Limits(
      pages: parameters.maxPages ?? Paging.Limits.pagesMax, resources: parameters.maxResources ?? .max,
      bytes: streamBytesMax)
  }

  /// R9.07: a page that is gone is not a mistake of the caller's.
  private static func afterPages(_ error: ControlError) -> ControlError {
    guard [.fhirNotFound, .fhirAPIError].contains(error.data.code) else { return error }
    var lost = error
    lost.message = "the server has lost the state of this search: \(error.message)"
    lost.data.hint = "what came so far is good; begin the search again for the rest, with fewer results a page"
    return lost
  }

  // MARK: one page

  private func page(_ exchange: FHIRExchange, _ paging: inout Paging) throws(ControlError) -> [UInt8] {
    let entries: [BundleEntry]
    let summary: BundleSummary
    do { (entries, summary) = try BundleReader.read(exchange.body) } catch { throw Self.noPage(error) }
    var tally = PageTally()
    for entry in entries { tally.add(entry) }
    var facts = facts(exchange)
    let action = paging.pageArrived(summary, tally)
    if case .fetch(let url, _) = action { facts.next = url }
    note(paging, action, &facts)
    facts.total = summary.total
    return try answer(
      facts, member: "resources", entries.filter { $0.role != .outcome }.compactMap(\.line), isList: true)
  }

  static func noPage(_ fault: BundleReader.Fault) -> ControlError {
    ControlError(
      .serverAnswerUnusable, "the answer is no page of a search: \(fault.sentence)",
      hint: "fhirctl fhir request shows the answer as it is")
  }

  /// What is known of the pages so far.
  private func note(_ paging: Paging, _ action: Paging.Action, _ facts: inout FHIRAnswerFacts) {
    var findings = facts.findings ?? []
    switch action {
    case .fetch: break
    case .askPermission(let origin):
      findings.append(
        "next-elsewhere: the next page is at \(origin), which gets no token unless it is allowed: --allowed-origin")
    case .stop(.complete), .stop(.pageLimit), .stop(.resourceLimit): break
    case .stop(let end): findings.append("paging: \(end.sentence)")
    }
    findings +=
      paging.result.findings.map(\.description)
      + paging.result.issues.map { [$0.severity, $0.code, $0.text].compactMap(\.self).joined(separator: ": ") }
    facts.findings = findings.isEmpty ? nil : findings
    facts.matches = paging.result.matches
    facts.includes = paging.result.includes
  }

  // MARK: all pages

  /// Page after page; the answer says how it ended.
  private func stream(
    _ first: FHIRRequest, _ paging: inout Paging, _ target: FHIRTarget, _ parameters: FHIRSearchParameters,
    to progress: any ProgressSink
  ) async throws(ControlError) -> [UInt8] {
    let delivery = PageDelivery(to: progress, resourcesMax: parameters.maxResources ?? .max)
    do throws(ControlError) {
      let facts = try await pages(first, &paging, target, isContinued: parameters.page != nil, delivery)
      await delivery.dropAhead(gates)
      return try answer(facts)
    } catch {
      await delivery.dropAhead(gates)
      throw error
    }
  }

  private func pages(
    _ first: FHIRRequest, _ paging: inout Paging, _ target: FHIRTarget, isContinued: Bool, _ delivery: PageDelivery
  ) async throws(ControlError) -> FHIRAnswerFacts {
    var request = first
    while true {
      var ahead = await delivery.takeAhead(request.url)
      if ahead == nil { await delivery.dropAhead(gates) }
      let exchange: FHIRExchange
      do {
        exchange = try await perform(request, at: target, admission: ahead?.admission) {
          [paging] admission throws(HTTPFailure) in
          let stream: HTTPStream
          if let asked = ahead?.stream {
            ahead = nil
            stream = try asked.get()
          } else {
            stream = try await authorizer.exchange.http.stream(admission.http)
          }
          return try await receive(stream, admission.pass, target, paging, delivery)
        }
      } catch {
        throw paging.result.pages == 0 && !isContinued ? error : Self.afterPages(error)
      }
      let summary = try delivery.page()
      let action = paging.pageArrived(summary, delivery.tally)
      if case .fetch(let url, _) = action {
        try await delivery.endPage(next: url)
        request = try Self.page(url, target)
        continue
      }
      var facts = facts(exchange)
      note(paging, action, &facts)
      // After a page of which only a part was wanted, the next one is not what follows.
      facts.next =
        delivery.surplus == 0 ? paging.result.resume.flatMap { (try? Self.page($0, target)) == nil ? nil : $0 } : nil
      facts.matches = paging.result.matches - delivery.surplus
      facts.pages = paging.result.pages
      facts.complete = action == .stop(.complete) && delivery.surplus == 0
      switch paging.result.total {
      case .said(let number), .estimate(let number): facts.total = number
      case .unknown: break
      }
      return facts
    }
  }

  /// A body up to this that does not begin as a Bundle is looked at as a whole: an OperationOutcome, a web page.
  private static var lookedAtBytesMax: Int { 1 << 20 }

  /// Enough of a page for its links, where they stand before its entries.
  private static var headBytes: Int { 8 << 10 }

  private func receive(
    _ stream: HTTPStream, _ pass: RequestGates.Pass, _ target: FHIRTarget, _ paging: Paging, _ delivery: PageDelivery
  ) async throws(HTTPFailure) -> FHIRAttempt {
    var reply = stream.reply
    let isSuccess = (200..<300).contains(reply.status)
    var isWhole = true
    while let bytes = try await stream.body.next() {
      if reply.body.isEmpty { reply.body = bytes } else { reply.body += bytes }
      isWhole = !isSuccess || (!FHIRReply.isBundle(reply.body) && reply.body.count <= Self.lookedAtBytesMax)
      // Nobody reads that much of an error.
      if !isWhole || reply.body.count > Self.lookedAtBytesMax { break }
    }
    guard isSuccess else { return FHIRAttempt(reply: reply) }
    // A reader that is slow does not keep others from the server.
    delivery.beginPage { [gates] ahead in
      await gates.finished(pass)
      guard let ahead else { return }
      Task { if let answer = await ahead.answer.value { await gates.finished(answer.admission.pass) } }
    }
    let head = Array(reply.body.prefix(Self.headBytes))
    var rest: [UInt8]? = Array(reply.body.dropFirst(head.count))
    // The rest is not kept: the head is enough to judge by.
    if !isWhole { reply.body = head }
    guard try await delivery.take(head, moreIsHere: true) else { return FHIRAttempt(reply: reply, isWhole: isWhole) }
    while let bytes = rest {
      // An answer that is looked at as a whole may ask for a pause yet.
      if stream.body.hasArrived, !isWhole {
        await gates.finished(pass)
        askAhead(target, paging, delivery)
      }
      guard try await delivery.take(bytes) else { break }
      rest = isWhole ? nil : try await stream.body.next()
    }
    return FHIRAttempt(reply: reply, isWhole: isWhole)
  }

  /// The server has done its part of this page: it can work on the next one while this one is read.
  private func askAhead(_ target: FHIRTarget, _ paging: Paging, _ delivery: PageDelivery) {
    guard let link = delivery.nextLink(), let url = paging.foreseen(link), let request = try? Self.page(url, target)
    else { return }
    delivery.ahead = PageAhead.Asked(
      url: request.url,
      answer: Task {
        guard let admission = try? await admitted(request, target) else { return nil }
        do throws(HTTPFailure) {
          return PageAhead(
            admission: admission, stream: .success(try await authorizer.exchange.http.stream(admission.http)))
        } catch { return PageAhead(admission: admission, stream: .failure(error)) }
      })
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
}
