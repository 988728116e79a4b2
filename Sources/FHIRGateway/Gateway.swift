/// Answers requests: decides by values, asks the daemon, keeps results for their pages. Knows nothing of sockets.
import FHIRClient
import FHIRControl
import HTTPTypes
import Synchronization

final class Gateway: Sendable {
  private struct Kept {
    var outcomes = OutcomeBook()
    var limiter = RateLimiter()
    var keys = KeySetCache()
  }

  private let daemon: DaemonCalls
  private let trustsProxy: Bool
  private let log: GatewayLog
  private let now: @Sendable () -> Double
  private let kept = Mutex(Kept())

  /// - Parameters:
  ///   - trustsProxy: `X-Forwarded-For` is set by a proxy and not by clients.
  ///   - now: seconds of a clock that never goes back.
  init(
    socketPath: String?, trustsProxy: Bool, log: GatewayLog, now: @escaping @Sendable () -> Double = Gateway.monotonic()
  ) {
    daemon = DaemonCalls(socketPath: socketPath)
    self.trustsProxy = trustsProxy
    self.log = log
    self.now = now
  }

  func stop() { daemon.stop() }

  static func monotonic() -> @Sendable () -> Double {
    let start = ContinuousClock.now
    return {
      let parts = start.duration(to: .now).components
      return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }
  }

  /// - Parameter peer: the address of the other end of the connection; nil on a Unix socket.
  func answer(_ request: HTTPRequest, peer: String?) async -> Answer {
    let target = request.path ?? ""
    let end = target.firstIndex(of: "?") ?? target.endIndex
    let route = Route(path: target[..<end])
    let query = end == target.endIndex ? "" : target[target.index(after: end)...].prefix { $0 != "#" }
    var answer = await answer(request, route, query, uriBytes: target.utf8.count, peer: peer)
    if hasBody(request) { answer.closes = true }
    return answer
  }

  private func answer(
    _ request: HTTPRequest, _ route: Route?, _ query: Substring, uriBytes: Int, peer: String?
  ) async -> Answer {
    let address = ClientAddress.key(
      peer: peer,
      forwarded: trustsProxy ? HTTPField.Name("X-Forwarded-For").map { request.headerFields[values: $0] } ?? [] : [])
    if route?.isRateLimited != false,
      let seconds = kept.withLock({ $0.limiter.spend(address, at: now()) })
    {
      log.tell(.info, "too many requests from one address", ["address": address])
      return .page(Outcome(.busy).page, status: .tooManyRequests).retryAfter(Int(seconds.rounded(.up)))
    }
    guard let route else {
      return uriBytes > Limits.uriBytesMax
        ? .page(Outcome(.malformed).page, status: .uriTooLong) : .page(.notFound, status: .notFound)
    }
    guard request.method == .get || (request.method == .head && route.allowed.contains("HEAD")) else {
      var answer = Answer.page(
        .trouble("This is not how this page is used", "It answers to \(route.allowed)."), status: .methodNotAllowed)
      answer.headers[.allow] = route.allowed
      return answer
    }
    guard !hasBody(request) else {
      return .page(
        .trouble("Too much was sent", "This page takes no content with a request."), status: .contentTooLarge)
    }
    let isTooLong = uriBytes > Limits.uriBytesMax
    switch route {
    case .callback(let connection): return await callback(query, connection, isTooLong: isTooLong)
    case .result, .launch, .keys, .alive, .ready:
      guard !isTooLong else { return .page(Outcome(.malformed).page, status: .uriTooLong) }
    }
    switch route {
    case .launch: return await launch(query)
    case .keys: return await keys(request.headerFields[.ifNoneMatch])
    case .ready: return await ready()
    case .alive: return .text("ok\n")
    case .result(let id):
      let outcome = kept.withLock { $0.outcomes.outcome(id, at: now()) }
      return outcome.map { .page($0.page) } ?? .page(.gone, status: .notFound)
    case .callback: return .page(.notFound, status: .notFound)
    }
  }

  private func hasBody(_ request: HTTPRequest) -> Bool {
    if request.headerFields.contains(.transferEncoding) { return true }
    return request.headerFields[.contentLength].map { Int($0).map { $0 > Limits.bodyBytesMax } ?? true } ?? false
  }

  // Routes ------------------------------------------------------------------------------------------------------------

