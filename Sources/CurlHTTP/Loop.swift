/// The thread that drives every transfer: takes commands, keeps deadlines, lets waiting requests in, asks curl.
import CCurl
import ConnectionCore

@safe final class Loop {
  /// Milliseconds of one wait: deadlines are kept by the boot clock, poll's own timeout stands still in suspend.
  private static let waitMillisecondsMax: Int64 = 37_000

  private let core: LoopCore
  /// All of them, under way or waiting.
  private var transfers: [ObjectIdentifier: Transfer] = [:]
  /// In the multi handle, by their easy handles.
  private var running: [EasyHandle.ID: Transfer] = [:]
  private var runningPerHost: [String: Int] = [:]
  /// Of those in the multi handle, the ones whose body somebody reads as it comes.
  private var streams: [EasyHandle.ID: Transfer] = [:]
  /// Streams that wait for their readers: their connections are open, and their places are given to others.
  private var pausedCount = 0
  /// In the order of arrival; those that are not in `transfers` any more are skipped.
  private var waiting: [Transfer] = []
  /// No deadline is before it.
  private var nextDeadline = Int64.max
  private var isStopping = false

  init(_ core: LoopCore) { self.core = core }

  func run() {
    var commands: [Command] = []
    while true {
      core.take(&commands)
      for command in commands { obey(command) }
      if isStopping { return cancelAll() }
      expire(at: ccurl_boot_milliseconds())
      letIn()
      var count: Int32 = 0
      let code = unsafe curl_multi_perform(core.multi, &count)
      precondition(code == CURLM_OK, "curl_multi_perform fails only for want of memory or a bad handle")
      #if FAULT_POINTS
        for transfer in running.values where transfer.hasJustBeenSent { core.sent?(transfer.plan.request) }
      #endif
      let hasRoom = countPauses()
      if finish() || (hasRoom && !waiting.isEmpty) { continue }
      let wait = min(Self.waitMillisecondsMax, max(0, nextDeadline - ccurl_boot_milliseconds()))
      _ = unsafe curl_multi_poll(core.multi, nil, 0, Int32(wait), nil)
    }
  }

  private func obey(_ command: Command) {
    switch command {
    case .start(let plan, let ticket, let flow):
      guard transfers.count < core.transfersMax else {
        let detail = "\(plan.target.authority) is not asked: \(core.transfersMax) requests are under way"
        ticket.resume(.failure(HTTPFailure(.connect, detail: detail, mayHaveBeenSent: false)))
        return
      }
      let transfer = Transfer(plan, ticket, flow, now: ccurl_boot_milliseconds())
      transfers[ObjectIdentifier(ticket)] = transfer
      waiting.append(transfer)
      nextDeadline = min(nextDeadline, transfer.deadline)
    case .goOn(let ticket):
      // Otherwise it has ended.
      guard let transfer = transfers[ObjectIdentifier(ticket)], let easy = transfer.easy else { return }
      transfer.goOn(now: ccurl_boot_milliseconds())
      nextDeadline = min(nextDeadline, transfer.deadline)
      _ = countPauses()
      // The bytes that curl kept come from within this call; its failure is no transfer's end for curl.
      let code = unsafe curl_easy_pause(easy.handle, CURLPAUSE_CONT)
      guard code != CURLE_OK else { return }
      takeOut(transfer)
      if case .finished(let result) = transfer.ended(code) { conclude(transfer, result) }
    case .cancel(let ticket):
      guard let transfer = transfers[ObjectIdentifier(ticket)] else { return }  // it has ended
      giveUp(transfer, .cancelled, "\(transfer.target.authority): the request was cancelled")
    case .ping(let ticket):
      ticket.resume(true)
    case .stop:
      isStopping = true
    }
  }

  private func expire(at now: Int64) {
    guard now >= nextDeadline else { return }
    for transfer in transfers.values.filter({ $0.deadline <= now }) {
      giveUp(transfer, .timeout, transfer.lateness)
    }
    nextDeadline = transfers.values.map(\.deadline).min() ?? .max
  }

