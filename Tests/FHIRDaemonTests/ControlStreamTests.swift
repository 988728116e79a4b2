/// What requests send before their answer: in order, bounded, as fast as the client reads.
import ConnectionCore
import FHIRControl
import FHIRDaemon
import SMARTProtocol
import Synchronization
import Testing

/// Sends so many notifications, and keeps count of what became of them.
private final class Sender: Sendable {
  struct Counts {
    var sent = 0
    var refused = false
  }
  private let counts = Mutex(Counts())
  var now: Counts { counts.withLock { $0 } }

  /// - Parameter yields: between two notifications, so that the server takes them one by one.
  func commands(_ notices: Int, bytes: Int, yields: Int = 0) -> ScriptedCommands {
    let filler = String(repeating: "x", count: bytes)
    return ScriptedCommands { [self] (call) throws(ControlError) in
      guard call.method == .fhirSearch else { return Array("{}".utf8) }
      for number in 0..<notices {
        let members = Array("\"number\":\(number),\"filler\":\"\(filler)\"".utf8)
        guard let progress = call.progress, await progress.send(members) else {
          counts.withLock { $0.refused = true }
          break
        }
        counts.withLock { $0.sent += 1 }
        for _ in 0..<yields { await Task.yield() }
      }
      return Array("{\"done\":true}".utf8)
    }
  }
}

private let searchLine = #"{"jsonrpc":"2.0","id":"s","method":"fhir.search","params":{"connection":"c"}}"#

@Suite struct ControlStreamTests {
  @Test func `notifications come in their order, with the request's id, and before its answer`() async throws {
    try await withServer(Sender().commands(1000, bytes: 100)) { server in
      let client = try server.client()
      try client.send(searchLine + "\n")
      for number in 0..<1000 {
        let notice = try client.answer()
        #expect(notice["method"] == .string("progress") && notice["id"] == nil)
        #expect(notice["params"]?["id"] == .string("s") && notice["params"]?["number"] == .integer(Int64(number)))
      }
      let answer = try client.answer()
      #expect(answer["id"] == .string("s") && answer["result"]?["done"] == .bool(true))
    }
  }

  @Test(arguments: [0, 500])
  func `a client that stops reading is waited for, however long, and nothing is lost`(yields: Int) async throws {
    let sender = Sender()
    try await withServer(sender.commands(400, bytes: 50_000, yields: yields)) {
      $0.stallMax = .milliseconds(50)
    } _: { server in
      let client = try server.client()
      try client.send(searchLine + "\n")
      var before = -1
      // Until nothing moves any more: the sender waits.
      _ = await soon {
        defer { before = sender.now.sent }
        return sender.now.sent > 0 && sender.now.sent == before
      }
      #expect(sender.now.sent < 60, "at most what the buffers on the way hold")
      // Others are served; this one is not cut off, though it has not read for many times that limit.
      let other = try server.client()
      for _ in 0..<50 { #expect(try other.ask(infoLine)["result"] != nil) }
      let stalled = server.server
      #expect(await soon { await stalled.statistics().requests >= 51 })
      #expect(await server.server.statistics().clientsCutOff == 0)
      for number in 0..<400 {
        #expect(try client.answer()["params"]?["number"] == .integer(Int64(number)))
      }
      #expect(try client.answer()["result"]?["done"] == .bool(true))
    }
  }

  @Test func `when the client goes, or the time is over, the sender hears of it`() async throws {
    let sender = Sender()
    try await withServer(sender.commands(100_000, bytes: 10_000)) { server in
      var client: TestClient? = try server.client()
      try client?.send(searchLine + "\n")
      #expect(await soon { sender.now.sent > 0 })
      client = nil
      #expect(await soon { sender.now.refused })
      #expect(await soon { await server.server.statistics().underWay == 0 })
    }
    let late = Sender()
    try await withServer(late.commands(100_000, bytes: 10_000)) { server in
      let client = try server.client()
      try client.send(
        #"{"jsonrpc":"2.0","id":"s","method":"fhir.search","params":{"connection":"c","timeout_seconds":0.2}}"# + "\n")
      #expect(await soon { late.now.refused })
      var last = try client.answer()
      while last["method"] == .string("progress") { last = try client.answer() }
      #expect(last.errorCode == .string("TIMEOUT") && last["id"] == .string("s"))
      #expect(try client.ask(infoLine)["result"] != nil, "and the connection goes on")
    }
  }

  @Test func `a request without id has nobody to send to`() async throws {
    let sender = Sender()
    try await withServer(sender.commands(3, bytes: 10)) { server in
      let client = try server.client()
      try client.send(#"{"jsonrpc":"2.0","method":"fhir.search","params":{"connection":"c"}}"# + "\n")
      #expect(await soon { sender.now.refused })
      #expect(try client.ask(infoLine)["id"] == .integer(1), "the first line that comes")
    }
  }

  @Test func `stopping ends streams`() async throws {
    let sender = Sender()
    try await withServer(sender.commands(100_000, bytes: 10_000)) { server in
      let client = try server.client()
      try client.send(searchLine + "\n")
      #expect(await soon { sender.now.sent > 0 })
      await server.stop(gracePeriod: .zero)
      #expect(await soon { sender.now.refused })
    }
  }
}
