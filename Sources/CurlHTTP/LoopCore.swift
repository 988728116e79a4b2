/// The way in to the loop: what other threads ask of it, and its thread.
import CCurl
import ConnectionCore
import Glibc
import Synchronization

/// The loop brings bytes as long as somebody has the body; it does not keep it.
struct WeakFlow: Sendable {
  weak let flow: BodyFlow?
}

enum Command: Sendable {
  case start(RequestPlan, Ticket<Result<HTTPReply, HTTPFailure>>, WeakFlow? = nil)
  /// A paused body has room again.
  case goOn(Ticket<Result<HTTPReply, HTTPFailure>>)
  case cancel(Ticket<Result<HTTPReply, HTTPFailure>>)
  case ping(Ticket<Bool>)
  case stop
}

/// Shared by the client and the thread.
///
/// `@unchecked`: the multi handle belongs to the thread; others call curl_multi_wakeup only, which is thread-safe, and
/// under the lock that the thread takes before it frees the handle.
@safe final class LoopCore: @unchecked Sendable {
  /// At most 15 bytes (PR_SET_NAME).
  static let threadName = "fhird.http"

  private struct Inbox {
    var commands: [Command] = []
    var stopWaiters: [Ticket<Bool>] = []
    var isStopping = false
    /// The thread is gone, or was never there.
    var hasEnded = false
  }

  let multi: UnsafeMutableRawPointer
  let connectionsPerHost: Int
  let connectionsTotal: Int
  let transfersMax: Int
  /// Answers that wait for slow readers beside those that run; more of them keep their places.
  let pausedMax: Int
  #if FAULT_POINTS
    let sent: (@Sendable (HTTPRequest) -> Void)?
  #endif
  private let inbox = Mutex(Inbox())

  init(_ options: CurlHTTP.Options) throws(CurlError) {
    guard let multi = unsafe curl_multi_init() else { throw CurlError(description: "libcurl gives no multi handle") }
    unsafe self.multi = multi
    connectionsPerHost = max(1, options.connectionsPerHost)
    connectionsTotal = max(1, options.connectionsTotal)
    transfersMax = max(1, options.transfersMax)
    pausedMax = min(64, connectionsTotal)
    #if FAULT_POINTS
      sent = options.sent
    #endif
    // The loop lets no more transfers in than this, those that are paused beside them, so nothing ever waits inside curl.
    for code in unsafe [
      ccurl_multi_set_host_connections(multi, connectionsPerHost + pausedMax),
      ccurl_multi_set_total_connections(multi, connectionsTotal + pausedMax),
      ccurl_multi_set_kept_connections(multi, connectionsTotal),
    ] where code != CURLM_OK {
      unsafe curl_multi_cleanup(multi)
      throw unsafe CurlError(description: "libcurl: \(String(cString: curl_multi_strerror(code)))")
    }
    do {
      try startThread()
    } catch {
      unsafe curl_multi_cleanup(multi)
      throw error
    }
  }

  func start(_ plan: RequestPlan, _ ticket: Ticket<Result<HTTPReply, HTTPFailure>>, _ flow: BodyFlow? = nil) {
    let isAccepted = inbox.withLock { inbox in
      guard !inbox.isStopping, ticket.begin() else { return false }
      put(.start(plan, ticket, flow.map { WeakFlow(flow: $0) }), in: &inbox)
      return true
    }
    if !isAccepted {
      ticket.resume(
        .failure(
          HTTPFailure(.cancelled, detail: "\(plan.target.authority): not asked any more", mayHaveBeenSent: false)))
    }
  }

  /// Under the lock `start` has happened, and its command is before this one, or will not happen.
  func cancel(_ ticket: Ticket<Result<HTTPReply, HTTPFailure>>) {
    inbox.withLock { inbox in
      if ticket.markCancelled(), !inbox.hasEnded { put(.cancel(ticket), in: &inbox) }
    }
  }

  func goOn(_ ticket: Ticket<Result<HTTPReply, HTTPFailure>>) {
    inbox.withLock { inbox in
      if !inbox.hasEnded { put(.goOn(ticket), in: &inbox) }
    }
  }

  func ping(_ ticket: Ticket<Bool>) {
    let isAccepted = inbox.withLock { inbox in
      guard !inbox.isStopping else { return false }
      put(.ping(ticket), in: &inbox)
      return true
    }
    if !isAccepted { ticket.resume(false) }
  }

  /// - Parameter waiter: is told once the thread has ended.
  func requestStop(_ waiter: Ticket<Bool>?) {
    let hasEnded = inbox.withLock { inbox in
      if inbox.hasEnded { return true }
      if let waiter { inbox.stopWaiters.append(waiter) }
      if !inbox.isStopping {
        inbox.isStopping = true
        put(.stop, in: &inbox)
      }
      return false
    }
    if hasEnded { waiter?.resume(true) }
  }

  private func put(_ command: Command, in inbox: inout Inbox) {
    inbox.commands.append(command)
    // The first wakes the thread for all that come until it looks.
    if inbox.commands.count == 1 { unsafe curl_multi_wakeup(multi) }
  }

  func take(_ commands: inout [Command]) {
    commands.removeAll(keepingCapacity: true)
    inbox.withLock { swap(&$0.commands, &commands) }
  }

  /// The last act of the thread.
  fileprivate func end() {
    let waiters = inbox.withLock { inbox in
      inbox.hasEnded = true
      unsafe curl_multi_cleanup(multi)
      return inbox.stopWaiters
    }
    for waiter in waiters { waiter.resume(true) }
  }

  private func startThread() throws(CurlError) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { unsafe pthread_attr_destroy(&attributes) }
    let argument = unsafe Unmanaged.passRetained(self)
    var thread = pthread_t()
    let code = unsafe pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let core = unsafe Unmanaged<LoopCore>.fromOpaque(argument).takeRetainedValue()
        unsafe LoopCore.threadName.withCString { unsafe ccurl_adopt_thread($0) }
        Loop(core).run()
        core.end()
        return nil
      }, argument.toOpaque())
    guard code == 0 else {
      unsafe argument.release()
      throw unsafe CurlError(description: "no thread for HTTP: \(String(cString: strerror(code)))")
    }
  }
}