  /// Starts what has waited and for which there is room now.
  private func letIn() {
    guard !waiting.isEmpty, running.count - pausedCount < core.connectionsTotal else { return }
    var stillWaiting: [Transfer] = []
    for transfer in waiting where transfers[ObjectIdentifier(transfer.ticket)] === transfer {
      let host = transfer.target.authority
      if running.count - pausedCount < core.connectionsTotal, runningPerHost[host, default: 0] < core.connectionsPerHost
      {
        add(transfer, host)
      } else {
        stillWaiting.append(transfer)
      }
    }
    waiting = stillWaiting
  }

  private func add(_ transfer: Transfer, _ host: String) {
    let easy: EasyHandle
    do {
      easy = try transfer.prepare()
    } catch {
      conclude(transfer, .failure(error))
      return
    }
    let code = unsafe curl_multi_add_handle(core.multi, easy.handle)
    guard code == CURLM_OK else {
      let words = unsafe String(cString: curl_multi_strerror(code))
      conclude(transfer, transfer.givenUp(.badRequest, "\(host): the request cannot be made: \(words)"))
      return
    }
    running[easy.id] = transfer
    if transfer.isStream { streams[easy.id] = transfer }
    runningPerHost[host, default: 0] += 1
  }

  /// A transfer that waits for its reader does not load its server: its place is another's, as long as not too many wait.
  /// - Returns: whether a place has become free.
  private func countPauses() -> Bool {
    var hasRoom = false
    for transfer in streams.values where transfer.isPaused == transfer.hasPlace {
      guard !transfer.isPaused || pausedCount < core.pausedMax else { continue }
      hasRoom = hasRoom || transfer.isPaused
      let host = transfer.target.authority
      transfer.hasPlace = !transfer.isPaused
      pausedCount += transfer.isPaused ? 1 : -1
      changePlaces(host, by: transfer.isPaused ? -1 : 1)
    }
    return hasRoom
  }

  private func changePlaces(_ host: String, by change: Int) {
    let count = runningPerHost[host, default: 0] + change
    runningPerHost[host] = count == 0 ? nil : count
  }

  /// - Returns: whether a transfer has ended, so that another may have room.
  private func finish() -> Bool {
    var hasEnded = false
    var code = CURLE_OK
    while let handle = unsafe ccurl_multi_next_ended(core.multi, &code) {
      guard let transfer = running[EasyHandle.ID(bitPattern: handle)] else {
        preconditionFailure("curl ends what was not started")
      }
      hasEnded = true
      takeOut(transfer)
      switch transfer.ended(code) {
      case .finished(let result): conclude(transfer, result)
      case .next: waiting.append(transfer)
      }
    }
    return hasEnded
  }

  private func giveUp(_ transfer: Transfer, _ kind: HTTPFailure.Kind, _ detail: String) {
    takeOut(transfer)
    conclude(transfer, transfer.givenUp(kind, detail))
  }

  private func takeOut(_ transfer: Transfer) {
    guard let easy = transfer.easy, running.removeValue(forKey: easy.id) != nil else { return }
    let code = unsafe curl_multi_remove_handle(core.multi, easy.handle)
    precondition(code == CURLM_OK, "curl_multi_remove_handle fails only for a handle that is none of ours")
    streams[easy.id] = nil
    if transfer.hasPlace { changePlaces(transfer.target.authority, by: -1) } else { pausedCount -= 1 }
  }

  private func conclude(_ transfer: Transfer, _ result: Result<HTTPReply, HTTPFailure>) {
    transfers[ObjectIdentifier(transfer.ticket)] = nil
    transfer.tell(result)
  }

  private func cancelAll() {
    for transfer in Array(transfers.values) {
      giveUp(transfer, .cancelled, "\(transfer.target.authority): fhird is stopping")
    }
  }
}
