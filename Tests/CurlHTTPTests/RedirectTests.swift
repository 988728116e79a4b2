/// Redirects: the answer where nothing is followed, and a credential's border where they are.
import ConnectionCore
import CurlHTTP
import SMARTProtocol
import Testing

@Suite("redirects")
struct RedirectTests {
  private static func redirect(_ status: Int = 302, to location: String) -> String {
    "HTTP/1.1 \(status) Moved\r\nLocation: \(location)\r\nContent-Length: 4\r\n\r\ngone"
  }

  private func get(_ url: String, max: Int = 5) -> HTTPRequest {
    HTTPRequest(
      .get, url, headers: [HTTPHeader("Accept", "text/x"), HTTPHeader("X-Api-Key", "k-1")],
      secretHeaders: [secret("Authorization: Bearer hidden")], redirects: .follow(max: max))
  }

  @Test(arguments: [301, 302, 303, 307, 308])
  func `a POST has the redirect as its answer`(status: Int) async throws {
    let server = try RawServer.answering { _ in Self.redirect(status, to: "/elsewhere") }
    try await withServer(server) { http, server in
      let reply = try await http.reply(HTTPRequest(.post, server.url + "/token", body: secret("x")))
      #expect(reply.status == status)
      #expect(reply.header("location") == "/elsewhere")
      #expect(reply.text == "gone")
      #expect(server.requests.count == 1)
    }
  }

  @Test func `the same server gets everything again`() async throws {
    let server = try RawServer.answering { request in
      request.path == "/a/b" ? Self.redirect(to: "../c?x=1") : RawServer.ok("there")
    }
    try await withServer(server) { http, server in
      let reply = try await http.reply(get(server.url + "/a/b"))
      #expect(reply.text == "there")
      #expect(reply.effectiveURL == server.url + "/c?x=1")
      #expect(reply.headers.map(\.name) == ["Content-Length"])
      #expect(server.requests.map(\.path) == ["/a/b", "/c?x=1"])
      #expect(server.requests.allSatisfy { $0.has("Authorization: Bearer hidden") && $0.has("X-Api-Key: k-1") })
      #expect(reply.timings.bytesSent == server.requests.reduce(0) { $0 + Int64($1.head.utf8.count) })
    }
  }

  @Test func `another port gets no credential, and neither does the way back`() async throws {
    let home = try RawServer.answering { request in
      request.path.hasPrefix("/start")
        ? Self.redirect(307, to: String(request.path.dropFirst(7))) : RawServer.ok("home")
    }
    let other = try RawServer.answering { request in Self.redirect(301, to: String(request.path.dropFirst(2))) }
    defer { other.stop() }
    try await withServer(home) { http, home in
      let reply = try await http.reply(get("\(home.url)/start?\(other.url)/?\(home.url)/end"))
      #expect(reply.text == "home")
      #expect(other.requests.count == 1)
      #expect(other.requests.allSatisfy { !$0.has("hidden") && !$0.has("k-1") && $0.has("Accept: text/x") })
      #expect(home.requests.map { $0.has("hidden") } == [true, false])
    }
  }

  @Test func `a circle ends`() async throws {
    let server = try RawServer.answering { request in Self.redirect(to: request.path + "x") }
    try await withServer(server) { http, server in
      let failure = await http.failure(get(server.url + "/", max: 3))
      #expect(failure.kind == .tooManyRedirects)
      #expect(failure.mayHaveBeenSent)
      #expect(server.requests.count == 4)
    }
  }

  @Test(arguments: [
    "http://example.org/", "ftp://127.0.0.1/", "file:///etc/passwd", "http://user:pw@127.0.0.1/", "http://[::",
    "gopher:x",
  ])
  func `a redirect to what must not be asked is a bad reply`(location: String) async throws {
    let server = try RawServer.answering { _ in Self.redirect(to: location) }
    try await withServer(server) { http, server in
      let failure = await http.failure(get(server.url))
      #expect(failure.kind == .badReply, "\(failure.detail)")
      #expect(!failure.detail.contains("pw"))
      #expect(server.requests.count == 1)
    }
  }

  @Test func `304 and a redirect that leads nowhere are answers`() async throws {
    let server = try RawServer.answering { request in
      request.path == "/304" ? "HTTP/1.1 304 Not Modified\r\n\r\n" : "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
    }
    try await withServer(server) { http, server in
      for status in [302, 304] {
        let reply = try await http.reply(get("\(server.url)/\(status)"))
        #expect(reply.status == status)
      }
    }
  }

  @Test func `all hops share one deadline`() async throws {
    let server = try RawServer { connection in
      while let request = connection.readRequest() {
        // Each hop alone would be in time.
        guard !connection.ended(within: 40) else { return }
        connection.write(Self.redirect(to: request.path + "x"))
      }
    }
    try await withServer(server) { http, server in
      let failure = await http.failure(get(server.url + "/", max: 1000).with { $0.totalTimeout = .milliseconds(300) })
      #expect(failure.kind == .timeout)
      #expect(failure.mayHaveBeenSent)
      #expect(server.requests.count > 1)
    }
  }
}
