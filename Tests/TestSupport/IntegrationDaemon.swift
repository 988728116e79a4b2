/// The built daemon as a test's own process: a state directory, a socket and a master key of its own.
import FoundationEssentials
import Glibc
import Synchronization

package final class DaemonUnderTest: Sendable {
  package struct Options: Sendable {
    /// The most talkative level, so that what must not be said would be.
    package var logLevel = "debug"
    /// On top of a bare environment with http to loopback allowed.
    package var environment: [String: String] = [:]
    package var arguments: [String] = []
    /// Where its state goes instead of below the test's directory (a small file system, say).
    package var stateDirectory: String?
    package var socketPath: String?
    package var masterKeyPath: String?
    package init() {}
  }

  package let directory: String
  package let stateDirectory: String
  package let socketPath: String
  package let masterKeyPath: String
  package let errorPath: String
  private let executable: String
  private let options: Mutex<Options>
  private let process = Mutex<ChildProcess?>(nil)

  /// How long a start may take before the daemon answers; generous, since tests share two cores with builds.
  package static let readySeconds: Double = 30

  /// Makes its directory; starts nothing.
  package init(_ options: Options = Options()) throws {
    guard let executable = TestMachine.fhird else {
      throw IntegrationFailure("fhird is not built (swift build), and FHIRD_BIN is not set")
    }
    self.executable = executable
    directory = try TestMachine.makeDirectory()
    stateDirectory = options.stateDirectory ?? directory + "/state"
    socketPath = options.socketPath ?? directory + "/fhird.sock"
    masterKeyPath = options.masterKeyPath ?? directory + "/master.key"
    errorPath = directory + "/stderr"
    self.options = Mutex(options)
    // Other users connect in the access tests; below it everything keeps its own mode.
    chmod(directory, 0o711)
  }

  /// Changes what the next start gets.
  package func configure(_ change: @Sendable (inout Options) -> Void) { options.withLock { change(&$0) } }

  package var arguments: [String] {
    let options = options.withLock { $0 }
    return [
      "--state-dir", stateDirectory, "--socket", socketPath, "--master-key", masterKeyPath, "--log-level",
      options.logLevel,
    ] + options.arguments
  }

  package var environment: [String: String] {
    ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": directory, "FHIRD_ALLOW_INSECURE_LOOPBACK": "true"]
      .merging(options.withLock { $0.environment }) { $1 }
  }

  /// Starts it and does not wait: for starts that must fail.
  @discardableResult
  package func spawn() throws -> ChildProcess {
    let child = try ChildProcess(
      executable, arguments, environment: environment, outputPath: directory + "/stdout", errorPath: errorPath)
    process.withLock { $0 = child }
    return child
  }

  /// Starts it and waits until it answers `server.info`.
  package func start(within seconds: Double = readySeconds) async throws {
    let child = try spawn()
    let deadline = monotonicSeconds() + seconds
    while true {
      if let end = child.end() { throw IntegrationFailure("fhird ended at start (\(end)): \(tail)") }
      if let connection = try? await ControlConnection(path: socketPath),
        (try? await connection.call("server.info", within: 5))?.succeeded == true
      {
        return
      }
      guard monotonicSeconds() < deadline else {
        child.send(signal: SIGKILL)
        throw IntegrationFailure("fhird was not ready within \(seconds) s: \(tail)")
      }
      try await Task.sleep(nanoseconds: 10_000_000)
    }
  }

  /// Starts it, expecting that it refuses to.
  package func startRefused(within seconds: Double = readySeconds) async throws -> (end: ProcessEnd, said: String) {
    let before = standardError.utf8.count
    let end = try await spawn().waitForEnd(within: seconds)
    return (end, String(decoding: Array(standardError.utf8.dropFirst(before)), as: UTF8.self))
  }

  package var pid: Int32? { process.withLock { $0?.end() == nil ? $0?.pid : nil } }
  package var isRunning: Bool { pid != nil }
  package var child: ChildProcess? { process.withLock { $0 } }

  package func send(signal: Int32) { process.withLock { $0 }?.send(signal: signal) }

  /// `kill -9`, and waits until it is gone.
  package func killHard() async throws {
    guard let child = process.withLock({ $0 }) else { return }
    child.send(signal: SIGKILL)
    try await child.waitForEnd(within: 20)
  }

  /// SIGTERM, and how it ended.
  @discardableResult
  package func terminate(within seconds: Double = 30) async throws -> ProcessEnd {
    guard let child = process.withLock({ $0 }) else { throw IntegrationFailure("fhird was never started") }
    child.send(signal: SIGTERM)
    return try await child.waitForEnd(within: seconds)
  }

  /// Ends it in whatever way it takes, and removes its directory.
  package func cleanUp() async {
    if isRunning {
      send(signal: SIGKILL)
      _ = try? await process.withLock { $0 }?.waitForEnd(within: 20)
    }
    TestMachine.remove(directory)
  }

  package func connect() async throws -> ControlConnection { try await ControlConnection(path: socketPath) }

  package var standardError: String { ChildProcess.text(of: errorPath) }

  /// The end of what it said, for failures.
  package var tail: String { standardError.split(separator: "\n").suffix(15).joined(separator: "\n") }

  /// What the kernel shows of the running process: `environ` or `cmdline`.
  package func procFile(_ name: String) -> [UInt8] {
    guard let pid, let data = FileManager.default.contents(atPath: "/proc/\(pid)/\(name)") else { return [] }
    return Array(data)
  }

  /// Resident memory in KiB.
  package var residentKiB: Int? {
    String(decoding: procFile("status"), as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("VmRSS:") }?.split(separator: " ").compactMap { Int($0) }.first
  }

  /// fhirctl against this daemon.
  package func fhirctl(
    _ arguments: [String], input: String = "", within seconds: Double = 60
  ) async throws -> ProgramResult {
    guard let fhirctl = TestMachine.fhirctl else {
      throw IntegrationFailure("fhirctl is not built (swift build), and FHIRCTL_BIN is not set")
    }
    return try await runProgram(
      fhirctl, ["--socket", socketPath] + arguments,
      environment: ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "NO_COLOR": "1", "HOME": directory], input: input,
      within: seconds)
  }
}
