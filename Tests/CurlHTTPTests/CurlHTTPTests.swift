/// The HTTP adapter against the scripted server of the integration tests, which is not of the same hand as RawServer.
import ConnectionCore
import CurlHTTP
import SMARTProtocol
import TestSupport
import Testing

private func failure(_ body: () async throws(HTTPFailure) -> HTTPReply) async -> HTTPFailure? {
  do {
    _ = try await body()
    return nil
  } catch { return error }
}

@Suite("HTTP", .enabled(if: TestMachine.python3 != nil || TestMachine.isCI, "SKIPPED: this machine lacks python3"))
struct CurlHTTPTests {
  private func withServer(_ body: (ScriptedServer) async throws -> Void) async throws {
    let server = try await ScriptedServer.start()
    defer { server.stop() }
    try await body(server)
  }

  @Test func `a GET brings status, headers and body, and a kept connection is used again`() async throws {
    try await withServer { server in
      let http = try makeClient()
      let url = server.base() + "/.well-known/smart-configuration"
      let first = try await http.send(HTTPRequest(.get, url, headers: [HTTPHeader("Accept", "application/json")]))
      #expect(first.status == 200)
      #expect(first.header("content-type")?.contains("json") == true)
      #expect(String(decoding: first.body, as: UTF8.self).contains("token_endpoint"))
      #expect(first.timings.newConnection)
      #expect(first.timings.bytesReceived > first.body.count)
      let second = try await http.send(HTTPRequest(.get, url))
      #expect(!second.timings.newConnection)
      #expect(second.timings.httpVersion == "1.1")
      let seen = try await server.log()
      #expect(seen.first?["headers"]["Accept"] == "application/json")
      #expect(seen.first?["headers"]["User-Agent"].string?.hasPrefix("fhird/") == true)
      await http.stop(deadline: .seconds(5))
    }
  }

  @Test func `a POST carries its secrets, once, on a connection of its own`() async throws {
    try await withServer { server in
      let http = try makeClient()
      try await server.register()
      _ = try await http.send(HTTPRequest(.get, server.base() + "/metadata"))
      let reply = try await http.send(
        HTTPRequest(
          .post, server.origin + "/token", headers: [HTTPHeader("Content-Type", "application/x-www-form-urlencoded")],
          secretHeaders: [
            secret("Authorization: Basic dGVzdC1jbGllbnQ6YS1jbGllbnQtc2VjcmV0LW9mLXRoZS10ZXN0cw==")
          ], body: secret("grant_type=client_credentials&scope=system%2F%2A.rs")))
      #expect(reply.status == 200, "\(String(decoding: reply.body, as: UTF8.self))")
      #expect(reply.timings.newConnection)
      #expect(try await server.count(path: "/token") == 1)
      await http.stop(deadline: .seconds(5))
    }
  }

