/// What a URL points at, and which URLs may be asked at all. Parsed by libcurl itself, so that nobody reads it otherwise.
import CCurl
import Glibc

struct Target: Sendable {
  /// As it is given to curl.
  let url: String
  let isSecure: Bool
  /// Normalized by curl: `127.0.0.1` for `0x7f.1`; with brackets where it is an IPv6 address.
  let host: String
  let port: String

  /// For people and as the key of what shares a limit.
  var authority: String { "\(host):\(port)" }

  func isSameOrigin(as other: Target) -> Bool {
    isSecure == other.isSecure && host == other.host && port == other.port
  }

  /// Why a URL is not asked; without the URL, which may hold more than is good to show.
  struct Refusal: Error {
    let detail: String
  }

  init(_ url: String, allowInsecureLoopback: Bool) throws(Refusal) {
    guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw Refusal(detail: "the URL has spaces, control characters or non-ASCII characters")
    }
    // curl takes one slash for two, and three.
    guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://"), !url[colon...].hasPrefix(":///") else {
      throw Refusal(detail: "the URL is malformed")
    }
    guard let parts = unsafe curl_url() else { throw Refusal(detail: "out of memory") }
    defer { unsafe curl_url_cleanup(parts) }
    let code = unsafe url.withCString {
      unsafe curl_url_set(parts, CURLUPART_URL, $0, UInt32(CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME))
    }
    if code == CURLUE_USER_NOT_ALLOWED { throw Refusal(detail: "the URL holds a user name") }
    guard code == CURLUE_OK, let scheme = unsafe Self.part(CURLUPART_SCHEME, of: parts),
      let host = unsafe Self.part(CURLUPART_HOST, of: parts), !host.isEmpty,
      let port = unsafe Self.part(CURLUPART_PORT, of: parts)
    else { throw Refusal(detail: "the URL is malformed") }
    switch scheme.lowercased() {
    case "https": isSecure = true
    case "http":
      guard allowInsecureLoopback else { throw Refusal(detail: "\(host): http is not allowed, only https") }
      guard Loopback.isName(host) else {
        throw Refusal(detail: "\(host): http is allowed to this machine only, else https")
      }
      isSecure = false
    default: throw Refusal(detail: "\(host): only https URLs can be asked")
    }
    self.url = url
    self.host = host.lowercased()
    self.port = port
  }

  private static func part(_ part: CURLUPart, of parts: OpaquePointer) -> String? {
    var text: UnsafeMutablePointer<CChar>?
    let flags = UInt32(CURLU_DEFAULT_PORT)
    guard unsafe curl_url_get(parts, part, &text, flags) == CURLUE_OK, let text = unsafe text else { return nil }
    defer { unsafe curl_free(text) }
    return unsafe String(cString: text)
  }
}

enum Loopback {
  /// 127.0.0.0/8, `[::1]` or `localhost`; what the last one leads to is looked at again once it is connected.
  static func isName(_ host: String) -> Bool {
    host.lowercased() == "localhost" || isAddress(host)
  }

  static func isAddress(_ text: String) -> Bool {
    var bare = text[...]
    if bare.hasPrefix("["), bare.hasSuffix("]") { bare = bare.dropFirst().dropLast() }
    var v4 = in_addr()
    if unsafe inet_pton(AF_INET, String(bare), &v4) == 1 { return UInt32(bigEndian: v4.s_addr) >> 24 == 127 }
    var v6 = in6_addr()
    guard unsafe inet_pton(AF_INET6, String(bare), &v6) == 1 else { return false }
    let bytes = unsafe withUnsafeBytes(of: &v6) { unsafe [UInt8]($0) }
    return bytes == [UInt8](repeating: 0, count: 15) + [1]
  }
}
