/// Many at once, connections used again, cancelling, stopping.
import ConnectionCore
import CurlHTTP
import Glibc
import SMARTProtocol
import Synchronization
import TestSupport
import Testing

@Suite("the loop")
struct LoopTests {
  @Test(.timeLimit(.minutes(1)))
  func `three hundred at once share few connections`() async throws {
    let server = try RawServer.answering { RawServer.ok($0.path) }
    try await withServer(server) { http, server in
      let url = server.url
      let answers = try await withThrowingTaskGroup(of: (Int, String).self) { group in
        for i in 0..<300 {
          group.addTask { (i, try await http.reply(HTTPRequest(.get, "\(url)/\(i)", totalTimeout: .seconds(50))).text) }
        }
        return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
      }
      #expect(answers.count == 300)
      #expect(answers.allSatisfy { $1 == "/\($0)" })
      #expect(server.openMax <= 8)
      #expect(server.accepted <= 8)
    }
  }

  @Test(.timeLimit(.minutes(1)))
  func `two hundred that wait for silent servers end by stop, and hold nobody up`() async throws {
    let servers = try (0..<40).map { _ in try RawServer.once { $0.waitForEnd() } }
    defer { for server in servers { server.stop() } }
    let http = try makeClient()
    let tasks = servers.flatMap { server in
      (0..<5).map { _ in Task { await http.failure(HTTPRequest(.get, server.url, totalTimeout: .seconds(60))) } }
    }
    try await until("200 requests under way") {
      servers.reduce(0) { $0 + $1.requests.count } == 200
    }
    #expect(await http.ping(timeout: .seconds(10)))
    #expect(await http.stop(deadline: .seconds(10)))
    for task in tasks {
      let failure = await task.value
      #expect(failure.kind == .cancelled)
      #expect(failure.mayHaveBeenSent)
    }
  }

  @Test func `more than the limit to one host waits for its turn, and its time runs`() async throws {
    let server = try RawServer.once { $0.waitForEnd() }
    try await withServer(server, makeClient { $0.connectionsPerHost = 1 }) { http, server in
      let url = server.url
      let first = Task { await http.failure(HTTPRequest(.get, url, totalTimeout: .seconds(60))) }
      try await until("the first request") { server.requests.count == 1 }
      let second = await http.failure(HTTPRequest(.post, url, body: secret("x"), totalTimeout: .milliseconds(200)))
      #expect(second.kind == .timeout)
      #expect(!second.mayHaveBeenSent)
      #expect(second.detail.contains("no turn"))
      #expect(server.accepted == 1)
      first.cancel()
      #expect(await first.value.kind == .cancelled)
    }
  }

