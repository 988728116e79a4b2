/// Where the core meets its adapters. A test build can put fault points there; in a release build nothing stands between.
import ConnectionCore
import CurlHTTP
import Glibc
import LMDBStore
import SystemdHost

struct Seams: Sendable {
  #if FAULT_POINTS
    private let faults: FaultPoints?

    init(_ environment: [String: String], _ log: JournalLog) throws(StartFailure) {
      guard let text = environment[FaultPoints.variable], !text.isEmpty else {
        faults = nil
        return
      }
      guard let faults = FaultPoints(text) else {
        throw StartFailure(
          "\(FaultPoints.variable) names no step",
          cure: "use one of \(FaultPoint.allCases.map(\.rawValue).joined(separator: " ")), with :2 for the second time",
          status: EX_CONFIG)
      }
      log.record(
        .warning, "this process will kill itself: it is a test",
        [.event: "fault_point", .detail: faults.point.rawValue])
      self.faults = faults
    }

    var storeOptions: LMDBStore.Options {
      var options = LMDBStore.Options()
      if let faults { options.written = { faults.reached(FaultPoint.commit($0)?.written) } }
      return options
    }

    func records(_ store: LMDBStore) -> any RecordStore {
      faults.map { FaultyStore(store: store, faults: $0) } ?? store
    }

    func transport(_ options: CurlHTTP.Options) -> CurlHTTP.Options {
      var options = options
      if let faults { options.sent = { faults.reached(FaultPoint.request($0)?.sent) } }
      return options
    }

    func requests(_ http: CurlHTTP) -> any HTTPClient { faults.map { FaultyHTTP(http: http, faults: $0) } ?? http }

    func control(_ options: ControlOptions) -> ControlOptions {
      var options = options
      if let faults { options.answered = { faults.reached(FaultPoint.answer($0)?.given) } }
      return options
    }

    func handler(_ commands: Commands) -> any CommandHandler {
      faults.map { FaultyCommands(commands: commands, faults: $0) } ?? commands
    }
  #else
    init(_: [String: String], _: JournalLog) throws(StartFailure) {}
    var storeOptions: LMDBStore.Options { LMDBStore.Options() }
    func records(_ store: LMDBStore) -> any RecordStore { store }
    func transport(_ options: CurlHTTP.Options) -> CurlHTTP.Options { options }
    func requests(_ http: CurlHTTP) -> any HTTPClient { http }
    func control(_ options: ControlOptions) -> ControlOptions { options }
    func handler(_ commands: Commands) -> any CommandHandler { commands }
  #endif
}
