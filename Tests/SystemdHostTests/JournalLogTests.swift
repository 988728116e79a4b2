/// The lines on standard error, read back from real files and pipes: one event is one line, whatever is in it.
import ConnectionCore
import FHIRControl
import Foundation
import Glibc
import Testing

@testable import SystemdHost

@Suite struct JournalLogTests {
  /// What a log wrote to a file.
  private func written(_ minimum: LogLevel = .debug, _ body: (JournalLog) -> Void) throws -> String {
    let file = try #require(tmpfile())
    defer { fclose(file) }
    let descriptor = fileno(file)
    body(JournalLog(minimum: minimum, destination: .standardError, descriptor: descriptor))
    lseek(descriptor, 0, SEEK_SET)
    return try #require(receivedText(descriptor))
  }

  /// Without the time, which stands first.
  private func line(_ detail: String) throws -> String {
    let text = try written { $0.record(.info, "asked", [.detail: detail]) }
    #expect(text.last == "\n" && !text.dropLast().contains("\n"), "\(text.debugDescription) is one line")
    return String(text.drop { $0 != " " }.dropFirst().dropLast())
  }

  @Test func `an event is a line: time, level, sentence, fields in their order`() throws {
    let before = Timestamp(milliseconds: Int64(time(nil)) * 1000)
    let text = try written {
      $0.record(.warning, "refresh failed", [.event: "refresh_failed", .connection: "epic", .retryAfterSeconds: "30"])
    }
    let end = " warning refresh failed event=refresh_failed connection=epic retry_after_seconds=30\n"
    #expect(text.hasSuffix(end))
    let stamp = try #require(Timestamp(text.dropLast(end.count)))
    #expect(stamp >= before && stamp.milliseconds <= before.milliseconds + 60_000)
  }