  @Test func `waiting does not count as connecting`() async throws {
    // One at a time, and a connect timeout that is shorter than the wait for the last.
    let server = try RawServer { connection in
      while connection.readRequest() != nil {
        guard !connection.ended(within: 150) else { return }
        connection.write(RawServer.ok())
      }
    }
    try await withServer(server, makeClient { $0.connectionsPerHost = 1 }) { http, server in
      let url = server.url
      let done = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<5 {
          group.addTask {
            (try? await http.reply(HTTPRequest(.get, url, connectTimeout: .milliseconds(200))))?.status == 200
          }
        }
        return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
      }
      #expect(done == 5)
    }
  }

  @Test func `beyond the limit of all a request fails at once`() async throws {
    let server = try RawServer.once { $0.waitForEnd() }
    try await withServer(server, makeClient { $0.transfersMax = 1 }) { http, server in
      let url = server.url
      let first = Task { await http.failure(HTTPRequest(.get, url)) }
      try await until("the first request") { server.requests.count == 1 }
      let second = await http.failure(HTTPRequest(.get, url))
      #expect(second.kind == .connect)
      #expect(!second.mayHaveBeenSent)
      first.cancel()
      _ = await first.value
    }
  }

  // Connections -------------------------------------------------------------------------------------------------------

  @Test func `a connection is used again by GET, never by POST`() async throws {
    try await withServer(RawServer.answering { _ in RawServer.ok() }) { http, server in
      for i in 0..<5 {
        let reply = try await http.reply(HTTPRequest(.get, server.url))
        #expect(reply.timings.newConnection == (i == 0))
      }
      #expect(server.accepted == 1)
      for _ in 0..<3 {
        #expect(try await http.reply(HTTPRequest(.post, server.url, body: secret("x"))).timings.newConnection)
      }
      #expect(server.accepted == 4)
      // What a POST opened serves a GET.
      _ = try await http.reply(HTTPRequest(.get, server.url))
      #expect(server.accepted == 4)
    }
  }

  @Test func `a connection that died under a request is tried again for GET only`() async throws {
    // Answers the first request of a connection and drops the second unanswered.
    let server = try RawServer { connection in
      guard connection.readRequest() != nil, connection.write(RawServer.ok()) else { return }
      _ = connection.readRequest()
    }
    try await withServer(server) { http, server in
      _ = try await http.reply(HTTPRequest(.get, server.url + "/1"))
      _ = try await http.reply(HTTPRequest(.get, server.url + "/2"))
      #expect(server.requests.map(\.path) == ["/1", "/2", "/2"])
      for i in 3...5 { _ = try await http.reply(HTTPRequest(.post, server.url + "/\(i)", body: secret("once"))) }
      #expect(server.requests.map(\.path) == ["/1", "/2", "/2", "/3", "/4", "/5"])
    }
  }

  // Cancelling --------------------------------------------------------------------------------------------------------

  @Test func `cancelling the task ends the transfer and its connection`() async throws {
    let server = try RawServer.once { $0.waitForEnd() }
    try await withServer(server) { http, server in
      let url = server.url
      let task = Task { await http.failure(HTTPRequest(.post, url, body: secret("x"), totalTimeout: .seconds(600))) }
      try await until("the request") { server.requests.count == 1 }
      task.cancel()
      let failure = await task.value
      #expect(failure.kind == .cancelled)
      #expect(failure.mayHaveBeenSent)
      try await until("the connection's end") { server.open == 0 }
    }
  }

  @Test func `a task that is cancelled before asks nothing`() async throws {
    try await withServer(RawServer.answering { _ in RawServer.ok() }) { http, server in
      let url = server.url
      let gate = Ticket()
      let task = Task {
        await gate.wait()
        return await http.failure(HTTPRequest(.get, url))
      }
      task.cancel()
      gate.open()
      let failure = await task.value
      #expect(failure.kind == .cancelled)
      #expect(!failure.mayHaveBeenSent)
      #expect(server.accepted == 0)
    }
  }

  @Test(.timeLimit(.minutes(1)))
  func `cancelling at any moment answers each request once`() async throws {
    try await withServer(RawServer.answering { _ in RawServer.ok() }) { http, server in
      let url = server.url
      for round in 0..<200 {
        let task = Task { () throws(HTTPFailure) in try await http.send(HTTPRequest(.get, url)).status }
        for _ in 0..<(round % 40) { await Task.yield() }
        task.cancel()
        switch await task.result {
        case .success(let status): #expect(status == 200)
        case .failure(let error): #expect((error as? HTTPFailure)?.kind == .cancelled)
        }
      }
      #expect(await http.ping(timeout: .seconds(10)))
    }
  }

  @Test func `cancelling while a name is looked up holds nobody up`() async throws {
    try await withServer(RawServer.answering { _ in RawServer.ok() }) { http, server in
      let tasks = (0..<20).map { i in Task { await http.failure(HTTPRequest(.get, "https://x\(i).invalid/")) } }
      for task in tasks { task.cancel() }
      let reply = try await http.reply(HTTPRequest(.get, server.url))
      #expect(reply.status == 200)
      for task in tasks { #expect([.cancelled, .resolve].contains(await task.value.kind)) }
    }
  }

  // Stopping ----------------------------------------------------------------------------------------------------------

  @Test func `after stop every request is cancelled, and stopping twice is no harm`() async throws {
    let server = try RawServer.answering { _ in RawServer.ok() }
    defer { server.stop() }
    let http = try makeClient()
    _ = try await http.reply(HTTPRequest(.get, server.url))
    #expect(await http.ping(timeout: .seconds(10)))
    async let one = http.stop(deadline: .seconds(10))
    async let two = http.stop(deadline: .seconds(10))
    #expect(await one)
    #expect(await two)
    #expect(await http.stop(deadline: .seconds(10)))
    #expect(await !http.ping(timeout: .seconds(10)))
    let failure = await http.failure(HTTPRequest(.get, server.url))
    #expect(failure.kind == .cancelled)
    #expect(!failure.mayHaveBeenSent)
    try await until("the idle connection's end") { server.open == 0 }
  }

  @Test func `a client that is let go takes its connections along`() async throws {
    let server = try RawServer.answering { _ in RawServer.ok() }
    defer { server.stop() }
    do { _ = try await makeClient().reply(HTTPRequest(.get, server.url)) }
    try await until("the connection's end") { server.accepted == 1 && server.open == 0 }
  }

  @Test func `the library tells its version`() { #expect(CurlHTTP.libraryVersion.hasPrefix("libcurl/")) }
}

/// Lets a task wait for a word.
private final class Ticket: Sendable {
  private let state = Mutex<(isOpen: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))
  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiter = continuation }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }
  func open() {
    let waiter = state.withLock { state in
      state.isOpen = true
      return state.waiter
    }
    waiter?.resume()
  }
}
