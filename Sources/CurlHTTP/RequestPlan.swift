/// A request that has been checked: what may go out, and to where.
import ConnectionCore
import SMARTProtocol

struct RequestPlan: Sendable {
  let method: HTTPRequest.Method
  let url: String
  /// For messages: the host, without path, query or port.
  let host: String
  let scheme: String
  /// `Name: value`, without line ends.
  let headerLines: [String]
  let secretLines: [SharedSecret]
  let body: SharedSecret?
  let connectTimeout: Int64
  /// In milliseconds of the boot clock.
  let deadline: Int64
  let bodyBytesMax: Int
  let caFile: String?
  let proxy: String?
  /// `localhost` is what the resolver says: the address that was connected to is checked as well.
  let mustBeLoopback: Bool

  /// Of all header lines of an answer, in bytes; and how many.
  static let headerBytesMax = 256 << 10
  static let headerLinesMax = 1000

  init(_ request: HTTPRequest, _ options: CurlHTTP.Options, deadline: Int64) throws(HTTPFailure) {
    let endpoint: EndpointURL
    do throws(URLProblem) {
      endpoint = try EndpointURL(request.url, allowInsecureLoopback: options.allowInsecureLoopback)
    } catch { throw Self.refused("the URL \(error.sentence)") }
    host = endpoint.origin.host
    scheme = endpoint.origin.scheme
    mustBeLoopback = scheme == "http"
    if mustBeLoopback, request.proxy != nil { throw Self.refused("http to this machine goes through no proxy") }
    guard !request.url.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else {
      throw Self.refused("the URL has blanks or control characters")
    }
    for header in request.headers {
      guard Self.isToken(header.name) else { throw Self.refused("a header's name is not a token") }
      guard Self.isLine(header.value.utf8) else {
        throw Self.refused("the header \(header.name) has a line end or NUL")
      }
    }
    for secret in request.secretHeaders where unsafe !secret.withBytes({ unsafe Self.isLine($0) }) {
      throw Self.refused("a secret header has a line end or NUL")
    }
    if let proxy = request.proxy, !["http://", "https://", "socks5h://"].contains(where: { proxy.hasPrefix($0) }) {
      throw Self.refused("the proxy is no http, https or socks5h URL")
    }
    method = request.method
    url = request.url
    // curl drops a header without a value, unless a semicolon stands in the colon's place.
    headerLines = request.headers.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
    secretLines = request.secretHeaders
    body = request.body
    connectTimeout = max(1, request.connectTimeout.milliseconds)
    self.deadline = deadline
    bodyBytesMax = request.responseBytesMax
    caFile = request.caFile
    proxy = request.proxy
  }

  static func host(of url: String) -> String { Origin(of: url)?.host ?? "the server" }

  private static func refused(_ why: String) -> HTTPFailure {
    HTTPFailure(.badRequest, detail: why, mayHaveBeenSent: false)
  }

  /// Source: RFC 9110 section 5.6.2.
  private static func isToken(_ text: String) -> Bool {
    let marks = "!#$%&'*+-.^_`|~".utf8
    return !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: marks.contains(byte)
        }
      }
  }

  private static func isLine(_ bytes: some Sequence<UInt8>) -> Bool {
    !bytes.contains { $0 == 0 || $0 == 10 || $0 == 13 }
  }
}

/// Redirects are followed here and not by curl: what may go along is ours to say.
enum Redirect {
  /// Where a 3xx leads; nil: the reply is the answer.
  static func target(of reply: HTTPReply, from url: String) -> String? {
    guard [301, 302, 303, 307, 308].contains(reply.status), let location = reply.header("location") else { return nil }
    let target = URLReference.resolve(location, against: url)
    return String(target.prefix { $0 != "#" })
  }

  /// - Throws: `.badReply` for a target that is no URL, or leads from https to http.
  static func follow(_ request: HTTPRequest, to target: String) throws(HTTPFailure) -> HTTPRequest {
    let host = RequestPlan.host(of: request.url)
    guard let from = Origin(of: request.url), let to = Origin(of: target) else {
      throw HTTPFailure(.badReply, detail: "\(host) redirects to something that is no URL", mayHaveBeenSent: true)
    }
    if from.scheme == "https", to.scheme != "https" {
      throw HTTPFailure(.badReply, detail: "\(host) redirects from https to \(to.scheme)", mayHaveBeenSent: true)
    }
    var next = request
    next.url = target
    if from != to {
      next.secretHeaders = []
      // Headers that the operator set for one server are not for another: they may be keys as well.
      next.headers = request.headers.filter { ["accept", "accept-language"].contains($0.name.lowercased()) }
    }
    return next
  }
}
