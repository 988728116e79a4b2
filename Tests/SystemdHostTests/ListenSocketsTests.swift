/// Sockets as systemd passes them: at descriptor 3 and up, announced in the environment. Each runs in a process of its
/// own, where these numbers are free to be taken.
import Glibc
import Testing

@testable import SystemdHost

/// Puts the descriptors at 3 and up, and announces them.
private func pass(_ descriptors: [Int32], names: String?, to pid: Int32 = getpid()) {
  // Away from the low numbers first, or one would overwrite another.
  let high = descriptors.map { fcntl($0, F_DUPFD, 200) }
  for (index, number) in high.enumerated() {
    dup2(number, 3 + Int32(index))
    close(number)
  }
  setenv("LISTEN_PID", "\(pid)", 1)
  setenv("LISTEN_FDS", "\(descriptors.count)", 1)
  if let names { setenv("LISTEN_FDNAMES", names, 1) } else { unsetenv("LISTEN_FDNAMES") }
}

private func listening(_ path: String) throws -> Int32 {
  let number = try boundSocket(SOCK_STREAM, path)
  try #require(listen(number, 8) == 0)
  return number
}

@Suite struct ListenSocketsTests {
  @Test func `the control socket is taken, others are closed and named, and nothing is announced any more`() async {
    await #expect(processExitsWith: .success) {
      let directory = try makeDirectory()
      defer { removeDirectory(directory) }
      let (a, b) = (try listening("\(directory)/a"), try listening("\(directory)/b"))
      pass([a, b, a], names: "control:metrics:control")
      let taken = try ListenSockets.take()
      #expect(taken.control == [3, 5])
      #expect(taken.closed == ["metrics"])
      #expect(!isOpen(4))
      for number in taken.control {
        #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
        #expect(fcntl(number, F_GETFL) & O_NONBLOCK != 0)
      }
      for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { #expect(getenv(name) == nil) }
      #expect(try ListenSockets.take().control == [])
    }
  }

  @Test func `sockets for another process, and none at all, are none`() async {
    await #expect(processExitsWith: .success) {
      let directory = try makeDirectory()
      defer { removeDirectory(directory) }
      for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
      #expect(try ListenSockets.take() == ListenSockets(control: [], closed: []))
      pass([try listening("\(directory)/a")], names: "control", to: 1)
      #expect(try ListenSockets.take() == ListenSockets(control: [], closed: []))
      #expect(isOpen(3))
    }
  }

  @Test func `a socket without a name is not the control socket`() async {
    await #expect(processExitsWith: .success) {
      let directory = try makeDirectory()
      defer { removeDirectory(directory) }
      pass([try listening("\(directory)/a")], names: nil)
      #expect(try ListenSockets.take() == ListenSockets(control: [], closed: ["unknown"]))
      #expect(!isOpen(3))
    }
  }

  @Test func `more names than sockets, or a number that is none, is a mistake that is told`() async {
    await #expect(processExitsWith: .success) {
      let directory = try makeDirectory()
      defer { removeDirectory(directory) }
      pass([try listening("\(directory)/a")], names: "control:metrics")
      #expect(throws: ListenSockets.Failure.self) { try ListenSockets.take() }
      setenv("LISTEN_PID", "\(getpid())", 1)
      setenv("LISTEN_FDS", "many", 1)
      #expect(throws: ListenSockets.Failure.self) { try ListenSockets.take() }
    }
  }

  /// Each a descriptor that cannot be the control socket.
  enum Wrong: CaseIterable, Sendable {
    case notListening, datagram, connected, internet, file, pipe, closed

    func make(in directory: String) throws -> [Int32] {
      var ends: [Int32] = [0, 0]
      switch self {
      case .notListening: return [try boundSocket(SOCK_STREAM, "\(directory)/x")]
      case .datagram: return [try boundSocket(SOCK_DGRAM, "\(directory)/x")]
      case .connected:
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return ends
      case .internet:
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(listen(number, 1) == 0)  // On a port of the kernel's choice.
        return [number]
      case .file: return [open("/dev/null", O_RDWR)]
      case .pipe:
        try #require(Glibc.pipe(&ends) == 0)
        return ends
      case .closed: return [-1]
      }
    }
  }

  @Test(arguments: Wrong.allCases)
  func `a control socket that cannot be one is refused with the cure, and nothing stays open`(wrong: Wrong) throws {
    let directory = try makeDirectory()
    defer { removeDirectory(directory) }
    let bad = try wrong.make(in: directory)
    let good = try listening("\(directory)/good")
    defer { bad.dropFirst().forEach { close($0) } }
    let failure = #expect(throws: ListenSockets.Failure.self) {
      try ListenSockets.sorted([("control", good), ("control", bad[0])])
    }
    #expect(failure?.description.contains("ListenStream=") == true)
    // The file stays behind, but nobody listens: the descriptor was closed. (Its number may be in use again by now.)
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(probe) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array("\(directory)/good".utf8)) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(probe, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    #expect(connected == -1 && errno == ECONNREFUSED)
  }
}
