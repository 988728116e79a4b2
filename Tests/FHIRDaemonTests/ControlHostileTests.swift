/// Clients that misbehave, and the many: everybody else is served as if they were not there.
import ConnectionCore
import FHIRControl
import FHIRDaemon
import Foundation
import Glibc
import SMARTProtocol
import Synchronization
import Testing

@Suite(.serialized) struct ControlHostileTests {
  @Test func `a line that comes byte by byte is served`() async throws {
    try await withServer(tokenBytes: 64) { server in
      let client = try server.client()
      for line in [infoLine, tokenLine] {
        for byte in Array((line + "\r\n").utf8) { try client.send([byte]) }
        #expect(try client.answer()["result"] != nil)
      }
    }
  }

  @Test func `a line of exactly the limit is taken, one byte more ends the connection`() async throws {
    try await withServer { server in
      let client = try server.client()
      let around = #"{"jsonrpc":"2.0","id":1,"method":"connection.get","params":{"connection":""}}"#
      func line(_ bytes: Int) -> String {
        around.replacingOccurrences(
          of: "\"\"", with: "\"\(String(repeating: "n", count: bytes - around.utf8.count))\"")
      }
      #expect(try client.ask(line(LineFramer.requestBytesMax))["result"] != nil)
      try client.send(line(LineFramer.requestBytesMax + 1) + "\n")
      let answer = try client.answer()
      #expect(answer.errorNumber == .integer(-32600))
      #expect(answer["id"] == .null)
      #expect(try client.line() == nil)
      #expect(try server.client().ask(infoLine)["result"] != nil)
    }
  }

