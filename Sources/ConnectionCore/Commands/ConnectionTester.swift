/// `connection.test`: goes the way of a real client step by step and says at which one it ends.
package import FHIRControl
import FHIRSchema
import SMARTProtocol

package struct ConnectionTester: Sendable {
  private let exchange: Exchange
  private let source: Authorizer
  private let engine: Engine
  private let ledger: Ledger
  private let clock: any Clock
  package let canReadFile: @Sendable (String) -> Bool

  package init(
    exchange: Exchange, source: Authorizer, engine: Engine, ledger: Ledger, clock: any Clock,
    canReadFile: @escaping @Sendable (String) -> Bool
  ) {
    self.exchange = exchange
    self.source = source
    self.engine = engine
    self.ledger = ledger
    self.clock = clock
    self.canReadFile = canReadFile
  }

  private enum Outcome: String { case passed, failed, warning, skipped }

  /// The steps so far, and the clock of the one under way.
  private struct Steps {
    var list: [TestStep] = []
    mutating func add(_ name: String, _ outcome: Outcome, microseconds: Int64, _ detail: String) {
      list.append(
        TestStep(name: name, outcome: outcome.rawValue, milliseconds: Double(microseconds / 10) / 100, detail: detail))
    }
    mutating func skip(_ names: [String], _ why: String) {
      for name in names { add(name, .skipped, microseconds: 0, why) }
    }
  }

  /// - Parameters:
  ///   - id: nil for a connection that is not saved; then `secret` is its client secret.
  package func test(_ id: ConnectionID?, _ connection: ConnectionRecord, secret: SharedSecret?) async
    -> ConnectionTestResult
  {
    var steps = Steps()
    if let capabilities = await testServer(id, connection, &steps) {
      await testAuthorization(id, connection, secret, capabilities, &steps)
    }
    let name = connection.name
    return ConnectionTestResult(
      connectionName: name.isEmpty ? nil : name, fhirBaseURL: connection.baseURL, steps: steps.list)
  }

  // MARK: the server

  /// The way to the server and what it says of itself, read without a token.
  /// - Returns: nil when there is no use in going on.
  private func testServer(_ id: ConnectionID?, _ connection: ConnectionRecord, _ steps: inout Steps) async
    -> CapabilitySummary??
  {
    let later = ["discovery", "metadata", "token", "authorized_read"]
    let secure = connection.baseURL.hasPrefix("https:")
    let reply: HTTPReply
    let url = connection.baseURL + "/metadata"
    do {
      reply = try await exchange.get(
        url, accept: "application/fhir+json", bytesMax: exchange.settings.current.responseBytesMax, for: connection)
    } catch {
      // Too large or garbled: the way there is fine, the document is not.
      guard [.tooLarge, .badReply, .tooManyRedirects].contains(error.kind) else {
        addFailedWay(error, secure: secure, &steps)
        steps.skip(later, "the server was not reached")
        return nil
      }
      addWay(error.timings, secure: secure, &steps)
      await testDiscovery(id, connection, &steps)
      steps.add("metadata", .failed, microseconds: error.timings.total, error.detail)
      return .some(nil)
    }
    addWay(reply.timings, secure: secure, &steps)
    await testDiscovery(id, connection, &steps)
    return .some(await testMetadata(reply, url, connection, &steps))
  }

  private func addWay(_ timings: HTTPTimings, secure: Bool, _ steps: inout Steps) {
    if timings.newConnection {
      steps.add("resolve", .passed, microseconds: timings.nameLookup, "to \(timings.remoteAddress)")
      steps.add("tcp", .passed, microseconds: max(0, timings.connect - timings.nameLookup), "connected")
    } else {
      steps.add("resolve", .passed, microseconds: 0, "a connection to \(timings.remoteAddress) was open already")
      steps.add("tcp", .passed, microseconds: 0, "a connection was open already")
    }
    if secure {
      steps.add(
        "tls", .passed, microseconds: max(0, timings.tlsHandshake - timings.connect),
        "certificate and name verified, HTTP/\(timings.httpVersion)")
    } else {
      steps.add("tls", .warning, microseconds: 0, "http:// to loopback: nothing is encrypted; for tests only")
    }
  }

  private func addFailedWay(_ failure: HTTPFailure, secure: Bool, _ steps: inout Steps) {
    let timings = failure.timings
    let names = ["resolve", "tcp", "tls"]
    let at: Int
    switch failure.kind {
    case .resolve, .badRequest: at = 0
    case .connect: at = 1
    case .tls: at = 2
    case .timeout: at = timings.nameLookup == 0 ? 0 : timings.connect == 0 ? 1 : 2
    case .reset, .emptyReply, .tooLarge, .tooManyRedirects, .badReply, .cancelled: at = 3
    }
    if at > 0 { steps.add(names[0], .passed, microseconds: timings.nameLookup, "resolved") }
    if at > 1 { steps.add(names[1], .passed, microseconds: max(0, timings.connect - timings.nameLookup), "connected") }
    if at > 2 {
      steps.add(names[2], secure ? .passed : .warning, microseconds: 0, secure ? "verified" : "not encrypted")
    }
    if at < 3 {
      steps.add(names[at], .failed, microseconds: timings.total, failure.detail)
      steps.skip(Array(names[(at + 1)...]), "the step before failed")
    } else {
      // The way is there; the first request on it is what failed.
      steps.add("http", .failed, microseconds: timings.total, failure.detail)
    }
  }

  private func testDiscovery(_ id: ConnectionID?, _ connection: ConnectionRecord, _ steps: inout Steps) async {
    let start = clock.now()
    guard let (discovery, failure) = await exchange.discover(connection, askAnyway: true) else {
      return steps.add("discovery", .failed, microseconds: 0, "the base URL may not be used")
    }
    let spent = (clock.now() - start).milliseconds * 1000
    if let failure { return steps.add("discovery", .failed, microseconds: spent, failure.detail) }
    // R2.11: what the operator has asked for counts from now on.
    if let id, discovery.missing.isEmpty {
      let record = DiscoveryRecord(discovery.result, baseURL: connection.baseURL, at: clock.wall())
      let write = ledger.put(Ledger.discoveryAddress(id), json: record, DiscoveryRecord.recordVersion, 1)
      // It is a cache: a store that takes nothing now has told so elsewhere.
      _ = try? await ledger.commit(RecordBatch(writes: [write]))
    }
    let found = discovery.result.endpoints.sorted { $0.key.rawValue < $1.key.rawValue }
      .map { "\($0.key.words) from \($0.value.source.rawValue)" }
    let findings = discovery.result.findings.map(\.description)
    let detail = (found.isEmpty ? ["no OAuth endpoints"] : found) + findings
    let outcome: Outcome = !discovery.missing.isEmpty ? .failed : findings.isEmpty ? .passed : .warning
    steps.add("discovery", outcome, microseconds: spent, detail.joined(separator: "; "))
  }

  private func testMetadata(_ first: HTTPReply, _ url: String, _ connection: ConnectionRecord, _ steps: inout Steps)
    async -> CapabilitySummary?
  {
    var reply = first
    if reply.status == 200, (try? CapabilitySummary(json: reply.body)) == nil {
      // Some servers answer XML unless asked by _format (quirk 14).
      if let again = try? await exchange.get(
        url + "?_format=json", accept: "application/json", bytesMax: exchange.settings.current.responseBytesMax,
        for: connection)
      {
        reply = again
      }
    }
    let spent = reply.timings.total
    guard reply.status == 200 else {
      // R9.19: a few servers want a token for /metadata; that is not a failure of the connection.
      let outcome: Outcome = reply.status == 401 || reply.status == 403 ? .warning : .failed
      steps.add(
        "metadata", outcome, microseconds: spent,
        OperationOutcome.sentence(status: reply.status, header: { reply.header($0) }, body: reply.body))
      return nil
    }
    do {
      let summary = CapabilitySummary(try Schema(body: reply.body))
      var advice = summary.findings.map(\.description)
      if (try? Schema(json: reply.body)) == nil {
        advice.append("the server answers in XML even where JSON is asked for")
      }
      if summary.release == .dstu2, connection.fields.fhirVersion == nil {
        advice.append(
          "DSTU2 has media types of its own: fhirctl connection update '\(connection.name)' --fhir-version DSTU2")
      }
      steps.add(
        "metadata", advice.isEmpty ? .passed : .warning, microseconds: spent,
        ([summary.sentence] + advice.prefix(Self.adviceMax)).joined(separator: "; "))
      return summary
    } catch {
      steps.add("metadata", .failed, microseconds: spent, error.sentence)
      return nil
    }
  }

  /// What one step tells of what is odd; `connection schema` has it all.
  private static let adviceMax = 3

  // MARK: authorization

  private func testAuthorization(
    _ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?, _ capabilities: CapabilitySummary?,
    _ steps: inout Steps
  ) async {
    guard connection.usesTokens else {
      steps.skip(["token"], "auth_method is none: the server is open")
      return await testRead(connection, token: nil, capabilities, &steps)
    }
    if id == nil, connection.usesLogins {
      return steps.skip(
        ["token", "authorized_read"], "a person must log in once the connection is saved: fhirctl login")
    }
    let start = clock.now()
    do {
      let token = try await token(id, connection, secret)
      let spent = (clock.now() - start).milliseconds * 1000
      steps.add("token", token.missing.isEmpty ? .passed : .warning, microseconds: spent, token.sentence)
      await testRead(connection, token: token.header, capabilities, &steps)
    } catch {
      let spent = (clock.now() - start).milliseconds * 1000
      let words = [error.message, error.data.hint].compactMap(\.self).joined(separator: "; ")
      steps.add("token", .failed, microseconds: spent, words)
      steps.skip(["authorized_read"], "there is no token")
    }
  }

  private struct TestToken {
    var header: SharedSecret
    var missing: [String]
    var sentence: String
  }

  /// A saved connection's token comes from the engine, as for everybody; one that is not saved is asked for directly
  /// and thrown away.
  private func token(_ id: ConnectionID?, _ connection: ConnectionRecord, _ secret: SharedSecret?)
    async throws(ControlError) -> TestToken
  {
    var members: [UInt8] = []
    defer { wipe(&members) }
    let lifetime: Instant.Span
    var missing: [String] = []
    var findings: [String] = []
    if let id {
      let key = ledger.grantKey(id, subject: "")
      try await engine.obtainToken(key, minimum: .seconds(10), forced: false)
      do {
        let read = try ledger.withToken(key) { (token, bytes) in
          (token.remaining(now: clock.now(), wall: clock.wall(), bootID: clock.bootID), Array(bytes))
        }
        guard let read else {
          throw ControlError(.tokenExpired, "the connection was changed meanwhile", hint: "try again")
        }
        (lifetime, members) = read
        let grant = try ledger.grant(key)?.record
        missing = grant?.missingScope ?? []
        findings = grant?.findings ?? []
      } catch let error as LedgerError {
        throw ControlError(error)
      } catch { throw error as? ControlError ?? ControlError(.internalError, "the token could not be read") }
    } else {
      switch await source.obtain(TokenAsk(nil, connection, secret: secret)).outcome {
      case .failed(_, let error): throw error
      case .granted(let granted):
        members = granted.members
        lifetime = granted.lifetime
        missing = granted.missingScope
        findings = granted.findings
      }
    }
    guard let token = members.withUnsafeBytes({ ServedToken.accessToken(in: $0) }) else {
      throw ControlError(.internalError, "the token could not be read")
    }
    var header = Array("Authorization: Bearer ".utf8) + token
    defer { wipe(&header) }
    let shared = SharedSecret(ledger.vault.makeSecret(count: header.count) { $0.copyBytes(from: header) })
    let lacking = missing.isEmpty ? "" : "; not granted: \(missing.joined(separator: " "))"
    return TestToken(
      header: shared, missing: missing,
      sentence: (["valid for \(Int(lifetime.seconds)) s\(id == nil ? ", not kept" : "")\(lacking)"] + findings)
        .joined(separator: "; "))
  }

  /// One small search of a type that the server says it can search and that the scope is likely to cover.
  private func testRead(
    _ connection: ConnectionRecord, token: SharedSecret?, _ capabilities: CapabilitySummary?, _ steps: inout Steps
  ) async {
    guard let capabilities, let type = Self.readable(capabilities, scope: connection.fields.scope ?? "") else {
      return steps.skip(["authorized_read"], "the server declares no type that can be searched without knowing an id")
    }
    var request = exchange.request(
      .get, "\(connection.baseURL)/\(type)?_count=1", accept: "application/fhir+json", for: connection)
    request.responseBytesMax = exchange.settings.current.responseBytesMax
    if let token { request.secretHeaders = [token] }
    do {
      let reply = try await exchange.http.send(request)
      let words = OperationOutcome.sentence(status: reply.status, header: { reply.header($0) }, body: reply.body)
      switch reply.status {
      case 200...299:
        steps.add("authorized_read", .passed, microseconds: reply.timings.total, "GET \(type)?_count=1: 200")
      case 401:
        steps.add("authorized_read", .failed, microseconds: reply.timings.total, "the token is not accepted: \(words)")
      case 403:
        steps.add(
          "authorized_read", .warning, microseconds: reply.timings.total, "not allowed to search \(type): \(words)")
      default:
        // Servers demand parameters of their own in searches (quirk 25): that says nothing of the authorization.
        steps.add("authorized_read", .warning, microseconds: reply.timings.total, "GET \(type)?_count=1: \(words)")
      }
    } catch {
      steps.add("authorized_read", .failed, microseconds: error.timings.total, error.detail)
    }
  }

  /// A type named in the scope goes first, then Patient, then any.
  private static func readable(_ capabilities: CapabilitySummary, scope: String) -> String? {
    let searchable = capabilities.resources.filter(\.offersSearch).map(\.type)
    let named = ScopeSet(scope).scopes.compactMap { scope -> String? in
      guard let slash = scope.firstIndex(of: "/") else { return nil }
      return String(scope[scope.index(after: slash)...].prefix { $0 != "." })
    }
    return named.first(where: searchable.contains) ?? (searchable.contains("Patient") ? "Patient" : searchable.first)
  }
}
