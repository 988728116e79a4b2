/// What systemd is told, byte by byte, on a socket as its own. Each runs in a process of its own: the environment is one.
import Glibc
import SMARTProtocol
import Testing

@testable import SystemdHost

private func standInForSystemd() throws -> (socket: Int32, directory: String) {
  let directory = try makeDirectory()
  let path = "\(directory)/notify"
  let number = try boundSocket(SOCK_DGRAM, path)
  setenv("NOTIFY_SOCKET", path, 1)
  return (number, directory)
}

private func microseconds(_ clock: Int32) -> Int64 {
  var time = timespec()
  clock_gettime(clock, &time)
  return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

@Suite struct NotifierTests {
  @Test func `readiness, status, watchdog, reload, extension and stop are told as sd_notify(3) says`() async {
    await #expect(processExitsWith: .success) {
      let (systemd, directory) = try standInForSystemd()
      defer { removeDirectory(directory) }
      let notifier = Notifier()
      #expect(notifier.isSupervised)
      #expect(notifier.ready(status: "3 connections"))
      #expect(receivedText(systemd) == "READY=1\nSTATUS=3 connections")
      #expect(notifier.status("4 connections"))
      #expect(receivedText(systemd) == "STATUS=4 connections")
      #expect(notifier.watchdog())
      #expect(receivedText(systemd) == "WATCHDOG=1")
      #expect(notifier.extendTimeout(microseconds: 15_000_000))
      #expect(receivedText(systemd) == "EXTEND_TIMEOUT_USEC=15000000")
      let before = microseconds(CLOCK_MONOTONIC)
      #expect(notifier.reloading())
      let text = try #require(receivedText(systemd))
      let prefix = "RELOADING=1\nMONOTONIC_USEC="
      #expect(text.hasPrefix(prefix))
      let told = try #require(Int64(text.dropFirst(prefix.count)))
      #expect(told >= before && told <= microseconds(CLOCK_MONOTONIC))
      #expect(notifier.stopping(status: "stopping"))
      #expect(receivedText(systemd) == "STOPPING=1\nSTATUS=stopping")
    }
  }

  @Test func `a status text cannot tell anything else, and is one line of bounded length`() async {
    await #expect(processExitsWith: .success) {
      let (systemd, directory) = try standInForSystemd()
      defer { removeDirectory(directory) }
      Notifier().status("a\nREADY=1\r\u{1b}[2J\u{202e}b")
      #expect(receivedText(systemd) == "STATUS=a READY=1  [2J b")
      Notifier().status(String(repeating: "€", count: 1000))
      #expect(receivedText(systemd) == "STATUS=" + String(repeating: "€", count: Notifier.statusBytesMax / 3))
      Notifier().status("")
      #expect(receivedText(systemd) == "STATUS=")
    }
  }

  @Test func `without systemd nothing is told, and that is no failure`() async {
    await #expect(processExitsWith: .success) {
      unsetenv("NOTIFY_SOCKET")
      unsetenv("WATCHDOG_USEC")
      let notifier = Notifier()
      #expect(!notifier.isSupervised)
      #expect(notifier.ready(status: "up") && notifier.watchdog() && notifier.stopping(status: "down"))
      #expect(notifier.watchdogInterval == nil)
    }
  }

  @Test func `a systemd that cannot be told is a failure`() async {
    await #expect(processExitsWith: .success) {
      let (systemd, directory) = try standInForSystemd()
      close(systemd)
      #expect(!Notifier().ready(status: "up"))
      removeDirectory(directory)
      #expect(!Notifier().watchdog())
    }
  }

  @Test func `the watchdog's interval is this process's, or none`() async {
    await #expect(processExitsWith: .success) {
      setenv("WATCHDOG_USEC", "30000000", 1)
      unsetenv("WATCHDOG_PID")
      #expect(Notifier().watchdogInterval == .seconds(30))
      setenv("WATCHDOG_PID", "\(getpid())", 1)
      #expect(Notifier().watchdogInterval == .seconds(30))
      setenv("WATCHDOG_PID", "1", 1)
      #expect(Notifier().watchdogInterval == nil)
      unsetenv("WATCHDOG_PID")
      for wrong in ["0", "soon", ""] {
        setenv("WATCHDOG_USEC", wrong, 1)
        #expect(Notifier().watchdogInterval == nil, "\(wrong)")
      }
    }
  }
}
