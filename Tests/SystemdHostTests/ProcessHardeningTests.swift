/// What the hardened process looks like to itself and to the kernel; in a process of its own.
import CSystemd
import Glibc
import Testing

@testable import SystemdHost

@Suite struct ProcessHardeningTests {
  private static func limit(_ name: String) throws -> [Substring] {
    var bytes = [UInt8](repeating: 0, count: 8192)
    let file = open("/proc/self/limits", O_RDONLY)
    defer { close(file) }
    let count = read(file, &bytes, bytes.count)
    let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n")
    let line = try #require(lines.first { $0.hasPrefix(name) })
    return line.dropFirst(name.count).split(separator: " ").prefix(2).map { $0 }
  }

  @Test func `no dump, no core file, private files, all descriptors, no death by a closed pipe`() async {
    await #expect(processExitsWith: .success) {
      var files = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
      files.rlim_cur = min(64, files.rlim_max)
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
      umask(0o022)
      #expect(csystemd_dumpable() == 1)

      #expect(ProcessHardening.apply() == [])

      #expect(csystemd_dumpable() == 0)
      #expect(try Self.limit("Max core file size") == ["0", "0"])
      let expected = min(files.rlim_max, ProcessHardening.descriptorsMax)
      #expect(try Self.limit("Max open files").first == "\(expected)")
      #expect(umask(0) == 0o077)
      var ends: [Int32] = [0, 0]
      try #require(pipe(&ends) == 0)
      close(ends[0])
      #expect(write(ends[1], "x", 1) == -1 && errno == EPIPE)
    }
  }

  @Test(
    arguments: [
      (1024, 524_288, 524_288), (1024, rlim_t.max, 1 << 20), (20_000, 20_000, 20_000), (2 << 20, 4 << 20, 2 << 20),
    ] as [(rlim_t, rlim_t, rlim_t)])
  func `the descriptor limit is raised to the hard one, within reason, and never lowered`(
    soft: rlim_t, hard: rlim_t, expected: rlim_t
  ) {
    #expect(ProcessHardening.descriptors(soft: soft, hard: hard) == expected)
  }
}
