/// The thread that owns curl's multi handle: takes orders, drives transfers, ends them.
import CCurl
import ConnectionCore
import Glibc
import SMARTProtocol
import Synchronization

/// What callers and the thread share.
@safe final class LoopCore: Sendable {
  private enum Order: Sendable {
    case start(RequestPlan, Ticket<Result<HTTPReply, HTTPFailure>>)
    case cancel(Ticket<Result<HTTPReply, HTTPFailure>>)
    case ping(Ticket<Bool>)
    case stop(Ticket<Bool>?)
  }

  private struct Inbox {
    var orders: [Order] = []
    /// The thread has ended, or is about to: nobody takes orders any more.
    var isClosed = false
    /// Started and not ended.
    var transfers = 0
  }

  /// The longest wait, in milliseconds: waits stop in suspend, so the clock is looked at again.
  private static let waitMax: Int64 = 37_000

  private let options: CurlHTTP.Options
  private let inbox = Mutex(Inbox())
  /// nonisolated: used by the thread; others only call curl_multi_wakeup, which any thread may.
  nonisolated(unsafe) private let multi: UnsafeMutableRawPointer

  init(_ options: CurlHTTP.Options) throws(CurlError) {
    guard let multi = unsafe curl_multi_init() else { throw CurlError(description: "libcurl has no memory") }
    unsafe self.multi = multi
    self.options = options
    _ = unsafe ccurl_multi_set_host_connections(multi, options.connectionsPerHost)
    _ = unsafe ccurl_multi_set_total_connections(multi, options.connectionsTotal)
    _ = unsafe ccurl_multi_set_kept_connections(multi, options.connectionsTotal)
    try startThread()
  }

  deinit { _ = unsafe curl_multi_cleanup(multi) }