  @Test func `every field has a name of its own, in lower case and without the prefix`() throws {
    let names = LogField.allCases.map { field in
      String(decoding: ErrorStream.line(.info, "x", [field: "v"], at: Timestamp(milliseconds: 0)), as: UTF8.self)
    }
    #expect(Set(names).count == LogField.allCases.count)
    for name in names { #expect(name.wholeMatch(of: /1970-01-01T00:00:00Z info x [a-z_]+=v\n/) != nil, "\(name)") }
    #expect(names.contains("1970-01-01T00:00:00Z info x duration_ms=v\n"))
  }

  @Test(arguments: [
    ("plain", "plain"), ("Über-Praxis/7.service", "Über-Praxis/7.service"), ("", "\"\""),
    ("two words", "\"two words\""),
    ("a=b", "\"a=b\""), (#"say "no""#, #""say \"no\"""#), (#"C:\x"#, #""C:\\x""#), ("a\nb\r\tc", #""a\nb\r\tc""#),
    ("\u{1b}[2J", #""\u{1b}[2J""#), ("\u{7f}", #""\u{7f}""#), ("\u{9b}31m", #""\u{9b}31m""#), ("a\0b", #""a\u{0}b""#),
    ("\u{202e}txt", #""\u{202e}txt""#), ("\u{2028}", #""\u{2028}""#), ("\u{e0041}", #""\u{e0041}""#),
    ("x\ny level=error", #""x\ny level=error""#), ("\r\n", #""\r\n""#),
  ])
  func `a value cannot be taken for anything but a value`(value: String, expected: String) throws {
    #expect(try line(value) == "info asked detail=\(expected)")
  }

  @Test func `bytes that are no UTF-8 are shown as unreadable`() throws {
    let value = String(decoding: [0x61, 0xFF, 0xC3, 0x28, 0xED, 0xA0, 0x80] as [UInt8], as: UTF8.self)
    let text = try line(value)
    #expect(text.hasPrefix("info asked detail=a\u{FFFD}") && text.utf8.count < 60)
  }

  @Test(arguments: ["a", "é", "€", "😀", "\u{1b}"])
  func `a long value is cut between characters and says so`(character: String) throws {
    let fits = LogText.valueBytesMax / character.utf8.count
    let whole = try line(String(repeating: character, count: fits))
    #expect(!whole.contains("…"))
    let cut = try line(String(repeating: character, count: fits) + "zz€" + String(repeating: "y", count: 100_000))
    #expect(cut.contains("…") && cut.utf8.count <= LogText.valueBytesMax * 6 + 100)
    #expect(!cut.contains("yyy"))
  }

  @Test func `what is less urgent than the minimum is left out, and the minimum changes at run time`() throws {
    let text = try written(.notice) { log in
      #expect(log.minimumLevel == .notice)
      for level in LogLevel.allCases { log.record(level, "one", [:]) }
      log.minimumLevel = .debug
      #expect(log.minimumLevel == .debug)
      log.record(.debug, "two", [:])
      log.minimumLevel = .critical
      log.record(.error, "three", [:])
      log.record(.critical, "four", [:])
    }
    let levels = text.split(separator: "\n").map { $0.split(separator: " ").dropFirst().joined(separator: " ") }
    #expect(levels == ["critical one", "error one", "warning one", "notice one", "debug two", "critical four"])
  }

  @Test func `lines of many threads, longer than a pipe takes at once, do not mix`() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (readEnd, writeEnd) = (ends[0], ends[1])
    let log = JournalLog(minimum: .debug, destination: .standardError, descriptor: writeEnd)
    let values = (0..<8).map { String(repeating: Character(UnicodeScalar(UInt8(97 + $0))), count: 2000) }
    let (threads, each) = (8, 50)
    for thread in 0..<threads {
      Thread.detachNewThread {
        let v = values[thread]
        for _ in 0..<each { log.record(.info, "long", [.detail: v, .cure: v, .path: v, .method: v]) }
      }
    }
    var bytes: [UInt8] = []
    while bytes.count(where: { $0 == UInt8(ascii: "\n") }) < threads * each {
      bytes += try #require(received(readEnd), "the lines end too early")
    }
    close(readEnd)
    close(writeEnd)
    var counts = [Int](repeating: 0, count: threads)
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      for (index, v) in values.enumerated()
      where line.hasSuffix(" info long detail=\(v) cure=\(v) path=\(v) method=\(v)") {
        counts[index] += 1
      }
    }
    #expect(counts == [Int](repeating: each, count: threads))
  }

  @Test func `a stream that is full or gone costs lines, never the caller, and what follows stays readable`() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    let log = JournalLog(minimum: .debug, destination: .standardError, descriptor: ends[1])
    let long = String(repeating: "x", count: 2000)
    // More than the 64 KiB of a pipe; each line is longer than the 4 KiB that go in whole or not at all.
    for _ in 0..<40 { log.record(.info, "lost", [.detail: long, .cure: long, .path: long]) }
    while received(ends[0], deadlineMilliseconds: 0) != nil {}
    log.record(.info, "found", [:])
    let rest = try #require(receivedText(ends[0]))
    #expect(rest.split(separator: "\n").last?.hasSuffix("Z info found") == true)
    #expect(rest.hasSuffix("\n"))
    close(ends[1])
    log.record(.info, "nobody reads", [:])  // EBADF
    close(ends[0])
  }

  @Test func `automatic takes the journal only for the very stream that systemd made`() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { ends.forEach { close($0) } }
    var status = stat()
    try #require(fstat(ends[1], &status) == 0)
    let stream = ErrorStream(ends[1])
    let (device, inode) = (status.st_dev, status.st_ino)
    #expect(stream.isJournal("\(device):\(inode)"))
    let others = [nil, "", ":", "\(device)", "\(device):", "\(device):\(inode + 1)", "\(device + 1):\(inode)"]
    for other in others + ["\(device):\(inode):1", "x\(device):\(inode)", "-1:-1", "\(inode):\(device + 1)"] {
      #expect(!stream.isJournal(other), "\(other ?? "nil")")
    }
    #expect(!ErrorStream(-1).isJournal("\(device):\(inode)"))
  }

  @Test(.enabled(if: access("/run/systemd/journal/socket", F_OK) != 0, "this machine has a journal"))
  func `without a journal its entries go to standard error`() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { ends.forEach { close($0) } }
    let log = JournalLog(minimum: .info, destination: .journal, descriptor: ends[1])
    log.record(.error, "no journal", [.code: "7"])
    #expect(try #require(receivedText(ends[0])).hasSuffix("Z error no journal code=7\n"))
  }
}
