/// One transfer on the loop's thread: its easy handle, what it may receive, what became of it.
import CCurl
import ConnectionCore
import SMARTProtocol

@safe final class Transfer {
  let plan: RequestPlan
  let ticket: Ticket<Result<HTTPReply, HTTPFailure>>
  let easy: UnsafeMutableRawPointer
  /// The request has begun to go out on the wire.
  private(set) var wasSent = false

  private var headerList: UnsafeMutablePointer<curl_slist>?
  private let errorText: UnsafeMutablePointer<CChar>
  private var headers: [HTTPHeader] = []
  private var headerBytes = 0
  private var body: [UInt8] = []
  /// Why this side ended it.
  private var stopped: HTTPFailure?

  /// Connections are not kept longer than this, in seconds: a name may lead elsewhere by then.
  private static let connectionLifetime = 300

  init(
    _ plan: RequestPlan, _ options: CurlHTTP.Options, _ ticket: Ticket<Result<HTTPReply, HTTPFailure>>
  ) throws(HTTPFailure) {
    guard let easy = unsafe curl_easy_init() else {
      throw HTTPFailure(.badRequest, detail: "libcurl has no memory", mayHaveBeenSent: false)
    }
    self.plan = plan
    self.ticket = ticket
    unsafe self.easy = easy
    unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    let codes = setTarget(options) + setSecurity() + setRequest() + setCallbacks()
    guard codes.allSatisfy({ $0 == CURLE_OK }) else {
      throw HTTPFailure(.badRequest, detail: "libcurl does not take the request", mayHaveBeenSent: false)
    }
  }

  deinit {
    unsafe curl_easy_cleanup(easy)
    unsafe curl_slist_free_all(headerList)
    unsafe errorText.deallocate()
    wipe(&body)
  }

  // MARK: Setting up

  private func setTarget(_ options: CurlHTTP.Options) -> [CURLcode] {
    unsafe [
      ccurl_set_url(easy, plan.url), ccurl_set_protocols(easy, plan.scheme),
      ccurl_set_redirect_protocols(easy, plan.scheme), ccurl_set_follow_location(easy, 0),
      ccurl_set_refuse_user_in_url(easy, 1), ccurl_set_netrc(easy, Int(CURL_NETRC_IGNORED.rawValue)),
      ccurl_set_no_signal(easy, 1), ccurl_set_quick_exit(easy, 1),
      ccurl_set_user_agent(easy, options.userAgent), ccurl_set_accept_encoding(easy, "gzip, deflate"),
      ccurl_set_http_version(easy, Int(CURL_HTTP_VERSION_2TLS)), ccurl_set_tcp_keepalive(easy, 1),
      ccurl_set_connect_timeout_ms(easy, Int(plan.connectTimeout)),
      ccurl_set_connection_lifetime_seconds(easy, Self.connectionLifetime),
      // Empty: curl would look into the environment otherwise.
      ccurl_set_proxy(easy, plan.proxy ?? ""), ccurl_set_no_proxy(easy, ""),
      ccurl_set_suppress_connect_headers(easy, 1), ccurl_set_header_option(easy, Int(CURLHEADER_SEPARATE)),
      ccurl_set_error_buffer(easy, errorText),
    ]
  }

  private func setSecurity() -> [CURLcode] {
    var codes = unsafe [
      ccurl_set_tls_version(easy, Int(CURL_SSLVERSION_TLSv1_2)), ccurl_set_verify_peer(easy, 1),
      ccurl_set_verify_host(easy, 2), ccurl_set_proxy_tls_version(easy, Int(CURL_SSLVERSION_TLSv1_2)),
      ccurl_set_proxy_verify_peer(easy, 1), ccurl_set_proxy_verify_host(easy, 2),
    ]
    if let file = plan.caFile ?? Library.systemCAFile {
      unsafe codes += [ccurl_set_ca_file(easy, file), ccurl_set_ca_path(easy, nil)]
    }
    return codes
  }

