/// What goes over the wire, byte by byte, and what is refused before anything does.
import ConnectionCore
import CurlHTTP
import SMARTProtocol
import TestSupport
import Testing

@Suite("requests on the wire")
struct WireTests {
  private func echo() throws -> RawServer { try .answering { _ in RawServer.ok() } }

  @Test func `a GET is these bytes`() async throws {
    try await withServer(echo(), makeClient { $0.userAgent = "fhird/test" }) { http, server in
      let reply = try await http.reply(
        HTTPRequest(
          .get, server.url + "/fhir/metadata?_summary=true", headers: [HTTPHeader("Accept", "application/json")]))
      #expect(reply.status == 200)
      #expect(reply.text == "{}")
      #expect(reply.timings.httpVersion == "1.1")
      #expect(reply.timings.newConnection)
      #expect(reply.timings.remoteAddress == "127.0.0.1:\(server.port)")
      let request = try #require(server.requests.first)
      #expect(
        request.lines == [
          "GET /fhir/metadata?_summary=true HTTP/1.1", "Host: 127.0.0.1:\(server.port)", "User-Agent: fhird/test",
          "Accept-Encoding: gzip", "Accept: application/json",
        ])
      #expect(reply.timings.bytesSent == Int64(request.head.utf8.count))
      #expect(reply.timings.total > 0)
      #expect(reply.timings.firstByte >= reply.timings.requestSent)
    }
  }

  @Test func `a POST is these bytes, with its secrets`() async throws {
    try await withServer(echo(), makeClient { $0.userAgent = "fhird/test" }) { http, server in
      let body = "grant_type=client_credentials&client_secret=s%2Bcret"
      let reply = try await http.reply(
        HTTPRequest(
          .post, server.url + "/token",
          headers: [
            HTTPHeader("Accept", "application/json"), HTTPHeader("Content-Type", "application/x-www-form-urlencoded"),
          ],
          secretHeaders: [secret("Authorization: Basic Zm9vOmJhcg==")], body: secret(body)))
      #expect(reply.status == 200)
      let request = try #require(server.requests.first)
      #expect(
        request.lines
          == [
            "POST /token HTTP/1.1", "Host: 127.0.0.1:\(server.port)", "User-Agent: fhird/test", "Accept-Encoding: gzip",
            "Accept: application/json", "Content-Type: application/x-www-form-urlencoded",
            "Authorization: Basic Zm9vOmJhcg==", "Content-Length: \(body.utf8.count)",
          ].sortedLike(request.lines))
      #expect(request.body == body)
      #expect(reply.timings.bytesSent == Int64(request.head.utf8.count + body.utf8.count))
    }
  }

  @Test func `a large POST asks for no permission and arrives whole`() async throws {
    try await withServer(echo()) { http, server in
      let body = String(repeating: "0123456789abcdef", count: 1 << 16)
      _ = try await http.reply(HTTPRequest(.post, server.url, body: secret(body)))
      let request = try #require(server.requests.first)
      #expect(request.body == body)
      #expect(!request.has("expect:"))
      #expect(!request.has("content-type:"))
    }
  }

  @Test(arguments: [HTTPRequest.Method.post, .put, .delete, .head])
  func `methods and empty bodies are what they say`(method: HTTPRequest.Method) async throws {
    let server = try RawServer.answering { request in
      request.head.hasPrefix("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" : RawServer.ok()
    }
    try await withServer(server) { http, server in
      let reply = try await http.reply(HTTPRequest(method, server.url + "/x"))
      #expect(reply.status == 200)
      #expect(reply.body.isEmpty == (method == .head))
      let request = try #require(server.requests.first)
      #expect(request.lines.first == "\(method.rawValue) /x HTTP/1.1")
      #expect(request.has("content-length: 0") == (method == .post || method == .put))
    }
  }

  @Test func `a header without a value goes out, and headers come back in order`() async throws {
    let server = try RawServer.answering { _ in
      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        + RawServer.ok("", headers: "X-B: 2\r\nx-a:  one \r\n two\r\nX-B: 3\r\nX-Empty:\r\n")
    }
    try await withServer(server) { http, server in
      let reply = try await http.reply(HTTPRequest(.get, server.url, headers: [HTTPHeader("X-Nothing", "")]))
      #expect(server.requests.first?.lines.contains("X-Nothing:") == true)
      #expect(reply.headers.map(\.name) == ["Content-Length", "X-B", "x-a", "X-B", "X-Empty"])
      #expect(reply.headers.map(\.value) == ["0", "2", "one two", "3", ""])
      #expect(reply.header("x-b") == "2")
    }
  }

  @Test func `trailers are no headers`() async throws {
    let server = try RawServer.answering { _ in
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
    }
    try await withServer(server) { http, server in
      let reply = try await http.reply(HTTPRequest(.get, server.url))
      #expect(reply.text == "ok")
      #expect(reply.headers.map(\.name) == ["Transfer-Encoding"])
    }
  }

  // Refused -----------------------------------------------------------------------------------------------------------

  @Test(arguments: [
    HTTPHeader("X-A", "1\r\nX-Injected: 1"), HTTPHeader("X-A", "1\n"), HTTPHeader("X-A", "1\u{0}2"),
    HTTPHeader("X-A\r\nX-Injected", "1"), HTTPHeader("", "1"), HTTPHeader("X A", "1"), HTTPHeader("X-A:", "1"),
    HTTPHeader("Content-Length", "0"), HTTPHeader("transfer-encoding", "chunked"), HTTPHeader("Connection", "close"),
  ])
  func `a header that breaks the protocol is refused`(header: HTTPHeader) async throws {
    try await withServer(echo()) { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url, headers: [header]))
      #expect(failure.kind == .badRequest)
      #expect(!failure.mayHaveBeenSent)
      #expect(server.accepted == 0)
    }
  }

  @Test(arguments: [
    "Authorization: Bearer abc\r\nX-Injected: 1", "Authorization: a\u{0}b", "no colon", ": no name",
    "Transfer-Encoding: x",
  ])
  func `a secret header that breaks the protocol is refused without being shown`(line: String) async throws {
    try await withServer(echo()) { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url, secretHeaders: [secret(line)]))
      #expect(failure.kind == .badRequest)
      #expect(!failure.detail.contains("abc"))
      #expect(server.accepted == 0)
    }
  }

  @Test(arguments: [
    "", "x", "https://", "https:///path", "https:/127.0.0.1/", "https://host:99999/", "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "https://user:secretword@127.0.0.1/", "https://user@127.0.0.1/", "https://127.0.0.1/a b",
    "https://127.0.0.1/\r\nX: 1",
    "https://127.0.0.1/ä", "http://192.0.2.1/", "http://example.org/", "http://127.0.0.1.example.org/",
    "http://0.0.0.0/",
    "http://[::2]/", "gopher://127.0.0.1/", "//127.0.0.1/",
  ])
  func `a URL that must not be asked is refused without being shown`(url: String) async throws {
    let http = try makeClient()
    let failure = await http.failure(HTTPRequest(.get, url, totalTimeout: .seconds(5)))
    #expect(failure.kind == .badRequest, "\(failure.detail)")
    #expect(!failure.mayHaveBeenSent)
    #expect(!failure.detail.contains("secretword"))
  }

  @Test(arguments: ["localhost", "LocalHost", "127.0.0.1", "127.1", "0x7f.1", "127.8.9.10"])
  func `http goes to this machine under its names`(host: String) async throws {
    // 0.0.0.0 listens to all of 127.0.0.0/8.
    let server = try RawServer(host: "0.0.0.0") { connection in
      while connection.readRequest() != nil { connection.write(RawServer.ok()) }
    }
    try await withServer(server) { http, server in
      let reply = try await http.reply(HTTPRequest(.get, "http://\(host):\(server.port)/"))
      #expect(reply.status == 200)
      #expect(reply.timings.remoteAddress.hasPrefix("127."))
      // An idle connection is looked at as well.
      let again = try await http.reply(HTTPRequest(.get, "http://\(host):\(server.port)/"))
      #expect(!again.timings.newConnection)
    }
  }

  @Test func `http is refused where it was not allowed`() async throws {
    try await withServer(echo(), makeClient { $0.allowInsecureLoopback = false }) { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url))
      #expect(failure.kind == .badRequest)
      #expect(server.accepted == 0)
    }
  }

  @Test func `bodies stay with their methods, and a POST follows nothing`() async throws {
    try await withServer(echo()) { http, server in
      #expect(await http.failure(HTTPRequest(.get, server.url, body: secret("x"))).kind == .badRequest)
      let follow = HTTPRequest(.post, server.url, body: secret("x"), redirects: .follow(max: 3))
      #expect(await http.failure(follow).kind == .badRequest)
      #expect(server.accepted == 0)
    }
  }

  // Proxies -----------------------------------------------------------------------------------------------------------

  @Test func `a proxy that is named is used`() async throws {
    let proxy = try RawServer.answering { _ in RawServer.ok("from the proxy") }
    try await withServer(proxy) { http, proxy in
      let reply = try await http.reply(HTTPRequest(.get, "http://127.0.0.1:1/x", proxy: proxy.url))
      #expect(reply.text == "from the proxy")
      #expect(proxy.requests.first?.lines.first == "GET http://127.0.0.1:1/x HTTP/1.1")
    }
  }

  @Test func `a proxy sees no header of an https request, and its refusal sends none`() async throws {
    let proxy = try RawServer.answering { _ in "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" }
    try await withServer(proxy) { http, proxy in
      let failure = await http.failure(
        HTTPRequest(
          .post, "https://fhir.example.org/token", secretHeaders: [secret("Authorization: Bearer abcdef")],
          body: secret("grant"), proxy: proxy.url))
      #expect(failure.kind == .connect)
      #expect(!failure.mayHaveBeenSent)
      #expect(failure.detail.contains("proxy"))
      let seen = try #require(proxy.requests.first)
      #expect(seen.lines.first == "CONNECT fhir.example.org:443 HTTP/1.1")
      #expect(!seen.has("authorization"))
    }
  }

  @Test(arguments: ["ftp://127.0.0.1:1", "127.0.0.1:1", "http://u:p@127.0.0.1:1", ""])
  func `a proxy of another kind is refused`(proxy: String) async throws {
    let http = try makeClient()
    #expect(await http.failure(HTTPRequest(.get, "https://127.0.0.1:1/", proxy: proxy)).kind == .badRequest)
  }
}

extension [String] {
  /// The same lines, in the order of the others where they are the same: curl is free in its order.
  fileprivate func sortedLike(_ others: [String]) -> [String] {
    sorted { (others.firstIndex(of: $0) ?? .max) < (others.firstIndex(of: $1) ?? .max) }
  }
}
