/// A request that was looked through before anything is done: what curl is given later cannot break the protocol.
import ConnectionCore
import Glibc
import SMARTProtocol

struct RequestPlan: Sendable {
  let request: HTTPRequest
  let target: Target
  /// Headers of curl's own that a request without them must not have.
  let suppressed: [String]
  let allowInsecureLoopback: Bool
  let userAgent: String

  /// curl's own limits are wider.
  private static let urlBytesMax = 64 << 10
  /// One header line; no server takes longer ones.
  private static let headerBytesMax = 64 << 10

  /// They frame the message or belong to one hop: two who read them differently are an attack.
  private static let forbidden: Set<String> = [
    "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
    "proxy-connection", "proxy-authorization", "accept-encoding",
  ]

  init(_ request: HTTPRequest, _ options: CurlHTTP.Options) throws(HTTPFailure) {
    guard request.url.utf8.count <= Self.urlBytesMax else { throw Self.refusal("the URL is too long") }
    do {
      target = try Target(request.url, allowInsecureLoopback: options.allowInsecureLoopback)
    } catch {
      throw Self.refusal(error.detail)
    }
    var names: Set<String> = []
    for header in request.headers { names.insert(try Self.check(Array("\(header.name): \(header.value)".utf8))) }
    for secret in request.secretHeaders {
      let result = unsafe secret.withBytes { line in
        Result { () throws(HTTPFailure) in try unsafe Self.check(line) }
      }
      names.insert(try result.get())
    }
    // A name with a colon of its own would pass as a shorter name and a longer value.
    guard request.headers.allSatisfy({ !$0.name.utf8.contains(UInt8(ascii: ":")) }) else {
      throw Self.refusal("a header has a malformed name")
    }
    switch request.method {
    case .get, .head:
      guard request.body == nil else { throw Self.refusal("\(request.method.rawValue) has no body") }
    case .post, .put, .patch, .delete:
      guard request.redirects == .never else {
        throw Self.refusal("redirects of \(request.method.rawValue) are not followed: it must not be sent twice")
      }
    }
    try Self.check(proxy: request.proxy)
    try Self.check("ca_file", request.caFile, isSecret: false)
    try Self.check("client_certificate_file", request.certificateFile, isSecret: true)
    suppressed = names.contains("content-type") ? ["Expect"] : ["Expect", "Content-Type"]
    allowInsecureLoopback = options.allowInsecureLoopback
    userAgent = options.userAgent
    self.request = request
  }

  /// A span without an end must not overflow into the past.
  var timeoutMilliseconds: Int64 { min(max(0, request.totalTimeout.milliseconds), Int64.max >> 2) }

  private static func refusal(_ detail: String) -> HTTPFailure {
    HTTPFailure(.badRequest, detail: detail, mayHaveBeenSent: false)
  }

  /// - Returns: the header's name in lower case.
  private static func check(_ line: some Collection<UInt8>) throws(HTTPFailure) -> String {
    guard line.count <= headerBytesMax else { throw refusal("a header is too long") }
    let name = line.prefix { $0 != UInt8(ascii: ":") }
    guard name.count < line.count, !name.isEmpty, name.allSatisfy(isTokenByte) else {
      throw refusal("a header has a malformed name")
    }
    guard !line.contains(where: { $0 == 0 || $0 == 10 || $0 == 13 }) else {
      throw refusal("the header \(String(decoding: name, as: UTF8.self)) holds a line end or a NUL")
    }
    let text = String(decoding: name, as: UTF8.self).lowercased()
    guard !forbidden.contains(text) else { throw refusal("the header \(text) cannot be set") }
    return text
  }

  /// Source: RFC 9110 section 5.6.2.
  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  private static func check(proxy: String?) throws(HTTPFailure) {
    guard let proxy else { return }
    guard ["http://", "https://", "socks5h://"].contains(where: proxy.lowercased().hasPrefix),
      proxy.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "@") })
    else { throw refusal("the proxy must be http://, https:// or socks5h:// with host and port, without a password") }
  }

  /// OpenSSL would wait for ever for the writer of a named pipe, and with it every transfer.
  private static func check(_ field: String, _ file: String?, isSecret: Bool) throws(HTTPFailure) {
    guard let file else { return }
    func failure(_ reason: String) -> HTTPFailure {
      HTTPFailure(.tls, detail: "\(field) \(file) cannot be used: \(reason)", mayHaveBeenSent: false)
    }
    guard !file.utf8.contains(0) else { throw refusal("the name of \(field) holds a NUL") }
    var facts = stat()
    guard unsafe stat(file, &facts) == 0 else { throw failure(unsafe String(cString: strerror(errno))) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw failure("it is no file") }
    guard !isSecret || facts.st_mode & S_IRWXO == 0 else {
      throw failure("it holds a key and everybody may read it; chmod o-rwx it")
    }
    guard unsafe access(file, R_OK) == 0 else { throw failure(unsafe String(cString: strerror(errno))) }
  }
}
