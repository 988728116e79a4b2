/// The unit of a process from its control group, as the kernel shows it in /proc.
import Foundation
import Glibc
import Testing

@testable import SystemdHost

@Suite struct UnitLookupTests {
  @Test(arguments: [0, -1, Int32.min, Int32.max])
  func `what is no process is in no unit`(pid: Int32) {
    #expect(UnitLookup.unit(ofProcess: pid) == nil)
  }

  @Test(.enabled(if: PrivateMounts.arePossible, "needs CAP_SYS_ADMIN"))
  func `the system unit is found, and nothing that a process could call itself`() async {
    await #expect(processExitsWith: .success) {
      let cases: [(String, String?)] = [
        ("/system.slice/backup.service", "backup.service"),
        ("/system.slice/system-lab.slice/lab@7.service", "lab@7.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service", "user@1000.service"),
        ("/system.slice/own.service/backup.service", "own.service"),
        ("/system.slice/own.service/../backup.service", "own.service"),
        ("/backup.service", "backup.service"),
        ("/system.slice", nil),
        ("/", nil),
        ("/../other", nil),
        ("/docker/0123456789", nil),
      ]
      let directory = try makeDirectory()
      defer { removeDirectory(directory) }
      let file = "\(directory)/cgroup"
      try Data().write(to: URL(fileURLWithPath: file))
      try PrivateMounts.begin()
      try PrivateMounts.file(file, on: "/proc/\(getpid())/cgroup")
      for (group, unit) in cases {
        // Both hierarchies: the unified one, and the older one with systemd's name.
        let text = "1:name=systemd:\(group)\n0::\(group)\n"
        let handle = try #require(FileHandle(forWritingAtPath: file))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
        #expect(UnitLookup.unit(ofProcess: getpid()) == unit, "\(group)")
      }
    }
  }
}
