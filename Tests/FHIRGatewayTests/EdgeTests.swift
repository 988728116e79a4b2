/// What every request meets: methods, headers, limits; and the routes beside the callback.
import ArgumentParser
import FakeDaemon
import Foundation
import Testing

@testable import FHIRGateway

private let keys = #"{"keys":[{"kty":"EC","kid":"k1","x":"a/b","d":"private"}]}"#
private let start =
  #"{"authorization_url":"https://as.example/auth?state=s","state":"s","expires_at":"2026-11-24T22:00:00Z","redirect_uri":"https://g/cb"}"#
private let info =
  #"{"name":"fhird","version":"0.1.0","protocol_version":1,"pid":1,"started_at":"2026-11-24T22:00:00Z","methods":[],"caller":{"uid":0,"gid":0,"pid":1,"groups":[]},"warnings":[]}"#

@Suite struct EdgeTests {
  @Test func `R1.08 every answer has the security headers and neither cookie nor banner`() async throws {
    try await blocking {
      let daemon = FakeDaemon([
        "authorization.complete": .result(Samples.status("completed")), "jwks.get": .result(keys),
        "authorization.start": .result(start),
      ])
      let edge = try Edge(daemon)
      var replies = [
        "/healthz", "/readyz", "/nothing", Samples.callback, "/launch?iss=i&launch=l", "/launch",
        "/.well-known/jwks.json", "/fhir-connections/result/" + String(repeating: "a", count: 32),
      ].map { edge.get($0) }
      replies.append(edge.get(Samples.callback, method: "POST"))
      replies.append(edge.exchange("this is not HTTP\r\n\r\n"))
      for reply in replies {
        #expect(reply.status >= 200, "\(reply.raw)")
        let policy = try #require(reply.header("Content-Security-Policy"))
        #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-"))
        #expect(policy.hasSuffix("base-uri 'none'; form-action 'none'; frame-ancestors 'none'"))
        #expect(reply.header("Referrer-Policy") == "no-referrer")
        #expect(reply.header("X-Content-Type-Options") == "nosniff")
        #expect(reply.header("Date")?.hasSuffix(" GMT") == true)
        #expect(reply.header("Set-Cookie") == nil && reply.header("Server") == nil)
        let isKeys = reply.body.hasPrefix(#"{"keys""#)
        #expect(reply.values("Cache-Control") == [isKeys ? "public, max-age=300" : "no-store"])
      }
    }
  }

  @Test func `R1.08 the policy allows the page's own style and nothing else`() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = ["dgst", "-sha256", "-binary"]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    input.fileHandleForWriting.write(Data(Page.style.utf8))
    try input.fileHandleForWriting.close()
    let sum = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(sum.base64EncodedString() == Page.styleHash)
    let page = Page.notFound.html
    for word in ["<script", "http:", "https:", "url(", " style=", "@import", " on"] where word != " on" {
      #expect(!page.contains(word), "\(word)")
    }
  }

  @Test func `R1.08 every outcome has a page with a title and a next step`() {
    for kind in Outcome.Kind.allCases {
      let page = Outcome(kind, connection: "epic").page
      #expect(page.paragraphs.count >= 2, "\(kind)")
      #expect(page.html.contains(#"<html lang="en">"#) && page.html.contains("<main>"))
      #expect(page.html.components(separatedBy: "<h1>").count == 2)
    }
  }

