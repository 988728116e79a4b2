/// One FHIR interaction on the wire: the token put in, one refresh after a 401, patience where the server asks for it.
import FHIRControl
import FHIRInteraction
import FHIRSchema
import SMARTProtocol

/// Where an interaction goes, and with whose token.
struct FHIRTarget {
  var id: ConnectionID
  var connection: ConnectionRecord
  var base: FHIRBaseURL
  var subject: String
  var options: RequestOptions
  /// Whose turn it takes at the gate, and until when there is anybody to answer.
  var turn: UInt64
  var deadline: Instant
}

/// A request that may go now, with the token in it.
struct FHIRAdmission {
  var pass: RequestGates.Pass
  var http: HTTPRequest
  /// Of the grant whose token it is.
  var generation: Generation?
}

/// What one attempt brought.
struct FHIRAttempt {
  var reply: HTTPReply
  /// false: the body is only its beginning; the rest has gone where it should.
  var isWhole = true
}

/// What came back.
struct FHIRExchange {
  var reply: FHIRReply
  var body: [UInt8]
  var attempts: Int
  var findings: [String]
}

extension Commands {
  func target(_ reference: String, _ subject: String?, _ call: ControlCall) throws(ControlError) -> FHIRTarget {
    let subject = subject ?? ""
    let found = try directory.find(reference, subject: subject, for: call.method, call.caller)
    let record = found.connection.record
    guard let base = try? FHIRBaseURL(record.baseURL, allowInsecureLoopback: settings.current.allowInsecureLoopback)
    else { throw ControlError(.validationFailed, "the FHIR base URL \(record.baseURL) may not be used") }
    var options = RequestOptions(
      release: record.fields.fhirVersion.flatMap { FHIRRelease(rawValue: $0) ?? FHIRRelease(version: $0) })
    options.allowedOrigins = record.allowedOrigins
    options.namesVersion = record.fields.sendsFHIRVersion ?? false
    options.searchForm = record.searchForm
    return FHIRTarget(
      id: found.id, connection: record, base: base, subject: subject, options: options, turn: call.caller.turn,
      deadline: call.deadline)
  }

  /// - Throws: what the server said, as the protocol's error; or why there is no answer.
  func perform(_ request: FHIRRequest, at target: FHIRTarget) async throws(ControlError) -> FHIRExchange {
    try await perform(request, at: target) { admission throws(HTTPFailure) in
      FHIRAttempt(reply: try await authorizer.exchange.http.send(admission.http))
    }
  }

  /// - Parameters:
  ///   - admission: of the first attempt, where it was asked for ahead.
  ///   - send: makes one attempt. What it does beside the answer it must be able to do again.
  func perform(
    _ request: FHIRRequest, at target: FHIRTarget, admission: FHIRAdmission? = nil,
    by send: (FHIRAdmission) async throws(HTTPFailure) -> FHIRAttempt
  ) async throws(ControlError) -> FHIRExchange {
    var ahead = admission
    let usesTokens = target.connection.usesTokens
    let start = clock.now()
    // Whoever would be waited for beyond the call's end hears at once what the server said.
    var plan = RetryPlan(
      request.repeatability, hasToken: usesTokens, limits: .init(total: max(.zero, target.deadline - start)),
      startedAt: start)
    while true {
      let admission: FHIRAdmission
      if let ahead { admission = ahead } else { admission = try await admitted(request, target) }
      ahead = nil
      var pause: Instant.Span?
      var action: RetryPlan.Action
      var outcome: Result<FHIRExchange, ControlError>
      do throws(HTTPFailure) {
        let attempt = try await send(admission)
        let raw = attempt.reply
        let reply = FHIRReply(
          status: raw.status, header: { raw.header($0) }, body: raw.body, isWhole: attempt.isWhole, to: .init(request),
          now: clock.wall().milliseconds)
        pause = reply.pause
        action = plan.replied(reply, at: clock.now(), chance: chance())
        let exchange = FHIRExchange(
          reply: reply, body: raw.body, attempts: plan.attempts,
          findings: (request.findings + reply.findings).map(\.description))
        outcome = reply.isSuccess ? .success(exchange) : .failure(Self.error(reply, target))
      } catch {
        let isTransient = ![.tls, .badRequest, .cancelled, .tooLarge].contains(error.kind)
        action = plan.failed(
          mayHaveBeenSent: error.mayHaveBeenSent, isTransient: isTransient, at: clock.now(), chance: chance())
        outcome = .failure(Self.error(error, target))
      }
      await gates.finished(admission.pass, pause: pause)
      if case .refreshToken = action { action = await refreshed(target, since: admission.generation, &plan) }
      switch action {
      case .deliver, .refreshToken: return try outcome.get()
      case .send(let pause):
        guard !Task.isCancelled else { return try outcome.get() }
        if pause > .zero { await clock.pause(pause) }
      }
    }
  }

  private func chance() -> Double { Double(entropy.bytes(2).reduce(0) { $0 << 8 | Int($1) }) / 65536 }

  /// R7.09: one refresh, which joins one that is under way. When the grant has moved on since the request was made,
  /// somebody else was refused before and the new token is there: fifty refusals make one refresh.
  private func refreshed(_ target: FHIRTarget, since generation: Generation?, _ plan: inout RetryPlan) async
    -> RetryPlan.Action
  {
    let key = ledger.grantKey(target.id, subject: target.subject)
    func isReplaced() -> Bool { (try? ledger.grant(key))??.generation != generation }
    do throws(ControlError) {
      let isRefused = !isReplaced()
      try await engine.obtainToken(key, minimum: Self.tokenMinimum, forced: isRefused, isRefused: isRefused)
    } catch {
      // Somebody else's refresh may have ended between the look and the question: then this one came too early.
      guard isReplaced() else { return plan.refreshFailed() }
    }
    return plan.tokenRefreshed(at: clock.now())
  }