  /// Every way out is a redirect: the code must not stay in the address bar, the history, or a `Referer`.
  private func callback(_ query: Substring, _ connection: String?, isTooLong: Bool) async -> Answer {
    var outcome: Outcome
    do {
      guard !isTooLong else { throw QueryError.tooLong("query") }
      outcome = Outcome(try await daemon.complete(try Callback.parameters(query, connection: connection)))
    } catch let error as ClientError {
      outcome = Outcome(error)
      tell(error, "the daemon did not complete a login")
    } catch {
      outcome = Outcome(.malformed, code: (error as? QueryError)?.reference)
    }
    log.tell(
      outcome.kind == .completed ? .notice : .warning, "a login came back",
      ["outcome": outcome.kind.rawValue, "connection": outcome.connection, "code": outcome.code])
    let id = OutcomeBook.freshID()
    let result = outcome
    kept.withLock { $0.outcomes.keep(result, id: id, at: now()) }
    // With a path from the root: the connection's own callback lies one level deeper than the common one.
    return .redirect(to: "/fhir-connections/result/\(id)")
  }

  private func launch(_ query: Substring) async -> Answer {
    do {
      let start = try await daemon.start(try Launch.parameters(query))
      guard Launch.isSafe(start.authorizationURL) else {
        log.tell(.error, "the daemon named an address where no browser may be sent")
        return .page(Outcome(.failed).page, status: .badGateway)
      }
      log.tell(.notice, "a launch began")
      if let form = start.authorizationPost, Launch.isSafe(form.url) { return .page(.forward(form)) }
      return .redirect(to: start.authorizationURL)
    } catch let error as ClientError {
      tell(error, "the daemon did not begin a launch")
      return launchTrouble(Outcome(error))
    } catch {
      return launchTrouble(Outcome(.malformed, code: (error as? QueryError)?.reference))
    }
  }

  private func launchTrouble(_ outcome: Outcome) -> Answer {
    switch outcome.kind {
    case .malformed: return .page(outcome.page, status: .badRequest)
    case .unknown:
      return .page(
        .trouble(
          "This server is not connected here",
          "The launch names a FHIR server for which there is no connection. Tell the administrator which system you came "
            + "from."), status: .notFound)
    case .busy, .unavailable, .forbidden:
      return .page(outcome.page, status: .serviceUnavailable).retryAfter(Limits.retryAfterSeconds)
    case .completed, .running, .declined, .refused, .expired, .cancelled, .failed:
      return .page(outcome.page, status: .badGateway)
    }
  }

  private func keys(_ ifNoneMatch: String?) async -> Answer {
    if case .fresh(let set) = kept.withLock({ $0.keys.find(at: now()) }) {
      return answer(set, ifNoneMatch, maxAge: Limits.keysMaxAgeSeconds)
    }
    do {
      let set = try KeySet(await daemon.keys())
      kept.withLock { $0.keys.keep(set, at: now()) }
      return answer(set, ifNoneMatch, maxAge: Limits.keysMaxAgeSeconds)
    } catch {
      tell(error as? ClientError, "the daemon gave no key set")
    }
    switch kept.withLock({ $0.keys.find(at: now()) }) {
    case .fresh(let set), .stale(let set): return answer(set, ifNoneMatch, maxAge: Limits.staleKeysMaxAgeSeconds)
    case .none:
      return .text("the key set is not available now\n", status: .serviceUnavailable)
        .retryAfter(Limits.retryAfterSeconds)
    }
  }

  private func answer(_ set: KeySet, _ ifNoneMatch: String?, maxAge: Int) -> Answer {
    let isKnown = ifNoneMatch.map(set.matches(ifNoneMatch:)) ?? false
    var answer = Answer(status: isKnown ? .notModified : .ok, body: isKnown ? "" : set.body)
    answer.headers[.contentType] = isKnown ? nil : "application/json"
    answer.headers[.cacheControl] = "public, max-age=\(maxAge)"
    answer.headers[.eTag] = set.tag
    return answer
  }

  private func ready() async -> Answer {
    do {
      _ = try await daemon.info()
      return .text("ok\n")
    } catch {
      tell(error, "the daemon does not answer")
      return .text("the daemon does not answer\n", status: .serviceUnavailable)
        .retryAfter(Limits.retryAfterSeconds)
    }
  }

  /// By its code only: some sentences of the daemon quote what they were given.
  private func tell(_ error: ClientError?, _ sentence: StaticString) {
    log.tell(
      .warning, sentence,
      [
        "code": error?.controlError?.data.code.rawValue ?? error?.code.rawValue,
        "cure": error?.controlError?.data.code == .accessDenied ? GatewayUnit.grantCommand : nil,
      ])
  }
}

extension QueryError {
  /// For the page: names, not values.
  var reference: String {
    switch self {
    case .repeated(let name): "\(name) is there more than once"
    case .tooLong(let name): "\(name) is too long"
    case .malformed(let name): "\(name) is missing or not well formed"
    }
  }
}