  @Test func `R1.07 other methods are refused and HEAD never completes or starts anything`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["jwks.get": .result(keys)])
      let edge = try Edge(daemon)
      for method in ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"] {
        let reply = edge.get(Samples.callback, method: method)
        #expect(reply.status == 405)
        #expect(reply.header("Allow") == "GET")
      }
      #expect(daemon.requests.isEmpty)
      let head = edge.get("/.well-known/jwks.json", method: "HEAD")
      #expect(head.status == 200 && head.body.isEmpty)
      #expect(Int(head.header("Content-Length") ?? "") == edge.get("/.well-known/jwks.json").body.utf8.count)
      #expect(edge.get("/healthz", method: "HEAD").status == 200)
    }
  }

  @Test func `R1.07 a request with a body is refused and its connection ends`() async throws {
    try await blocking {
      let edge = try Edge(FakeDaemon([:]))
      let open = "GET /healthz HTTP/1.1\r\nHost: h\r\n"
      for body in ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"] {
        let reply = edge.exchange(open + body)
        #expect(reply.status == 413)
        #expect(reply.header("Connection") == "close")
      }
    }
  }

  @Test func `R1.07 addresses and headers of unusual length are refused`() async throws {
    try await blocking {
      let edge = try Edge(FakeDaemon([:]))
      #expect(edge.get("/launch?iss=" + String(repeating: "x", count: 17_000)).status == 414)
      #expect(edge.get("/" + String(repeating: "x", count: 60_000)).status == 400)
      #expect(edge.get("/healthz", headers: ["X: " + String(repeating: "x", count: 60_000)]).status == 400)
      #expect(edge.get("/healthz", headers: (0..<200).map { "X\($0): x" }).status == 400)
      #expect(edge.get("/healthz").status == 200)
    }
  }

  @Test func `R1.07 an address that asks too often waits and others do not`() async throws {
    try await blocking {
      let edge = try Edge(FakeDaemon([:]), trustsProxy: true)
      let spoofing = ["X-Forwarded-For: 1.2.3.4, 192.0.2.7"]
      for _ in 0..<Int(Limits.burst) { #expect(edge.get("/nothing", headers: spoofing).status == 404) }
      let limited = edge.get("/nothing", headers: ["X-Forwarded-For: 5.6.7.8, 192.0.2.7"])
      #expect(limited.status == 429)
      #expect(limited.header("Retry-After") == "1")
      #expect(edge.get("/healthz", headers: spoofing).status == 200)
      #expect(edge.get("/nothing", headers: ["X-Forwarded-For: 192.0.2.8"]).status == 404)
      edge.pass(seconds: 0.5)
      #expect(edge.get("/nothing", headers: spoofing).status == 404)
      #expect(edge.get("/nothing", headers: spoofing).status == 429)
    }
  }

  @Test func `R1.07 X-Forwarded-For is not believed unless a proxy is trusted`() {
    #expect(ClientAddress.key(peer: "127.0.0.1", forwarded: []) == "127.0.0.1")
    #expect(ClientAddress.key(peer: "127.0.0.1", forwarded: ["<x>"]) == "127.0.0.1")
    #expect(ClientAddress.key(peer: nil, forwarded: []) == "local")
    #expect(ClientAddress.key(peer: "::1", forwarded: ["2001:DB8:1:2:3::4"]) == "2001:db8:1:2::/64")
    #expect(ClientAddress.key(peer: "::1", forwarded: ["1.1.1.1", "2001:db8::7"]) == "2001:db8:0:0::/64")
  }

  @Test func `R1.07 the limiter forgets the silent and never grows past its bound`() {
    var limiter = RateLimiter()
    for number in 0..<Limits.addressesMax + 500 { _ = limiter.spend("a\(number)", at: Double(number) / 1e5) }
    #expect(limiter.addresses <= Limits.addressesMax)
    var book = OutcomeBook()
    for number in 0..<Limits.outcomesMax + 10 { book.keep(Outcome(.completed), id: "\(number)", at: 0) }
    #expect(book.count == Limits.outcomesMax)
    #expect(book.outcome("9", at: 1) == nil && book.outcome("10", at: 1) != nil)
  }

  @Test func `R4.16 the key set is served with a tag and without private members`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["jwks.get": .result(keys)])
      let edge = try Edge(daemon)
      let reply = edge.get("/.well-known/jwks.json")
      #expect(reply.header("Content-Type") == "application/json")
      #expect(reply.body == #"{"keys":[{"kid":"k1","kty":"EC","x":"a/b"}]}"#)
      let tag = try #require(reply.header("ETag"))
      let known = edge.get("/.well-known/jwks.json", headers: ["If-None-Match: \"x\", W/\(tag)"])
      #expect(known.status == 304 && known.body.isEmpty && known.header("ETag") == tag)
      #expect(edge.get("/.well-known/jwks.json", headers: ["If-None-Match: \"x\""]).status == 200)
      #expect(daemon.requests.count == 1)
      edge.pass(seconds: 6)
      _ = edge.get("/.well-known/jwks.json")
      #expect(daemon.requests.count == 2)
    }
  }

  @Test func `R4.16 the last good key set outlives the daemon for an hour`() async throws {
    try await blocking {
      let daemon = FakeDaemon { [$0.id == 1 ? .result(keys) : .close] }
      let edge = try Edge(daemon)
      #expect(edge.get("/.well-known/jwks.json").status == 200)
      edge.pass(seconds: 3500)
      let stale = edge.get("/.well-known/jwks.json")
      #expect(stale.status == 200 && stale.header("Cache-Control") == "public, max-age=30")
      edge.pass(seconds: 200)
      let gone = edge.get("/.well-known/jwks.json")
      #expect(gone.status == 503 && gone.header("Retry-After") == "5")
    }
  }

  @Test func `R3.12 a launch that is too long for an address is a page with a form, and its values are escaped`()
    async throws
  {
    try await blocking {
      let form =
        #","authorization_post":{"url":"https://as.example/auth?a=1&b","parameters":{"scope":"x\"><script>alert(1)</script>","state":"s"}}}"#
      let daemon = FakeDaemon(["authorization.start": .result(String(start.dropLast()) + form)])
      let reply = try Edge(daemon).get("/launch?iss=https%3A%2F%2Fehr.example%2FR4&launch=xyz")
      #expect(reply.status == 200)
      #expect(reply.body.contains(#"<form method="post" action="https://as.example/auth?a=1&amp;b">"#))
      #expect(reply.body.contains(#"name="state" value="s">"#))
      #expect(!reply.body.contains("<script"), "\(reply.body)")
      let policy = try #require(reply.header("Content-Security-Policy"))
      #expect(policy.contains("form-action https: http:") && policy.contains("default-src 'none'"))
      let unsafe = form.replacingOccurrences(of: "https://as.example/auth?a=1&b", with: "javascript:alert(1)")
      let other = FakeDaemon(["authorization.start": .result(String(start.dropLast()) + unsafe)])
      #expect(try Edge(other).get("/launch?iss=https%3A%2F%2Fehr.example%2FR4&launch=xyz").status == 303)
    }
  }

  @Test func `R1.07 a launch goes to the authorization server and to no other kind of address`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.start": .result(start)])
      let reply = try Edge(daemon).get("/launch?iss=https%3A%2F%2Fehr.example%2FR4&launch=xyz&next=https://evil")
      #expect(reply.status == 303)
      #expect(reply.header("Location") == "https://as.example/auth?state=s")
      #expect(daemon.requests.first?.parameter("iss") == #""https://ehr.example/R4""#)
      #expect(daemon.requests.first?.parameter("launch") == #""xyz""#)
      #expect(daemon.requests.first?.parameter("next") == nil)
      for url in [
        "javascript:alert(1)", "http://as.example/", "https://", "https://u@h/", "//evil.example/", "https://a b",
      ] {
        #expect(!Launch.isSafe(url), "\(url)")
      }
      for url in ["https://as.example", "http://127.0.0.1:9/a", "http://localhost/", "http://[::1]:80/"] {
        #expect(Launch.isSafe(url), "\(url)")
      }
    }
  }

  @Test func `R1.07 a launch of a stranger or without its parameters is told in words`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.start": .error(Samples.error("CONNECTION_NOT_FOUND"))])
      let edge = try Edge(daemon)
      let stranger = edge.get("/launch?iss=https://nobody.example/%3Cb%3E&launch=x")
      #expect(stranger.status == 404 && stranger.body.contains("This server is not connected here"))
      #expect(!stranger.body.contains("nobody.example"))
      for query in ["", "?iss=i", "?launch=l", "?iss=i&iss=j&launch=l"] {
        #expect(edge.get("/launch" + query).status == 400)
      }
      #expect(daemon.requests.count == 1)
    }
  }

  @Test func `R1.08 readiness is the daemon's and life is the gateway's own`() async throws {
    try await blocking {
      let edge = try Edge(FakeDaemon(["server.info": .result(info)]))
      #expect(edge.get("/healthz").body == "ok\n")
      let ready = edge.get("/readyz")
      #expect(ready.status == 200, "\(edge.log)")
      let alone = try Edge(nil)
      #expect(alone.get("/healthz").status == 200)
      #expect(alone.get("/readyz").status == 503)
      #expect(alone.get("/").status == 404)
    }
  }

  @Test func `R1.08 only loopback is listened on unless told otherwise`() throws {
    #expect(ListenAddress("127.0.0.1:8480") == .standard && ListenAddress("localhost:8480") == .standard)
    #expect(ListenAddress("[::1]:1")?.isLocal == true)
    #expect(ListenAddress("unix:/run/x.sock") == .unix(path: "/run/x.sock"))
    #expect(ListenAddress("0.0.0.0:80")?.isLocal == false && ListenAddress("[::]:80")?.isLocal == false)
    for text in ["", "8480", "host.example:80", "127.0.0.1:99999", "::1:80", "unix:relative"] {
      #expect(ListenAddress(text) == nil, "\(text)")
    }
    #expect(throws: (any Error).self) { try GatewayCommand.parse(["--listen", "0.0.0.0:8480"]) }
    #expect(try GatewayCommand.parse(["--listen", "0.0.0.0:8480", "--listen-anywhere"]).listenAnywhere)
  }
}
