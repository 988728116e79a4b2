/// Kills the process at a named step, in test builds: decorators around the store, the transport and the commands.
#if FAULT_POINTS
  import ConnectionCore
  import CurlHTTP
  import FHIRControl
  import Glibc
  import LMDBStore
  import Synchronization

  /// `FHIRD_FAULT_POINT=refresh.request_sent:3`: the third time that a request of a refresh has been sent, the process ends
  /// as `kill -9` would end it. Without `:3`: the first time.
  final class FaultPoints: Sendable {
    static let variable = "FHIRD_FAULT_POINT"

    let point: FaultPoint
    private let timesLeft: Mutex<Int>

    /// nil: the text names no step.
    init?(_ text: String) {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 2, let point = FaultPoint(rawValue: String(parts[0])),
        let times = parts.count == 1 ? 1 : Int(parts[1]), times > 0
      else { return nil }
      self.point = point
      timesLeft = Mutex(times)
    }

    func reached(_ reached: FaultPoint?) {
      guard reached == point else { return }
      let isTime = timesLeft.withLock { left in
        left -= 1
        return left == 0
      }
      guard isTime else { return }
      kill(getpid(), SIGKILL)
      while true { pause() }
    }
  }

  struct FaultyStore: RecordStore {
    let store: LMDBStore
    let faults: FaultPoints

    func value(at address: RecordAddress) throws(StoreError) -> [UInt8]? { try store.value(at: address) }

    func page(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [StoredRecord] {
      try store.page(of: table, prefix: prefix, after: key, limit: limit)
    }

    func keys(of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int) throws(StoreError) -> [[UInt8]] {
      try store.keys(of: table, prefix: prefix, after: key, limit: limit)
    }

    func count(of table: Table) throws(StoreError) -> Int { try store.count(of: table) }

    func commit(_ batch: RecordBatch) async throws(StoreError) {
      let commit = FaultPoint.commit(batch)
      faults.reached(commit?.sealed)
      try await store.commit(batch)
      faults.reached(commit?.committed)
    }
  }

  struct FaultyHTTP: HTTPClient {
    let http: CurlHTTP
    let faults: FaultPoints

    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
      let steps = FaultPoint.request(request)
      faults.reached(steps?.made)
      let reply = try await http.send(request)
      faults.reached(steps?.received)
      return reply
    }

    func stream(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPStream { try await http.stream(request) }
  }

  struct FaultyCommands: CommandHandler {
    let commands: Commands
    let faults: FaultPoints

    func result(of call: ControlCall) async throws(ControlError) -> [UInt8] {
      let result = try await commands.result(of: call)
      faults.reached(FaultPoint.answer(call.method)?.ready)
      return result
    }
  }
#endif