  /// A token that ends on the way is no use.
  private static var tokenMinimum: Instant.Span { .seconds(10) }

  /// How long a request may stand at the gate and its token still be taken as fresh: half of `tokenMinimum`.
  private static var waitUnnoticed: Instant.Span { .seconds(5) }

  /// Through the connection's gate, with a token that is good on the other side.
  func admitted(_ request: FHIRRequest, _ target: FHIRTarget) async throws(ControlError) -> FHIRAdmission {
    let (http, generation) = try await prepared(request, target)
    let pass = try await gates.pass(
      .init(target.id, target.base.text), from: target.turn, limits: .init(target.connection.fields.requests),
      deadline: target.deadline)
    guard pass.waited > Self.waitUnnoticed else { return FHIRAdmission(pass: pass, http: http, generation: generation) }
    do throws(ControlError) {
      let (http, generation) = try await prepared(request, target)
      return FHIRAdmission(pass: pass, http: http, generation: generation)
    } catch {
      await gates.finished(pass)
      throw error
    }
  }

  private func prepared(_ request: FHIRRequest, _ target: FHIRTarget) async throws(ControlError) -> (
    HTTPRequest, Generation?
  ) {
    let exchange = authorizer.exchange
    guard let method = HTTPRequest.Method(rawValue: request.method.rawValue) else {
      throw ControlError(.validationFailed, "the method \(request.method.rawValue) is not known")
    }
    var http = exchange.request(
      method, request.url, accept: request.header("Accept") ?? "application/fhir+json", for: target.connection)
    http.headers += request.headers.filter { $0.name.lowercased() != "accept" }.map { HTTPHeader($0.name, $0.value) }
    http.responseBytesMax = exchange.settings.current.responseBytesMax
    if let body = request.body { http.body = authorizer.shared(body) }
    // R9.19: a redirect is no new base, and a token does not go along with one.
    if target.connection.usesTokens {
      let key = ledger.grantKey(target.id, subject: target.subject)
      try await engine.obtainToken(key, minimum: Self.tokenMinimum, forced: false)
      guard let token = authorizer.bearer(key) else {
        throw ControlError(.tokenExpired, "the connection was changed meanwhile", hint: "try again")
      }
      http.secretHeaders = [token]
      // After the token was read: at worst one that is newer than the token, and then it is replaced once too often.
      return (http, (try? ledger.grant(key))??.generation)
    }
    return (http, nil)
  }

  private static func error(_ failure: HTTPFailure, _ target: FHIRTarget) -> ControlError {
    var error = ControlError(failure, asking: target.base.text)
    switch failure.kind {
    case .tooLarge: error.data.hint = "ask for less, by _count or _elements, or raise FHIRD_RESPONSE_BYTES_MAX"
    case .tls: break  // has its own
    case .resolve, .connect, .reset, .emptyReply, .cancelled, .timeout, .badRequest, .tooManyRedirects, .badReply:
      error.data.hint = "fhirctl connection test '\(target.connection.name)'"
    }
    return error
  }

  private static func error(_ reply: FHIRReply, _ target: FHIRTarget) -> ControlError {
    let name = target.connection.name
    let hint: String
    switch reply.kind {
    case .authentication: hint = "fhirctl token refresh '\(name)'; fhirctl connection test '\(name)'"
    case .authorization: hint = "the token's scope may not cover it: fhirctl token status '\(name)'"
    case .rateLimited: hint = "wait, and ask less at a time"
    case .notFound: hint = "does the server have it? fhirctl connection schema '\(name)'"
    case .serverTrouble: hint = "try again later"
    case .unusable: hint = "fhirctl connection test '\(name)'"
    case .refused, .success, .notModified, .accepted: hint = "fhirctl connection schema '\(name)'"
    }
    return ControlError(
      reply.kind.errorCode.flatMap(ErrorCode.init(rawValue:)) ?? .fhirAPIError,
      reply.sentence ?? "the server answered \(reply.status)", hint: hint,
      retryAfterSeconds: reply.retryAfter?.seconds,
      oauth: reply.oauth.map { OAuthErrorBody($0) })
  }
}

extension ConnectionRecord {
  fileprivate var searchForm: RequestOptions.SearchForm {
    switch fields.searchMethod.flatMap({ SearchMethod(rawValue: $0) }) {
    case .auto, nil: .byLength
    case .get: .get
    case .post: .post
    }
  }

  var allowedOrigins: Set<Origin> { Set((fields.allowedOrigins ?? []).compactMap { Origin(of: $0) }) }

  var linkRewrites: [Paging.Rewrite] {
    (fields.linkRewrites ?? [:]).compactMap { from, to in
      guard let from = Origin(of: from), let to = Origin(of: to) else { return nil }
      return Paging.Rewrite(from: from, to: to)
    }
  }
}

extension ControlError {
  /// - Parameter field: of the call, that is to blame.
  init(_ problem: FHIRRequest.Problem, field: String) {
    self.init(
      .validationFailed, "no request can be made: \(problem.sentence)", fields: [FieldError(field, problem.sentence)])
  }
}