  private func setRequest() -> [CURLcode] {
    var codes: [CURLcode] = []
    switch plan.method {
    case .get: unsafe codes.append(ccurl_set_get(easy, 1))
    case .head: unsafe codes.append(ccurl_set_no_body(easy, 1))
    case .post: unsafe codes.append(ccurl_set_post(easy, 1))
    case .put, .delete: unsafe codes.append(ccurl_set_custom_request(easy, plan.method.rawValue))
    }
    if plan.method != .get, plan.method != .head {
      // curl sends a request again when a kept connection turns out to be dead: on a new one it does not.
      unsafe codes.append(ccurl_set_fresh_connect(easy, 1))
    }
    if let body = plan.body {
      unsafe codes.append(
        body.withBytes { unsafe ccurl_set_post_body(easy, $0.baseAddress ?? UnsafeRawPointer(errorText), $0.count) })
    } else if plan.method == .post {
      unsafe codes.append(ccurl_set_post_body(easy, errorText, 0))
    }
    for line in plan.headerLines + ["Expect:"] { unsafe append(headerLine: line) }
    for secret in plan.secretLines {
      unsafe secret.withBytes { bytes in
        var line = unsafe Array(bytes) + [0]
        unsafe line.withUnsafeBufferPointer { line in
          unsafe line.withMemoryRebound(to: CChar.self) { unsafe append(headerLine: $0.baseAddress!) }
        }
        wipe(&line)
      }
    }
    unsafe codes.append(ccurl_set_headers(easy, headerList))
    return codes
  }

  private func append(headerLine: UnsafePointer<CChar>) {
    guard let longer = unsafe curl_slist_append(headerList, headerLine) else { return }
    unsafe headerList = longer
  }

  private func setCallbacks() -> [CURLcode] {
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    return unsafe [
      ccurl_set_write(
        easy,
        { bytes, one, count, context in
          let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
          return unsafe transfer.take(UnsafeRawBufferPointer(start: bytes, count: one * count)) ? one * count : 0
        }, context),
      ccurl_set_header(
        easy,
        { bytes, one, count, context in
          let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
          return unsafe transfer.takeHeader(UnsafeRawBufferPointer(start: bytes, count: one * count)) ? one * count : 0
        }, context),
      ccurl_set_prerequest(
        easy,
        { context, remote, _, _, _ in
          let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
          let address = unsafe remote.map { unsafe String(cString: $0) } ?? ""
          return transfer.mayRequest(from: address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }, context),
    ]
  }

  // MARK: What comes

  /// The connection stands; the request goes out next.
  private func mayRequest(from address: String) -> Bool {
    if plan.mustBeLoopback, !address.hasPrefix("127."), address != "::1" {
      stopped = failure(.badRequest, "\(plan.host) is not this machine, and http is for this machine only")
      return false
    }
    wasSent = true
    return true
  }

  private func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard body.count + bytes.count <= plan.bodyBytesMax else {
      stopped = failure(.tooLarge, "\(plan.host) sends more than \(plan.bodyBytesMax) bytes")
      return false
    }
    unsafe body.append(contentsOf: bytes)
    return true
  }

  private func takeHeader(_ line: UnsafeRawBufferPointer) -> Bool {
    headerBytes += line.count
    guard headerBytes <= RequestPlan.headerBytesMax, headers.count < RequestPlan.headerLinesMax else {
      stopped = failure(.tooLarge, "\(plan.host) sends more than \(RequestPlan.headerBytesMax) bytes of headers")
      return false
    }
    let text = unsafe String(decoding: line, as: UTF8.self)
    if text.hasPrefix("HTTP/") {
      // The final response after 1xx.
      headers = []
    } else if let colon = text.firstIndex(of: ":") {
      let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      let end = value.lastIndex { $0 != " " && $0 != "\t" && $0 != "\r" && $0 != "\n" && $0 != "\r\n" }
      headers.append(HTTPHeader(String(text[..<colon]), end.map { String(value[...$0]) } ?? ""))
    }
    return true
  }

