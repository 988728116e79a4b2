/// Starts real programs for the integration tests and watches them: own process group, output to files, no shell.
import FoundationEssentials
import Glibc
import Synchronization

/// Runs blocking work away from Swift's cooperative threads, of which a small machine has two.
package func blockingWork<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    let job = Unmanaged.passRetained(ThreadJob { continuation.resume(with: Result { try work() }) })
    var thread = pthread_t()
    let rc = pthread_create(
      &thread, &attributes,
      { context in
        Unmanaged<ThreadJob>.fromOpaque(context!).takeRetainedValue().run()
        return nil
      }, job.toOpaque())
    if rc != 0 {
      job.release()
      continuation.resume(throwing: IntegrationFailure("no thread: \(String(cString: strerror(rc)))"))
    }
  }
}

private final class ThreadJob: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Why a test's world did not come to be, or did not answer in time.
package struct IntegrationFailure: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// Seconds of the monotonic clock: for deadlines.
package func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Asks again and again until the answer is not nil.
/// - Throws: `IntegrationFailure` naming what was waited for, after `seconds`.
package func eventually<T>(
  _ what: String, within seconds: Double = 20, every pause: Double = 0.02, _ ask: () async throws -> T?
) async throws -> T {
  let deadline = monotonicSeconds() + seconds
  while true {
    if let answer = try await ask() { return answer }
    guard monotonicSeconds() < deadline else { throw IntegrationFailure("not within \(seconds) s: \(what)") }
    try await Task.sleep(nanoseconds: UInt64(pause * 1e9))
  }
}

/// How a process ended.
package enum ProcessEnd: Sendable, Equatable {
  case exited(Int32)
  case signalled(Int32)
}

package final class ChildProcess: Sendable {
  package let pid: Int32
  package let outputPath: String
  package let errorPath: String
  private let inputWriter: Mutex<Int32>
  private let ended = Mutex<(end: ProcessEnd, core: Bool)?>(nil)

  /// - Parameters:
  ///   - environment: the whole environment; nothing is inherited.
  ///   - input: what to write to its standard input; nil keeps the input open until `closeInput`.
  package init(
    _ executable: String, _ arguments: [String], environment: [String: String], outputPath: String, errorPath: String,
    input: String? = ""
  ) throws {
    var ends: [Int32] = [-1, -1]
    // A socket pair and not a pipe: it is close-on-exec from the start, so that no other child keeps it open.
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw IntegrationFailure("no socket pair: \(String(cString: strerror(errno)))")
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
    posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Signal dispositions of the test runner (SIGPIPE ignored, say) must not become the program's.
    var defaults = sigset_t()
    sigemptyset(&defaults)
    for signal in [SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD] { sigaddset(&defaults, signal) }
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    posix_spawnattr_setpgroup(&attributes, 0)

    let argv = ([executable] + arguments).map { strdup($0) } + [nil]
    let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var child: pid_t = 0
    let rc = posix_spawn(&child, executable, &actions, &attributes, argv, envp)
    close(ends[0])
    guard rc == 0 else {
      close(ends[1])
      throw IntegrationFailure("cannot start \(executable): \(String(cString: strerror(rc)))")
    }
    pid = child
    self.outputPath = outputPath
    self.errorPath = errorPath
    inputWriter = Mutex(ends[1])
    if let input {
      writeInput(input)
      closeInput()
    }
  }

  deinit {
    closeInput()
    // A child that nobody waited for must not outlive its test.
    if end() == nil {
      killpg(pid, SIGKILL)
      var status: Int32 = 0
      waitpid(pid, &status, 0)
    }
  }

  package func writeInput(_ text: String) {
    inputWriter.withLock { fd in
      guard fd >= 0 else { return }
      var bytes = Array(text.utf8)[...]
      while !bytes.isEmpty {
        let n = bytes.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard n > 0 else { return }
        bytes = bytes.dropFirst(n)
      }
    }
  }

  package func closeInput() {
    inputWriter.withLock { fd in
      if fd >= 0 { close(fd) }
      fd = -1
    }
  }

  /// How it ended, or nil while it runs.
  @discardableResult
  package func end() -> ProcessEnd? {
    ended.withLock { known in
      if let known { return known.end }
      var status: Int32 = 0
      guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
      let signal = status & 0x7f
      let end = signal == 0 ? ProcessEnd.exited((status >> 8) & 0xff) : .signalled(signal)
      // wait(2): the bit that WCOREDUMP reads.
      known = (end, signal != 0 && status & 0x80 != 0)
      return end
    }
  }

  /// It has ended and the kernel wrote its memory to a core file.
  package var droppedCore: Bool { ended.withLock { $0?.core ?? false } }

  package func send(signal: Int32) { if end() == nil { kill(pid, signal) } }

  /// Waits until it has ended.
  @discardableResult
  package func waitForEnd(within seconds: Double = 30) async throws -> ProcessEnd {
    try await eventually("the end of process \(pid)", within: seconds, every: 0.005) { end() }
  }

  package var output: String { Self.text(of: outputPath) }
  package var standardError: String { Self.text(of: errorPath) }

  package static func text(of path: String) -> String {
    guard let data = FileManager.default.contents(atPath: path) else { return "" }
    return String(decoding: data, as: UTF8.self)
  }
}

/// What a finished program said.
package struct ProgramResult: Sendable {
  package let end: ProcessEnd
  package let output: String
  package let error: String
  package var succeeded: Bool { end == .exited(0) }
}

/// Runs a program to its end.
package func runProgram(
  _ executable: String, _ arguments: [String], environment: [String: String] = TestMachine.plainEnvironment,
  input: String = "", within seconds: Double = 60
) async throws -> ProgramResult {
  let directory = try TestMachine.makeDirectory()
  defer { TestMachine.remove(directory) }
  let child = try ChildProcess(
    executable, arguments, environment: environment, outputPath: directory + "/out", errorPath: directory + "/err",
    input: input)
  let end: ProcessEnd
  do {
    end = try await child.waitForEnd(within: seconds)
  } catch {
    killpg(child.pid, SIGKILL)
    throw IntegrationFailure("\(executable) did not end within \(seconds) s; it said: \(child.standardError)")
  }
  return ProgramResult(end: end, output: child.output, error: child.standardError)
}
