/// HTTP as the engine sees it: one request, one reply or one classified failure, always before a deadline.
package import SMARTProtocol

package struct HTTPHeader: Sendable, Hashable {
  package var name: String
  package var value: String
  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

package struct HTTPRequest: Sendable {
  package enum Method: String, Sendable {
    case get = "GET", head = "HEAD", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE"
  }
  package enum Redirects: Sendable, Equatable {
    /// Every 3xx is the answer. Token requests have no other choice.
    case never
    /// Follows up to `max`; headers in `secretHeaders` are dropped when scheme, host or port differ; https never to http.
    case follow(max: Int)
  }

  package var method: Method
  /// Absolute `https:` URL, or `http:` to a loopback address where the client was made with that allowed.
  package var url: String
  /// Names and values without CR, LF or NUL; others are refused as `.badRequest`.
  package var headers: [HTTPHeader]
  /// Whole header lines that are secret (`Authorization: Basic …`).
  package var secretHeaders: [SharedSecret]
  package var body: SharedSecret?
  package var redirects: Redirects
  package var connectTimeout: Instant.Span
  package var totalTimeout: Instant.Span
  /// Of the body after decompression; a longer one fails with `.tooLarge`.
  package var responseBytesMax: Int
  /// PEM file of the CAs to trust instead of the system's.
  package var caFile: String?
  /// PEM file of the client's certificate chain and key; nil: none is shown.
  package var certificateFile: String?
  /// `http://`, `https://`, `socks5h://` proxy URL; nil: none (the environment is not read).
  package var proxy: String?

  package init(
    _ method: Method, _ url: String, headers: [HTTPHeader] = [], secretHeaders: [SharedSecret] = [],
    body: SharedSecret? = nil, redirects: Redirects = .never, connectTimeout: Instant.Span = .seconds(10),
    totalTimeout: Instant.Span = .seconds(60), responseBytesMax: Int = 1 << 20, caFile: String? = nil,
    certificateFile: String? = nil, proxy: String? = nil
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.secretHeaders = secretHeaders
    self.body = body
    self.redirects = redirects
    self.connectTimeout = connectTimeout
    self.totalTimeout = totalTimeout
    self.responseBytesMax = responseBytesMax
    self.caFile = caFile
    self.certificateFile = certificateFile
    self.proxy = proxy
  }
}

package struct HTTPReply: Sendable {
  package var status: Int
  /// In the order of arrival, of the last response only. Names as sent; look up with `header(_:)`.
  package var headers: [HTTPHeader]
  package var body: [UInt8]
  package var effectiveURL: String
  package var timings: HTTPTimings
  package init(
    status: Int, headers: [HTTPHeader] = [], body: [UInt8] = [], effectiveURL: String = "",
    timings: HTTPTimings = HTTPTimings()
  ) {
    self.status = status
    self.headers = headers
    self.body = body
    self.effectiveURL = effectiveURL
    self.timings = timings
  }

  /// The first value of a header, whatever the case of its name.
  package func header(_ name: String) -> String? {
    headers.first { $0.name.count == name.count && $0.name.lowercased() == name.lowercased() }?.value
  }
}

/// How long each phase took, in microseconds from the start of the transfer (curl's meaning), and what went over the wire.
package struct HTTPTimings: Sendable, Equatable {
  package var nameLookup: Int64 = 0
  package var connect: Int64 = 0
  package var tlsHandshake: Int64 = 0
  package var requestSent: Int64 = 0
  package var firstByte: Int64 = 0
  package var total: Int64 = 0
  package var bytesSent: Int64 = 0
  package var bytesReceived: Int64 = 0
  /// A connection was opened for this request; false: an idle one was used again.
  package var newConnection = false
  /// `1.1` or `2`.
  package var httpVersion = ""
  package var remoteAddress = ""
  package init() {}
}

package struct HTTPFailure: Error, Sendable, Equatable {
  package enum Kind: String, Sendable {
    case badRequest, resolve, connect, tls, timeout, reset, emptyReply, tooLarge, tooManyRedirects, badReply, cancelled
  }
  package var kind: Kind
  /// For people; no URL query, header or body in it.
  package var detail: String
  /// Bytes of the request may have reached the server: a token request must count as sent.
  package var mayHaveBeenSent: Bool
  package var timings: HTTPTimings
  package init(_ kind: Kind, detail: String, mayHaveBeenSent: Bool, timings: HTTPTimings = HTTPTimings()) {
    self.kind = kind
    self.detail = detail
    self.mayHaveBeenSent = mayHaveBeenSent
    self.timings = timings
  }
}

package protocol HTTPClient: Sendable {
  /// Ends before `totalTimeout`. Cancelling the task ends the transfer with `.cancelled`.
  func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply

  /// Returns when the body begins. `totalTimeout` is then the longest silence of the server; whoever reads slowly makes the
  /// server wait, and its time does not run. No redirect is followed.
  func stream(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPStream
}

/// A reply whose body is still coming.
package struct HTTPStream: Sendable {
  /// Without its body.
  package var reply: HTTPReply
  package var body: any HTTPBody
  package init(reply: HTTPReply, body: any HTTPBody) {
    self.reply = reply
    self.body = body
  }
}

/// One reader at a time. Letting it go before its end ends the transfer.
package protocol HTTPBody: AnyObject, Sendable {
  /// What has come since the last call, or comes next; nil: that was all. Cancelling the task ends the transfer.
  func next() async throws(HTTPFailure) -> [UInt8]?

  /// The server has sent all of it, read or not.
  var hasArrived: Bool { get }
}