  @Test func `a line without an end is answered once and cut off`() async throws {
    try await withServer { server in
      let client = try server.client()
      let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 64 << 10)
      var sent = 0
      for _ in 0..<64 { guard try client.sendSome(chunk[...], wait: true, &sent) else { break } }
      #expect(try client.answer().errorNumber == .integer(-32600))
      #expect(try client.line() == nil)
    }
  }

  @Test func `garbage and deep nesting are answered line by line`() async throws {
    try await withServer { server in
      let client = try server.client()
      var generator = SystemRandomNumberGenerator()
      for _ in 0..<200 {
        var bytes = (0..<Int.random(in: 1...200)).map { _ in UInt8.random(in: 0...255, using: &generator) }
        bytes.removeAll { $0 == 10 || $0 == 13 }
        try client.send([UInt8(ascii: "\u{1}")] + bytes + [10])
        #expect(try client.answer().errorNumber == .integer(-32700))
      }
      #expect(try client.ask(String(repeating: "[", count: 500_000)).errorNumber == .integer(-32600))
      #expect(try client.ask(infoLine)["result"] != nil)
    }
  }

  @Test func `a client that never reads is cut off and another is served meanwhile`() async throws {
    try await withServer(tokenBytes: 1500) {
      $0.stallMax = .milliseconds(300)
    } _: { server in
      let deaf = try server.client()
      let lines = Array(String(repeating: tokenLine + "\n", count: 200).utf8)
      var sent = 0
      // As much as the server and the kernel take.
      while try deaf.sendSome(lines[...], wait: false, &sent) {}
      let other = try server.client()
      var served = 0
      let cut = try await soon {
        for _ in 0..<20 where try other.ask(tokenLine)["result"] != nil { served += 1 }
        return await server.server.statistics().clientsCutOff == 1
      }
      #expect(cut)
      #expect(served >= 20)
      #expect(await server.server.statistics().clients == 1)
    }
  }

  @Test func `answers that pile up beyond the limit cut the client off at once`() async throws {
    let big = [UInt8](repeating: UInt8(ascii: " "), count: 300_000)
    try await withServer(ScriptedCommands { (_) throws(ControlError) in Array("{".utf8) + big + Array("}".utf8) }) {
      $0.outputBytesMax = 1 << 20
    } _: { server in
      let deaf = try server.client()
      try deaf.send(String(repeating: infoLine + "\n", count: 30))
      #expect(await soon { await server.server.statistics().clientsCutOff == 1 })
      #expect(try server.client().ask(infoLine)["result"] != nil)
    }
  }

  @Test(.timeLimit(.minutes(1)), arguments: [nil, 1500])
  func `ten thousand pipelined requests are all answered`(_ tokenBytes: Int?) async throws {
    try await withServer(tokenBytes: tokenBytes) { server in
      let client = try server.client()
      let count = 10_000
      let lines = (0..<count).map {
        #"{"jsonrpc":"2.0","id":\#($0),"method":"token.get","params":{"connection":"epic"}}"# + "\n"
      }
      let path = client.descriptor
      let bytes = Array(lines.joined().utf8)
      let writer = Thread {
        var sent = 0
        while sent < bytes.count {
          let n = bytes[sent...].withUnsafeBytes { write(path, $0.baseAddress, $0.count) }
          guard n > 0 else { return }
          sent += n
        }
      }
      writer.start()
      var seen = Set<Int>()
      let prefix = #"{"jsonrpc":"2.0","id":"#
      for _ in 0..<count {
        let line = try #require(try client.line())
        try #require(line.contains("\"result\":{"))
        seen.insert(try #require(Int(line.dropFirst(prefix.count).prefix { $0.isNumber })))
      }
      #expect(seen.count == count)
      let statistics = await server.server.statistics()
      #expect(tokenBytes == nil ? statistics.slowPath == UInt64(count) : statistics.hotHits == UInt64(count))
    }
  }

  @Test func `one client cannot have more under way than its share`() async throws {
    let running = Mutex((now: 0, most: 0))
    let gate = AsyncStream<Void>.makeStream()
    let commands = ScriptedCommands { (_) throws(ControlError) in
      running.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      while !Task.isCancelled, running.withLock({ $0.most }) < 8 {
        try? await Task.sleep(for: .milliseconds(1))  // the pace of a poll
      }
      running.withLock { $0.now -= 1 }
      return Array("{}".utf8)
    }
    try await withServer(commands) {
      $0.requestsPerClientMax = 8
    } _: { server in
      let client = try server.client()
      try client.send(String(repeating: infoLine + "\n", count: 100))
      for _ in 0..<100 { #expect(try client.answer()["result"] != nil) }
      #expect(running.withLock { $0.most } == 8)
      gate.continuation.finish()
    }
  }

  @Test func `more than all may have under way is answered OVERLOADED`() async throws {
    let commands = ScriptedCommands { (_) throws(ControlError) in
      try? await Task.sleep(for: .seconds(60))  // to be cancelled
      return Array("{}".utf8)
    }
    try await withServer(commands) {
      $0.requestsMax = 3
    } _: { server in
      let client = try server.client()
      for _ in 0..<4 { try client.send(infoLine + "\n") }
      let answer = try client.answer()
      #expect(answer.errorCode == .string("OVERLOADED"))
      #expect(answer["error"]?["data"]?["retry_after_seconds"] == .integer(1))
    }
  }

  @Test func `a client that shuts its writing side still gets every answer`() async throws {
    try await withServer { server in
      let client = try server.client()
      // The last line has no LF: there can be no more of it.
      try client.send(String(repeating: infoLine + "\n", count: 50) + infoLine)
      client.shutWriting()
      for _ in 0..<51 { #expect(try client.answer()["result"] != nil) }
      #expect(try client.line() == nil)
    }
  }

  @Test func `a client that vanishes has its requests cancelled`() async throws {
    let cancelled = Mutex(0)
    let commands = ScriptedCommands { (_) throws(ControlError) in
      try? await Task.sleep(for: .seconds(60))  // to be cancelled
      cancelled.withLock { $0 += Task.isCancelled ? 1 : 0 }
      return Array("{}".utf8)
    }
    try await withServer(commands) { server in
      do {
        let client = try server.client()
        try client.send(infoLine + "\n" + infoLine + "\n")
        #expect(await soon { await server.server.statistics().underWay == 2 })
      }
      #expect(await soon { cancelled.withLock { $0 } == 2 })
      #expect(await soon { await server.server.statistics().clients == 0 })
    }
  }

  @Test func `clients that reset in the middle of an answer hurt nobody`() async throws {
    try await withServer(tokenBytes: 1500) { server in
      for _ in 0..<50 {
        let client = try server.client()
        // Closed with answers unread: the kernel says ECONNRESET or EPIPE to the server.
        try client.send(String(repeating: tokenLine + "\n", count: 300))
      }
      #expect(await soon { await server.server.statistics().clients == 0 })
      #expect(try server.client().ask(tokenLine)["result"] != nil)
    }
  }

  @Test func `the client after the last is told OVERLOADED, and room comes back`() async throws {
    try await withServer {
      $0.clientsMax = 3
    } _: { server in
      var clients = try (0..<3).map { _ in try server.client() }
      for client in clients { #expect(try client.ask(infoLine)["result"] != nil) }
      let refused = try server.client()
      #expect(try refused.answer().errorCode == .string("OVERLOADED"))
      #expect(try refused.line() == nil)
      clients.removeLast()
      #expect(await soon { (try? server.client().ask(infoLine)["result"]) != nil })
      #expect(await server.server.statistics().clientsRefused >= 1)
    }
  }

  /// Both ends of every connection are in this process, so it takes two descriptors for each.
  @Test(.timeLimit(.minutes(2))) func `ten thousand idle clients are cheap`() async throws {
    let wanted = 10_000
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var raised = rlimit(rlim_cur: rlim_t(2 * wanted + 1000), rlim_max: max(limit.rlim_max, rlim_t(2 * wanted + 1000)))
    if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) != 0 {
      raised = rlimit(rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max)
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised)
    }
    let count = min(wanted, (Int(raised.rlim_cur) - 1000) / 2)
    if count < wanted { print("only \(count) idle clients: RLIMIT_NOFILE is \(raised.rlim_cur)") }
    try await withServer(tokenBytes: 1500) { server in
      let before = try residentBytes()
      var idle: [TestClient] = []
      idle.reserveCapacity(count)
      for _ in 0..<count { idle.append(try server.client()) }
      #expect(await soon { await server.server.statistics().clients == count })
      for client in idle { #expect(try client.ask(tokenLine)["result"] != nil) }
      let each = (try residentBytes() - before) / count
      print("\(count) idle clients: \(each) bytes each, the test's own ends included")
      #expect(each < 4096)
      idle.removeAll()
      #expect(await soon { await server.server.statistics().clients == 0 })
    }
  }

  private func residentBytes() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
    return try #require(Int(fields[1])) * 4096
  }
}
