/// What libsystemd puts on the wire to the journal, taken from a socket at the journal's own place. Each runs in a
/// process of its own, in mounts that nobody else sees.
import ConnectionCore
import Foundation
import Glibc
import Testing

@testable import SystemdHost

/// A journal that only the calling thread sees. Source: "Native Journal Protocol", systemd.io/JOURNAL_NATIVE_PROTOCOL.
private func standInForTheJournal() throws -> Int32 {
  mkdir("/run/systemd", 0o755)
  try PrivateMounts.begin()
  try PrivateMounts.emptyDirectory("/run/systemd")
  try #require(mkdir("/run/systemd/journal", 0o755) == 0)
  return try boundSocket(SOCK_DGRAM, "/run/systemd/journal/socket")
}

@Suite(.enabled(if: PrivateMounts.arePossible, "needs CAP_SYS_ADMIN")) struct JournalEntryTests {
  @Test func `an entry is a datagram of fields, with priority and identifier, and standard error stays quiet`() async {
    await #expect(processExitsWith: .success) {
      let journal = try standInForTheJournal()
      var ends: [Int32] = [0, 0]
      try #require(pipe(&ends) == 0)
      let log = JournalLog(minimum: .info, destination: .journal, descriptor: ends[1])
      log.record(.warning, "refresh failed", [.event: "refresh_failed", .connection: "Über Praxis", .status: "503"])
      log.record(.debug, "left out", [:])
      log.record(.critical, "last", [.path: ""])
      let first = "MESSAGE=refresh failed\nPRIORITY=4\nSYSLOG_IDENTIFIER=fhird\nFHIRD_EVENT=refresh_failed\n"
      #expect(receivedText(journal) == first + "FHIRD_CONNECTION=Über Praxis\nFHIRD_STATUS=503\n")
      #expect(receivedText(journal) == "MESSAGE=last\nPRIORITY=2\nSYSLOG_IDENTIFIER=fhird\nFHIRD_PATH=\n")
      #expect(received(ends[0], deadlineMilliseconds: 0) == nil)
    }
  }

  @Test func `a value cannot add a field or another line`() async {
    await #expect(processExitsWith: .success) {
      let journal = try standInForTheJournal()
      let log = JournalLog(minimum: .info, destination: .journal)
      let long = String(repeating: "y", count: 5000)
      log.record(.info, "asked", [.detail: "x\nPRIORITY=0\n\u{1b}[2J\0 \"=\\", .cure: long])
      let text = try #require(receivedText(journal))
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(lines.prefix(3) == ["MESSAGE=asked", "PRIORITY=6", "SYSLOG_IDENTIFIER=fhird"])
      #expect(lines[3] == #"FHIRD_DETAIL=x\nPRIORITY=0\n\u{1b}[2J\u{0} "=\"#)
      #expect(lines[4] == "FHIRD_CURE=\(long.prefix(LogText.valueBytesMax))…")
      #expect(lines.dropFirst(5) == [""])
    }
  }

  @Test func `a journal that goes away, or never listens, is replaced by standard error`() async {
    await #expect(processExitsWith: .success) {
      let journal = try standInForTheJournal()
      var ends: [Int32] = [0, 0]
      try #require(pipe(&ends) == 0)
      let log = JournalLog(minimum: .info, destination: .journal, descriptor: ends[1])
      log.record(.info, "first", [:])
      #expect(receivedText(journal)?.hasPrefix("MESSAGE=first\n") == true)
      close(journal)  // The file stays, nobody is behind it.
      log.record(.info, "second", [:])
      #expect(receivedText(ends[0])?.hasSuffix("Z info second\n") == true)
      unlink("/run/systemd/journal/socket")
      log.record(.info, "third", [:])
      #expect(receivedText(ends[0])?.hasSuffix("Z info third\n") == true)
    }
  }

  @Test func `automatic follows JOURNAL_STREAM`() async {
    await #expect(processExitsWith: .success) {
      let journal = try standInForTheJournal()
      var ends: [Int32] = [0, 0]
      try #require(pipe(&ends) == 0)
      var status = stat()
      try #require(fstat(ends[1], &status) == 0)
      setenv("JOURNAL_STREAM", "\(status.st_dev):\(status.st_ino)", 1)
      JournalLog(minimum: .info, descriptor: ends[1]).record(.info, "to the journal", [:])
      #expect(receivedText(journal)?.hasPrefix("MESSAGE=to the journal\n") == true)
      setenv("JOURNAL_STREAM", "1:1", 1)
      JournalLog(minimum: .info, descriptor: ends[1]).record(.info, "to a terminal", [:])
      #expect(receivedText(ends[0])?.hasSuffix("Z info to a terminal\n") == true)
    }
  }
}
