/// Who is at the other end of a socket, and that a process which has gone, or another one with its pid, gets no unit.
import Foundation
import Glibc
import Testing

@testable import DispatchSupport

@Suite struct PeerIdentityTests {
  private static let kernelRecords = [true, false]

  /// A process of its own, connected to a socket of ours. Perl is essential on Debian.
  private final class Stranger {
    let process = Process()
    let accepted: Descriptor

    init() throws {
      let path = NSTemporaryDirectory() + "peer-\(UUID().uuidString.prefix(8)).sock"
      defer { unlink(path) }
      let listener = Descriptor(owning: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
      let bound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(listener.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      try #require(bound == 0 && listen(listener.number, 1) == 0)
      process.executableURL = URL(fileURLWithPath: "/usr/bin/perl")
      process.arguments = [
        "-MIO::Socket::UNIX", "-e", "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; sleep 60", path,
      ]
      try process.run()
      var entry = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
      try #require(poll(&entry, 1, 10_000) == 1)
      accepted = Descriptor(owning: accept(listener.number, nil, nil))
    }

    func end() {
      kill(process.processIdentifier, SIGKILL)
      let deadline = bootMilliseconds() + 10_000
      // Foundation's own wait needs a run loop, which a test has not.
      while process.isRunning, bootMilliseconds() < deadline { usleep(1000) }  // the pace of a poll with a deadline
    }

    deinit { end() }
  }

  @Test func `a peer in this process is seen with our ids and groups`() throws {
    var ends: [Int32] = [0, 0]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { ends.forEach { close($0) } }
    let peer = try PeerIdentity(of: ends[0]) { _ in "our.service" }
    #expect(peer.uid == geteuid())
    #expect(peer.gid == getegid())
    #expect(peer.pid == getpid())
    #expect(peer.unit == "our.service")
    var groups = [gid_t](repeating: 0, count: 1024)
    let count = getgroups(1024, &groups)
    #expect(Set(peer.groups) == Set(groups.prefix(Int(count))).union([getegid()]))
    #expect(peer.groups.first == getegid())
    #expect(peer.groups.count == Set(peer.groups).count)
  }

  @Test(arguments: kernelRecords)
  func `another process is seen with its own pid, and its unit counts while it lives`(_ kernelRecord: Bool) throws {
    let stranger = try Stranger()
    let peer = try PeerIdentity(of: stranger.accepted.number, trustKernelRecord: kernelRecord) { "unit-of-\($0)" }
    #expect(peer.pid == stranger.process.processIdentifier)
    #expect(peer.unit == "unit-of-\(stranger.process.processIdentifier)")
  }

  @Test(arguments: kernelRecords)
  func `a process that ends during the lookup has no unit`(_ kernelRecord: Bool) throws {
    let stranger = try Stranger()
    let pid = stranger.process.processIdentifier
    let peer = try PeerIdentity(of: stranger.accepted.number, trustKernelRecord: kernelRecord) { asked in
      // The pid is free from here on; what the lookup says may be another process's unit.
      kill(asked, SIGKILL)
      var status: siginfo_t = siginfo_t()
      waitid(P_PID, id_t(asked), &status, WEXITED | WNOWAIT)
      return "unit-of-whoever-has-\(asked)"
    }
    #expect(peer.pid == pid)
    #expect(peer.unit == nil)
  }

  @Test(arguments: kernelRecords)
  func `a process that has gone before the lookup is not looked up or has no unit`(_ kernelRecord: Bool) throws {
    let stranger = try Stranger()
    stranger.end()
    let peer = try PeerIdentity(of: stranger.accepted.number, trustKernelRecord: kernelRecord) { _ in "unit" }
    #expect(peer.unit == nil)
    #expect(peer.uid == geteuid())
  }

  @Test func `a descriptor that is no socket is an error with its words`() {
    #expect(throws: LinuxError(operation: "getsockopt SO_PEERCRED", number: ENOTSOCK)) {
      try PeerIdentity(of: 0) { _ in nil }
    }
  }
}
