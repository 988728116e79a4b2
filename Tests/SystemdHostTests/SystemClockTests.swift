/// The clocks against the kernel's own files and date(1).
import ConnectionCore
import FHIRControl
import Foundation
import Glibc
import SMARTProtocol
import Testing

@testable import SystemdHost

@Suite struct SystemClockTests {
  private let clock = SystemClock()

  @Test func `the boot clock is the kernel's uptime and never goes back`() throws {
    let before = clock.now()
    let text = try String(contentsOfFile: "/proc/uptime", encoding: .utf8)
    let uptime = try #require(text.split(separator: " ").first.flatMap { Double($0) })
    let after = clock.now()
    // /proc/uptime has hundredths, rounded down.
    #expect(Double(before.milliseconds) <= uptime * 1000 + 10 && uptime * 1000 <= Double(after.milliseconds))
    var last = after
    for _ in 0..<10_000 {
      let now = clock.now()
      #expect(now >= last)
      last = now
    }
  }

  @Test func `the wall clock is what date says`() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/date")
    process.arguments = ["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]
    let output = Pipe()
    process.standardOutput = output
    let before = clock.wall()
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let date = try #require(Timestamp(text.dropLast()))
    #expect(before <= date && date <= clock.wall())
  }

  @Test func `a boot has one id, that of the kernel`() throws {
    let text = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
    let digits = text.filter(\.isHexDigit).prefix(16)
    #expect(clock.bootID == UInt64(digits, radix: 16))
    #expect(clock.bootID == SystemClock().bootID)
  }
}

@Suite struct KernelEntropyTests {
  @Test(arguments: [0, 1, 32, 257, 1 << 20])
  func `as many bytes as asked for`(count: Int) {
    #expect(KernelEntropy().bytes(count).count == count)
  }

  @Test func `all of them are random, and never the same twice`() {
    let bytes = KernelEntropy().bytes(1 << 16)
    for block in stride(from: 0, to: bytes.count, by: 4096) {
      // 4096 random bytes miss some 0 of 256 values in 99.99 % of cases; half of them never.
      #expect(Set(bytes[block..<block + 4096]).count > 128)
    }
    #expect(KernelEntropy().bytes(32) != KernelEntropy().bytes(32))
  }
}
