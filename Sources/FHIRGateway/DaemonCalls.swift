/// The calls that the gateway makes of the daemon: these and no others, each on a thread that may wait.
import FHIRClient
import FHIRControl
import NIOPosix
import Synchronization

final class DaemonCalls: Sendable {
  private struct Lane: @unchecked Sendable {  // one call at a time: it is out of `idle` while a call uses it
    let client: FHIRClient
  }
  private struct State {
    var idle: [Lane] = []
    var calls = 0
  }

  private let socketPath: String?
  private let threads: NIOThreadPool
  private let state = Mutex(State())

  init(socketPath: String?) {
    self.socketPath = socketPath
    // FHIRClient blocks; Swift's own threads are one for each processor and must not.
    threads = NIOThreadPool(numberOfThreads: Limits.callsMax)
    threads.start()
  }

  func complete(_ parameters: AuthorizationCompleteParameters) async throws(ClientError) -> AuthorizationStatus {
    try await call(.authorizationComplete, parameters, seconds: Limits.completeSeconds)
  }

  func start(_ parameters: AuthorizationStartParameters) async throws(ClientError) -> AuthorizationStart {
    try await call(.authorizationStart, parameters, seconds: Limits.launchSeconds)
  }

  func keys() async throws(ClientError) -> JWKSet {
    try await call(.jwksGet, KeyListParameters(), seconds: Limits.answerSeconds)
  }

  /// Open to every local caller: tells whether the daemon answers.
  func info() async throws(ClientError) -> ServerInfo {
    try await call(.serverInfo, NoParameters(), seconds: Limits.answerSeconds)
  }

  func stop() { threads.shutdownGracefully { _ in } }

  private func call<P: ControlParameters & Sendable, R: Decodable & Sendable>(
    _ method: ControlMethod, _ parameters: P, seconds: Double
  ) async throws(ClientError) -> R {
    let lane: Lane? = state.withLock { state in
      guard state.calls < Limits.callsMax else { return nil }
      state.calls += 1
      return state.idle.popLast() ?? Lane(client: FHIRClient(socketPath: socketPath))
    }
    guard let lane else { throw ClientError(ControlError(.overloaded, "the gateway has too many calls under way")) }
    defer {
      state.withLock { state in
        state.calls -= 1
        state.idle.append(lane)
      }
    }
    let answer: Result<R, ClientError>
    do {
      answer = try await threads.runIfActive {
        do throws(ClientError) {
          return .success(try lane.client.call(method, parameters, timeoutSeconds: seconds))
        } catch {
          return .failure(error)
        }
      }
    } catch {
      // Only a pool that was stopped throws here.
      throw ClientError(.connectionLost, "the gateway is shutting down")
    }
    return try answer.get()
  }
}
