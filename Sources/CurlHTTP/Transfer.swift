/// One request under way, from the first server to the last redirect. Lives on the loop's thread.
import CCurl
import ConnectionCore
import SMARTProtocol

final class Transfer {
  enum Step {
    case finished(Result<HTTPReply, HTTPFailure>)
    /// A redirect: `prepare` again.
    case next
  }

  let plan: RequestPlan
  let ticket: Ticket<Result<HTTPReply, HTTPFailure>>
  /// Milliseconds of the boot clock. Of a stream: for its next bytes.
  private(set) var deadline: Int64
  /// Where it goes now.
  private(set) var target: Target
  /// nil while it waits.
  private(set) var easy: EasyHandle?
  private var answer: Answer
  /// Who reads the body as it comes; gone when nobody does any more.
  private let flow: WeakFlow?
  private var streamedBytes = 0
  private(set) var isPaused = false
  /// It counts among those that run at its server; the loop's.
  var hasPlace = true
  private var redirects = 0
  /// The first server, and not another one that it sent us to.
  private var isSameOrigin = true
  /// Of this hop.
  private var isRequestStarted = false
  private var isNotLoopback = false
  /// Of any hop.
  private var mayHaveBeenSent = false
  /// Of the hops before this one.
  private var spent = HTTPTimings()

  init(_ plan: RequestPlan, _ ticket: Ticket<Result<HTTPReply, HTTPFailure>>, _ flow: WeakFlow?, now: Int64) {
    self.plan = plan
    self.ticket = ticket
    self.flow = flow
    target = plan.target
    deadline = now + plan.timeoutMilliseconds
    answer = Answer(bodyBytesMax: plan.request.responseBytesMax)
  }

  /// A handle for the next hop, ready to be added to the multi handle. `self` must outlive its time in there.
  func prepare() throws(HTTPFailure) -> EasyHandle {
    guard let easy = EasyHandle() else { throw setupFailure("out of memory") }
    isRequestStarted = false
    answer = Answer(bodyBytesMax: plan.request.responseBytesMax)
    do {
      try easy.configure(plan, target, isSameOrigin: isSameOrigin, isStream: isStream)
    } catch {
      throw setupFailure(unsafe String(cString: curl_easy_strerror(error.code)))
    }
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    // libcurl takes every function and pointer.
    _ = unsafe ccurl_set_write(
      easy.handle,
      { bytes, one, count, context in
        guard let context = unsafe context else { return 0 }
        let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        return unsafe transfer.arrived(UnsafeRawBufferPointer(start: bytes, count: one * count))
      }, context)
    _ = unsafe ccurl_set_header(
      easy.handle,
      { bytes, one, count, context in
        guard let context = unsafe context else { return 0 }
        let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        let arrived = unsafe UnsafeRawBufferPointer(start: bytes, count: one * count)
        return unsafe transfer.answer.headerArrived(arrived) ? arrived.count : Int(CURL_WRITEFUNC_ERROR)
      }, context)
    _ = unsafe ccurl_set_prerequest(
      easy.handle,
      { context, address, _, _, _ in
        guard let context = unsafe context, let address = unsafe address else { return CURL_PREREQFUNC_ABORT }
        let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        return unsafe transfer.connected(to: String(cString: address)) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
      }, context)
    self.easy = easy
    return easy
  }

  /// libcurl is about to send the request: the one moment that divides "not sent" from "maybe sent".
  private func connected(to address: String) -> Bool {
    if !target.isSecure, !Loopback.isAddress(address) {
      isNotLoopback = true
      return false
    }
    isRequestStarted = true
    mayHaveBeenSent = true
    return true
  }

  // MARK: the body

  var isStream: Bool { flow != nil }

  /// What curl's write function answers.
  private func arrived(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard let flow else { return unsafe answer.bodyArrived(bytes) ? bytes.count : Int(CURL_WRITEFUNC_ERROR) }
    guard let reader = flow.flow, answer.isTooLarge == nil, answer.counts(streamedBytes + bytes.count) else {
      return Int(CURL_WRITEFUNC_ERROR)
    }
    if streamedBytes == 0 { ticket.resume(.success(head)) }
    guard unsafe reader.bring(bytes) else {
      isPaused = true
      deadline = .max
      return Int(CURL_WRITEFUNC_PAUSE)
    }
    streamedBytes += bytes.count
    deadline = ccurl_boot_milliseconds() + plan.timeoutMilliseconds
    return bytes.count
  }

  /// The reader has room again.
  func goOn(now: Int64) {
    isPaused = false
    deadline = now + plan.timeoutMilliseconds
  }

  private var head: HTTPReply {
    HTTPReply(
      status: easy?.number(CURLINFO_RESPONSE_CODE) ?? 0, headers: answer.headers, effectiveURL: target.url)
  }

  func tell(_ result: Result<HTTPReply, HTTPFailure>) {
    flow?.flow?.end(result.map { _ in })
    ticket.resume(result)
  }

  #if FAULT_POINTS
    private var isSent = false

    /// True once, when every byte of the body is on its way: the server may do as it is asked whatever becomes of us.
    var hasJustBeenSent: Bool {
      guard !isSent, let body = plan.request.body, let easy else { return false }
      isSent = easy.offset(CURLINFO_SIZE_UPLOAD_T) >= body.count
      return isSent
    }
  #endif

