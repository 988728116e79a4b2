/// Runs the built fhirctl as a child process, on pipes or on a pseudo terminal.
import Dispatch
import Foundation
import Glibc
import Testing

/// What a run gave.
struct Outcome {
  var status: Int32
  var output: String
  var errors: String
  var lines: [String] { output.split(separator: "\n").map(String.init) }
}

enum Child {
  /// A run that takes longer hangs; the machine may be busy.
  static let secondsMax: Double = 60

  /// Beside the test bundle, where the build put both.
  static let program: URL = {
    let here = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let candidates = [here, root.appendingPathComponent(".build/debug")]
    let found = candidates.map { $0.appendingPathComponent("fhirctl") }
    return found.first { FileManager.default.isExecutableFile(atPath: $0.path) } ?? found[0]
  }()

  static let environment = ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"]

  static func process(_ socket: String?, _ arguments: [String], _ environment: [String: String]) -> Process {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.environment = Self.environment.merging(environment) { $1 }
    if let socket { process.environment?["FHIRD_SOCKET"] = socket }
    return process
  }

  static func run(
    _ socket: String?, _ arguments: String..., input: String = "", environment: [String: String] = [:]
  ) throws -> Outcome {
    try run(process(socket, arguments, environment), input: input)
  }

  static func run(_ process: Process, input: String = "") throws -> Outcome {
    let (stdin, stdout, stderr) = (Pipe(), Pipe(), Pipe())
    process.standardInput = stdin
    process.standardOutput = stdout
    process.standardError = stderr
    try process.start()
    try stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try stdin.fileHandleForWriting.close()
    let watchdog = Watchdog(process)
    defer { watchdog.end() }
    let errors = Reader(stderr.fileHandleForReading)
    let output = stdout.fileHandleForReading.readDataToEndOfFile()
    let complaints = errors.wait()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: String(decoding: output, as: UTF8.self), errors: String(decoding: complaints, as: UTF8.self))
  }
}

/// Reads a pipe to its end on a thread of its own.
final class Reader: @unchecked Sendable {  // written before the semaphore is signalled, read after
  private let done = DispatchSemaphore(value: 0)
  private var data = Data()

  init(_ handle: FileHandle) {
    let descriptor = dup(handle.fileDescriptor)
    Thread.detachNewThread { [self] in
      var chunk = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        // A terminal whose other side is closed gives EIO.
        guard count > 0 else { break }
        data += chunk[..<count]
      }
      close(descriptor)
      done.signal()
    }
  }

  func wait() -> Data {
    done.wait()
    return data
  }
}

/// Kills a child that hangs.
final class Watchdog: @unchecked Sendable {  // a semaphore is made for several threads
  private let ended = DispatchSemaphore(value: 0)

  init(_ process: Process) {
    let pid = process.processIdentifier
    Thread.detachNewThread { [self] in
      if ended.wait(timeout: .now() + Child.secondsMax) == .timedOut {
        kill(pid, SIGKILL)
      }
    }
  }

  func end() { ended.signal() }
}

/// A pseudo terminal: the child has the one end, the test types and looks at the other.
final class Terminal {
  let master: Int32
  private let slave: Int32
  let end: FileHandle
  private(set) var seen = ""

  /// TIOCSPTLCK and TIOCGPTN of asm-generic/ioctls.h.
  private static let unlock: UInt = 0x4004_5431
  private static let numberOf: UInt = 0x8004_5430

  init(rows: UInt16 = 24, columns: UInt16 = 80) throws {
    // What posix_openpt(3) does: Swift's Glibc module leaves it out.
    let mine = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    try #require(mine >= 0)
    var locked: Int32 = 0
    var number: UInt32 = 0
    try #require(ioctl(mine, Self.unlock, &locked) == 0)
    try #require(ioctl(mine, Self.numberOf, &number) == 0)
    let theirs = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
    try #require(theirs >= 0)
    var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(mine, UInt(TIOCSWINSZ), &size)
    master = mine
    slave = theirs
    end = FileHandle(fileDescriptor: theirs, closeOnDealloc: false)
  }

  deinit {
    close(slave)
    close(master)
  }

  var echoes: Bool {
    var settings = termios()
    tcgetattr(slave, &settings)
    return settings.c_lflag & tcflag_t(ECHO) != 0
  }

  func type(_ text: String) {
    _ = text.withCString { write(master, $0, strlen($0)) }
  }

  /// Waits until the text has appeared.
  func see(_ text: String) -> Bool { wait { seen.contains(text) } }

  /// Reads on, as a terminal does, until something is so.
  func wait(until condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(Child.secondsMax)
    while !condition(), ContinuousClock.now < end { look(milliseconds: 100) }
    return condition()
  }

  /// Everything that has appeared by now.
  func drain() -> String {
    while look(milliseconds: 0) {}
    return seen
  }

  @discardableResult private func look(milliseconds: Int32) -> Bool {
    var item = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
    guard poll(&item, 1, milliseconds) > 0 else { return false }
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = read(master, &chunk, chunk.count)
    guard count > 0 else { return false }
    seen += String(decoding: chunk[..<count], as: UTF8.self)
    return true
  }
}

extension Process {
  /// Starts it with no signal blocked: the threads that tests run on block them all, and children inherit that.
  func start() throws {
    var none = sigset_t()
    var before = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try run()
  }
}