  // MARK: How it ended

  func result(_ code: CURLcode) -> Result<HTTPReply, HTTPFailure> {
    guard code == CURLE_OK else { return .failure(failure(code)) }
    let reply = HTTPReply(
      status: unsafe ccurl_info_long(easy, CURLINFO_RESPONSE_CODE), headers: headers, body: body,
      effectiveURL: plan.url, timings: timings)
    wipe(&body)
    return .success(reply)
  }

  func overdue() -> HTTPFailure {
    failure(.timeout, "\(plan.host) did not answer completely in time")
  }

  private func failure(_ kind: HTTPFailure.Kind, _ detail: String) -> HTTPFailure {
    HTTPFailure(kind, detail: detail, mayHaveBeenSent: wasSent, timings: timings)
  }

  private func failure(_ code: CURLcode) -> HTTPFailure {
    if let stopped { return stopped }
    let written = unsafe String(cString: errorText)
    let words = written.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : written
    let reason = Words.clean(words, max: 300)
    let kind: HTTPFailure.Kind
    switch code {
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: kind = .resolve
    case CURLE_COULDNT_CONNECT, CURLE_PROXY: kind = .connect
    case CURLE_OPERATION_TIMEDOUT: kind = .timeout
    case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
      CURLE_SSL_CIPHER, CURLE_SSL_CRL_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_PINNEDPUBKEYNOTMATCH,
      CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED, CURLE_USE_SSL_FAILED:
      return failure(.tls, "no trusted TLS connection to \(plan.host): \(reason)")
    case CURLE_GOT_NOTHING: kind = .emptyReply
    case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_PARTIAL_FILE, CURLE_HTTP2, CURLE_HTTP2_STREAM: kind = .reset
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: kind = wasSent ? .badReply : .badRequest
    default: kind = .badReply
    }
    return failure(kind, "\(plan.host): \(reason)")
  }

  private var timings: HTTPTimings {
    func microseconds(_ what: CURLINFO) -> Int64 { unsafe ccurl_info_offset(easy, what) }
    var timings = HTTPTimings()
    timings.nameLookup = microseconds(CURLINFO_NAMELOOKUP_TIME_T)
    timings.connect = microseconds(CURLINFO_CONNECT_TIME_T)
    timings.tlsHandshake = microseconds(CURLINFO_APPCONNECT_TIME_T)
    timings.requestSent = microseconds(CURLINFO_PRETRANSFER_TIME_T)
    timings.firstByte = microseconds(CURLINFO_STARTTRANSFER_TIME_T)
    timings.total = microseconds(CURLINFO_TOTAL_TIME_T)
    timings.bytesSent =
      unsafe ccurl_info_offset(easy, CURLINFO_SIZE_UPLOAD_T) + Int64(ccurl_info_long(easy, CURLINFO_REQUEST_SIZE))
    timings.bytesReceived =
      unsafe ccurl_info_offset(easy, CURLINFO_SIZE_DOWNLOAD_T) + Int64(ccurl_info_long(easy, CURLINFO_HEADER_SIZE))
    timings.newConnection = unsafe ccurl_info_long(easy, CURLINFO_NUM_CONNECTS) > 0
    timings.httpVersion =
      switch unsafe ccurl_info_long(easy, CURLINFO_HTTP_VERSION) {
      case Int(CURL_HTTP_VERSION_1_0): "1.0"
      case Int(CURL_HTTP_VERSION_1_1): "1.1"
      case Int(CURL_HTTP_VERSION_2_0): "2"
      default: ""
      }
    timings.remoteAddress = unsafe ccurl_info_text(easy, CURLINFO_PRIMARY_IP).map { unsafe String(cString: $0) } ?? ""
    return timings
  }
}