  /// The handle must be out of the multi handle.
  func ended(_ code: CURLcode) -> Step {
    guard let easy else { preconditionFailure("a transfer without a handle has ended") }
    let timings = timings(easy)
    guard code == CURLE_OK else {
      let verdict = symptoms(code, easy).verdict
      return .finished(.failure(failure(verdict.kind, verdict.detail, timings)))
    }
    let status = easy.number(CURLINFO_RESPONSE_CODE)
    if case .follow(let max) = plan.request.redirects, [301, 302, 303, 307, 308].contains(status),
      let location = easy.text(CURLINFO_REDIRECT_URL)
    {
      return redirected(to: location, max: max, timings)
    }
    let reply = HTTPReply(
      status: status, headers: answer.headers, body: answer.body, effectiveURL: target.url, timings: timings)
    release()
    return .finished(.success(reply))
  }

  private func redirected(to location: String, max: Int, _ timings: HTTPTimings) -> Step {
    let from = target.authority
    guard redirects < max else {
      return .finished(
        .failure(failure(.tooManyRedirects, "\(from) redirects once more after \(redirects) redirects", timings)))
    }
    let next: Target
    do {
      next = try Target(location, allowInsecureLoopback: plan.allowInsecureLoopback)
    } catch {
      return .finished(
        .failure(failure(.badReply, "\(from) redirects to where nobody follows: \(error.detail)", timings)))
    }
    guard next.isSecure || !target.isSecure else {
      return .finished(.failure(failure(.badReply, "\(from) redirects from https to http", timings)))
    }
    redirects += 1
    // Once away, it stays away: the way back is the other server's word.
    isSameOrigin = isSameOrigin && next.isSameOrigin(as: target)
    target = next
    spent = timings
    answer.wipeBody()
    easy = nil
    return .next
  }

  /// Ends it for a reason of our own. The handle must be out of the multi handle.
  func givenUp(_ kind: HTTPFailure.Kind, _ detail: String) -> Result<HTTPReply, HTTPFailure> {
    .failure(failure(kind, detail, easy.map { timings($0) } ?? spent))
  }

  /// What did not come about in time.
  var lateness: String {
    let limit = Symptoms.text(plan.request.totalTimeout)
    let host = target.authority
    if easy == nil { return "no turn for a request to \(host) within \(limit): too many are under way" }
    if !isRequestStarted { return "no connection to \(host) within \(limit)" }
    if !answer.hasBegun { return "no answer from \(host) within \(limit)" }
    if isStream { return "nothing more from \(host) for \(limit); \(streamedBytes) bytes of the answer came" }
    return "no complete answer from \(host) within \(limit); \(answer.body.count) bytes of it came"
  }

  private func symptoms(_ code: CURLcode, _ easy: EasyHandle) -> Symptoms {
    Symptoms(
      code: code, target: target, proxy: plan.request.proxy, caFile: plan.request.caFile,
      certificateFile: plan.request.certificateFile,
      isRequestStarted: isRequestStarted, tooLarge: answer.isTooLarge,
      isNotLoopback: isNotLoopback, connectTimeout: plan.request.connectTimeout,
      osError: Int32(easy.number(CURLINFO_OS_ERRNO)), verifyResult: easy.number(CURLINFO_SSL_VERIFYRESULT),
      problem: easy.problem)
  }

  private func setupFailure(_ reason: String) -> HTTPFailure {
    failure(.badRequest, "\(target.authority): the request cannot be made: \(reason)", spent)
  }

  private func failure(_ kind: HTTPFailure.Kind, _ detail: String, _ timings: HTTPTimings) -> HTTPFailure {
    answer.wipeBody()
    release()
    return HTTPFailure(kind, detail: detail, mayHaveBeenSent: mayHaveBeenSent, timings: timings)
  }

  /// Frees the handle, and wipes the copies of the credential with it.
  private func release() { easy = nil }

  private func timings(_ easy: EasyHandle) -> HTTPTimings {
    var now = HTTPTimings()
    // A phase that was not reached, or not needed, is 0.
    func phase(_ what: CURLINFO) -> Int64 {
      let time = easy.offset(what)
      return time == 0 ? 0 : spent.total + time
    }
    now.nameLookup = phase(CURLINFO_NAMELOOKUP_TIME_T)
    now.connect = phase(CURLINFO_CONNECT_TIME_T)
    now.tlsHandshake = phase(CURLINFO_APPCONNECT_TIME_T)
    now.requestSent = phase(CURLINFO_PRETRANSFER_TIME_T)
    now.firstByte = phase(CURLINFO_STARTTRANSFER_TIME_T)
    now.total = spent.total + easy.offset(CURLINFO_TOTAL_TIME_T)
    now.bytesSent = spent.bytesSent + Int64(easy.number(CURLINFO_REQUEST_SIZE))
    now.bytesReceived =
      spent.bytesReceived + Int64(easy.number(CURLINFO_HEADER_SIZE)) + easy.offset(CURLINFO_SIZE_DOWNLOAD_T)
    now.newConnection = easy.number(CURLINFO_NUM_CONNECTS) > 0
    switch easy.number(CURLINFO_HTTP_VERSION) {
    case Int(CURL_HTTP_VERSION_1_0): now.httpVersion = "1.0"
    case Int(CURL_HTTP_VERSION_1_1): now.httpVersion = "1.1"
    case Int(CURL_HTTP_VERSION_2_0): now.httpVersion = "2"
    default: break  // no answer came
    }
    if let address = easy.text(CURLINFO_PRIMARY_IP), !address.isEmpty {
      let bare = address.contains(":") ? "[\(address)]" : address
      now.remoteAddress = "\(bare):\(easy.number(CURLINFO_PRIMARY_PORT))"
    }
    return now
  }
}
