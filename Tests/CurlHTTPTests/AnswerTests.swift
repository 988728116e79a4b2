/// Answers that are too much, too slow, broken off or no HTTP.
import ConnectionCore
import CurlHTTP
import Foundation
import SMARTProtocol
import TestSupport
import Testing

@Suite("bad answers")
struct AnswerTests {
  // Limits ------------------------------------------------------------------------------------------------------------

  @Test(arguments: [true, false])
  func `a body may have as many bytes as allowed and not one more`(hasLength: Bool) async throws {
    let server = try RawServer.once { connection in
      let length = hasLength ? "Content-Length: 100000\r\n" : ""
      connection.write("HTTP/1.1 200 OK\r\n\(length)\r\n" + String(repeating: "x", count: 100_000))
    }
    try await withServer(server) { http, server in
      let reply = try await http.reply(HTTPRequest(.get, server.url, responseBytesMax: 100_000))
      #expect(reply.body == [UInt8](repeating: UInt8(ascii: "x"), count: 100_000))
      let failure = await http.failure(HTTPRequest(.get, server.url, responseBytesMax: 99_999))
      #expect(failure.kind == .tooLarge)
      #expect(failure.mayHaveBeenSent)
      #expect(failure.detail.contains("99999 bytes"))
    }
  }

  @Test func `R1.05 a header is found whatever the case of its name`() {
    let reply = HTTPReply(status: 429, headers: [HTTPHeader("retry-AFTER", "7"), HTTPHeader("Retry-After", "9")])
    for name in ["Retry-After", "retry-after", "RETRY-AFTER"] { #expect(reply.header(name) == "7") }
    #expect(reply.header("retry") == nil)
  }

  @Test func `a body without end is cut off`() async throws {
    let server = try RawServer.once { connection in
      connection.write("HTTP/1.1 200 OK\r\n\r\n")
      while connection.write([UInt8](repeating: 0x20, count: 65536)) {}
    }
    try await withServer(server) { http, server in
      #expect(await http.failure(HTTPRequest(.get, server.url)).kind == .tooLarge)
      try await until("the server's side to end") { server.open == 0 }
    }
  }

  @Test func `R9.15 gzip is unpacked, and a bomb stops at the limit`() async throws {
    let python = try #require(TestMachine.python3)
    let zip = "import gzip,sys,base64; print(base64.b64encode(gzip.compress(eval(sys.argv[1]))).decode())"
    func packed(_ expression: String) async throws -> [UInt8] {
      let result = try await runProgram(python, ["-c", zip, expression])
      return [UInt8](try #require(Data(base64Encoded: result.output.trimmingCharacters(in: .whitespacesAndNewlines))))
    }
    let small = try await packed("b'{\"hello\": 1}'")
    let bomb = try await packed("b' ' * (64 << 20)")
    #expect(bomb.count < 1 << 20)
    let server = try RawServer { connection in
      while let request = connection.readRequest() {
        let body = request.path == "/bomb" ? bomb : small
        connection.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n")
        connection.write(body)
      }
    }
    try await withServer(server) { http, server in
      let unpacked = try await http.reply(HTTPRequest(.get, server.url))
      #expect(unpacked.text == "{\"hello\": 1}")
      let failure = await http.failure(HTTPRequest(.get, server.url + "/bomb", responseBytesMax: 1 << 20))
      #expect(failure.kind == .tooLarge)
    }
  }

  @Test(arguments: [
    "X-A: 1\r\n",  // too many
    "X-A: " + String(repeating: "y", count: 10_000) + "\r\n",  // too much
    String(repeating: "z", count: 1 << 16),  // one line without end
    "HTTP/1.1 100 Continue\r\n\r\n",  // interim answers without end
  ])
  func `headers without end are cut off`(piece: String) async throws {
    let server = try RawServer.once { connection in
      if !piece.hasPrefix("HTTP") { connection.write("HTTP/1.1 200 OK\r\n") }
      while connection.write(piece) {}
    }
    try await withServer(server) { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url))
      #expect(failure.kind == .tooLarge, "\(failure.detail)")
      #expect(failure.mayHaveBeenSent)
    }
  }

  // Time --------------------------------------------------------------------------------------------------------------

