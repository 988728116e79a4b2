/// Bodies that are read as they come: bounded, resumed, ended by either side.
import ConnectionCore
import CurlHTTP
import SMARTProtocol
import TestSupport
import Testing

extension HTTPBody {
  /// All that comes.
  fileprivate func rest() async throws -> [UInt8] {
    var all: [UInt8] = []
    while let bytes = try await next() { all += bytes }
    return all
  }

  fileprivate func failure(_ location: SourceLocation = #_sourceLocation) async -> HTTPFailure? {
    do throws(HTTPFailure) {
      while try await next() != nil {}
      Issue.record("the body ended well", sourceLocation: location)
      return nil
    } catch { return error }
  }
}

private func request(_ url: String, timeout: Instant.Span = .seconds(60)) -> HTTPRequest {
  HTTPRequest(.get, url, totalTimeout: timeout, responseBytesMax: 64 << 20)
}

/// A body in which nothing can be left out or turned around unnoticed: the block's length is a prime number.
private func pattern(_ count: Int) -> [UInt8] {
  let block = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  var all: [UInt8] = []
  all.reserveCapacity(count + block.count)
  while all.count < count { all += block }
  all.removeLast(all.count - count)
  return all
}

@Suite("streams") struct StreamTests {
  /// More than any buffer on the way holds.
  private static let large = 24 << 20

  private static func serving(_ body: [UInt8]) throws -> RawServer {
    try RawServer { connection in
      while let request = connection.readRequest() {
        guard request.path == "/large" else {
          connection.write(RawServer.ok())
          continue
        }
        guard connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\nX: y\r\n\r\n") else { return }
        guard connection.write(body) else { return }
      }
    }
  }

  @Test func `head first, then every byte in its order, and the connection is used again`() async throws {
    let body = pattern(Self.large)
    try await withServer(Self.serving(body)) { http, server in
      let stream = try await http.stream(request(server.url + "/large"))
      #expect(stream.reply.status == 200 && stream.reply.header("x") == "y" && stream.reply.body.isEmpty)
      #expect(try await stream.body.rest() == body)
      #expect(stream.body.hasArrived)
      #expect(try await stream.body.next() == nil, "the end stays the end")
      #expect(try await http.reply(HTTPRequest(.get, server.url)).status == 200)
      #expect(server.accepted == 1)
    }
  }

  @Test func `whoever does not read holds no place, and goes on later where it stopped`() async throws {
    let body = pattern(Self.large)
    try await withServer(Self.serving(body), makeClient { $0.connectionsPerHost = 1 }) { http, server in
      // The time of the server does not run while it is made to wait.
      let large = request(server.url + "/large", timeout: .seconds(30))
      var slow: [HTTPStream] = []
      for _ in 0..<3 { slow.append(try await http.stream(large)) }
      #expect(try await http.reply(HTTPRequest(.get, server.url)).status == 200, "another request has its turn")
      for stream in slow {
        #expect(!stream.body.hasArrived)
        #expect(try await stream.body.rest() == body)
      }
    }
  }

  @Test func `more slow readers than may wait keep their places, and give them back`() async throws {
    let http = try makeClient {
      $0.connectionsPerHost = 1
      $0.connectionsTotal = 2
    }
    try await withServer(Self.serving(pattern(Self.large)), http) { http, server in
      var slow: [HTTPStream] = []
      for _ in 0..<3 { slow.append(try await http.stream(request(server.url + "/large"))) }
      let url = server.url
      let next = Task { try await http.reply(HTTPRequest(.get, url)).status }
      #expect(try await slow[2].body.rest().count == Self.large)
      #expect(try await next.value == 200)
      #expect(try await slow[0].body.rest().count == Self.large)
    }
  }

  @Test func `a server that falls silent within a body is given up`() async throws {
    let server = try RawServer.once { connection in
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
      connection.waitForEnd()
    }
    try await withServer(server) { http, server in
      let stream = try await http.stream(HTTPRequest(.get, server.url, totalTimeout: .milliseconds(300)))
      #expect(try await stream.body.next() == Array("half".utf8))
      let failure = try #require(await stream.body.failure())
      #expect(failure.kind == .timeout && failure.mayHaveBeenSent && failure.detail.contains("4 bytes"), "\(failure)")
    }
  }

  @Test func `a body cut off, or longer than allowed, is a failure after what came`() async throws {
    let server = try RawServer.once { $0.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }
    try await withServer(server) { http, server in
      let cut = try await http.stream(HTTPRequest(.get, server.url))
      #expect(await cut.body.failure()?.kind == .reset)
      #expect(!cut.body.hasArrived)
    }
    // The first read takes less.
    try await withServer(Self.serving(pattern(300_000))) { http, server in
      let long = try await http.stream(HTTPRequest(.get, server.url + "/large", responseBytesMax: 290_000))
      #expect(await long.body.failure()?.kind == .tooLarge)
    }
  }

  @Test func `no body is no failure, and no answer is one`() async throws {
    let server = try RawServer { connection in
      while let request = connection.readRequest() {
        guard request.path == "/empty" else { return }
        connection.write("HTTP/1.1 204 No Content\r\n\r\n")
      }
    }
    try await withServer(server) { http, server in
      let empty = try await http.stream(HTTPRequest(.get, server.url + "/empty"))
      #expect(empty.reply.status == 204)
      #expect(try await empty.body.rest() == [])
      do throws(HTTPFailure) {
        _ = try await http.stream(HTTPRequest(.get, server.url + "/nothing"))
        Issue.record("an answer came from nowhere")
      } catch { #expect(error.kind == .emptyReply) }
    }
  }

  @Test func `a reader that is cancelled, and one that goes away, end the transfer`() async throws {
    try await withServer(Self.serving(pattern(Self.large))) { http, server in
      let stream = try await http.stream(request(server.url + "/large"))
      let reader = Task {
        while try await stream.body.next() != nil {}
      }
      reader.cancel()
      _ = await reader.result
      try await until("the first connection is closed") { server.open == 0 }
      var second: HTTPStream? = try await http.stream(request(server.url + "/large"))
      #expect(second?.reply.status == 200)
      second = nil
      try await until("the second connection is closed") { server.open == 0 }
    }
  }

  @Test func `the end of the client is the end of its streams`() async throws {
    let server = try Self.serving(pattern(Self.large))
    let http = try makeClient()
    let stream = try await http.stream(request(server.url + "/large"))
    #expect(await http.stop(deadline: .seconds(10)))
    #expect(await stream.body.failure()?.kind == .cancelled)
    server.stop()
  }
}
