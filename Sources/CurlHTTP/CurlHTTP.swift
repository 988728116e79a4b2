/// HTTP over libcurl: one multi handle on a thread of its own, hundreds of transfers under way.
import CCurl
package import ConnectionCore
import FHIRControl
package import SMARTProtocol

/// Why there is no HTTP client.
package struct CurlError: Error, Sendable, CustomStringConvertible {
  package let description: String
}

/// `HTTPClient` over libcurl 7.87 or newer.
///
/// Of the environment nothing is read, no cookie is kept, no `.netrc` opened. Servers are verified always, TLS 1.2 is
/// the oldest that is spoken. A POST, PUT or DELETE goes over a connection of its own, so that it reaches the server at
/// most once; what the connection is good for after that, other requests may use.
package final class CurlHTTP: HTTPClient {
  package struct Options: Sendable {
    /// `http:` to this machine: for development and tests.
    package var allowInsecureLoopback = false
    /// Transfers at the same time to one host and port; more wait, and their time runs.
    package var connectionsPerHost = 8
    /// Transfers at the same time; also how many connections are open at most.
    package var connectionsTotal = 256
    /// Transfers under way or waiting; one more fails at once.
    package var transfersMax = 4096
    package var userAgent = "fhird/\(productVersion)"
    #if FAULT_POINTS
      /// Called on the loop's thread once the whole body of a request has been written to its connection.
      package var sent: (@Sendable (HTTPRequest) -> Void)?
    #endif
    package init() {}
  }

  private let options: Options
  private let core: LoopCore

  package init(options: Options = Options()) throws(CurlError) {
    try Library.start()
    self.options = options
    core = try LoopCore(options)
  }

  deinit { core.requestStop(nil) }

  package func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
    let plan = try RequestPlan(request, options)
    let core = core
    let ticket = Ticket<Result<HTTPReply, HTTPFailure>>()
    let result = await withTaskCancellationHandler {
      await ticket.answer { core.start(plan, ticket) }
    } onCancel: {
      core.cancel(ticket)
    }
    return try result.get()
  }

  package func stream(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPStream {
    var request = request
    request.redirects = .never
    let plan = try RequestPlan(request, options)
    let core = core
    let ticket = Ticket<Result<HTTPReply, HTTPFailure>>()
    let flow = BodyFlow(core, ticket)
    let result = await withTaskCancellationHandler {
      await ticket.answer { core.start(plan, ticket, flow) }
    } onCancel: {
      core.cancel(ticket)
    }
    return HTTPStream(reply: try result.get(), body: flow)
  }

  /// Whether the loop answers within that time: for a watchdog. False also after `stop`.
  package func ping(timeout: Instant.Span) async -> Bool {
    let core = core
    let ticket = Ticket<Bool>()
    return await ticket.answer(orAfter: timeout, false) { core.ping(ticket) }
  }

  /// Ends every transfer with `.cancelled`, closes all connections and waits for the thread. Later requests are
  /// `.cancelled` too.
  /// - Returns: whether the thread has ended before the deadline.
  @discardableResult
  package func stop(deadline: Instant.Span) async -> Bool {
    let core = core
    let ticket = Ticket<Bool>()
    return await ticket.answer(orAfter: deadline, false) { core.requestStop(ticket) }
  }

  /// For example `libcurl/7.88.1 OpenSSL/3.0.17 zlib/1.2.13`.
  package static var libraryVersion: String { unsafe String(cString: curl_version()) }
}

enum Library {
  /// 7.87.0: CURLOPT_QUICK_EXIT. Without it a name server that does not answer holds up every transfer.
  private static let versionMin: UInt32 = 0x075700

  private static let problem: String? = {
    let code = ccurl_global_init()
    guard code == CURLE_OK else { return unsafe "libcurl does not start: \(String(cString: curl_easy_strerror(code)))" }
    guard let info = unsafe ccurl_version_info() else { return "libcurl does not tell its version" }
    guard unsafe info.pointee.version_num >= versionMin else {
      return "\(CurlHTTP.libraryVersion) is too old: libcurl 7.87 or newer is needed"
    }
    for (feature, name) in [(CURL_VERSION_SSL, "TLS"), (CURL_VERSION_ASYNCHDNS, "asynchronous name lookup")] {
      guard unsafe info.pointee.features & feature != 0 else { return "this libcurl is built without \(name)" }
    }
    return nil
  }()

  /// The bundle of the system's CAs that libcurl was built for. Naming it without a directory beside it lets curl keep
  /// the parsed bundle; parsing takes tens of milliseconds, on the loop's thread, for each connection.
  static let systemCAFile: String? = unsafe ccurl_version_info()?.pointee.cainfo.map {
    unsafe String(cString: $0)
  }

  static func start() throws(CurlError) {
    if let problem { throw CurlError(description: problem) }
  }
}