  private func startThread() throws(CurlError) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { unsafe pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(self)
    let result = unsafe pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<LoopCore>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      unsafe argument.release()
      throw CurlError(description: "no thread for HTTP: \(unsafe String(cString: strerror(result)))")
    }
  }

  // MARK: Orders, from any thread

  func start(_ plan: RequestPlan, _ ticket: Ticket<Result<HTTPReply, HTTPFailure>>) {
    let refusal = inbox.withLock { inbox -> HTTPFailure? in
      if inbox.isClosed { return Self.cancelled(mayHaveBeenSent: false) }
      guard inbox.transfers < options.transfersMax else {
        return HTTPFailure(
          .connect, detail: "\(options.transfersMax) requests are under way already", mayHaveBeenSent: false)
      }
      inbox.transfers += 1
      inbox.orders.append(.start(plan, ticket))
      return nil
    }
    if let refusal { ticket.resume(.failure(refusal)) } else { wake() }
  }

  func cancel(_ ticket: Ticket<Result<HTTPReply, HTTPFailure>>) {
    ticket.markCancelled()
    give(.cancel(ticket))
  }

  func ping(_ ticket: Ticket<Bool>) {
    if !give(.ping(ticket)) { ticket.resume(false) }
  }

  func requestStop(_ ticket: Ticket<Bool>?) {
    if !give(.stop(ticket)) { ticket?.resume(true) }
  }

  /// - Returns: false: the thread has ended.
  @discardableResult
  private func give(_ order: Order) -> Bool {
    let taken = inbox.withLock { inbox in
      if !inbox.isClosed { inbox.orders.append(order) }
      return !inbox.isClosed
    }
    if taken { wake() }
    return taken
  }

  private func wake() { _ = unsafe curl_multi_wakeup(multi) }

  static func cancelled(mayHaveBeenSent: Bool) -> HTTPFailure {
    HTTPFailure(.cancelled, detail: "the request was cancelled", mayHaveBeenSent: mayHaveBeenSent)
  }

  // MARK: The thread

  private func run() {
    unsafe ccurl_adopt_thread("fhird.http")
    var transfers: [UnsafeMutableRawPointer: Transfer] = unsafe [:]
    while true {
      let (mustStop, waiters) = unsafe takeOrders(&transfers)
      if mustStop {
        unsafe finish(&transfers, waiters)
        return
      }
      var running: Int32 = 0
      _ = unsafe curl_multi_perform(multi, &running)
      unsafe takeEnded(&transfers)
      let now = ccurl_boot_milliseconds()
      unsafe endOverdue(&transfers, now)
      let next = unsafe transfers.values.map(\.plan.deadline).min() ?? now + Self.waitMax
      var ready: Int32 = 0
      _ = unsafe curl_multi_poll(multi, nil, 0, Int32(max(0, min(next - now, Self.waitMax))), &ready)
    }
  }

  private func takeOrders(
    _ transfers: inout [UnsafeMutableRawPointer: Transfer]
  ) -> (mustStop: Bool, waiters: [Ticket<Bool>]) {
    let orders = inbox.withLock { inbox in
      defer { inbox.orders = [] }
      return inbox.orders
    }
    var mustStop = false
    var waiters: [Ticket<Bool>] = []
    for order in orders {
      switch order {
      case .start(let plan, let ticket): unsafe begin(plan, ticket, &transfers)
      case .cancel(let ticket):
        guard let transfer = unsafe transfers.first(where: { unsafe $0.value.ticket === ticket })?.value else {
          continue
        }
        unsafe end(transfer, .failure(Self.cancelled(mayHaveBeenSent: transfer.wasSent)), &transfers)
      case .ping(let ticket): ticket.resume(true)
      case .stop(let ticket):
        mustStop = true
        if let ticket { waiters.append(ticket) }
      }
    }
    return (mustStop, waiters)
  }

  private func begin(
    _ plan: RequestPlan, _ ticket: Ticket<Result<HTTPReply, HTTPFailure>>,
    _ transfers: inout [UnsafeMutableRawPointer: Transfer]
  ) {
    guard !ticket.isCancelled else { return settle(ticket, .failure(Self.cancelled(mayHaveBeenSent: false))) }
    do throws(HTTPFailure) {
      let transfer = try Transfer(plan, options, ticket)
      let code = unsafe curl_multi_add_handle(multi, transfer.easy)
      guard code == CURLM_OK else {
        throw HTTPFailure(.badRequest, detail: "libcurl does not take the request", mayHaveBeenSent: false)
      }
      unsafe transfers[transfer.easy] = transfer
    } catch { settle(ticket, .failure(error)) }
  }

  private func takeEnded(_ transfers: inout [UnsafeMutableRawPointer: Transfer]) {
    var code = CURLE_OK
    while let easy = unsafe ccurl_multi_next_ended(multi, &code) {
      guard let transfer = unsafe transfers[easy] else { continue }
      unsafe end(transfer, transfer.result(code), &transfers)
    }
  }

  private func endOverdue(_ transfers: inout [UnsafeMutableRawPointer: Transfer], _ now: Int64) {
    for transfer in unsafe transfers.values.filter({ $0.plan.deadline <= now }) {
      unsafe end(transfer, .failure(transfer.overdue()), &transfers)
    }
  }

  private func end(
    _ transfer: Transfer, _ result: Result<HTTPReply, HTTPFailure>,
    _ transfers: inout [UnsafeMutableRawPointer: Transfer]
  ) {
    _ = unsafe curl_multi_remove_handle(multi, transfer.easy)
    unsafe transfers[transfer.easy] = nil
    settle(transfer.ticket, result)
  }

  private func settle(_ ticket: Ticket<Result<HTTPReply, HTTPFailure>>, _ result: Result<HTTPReply, HTTPFailure>) {
    inbox.withLock { $0.transfers -= 1 }
    ticket.resume(result)
  }

  private func finish(_ transfers: inout [UnsafeMutableRawPointer: Transfer], _ stopWaiters: [Ticket<Bool>]) {
    let late = inbox.withLock { inbox in
      inbox.isClosed = true
      defer { inbox.orders = [] }
      return inbox.orders
    }
    for transfer in unsafe Array(transfers.values) {
      unsafe end(transfer, .failure(Self.cancelled(mayHaveBeenSent: transfer.wasSent)), &transfers)
    }
    for order in late {
      switch order {
      case .start(_, let ticket): settle(ticket, .failure(Self.cancelled(mayHaveBeenSent: false)))
      case .cancel: break
      case .ping(let ticket): ticket.resume(false)
      case .stop(let ticket): ticket?.resume(true)
      }
    }
    for waiter in stopWaiters { waiter.resume(true) }
  }
}