  @Test func `what could smuggle a header or leave the house is refused before anything is sent`() async throws {
    let http = try makeClient()
    let strict = try CurlHTTP()
    let base = "http://127.0.0.1:9/x"
    for header in [
      HTTPHeader("X", "a\r\nEvil: 1"), HTTPHeader("X\n", "a"), HTTPHeader("X", "a\u{0}"), HTTPHeader("", "a"),
    ] {
      #expect(
        await failure { () throws(HTTPFailure) in try await http.send(HTTPRequest(.get, base, headers: [header])) }?
          .kind == .badRequest)
    }
    for url in [
      "http://example.org/", "ftp://127.0.0.1/", "file:///etc/passwd", "https://user:pw@example.org/", "nonsense",
      "http://127.0.0.1/a b",
    ] {
      let found = await failure { () throws(HTTPFailure) in try await http.send(HTTPRequest(.get, url)) }
      #expect(found?.kind == .badRequest, "\(url)")
      #expect(found?.mayHaveBeenSent == false)
    }
    #expect(
      await failure { () throws(HTTPFailure) in try await strict.send(HTTPRequest(.get, base)) }?.kind == .badRequest)
    #expect(
      await failure { () throws(HTTPFailure) in
        try await http.send(HTTPRequest(.get, base, secretHeaders: [secret("A: b\r\nEvil: 1")]))
      }?.kind == .badRequest)
    await http.stop(deadline: .seconds(5))
    await strict.stop(deadline: .seconds(5))
  }

  @Test func `answers that are too long, cut off, or never come end as such`() async throws {
    try await withServer { server in
      let http = try makeClient()
      let rules: [(WireJSON, Set<HTTPFailure.Kind>)] = [
        (["stream_bytes": 3_000_000], [.tooLarge]),
        (["stream_bytes": 3_000_000, "stream_chunked": true], [.tooLarge]),
        (["header_bytes": 600_000], [.tooLarge, .badReply]),
        (["drop": "after_reading"], [.emptyReply, .reset]), (["drop": "reset"], [.reset, .emptyReply]),
        (["drop": "half_body"], [.reset]), (["hang": true], [.timeout]),
      ]
      for (i, (rule, kinds)) in rules.enumerated() {
        try await server.rule(rule.merging(["path": .string("/case\(i)")]))
        var request = HTTPRequest(.get, server.origin + "/case\(i)")
        request.totalTimeout = .milliseconds(2000)
        let found = await failure { () throws(HTTPFailure) in try await http.send(request) }
        #expect(found.map { kinds.contains($0.kind) } == true, "case \(i): \(String(describing: found))")
        #expect(found?.mayHaveBeenSent == true, "case \(i)")
      }
      let nobody = await failure { () throws(HTTPFailure) in
        try await http.send(HTTPRequest(.get, "http://127.0.0.1:1/"))
      }
      #expect(nobody?.kind == .connect)
      #expect(nobody?.mayHaveBeenSent == false)
      await http.stop(deadline: .seconds(5))
    }
  }

  @Test func `a redirect is the answer, or followed without secrets to another origin`() async throws {
    try await withServer { server in
      try await withServer { other in
        let http = try makeClient()
        try await server.rule([
          "path": "/there", "status": 302, "headers": ["Location": .string(other.origin + "/fhir/metadata")],
        ])
        try await server.rule(["path": "/round", "status": 302, "headers": ["Location": "/round"]])
        let plain = try await http.send(HTTPRequest(.get, server.origin + "/there"))
        #expect(plain.status == 302)
        let followed = try await http.send(
          HTTPRequest(
            .get, server.origin + "/there",
            headers: [HTTPHeader("X-Key", "k"), HTTPHeader("Accept", "application/json")],
            secretHeaders: [secret("Authorization: Bearer t0ken")], redirects: .follow(max: 3)))
        #expect(followed.status == 200)
        #expect(followed.effectiveURL == other.origin + "/fhir/metadata")
        let seen = try await other.log()
        #expect(seen.count == 1)
        #expect(seen[0]["headers"]["Authorization"] == .null)
        #expect(seen[0]["headers"]["X-Key"] == .null)
        #expect(seen[0]["headers"]["Accept"] == "application/json")
        let round = await failure { () throws(HTTPFailure) in
          try await http.send(HTTPRequest(.get, server.origin + "/round", redirects: .follow(max: 3)))
        }
        #expect(round?.kind == .tooManyRedirects)
        #expect(try await server.count(path: "/round") == 4)
        await http.stop(deadline: .seconds(5))
      }
    }
  }

  @Test func `cancelling ends a transfer, and stopping ends them all`() async throws {
    try await withServer { server in
      let http = try makeClient { $0.connectionsPerHost = 4 }
      try await server.rule(["path": "/held", "hold": "gate"])
      let url = server.origin + "/held"
      let one = Task { await failure { () throws(HTTPFailure) in try await http.send(HTTPRequest(.get, url)) } }
      _ = try await eventually("it is under way") { try await server.inFlight(path: "/held") == 1 ? true : nil }
      one.cancel()
      #expect(await one.value?.kind == .cancelled)
      let many = (0..<40).map { _ in
        Task { await failure { () throws(HTTPFailure) in try await http.send(HTTPRequest(.get, url)) } }
      }
      _ = try await eventually("no more than four at a time") {
        try await server.inFlight(path: "/held") >= 4 ? true : nil
      }
      #expect(await http.ping(timeout: .seconds(10)))
      #expect(await http.stop(deadline: .seconds(10)))
      for task in many { #expect(await task.value?.kind == .cancelled) }
      #expect(await !http.ping(timeout: .seconds(1)))
      #expect(
        await failure { () throws(HTTPFailure) in try await http.send(HTTPRequest(.get, url)) }?.kind == .cancelled)
      try await server.release("gate")
    }
  }

  @Test func `three hundred transfers at once all come back, over few connections`() async throws {
    try await withServer { server in
      let http = try makeClient { $0.connectionsPerHost = 8 }
      let url = server.base() + "/.well-known/smart-configuration"
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<300 { group.addTask { try await http.send(HTTPRequest(.get, url)).status } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(statuses == [Int](repeating: 200, count: 300))
      #expect(try await server.stats()["connections"].int ?? 0 <= 16)
      await http.stop(deadline: .seconds(5))
    }
  }
}
