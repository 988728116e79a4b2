/// One curl transfer with every option it has. The handle, its header list and its memory have this one owner.
import CCurl
import ConnectionCore
import Glibc
import SMARTProtocol

/// An option that curl does not take.
struct SetupFailure: Error {
  let code: CURLcode
}

@safe final class EasyHandle {
  typealias ID = UInt

  let handle: UnsafeMutableRawPointer
  /// As curl gives it back when the transfer has ended.
  var id: ID { unsafe ID(bitPattern: handle) }
  private var headerLines: UnsafeMutablePointer<curl_slist>?
  private let errorText: UnsafeMutablePointer<CChar>

  init?() {
    guard let handle = unsafe curl_easy_init() else { return nil }
    unsafe self.handle = handle
    unsafe errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  /// Not while the handle is in a multi handle.
  deinit {
    unsafe curl_easy_cleanup(handle)
    unsafe curl_slist_free_all(headerLines)
    unsafe errorText.deallocate()
  }

  /// What failed, in curl's words; may quote the server.
  var problem: String { unsafe String(cString: errorText) }

  private func check(_ code: CURLcode) throws(SetupFailure) {
    if code != CURLE_OK { throw SetupFailure(code: code) }
  }

  /// - Parameter isSameOrigin: false after a redirect to another server, which gets no credential.
  func configure(_ plan: RequestPlan, _ target: Target, isSameOrigin: Bool, isStream: Bool) throws(SetupFailure) {
    try unsafe check(ccurl_set_error_buffer(handle, errorText))
    try unsafe check(ccurl_set_url(handle, target.url))
    try unsafe check(ccurl_set_protocols(handle, target.isSecure ? "https" : "http"))
    try unsafe check(ccurl_set_redirect_protocols(handle, "https"))
    // Redirects are followed by `Transfer`, which looks at each.
    try unsafe check(ccurl_set_follow_location(handle, 0))
    try unsafe check(ccurl_set_refuse_user_in_url(handle, 1))
    try unsafe check(ccurl_set_netrc(handle, Int(CURL_NETRC_IGNORED.rawValue)))
    try unsafe check(ccurl_set_no_signal(handle, 1))
    // Without this, giving up on a name lookup waits for the name server, on the thread of all transfers.
    try unsafe check(ccurl_set_quick_exit(handle, 1))
    try unsafe check(ccurl_set_user_agent(handle, plan.userAgent))
    try unsafe check(ccurl_set_accept_encoding(handle, "gzip"))
    // Of a paused stream curl would take in, over HTTP/2, as much as the window allows: 32 MB.
    try unsafe check(ccurl_set_http_version(handle, Int(isStream ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS)))
    if isStream { try unsafe check(ccurl_set_buffer_bytes(handle, Self.streamBufferBytes)) }
    try unsafe check(ccurl_set_tcp_keepalive(handle, 1))
    try unsafe check(ccurl_set_connection_lifetime_seconds(handle, Self.connectionLifetimeSeconds))
    // The deadline of the whole is the loop's own: curl's clock stands still in suspend. 0 would be curl's default.
    try unsafe check(ccurl_set_connect_timeout_ms(handle, Int(max(1, plan.request.connectTimeout.milliseconds))))
    try configureTLS(caFile: plan.request.caFile)
    if let file = plan.request.certificateFile {
      // One file in PEM form, chain and key; part of what curl compares before it shares a connection.
      try unsafe check(ccurl_set_client_certificate(handle, file))
      try unsafe check(ccurl_set_client_key(handle, file))
    }
    try configureProxy(plan.request.proxy)
    try configureMethod(plan.request)
    try configureHeaders(plan, isSameOrigin: isSameOrigin)
  }

  /// What one read of a stream takes at most. What it unpacks to is curl's to keep when the stream is paused.
  private static let streamBufferBytes = 32 << 10
  /// A server that changes its address or its certificate is noticed by then, however busy the connection is.
  private static let connectionLifetimeSeconds = 900
  /// How long the parsed bundle of the system's CAs is kept.
  private static let caCacheSeconds = 3600

  private func configureTLS(caFile: String?) throws(SetupFailure) {
    let oldest = Int(CURL_SSLVERSION_TLSv1_2)
    try unsafe check(ccurl_set_tls_version(handle, oldest))
    try unsafe check(ccurl_set_verify_peer(handle, 1))
    try unsafe check(ccurl_set_verify_host(handle, 2))
    try unsafe check(ccurl_set_proxy_tls_version(handle, oldest))
    try unsafe check(ccurl_set_proxy_verify_peer(handle, 1))
    try unsafe check(ccurl_set_proxy_verify_host(handle, 2))
    guard let file = caFile ?? Library.systemCAFile else { return }
    // curl's built-in directory would add the system's CAs to the file's. Connections are shared by requests of the same
    // file only: both are part of what curl compares.
    try unsafe check(ccurl_set_ca_file(handle, file))
    try unsafe check(ccurl_set_ca_path(handle, nil))
    try unsafe check(ccurl_set_proxy_ca_file(handle, file))
    try unsafe check(ccurl_set_proxy_ca_path(handle, nil))
    // A file of the operator's is read each time: it counts as soon as it is put right.
    try unsafe check(ccurl_set_ca_cache_seconds(handle, caFile == nil ? Self.caCacheSeconds : 0))
  }

  private func configureProxy(_ proxy: String?) throws(SetupFailure) {
    // Both are set always, be it to nothing: else curl reads http_proxy, all_proxy and no_proxy.
    try unsafe check(ccurl_set_proxy(handle, proxy ?? ""))
    try unsafe check(ccurl_set_no_proxy(handle, ""))
    try unsafe check(ccurl_set_header_option(handle, Int(CURLHEADER_SEPARATE)))
    try unsafe check(ccurl_set_suppress_connect_headers(handle, 1))
  }

  private func configureMethod(_ request: HTTPRequest) throws(SetupFailure) {
    switch request.method {
    case .get: try unsafe check(ccurl_set_get(handle, 1))
    case .head: try unsafe check(ccurl_set_no_body(handle, 1))
    case .post, .put, .patch, .delete:
      if request.body != nil || request.method != .delete {
        try unsafe check(ccurl_set_post(handle, 1))
        try copyBody(request.body)
      }
      if request.method != .post { try unsafe check(ccurl_set_custom_request(handle, request.method.rawValue)) }
      // curl sends a request again when an idle connection turns out to be dead before an answer came. The server may
      // have worked on it, and a refresh token is good once: so a new connection, for which curl has no second try.
      try unsafe check(ccurl_set_fresh_connect(handle, 1))
    }
  }

  private func copyBody(_ body: SharedSecret?) throws(SetupFailure) {
    guard let body, body.count > 0 else {
      try unsafe check(ccurl_set_post_body(handle, "", 0))
      return
    }
    // curl's copy lies in memory that `ccurl_free` wipes.
    try unsafe check(body.withBytes { unsafe ccurl_set_post_body(handle, $0.baseAddress, $0.count) })
  }

  private func configureHeaders(_ plan: RequestPlan, isSameOrigin: Bool) throws(SetupFailure) {
    // A name with nothing after the colon takes away the header that curl would send.
    for name in plan.suppressed { try append(Array("\(name):".utf8)) }
    for header in plan.request.headers where isSameOrigin || Self.isHarmless(header.name) {
      // curl's spelling of a header without a value.
      let value = header.value.utf8.allSatisfy { $0 == 0x20 || $0 == 0x09 }
      try append(Array((value ? "\(header.name);" : "\(header.name): \(header.value)").utf8))
    }
    if isSameOrigin {
      for secret in plan.request.secretHeaders {
        let result = unsafe secret.withBytes { line in Result { () throws(SetupFailure) in try unsafe append(line) } }
        try result.get()
      }
    }
    try unsafe check(ccurl_set_headers(handle, headerLines))
  }

  /// Headers that the operator set for one server are not for another: they may be keys as well.
  private static func isHarmless(_ name: String) -> Bool {
    ["accept", "accept-language"].contains(name.lowercased())
  }

  private func append(_ line: [UInt8]) throws(SetupFailure) {
    let result = unsafe line.withUnsafeBytes { bytes in
      Result { () throws(SetupFailure) in try unsafe append(bytes) }
    }
    try result.get()
  }

  private func append(_ line: UnsafeRawBufferPointer) throws(SetupFailure) {
    // curl wants a C string, and copies it.
    let text = UnsafeMutableRawBufferPointer.allocate(byteCount: line.count + 1, alignment: 1)
    defer {
      if let start = text.baseAddress { unsafe explicit_bzero(start, text.count) }
      unsafe text.deallocate()
    }
    unsafe text.copyMemory(from: line)
    unsafe text[line.count] = 0
    let start = unsafe text.baseAddress?.assumingMemoryBound(to: CChar.self)
    guard let list = unsafe curl_slist_append(headerLines, start) else {
      throw SetupFailure(code: CURLE_OUT_OF_MEMORY)
    }
    unsafe headerLines = list
  }

  func number(_ what: CURLINFO) -> Int { unsafe ccurl_info_long(handle, what) }
  func offset(_ what: CURLINFO) -> Int64 { unsafe ccurl_info_offset(handle, what) }
  func text(_ what: CURLINFO) -> String? { unsafe ccurl_info_text(handle, what).map { unsafe String(cString: $0) } }
}
