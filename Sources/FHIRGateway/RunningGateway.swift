/// The servers of a gateway under way, for a thread that is not asynchronous: it starts them, and waits for their end.
import Dispatch
import NIOCore
import NIOPosix
import Synchronization

final class RunningGateway: Sendable {
  /// Enough for what one proxy passes on; the work is the daemon's.
  private static let threads = 2

  private let servers: [Server]
  private let ended = DispatchSemaphore(value: 0)

  var addresses: [String] { servers.map(\.address) }
  var ports: [Int] { servers.compactMap(\.port) }

  init(_ places: [Server.Place], _ gateway: Gateway, allowsAnywhere: Bool) throws(StartFailure) {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: Self.threads)
    let outcome = Mutex<Result<[Server], StartFailure>?>(nil)
    let started = DispatchSemaphore(value: 0)
    // The calling thread waits; it is none of Swift's own.
    let start: @Sendable () async -> Result<[Server], StartFailure> = {
      do {
        var servers: [Server] = []
        for place in places { servers.append(try await Server(place, gateway: gateway, group: group)) }
        guard allowsAnywhere || servers.allSatisfy(\.isLocal) else {
          return .failure(StartFailure(GatewayCommand.notLocal, cure: "see: fhird-gateway --help", exitStatus: 78))
        }
        return .success(servers)
      } catch {
        return .failure(
          StartFailure("cannot listen: \(error)", cure: "is another program on it? see: ss -ltnp", exitStatus: 69))
      }
    }
    Task {
      let result = await start()
      outcome.withLock { $0 = result }
      started.signal()
    }
    started.wait()
    guard let result = outcome.withLock({ $0 }) else { preconditionFailure("signalled without a result") }
    servers = try result.get()
    let servers = servers
    let ended = ended
    Task {
      await withDiscardingTaskGroup { group in
        for server in servers { group.addTask { await server.run() } }
      }
      ended.signal()
    }
  }

  /// Lets answers that are under way finish, for a while.
  func stop() {
    for server in servers { server.stop() }
    _ = ended.wait(timeout: .now() + .seconds(Int(Limits.drainSeconds)))
  }
}