  @Test func `a silent server costs no more than the time allowed`() async throws {
    let server = try RawServer.once { $0.waitForEnd() }
    try await withServer(server) { http, server in
      let failure = await http.failure(
        HTTPRequest(.post, server.url, body: secret("x"), totalTimeout: .milliseconds(300)))
      #expect(failure.kind == .timeout)
      #expect(failure.mayHaveBeenSent)
      #expect(failure.detail == "no answer from 127.0.0.1:\(server.port) within 300 ms")
      #expect(failure.timings.remoteAddress == "127.0.0.1:\(server.port)")
    }
  }

  @Test func `a server that trickles gets no more time`() async throws {
    let server = try RawServer.once { connection in
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
      while connection.write("x"), !connection.ended(within: 10) {}
    }
    try await withServer(server) { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url, totalTimeout: .milliseconds(300)))
      #expect(failure.kind == .timeout)
      #expect(failure.detail.contains("no complete answer"))
      try await until("the server's side to end") { server.open == 0 }
    }
  }

  @Test func `a connection that does not come about times out as not sent`() async throws {
    // A listener whose queue is full takes no more connections; TLS to a silent server is as silent.
    let server = try RawServer { $0.waitForEnd() }
    try await withServer(server) { http, server in
      let url = "https://127.0.0.1:\(server.port)/"
      for request in [
        HTTPRequest(.post, url, body: secret("x"), connectTimeout: .milliseconds(200), totalTimeout: .seconds(30)),
        HTTPRequest(.post, url, body: secret("x"), totalTimeout: .milliseconds(200)),
      ] {
        let failure = await http.failure(request)
        #expect(failure.kind == .timeout)
        #expect(!failure.mayHaveBeenSent)
        #expect(failure.detail == "no connection to 127.0.0.1:\(server.port) within 200 ms")
      }
    }
  }

  // Broken off --------------------------------------------------------------------------------------------------------

  @Test func `a reset counts as sent`() async throws {
    let server = try RawServer.once { $0.willReset() }
    try await withServer(server) { http, server in
      let failure = await http.failure(HTTPRequest(.post, server.url, body: secret("x")))
      #expect(failure.kind == .reset)
      #expect(failure.mayHaveBeenSent)
    }
  }

  @Test func `an empty reply counts as sent`() async throws {
    try await withServer(RawServer.once { _ in }) { http, server in
      let failure = await http.failure(HTTPRequest(.post, server.url, body: secret("x")))
      #expect(failure.kind == .emptyReply)
      #expect(failure.mayHaveBeenSent)
    }
  }

  @Test(arguments: ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/9.9 what\r\n\r\n", "<html>no header</html>"])
  func `something that is not HTTP is a bad reply`(garbage: String) async throws {
    try await withServer(RawServer.once { $0.write(garbage) }) { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url))
      #expect(failure.kind == .badReply, "\(failure.detail)")
      #expect(failure.mayHaveBeenSent)
    }
  }

  @Test func `half a body is no answer`() async throws {
    let server = try RawServer.once { $0.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") }
    try await withServer(server) { http, server in
      #expect(await http.failure(HTTPRequest(.get, server.url)).kind == .reset)
    }
  }

  @Test func `a body that is not gzip, but says so, is a bad reply`() async throws {
    let server = try RawServer.answering { _ in RawServer.ok("plain", headers: "Content-Encoding: gzip\r\n") }
    try await withServer(server) { http, server in
      #expect(await http.failure(HTTPRequest(.get, server.url)).kind == .badReply)
    }
  }

  @Test func `nobody listening is not sent, and says so`() async throws {
    let server = try RawServer { _ in }
    server.stop()
    let http = try makeClient()
    try await until("the port to close") {
      let failure = await http.failure(HTTPRequest(.post, server.url, body: secret("x")))
      return failure.kind == .connect && !failure.mayHaveBeenSent && failure.detail.contains("Connection refused")
    }
  }

  @Test func `a name that there is not is told apart`() async throws {
    let http = try makeClient()
    let failure = await http.failure(
      HTTPRequest(.get, "https://no-such-host.invalid/x?token=abc", totalTimeout: .seconds(60)))
    #expect(failure.kind == .resolve)
    #expect(!failure.mayHaveBeenSent)
    #expect(failure.detail == "the name no-such-host.invalid cannot be resolved")
  }
}
