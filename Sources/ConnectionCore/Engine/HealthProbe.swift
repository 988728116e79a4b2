/// One look at a FHIR server: the SMART configuration, asked for conditionally, without a credential.
import FHIRControl
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

  /// What the last probe left behind, so that the next one can be answered with 304.
  package struct Memory: Sendable, Equatable {
    package var etag: String?
    package var lastModified: String?
    /// It once answered with a document that was no web page.
    package var sawDocument = false
    package init() {}
  }

  /// A probe waits no longer than this, whatever token requests are allowed.
  static let timeoutMax = Instant.Span.seconds(20)
  /// A validator longer than this is not kept, in bytes.
  static let validatorBytesMax = 512

  /// Ends before a deadline of its own.
  /// - Parameter id: of one of the connections to this server: its CA, proxy and extra headers are used.
  package func probe(_ id: ConnectionID, _ memory: inout Memory) async -> ProbeResult? {
    guard let connection = (try? ledger.connection(id))??.record else { return nil }
    guard
      let base = try? FHIRBaseURL(
        connection.baseURL, allowInsecureLoopback: exchange.settings.current.allowInsecureLoopback)
    else { return .down(detail: "\(connection.baseURL) may not be used: it is not https") }
    var request = exchange.request(
      .get, base.appending(".well-known/smart-configuration"), accept: "application/json", for: connection)
    if let etag = memory.etag { request.headers.append(HTTPHeader("If-None-Match", etag)) }
    if let date = memory.lastModified { request.headers.append(HTTPHeader("If-Modified-Since", date)) }
    request.totalTimeout = min(request.totalTimeout, Self.timeoutMax)
    let started = clock.now()
    do {
      let reply = try await exchange.http.send(request)
      return Self.verdict(reply, latency: clock.now() - started, &memory)
    } catch {
      return error.kind == .cancelled ? nil : .down(detail: error.detail)
    }
  }

  /// Whatever a working server says of the request, it works: 401, 403 and 404 are healthy.
  static func verdict(_ reply: HTTPReply, latency: Instant.Span, _ memory: inout Memory) -> ProbeResult {
    switch reply.status {
    case 200:
      let isPage = reply.header("content-type")?.lowercased().contains("text/html") == true
      if isPage {
        return memory.sawDocument
          ? .degraded(detail: "answers with a web page where a document was", latency: latency)
          : .healthy(latency: latency)
      }
      memory.sawDocument = true
      memory.etag = reply.header("etag").flatMap(usable)
      memory.lastModified = reply.header("last-modified").flatMap(usable)
      return .healthy(latency: latency)
    case 408, 429, 500...:
      return .degraded(detail: "answers with HTTP \(reply.status)", latency: latency)
    default: return .healthy(latency: latency)
    }
  }

  private static func usable(_ validator: String) -> String? {
    validator.utf8.count <= validatorBytesMax && validator.utf8.allSatisfy { (0x20...0x7E).contains($0) }
      ? validator : nil
  }
}
