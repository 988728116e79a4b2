/// Login callbacks through the real server: what the daemon is asked, what the browser gets, what nobody gets to see.
import FakeDaemon
import Foundation
import Testing

@testable import FHIRGateway

@Suite struct CallbackTests {
  private func edge(_ daemon: FakeDaemon) throws -> Edge { try Edge(daemon) }

  /// The result page that a callback leads to.
  private func result(_ edge: Edge, _ target: String = Samples.callback) throws -> Edge.Reply {
    let reply = edge.get(target)
    #expect(reply.status == 303)
    return edge.get(try #require(reply.header("Location")))
  }

  @Test func `R1.08 a login ends on a page whose address holds neither code nor state`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .result(Samples.status("completed"))])
      let edge = try edge(daemon)
      let reply = edge.get(Samples.callback)
      #expect(reply.status == 303)
      let location = try #require(reply.header("Location"))
      #expect(location.wholeMatch(of: /\/fhir-connections\/result\/[0-9a-f]{32}/) != nil)
      #expect(reply.body.isEmpty)
      #expect(reply.header("Cache-Control") == "no-store")
      let page = edge.get(location)
      #expect(page.status == 200)
      #expect(page.body.contains("<h1>You are connected</h1>"))
      #expect(page.body.contains("You can close this window."))
      #expect(page.body.contains("<dd>epic</dd>"))
      #expect(!page.raw.contains("secret-code") && !page.raw.contains("st-4711"))
    }
  }

  @Test func `R4.13 the parameters of the protocol reach the daemon decoded and no others do`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .result(Samples.status("completed"))])
      let edge = try edge(daemon)
      _ = edge.get(
        "/fhir-connections/callback?state=a%2Bb+c&code=x%3D%3D&iss=https%3A%2F%2Fas.example&session_state=1&%ZZ=2")
      let request = try #require(daemon.requests.first)
      #expect(request.method == "authorization.complete")
      #expect(request.parameter("state") == #""a+b c""#)
      #expect(request.parameter("code") == #""x==""#)
      #expect(request.parameter("iss") == #""https://as.example""#)
      #expect(request.parameter("session_state") == nil)
      #expect(request.parameter("timeout_seconds") == "65")
    }
  }

  @Test func `R4.14 the callback of one connection tells the daemon which`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .result(Samples.status("completed"))])
      let edge = try edge(daemon)
      let page = try result(edge, "/fhir-connections/0f5c-1/callback?state=s&code=c")
      #expect(page.status == 200)
      let request = try #require(daemon.requests.first)
      #expect(request.parameter("connection_id") == #""0f5c-1""#)
      _ = try result(edge, "/fhir-connections/callback?state=s&code=c")
      #expect(daemon.requests.last?.parameter("connection_id") == nil)
      #expect(edge.get("/fhir-connections/a%2Fb/callback?state=s&code=c").status == 404)
    }
  }

  @Test func `R4.12 a refusal is told in words and the server's own words cannot become markup`() async throws {
    try await blocking {
      let words = #""oauth":{"error":"access_denied","error_description":"<script>alert('x')</script> & \"more\""}"#
      let daemon = FakeDaemon([
        "authorization.complete": .result(Samples.status("failed", name: "<b>epic</b>", more: "," + words))
      ])
      let page = try result(
        edge(daemon), "/fhir-connections/callback?state=s&error=access_denied&error_description=%3Cscript%3E")
      #expect(page.body.contains("<h1>The login was declined</h1>"))
      #expect(
        page.body.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot; (access_denied)"))
      #expect(page.body.contains("&lt;b&gt;epic&lt;/b&gt;"))
      #expect(!page.body.contains("<script") && !page.body.contains("<b>"))
      #expect(daemon.requests.first?.parameter("error") == #""access_denied""#)
    }
  }

  @Test func `R4.12 words of the server are cut`() async throws {
    try await blocking {
      let long = String(repeating: "long ", count: 500)
      let daemon = FakeDaemon([
        "authorization.complete": .result(
          Samples.status("failed", more: #","oauth":{"error":"server_error","error_description":"\#(long)"}"#))
      ])
      let page = try result(edge(daemon))
      #expect(page.body.contains("<h1>The server refused the login</h1>"))
      #expect(page.body.contains("… (server_error)"))
      #expect(page.body.count < 6000)
      #expect(page.body.contains("<code>fhirctl login epic</code>"))
    }
  }

  @Test func `R4.11 an unknown state is told as a login that nobody waits for`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .error(Samples.error("STATE_MISMATCH"))])
      let page = try result(edge(daemon))
      #expect(page.body.contains("<h1>No login is waiting for this</h1>"))
      #expect(page.body.contains("<code>STATE_MISMATCH</code>"))
    }
  }

  @Test func `R4.15 a duplicate callback gets the same answer`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .result(Samples.status("completed"))])
      let edge = try edge(daemon)
      for _ in 0..<2 {
        let page = try result(edge)
        #expect(page.body.contains("You are connected"))
      }
      #expect(daemon.requests.count == 2)
    }
  }

  @Test(arguments: [
    "?state=a&state=b&code=c", "?state=a&code=c&st%61te=b", "?code=c", "?state=a", "", "?state=%zz&code=c",
    "?state=a&code=%ff", "?state=a&code=c%0d%0ad", "?state=a&code=c&iss=" + String(repeating: "x", count: 3000),
    "?state=a&code=" + String(repeating: "x", count: 18_000),
  ])
  func `R1.07 a callback that is not well formed never reaches the daemon and leaves the address bar`(_ query: String)
    async throws
  {
    try await blocking {
      let daemon = FakeDaemon([:])
      let page = try result(edge(daemon), "/fhir-connections/callback" + query)
      #expect(page.body.contains("<h1>This address is not complete</h1>"))
      #expect(daemon.requests.isEmpty)
    }
  }

  @Test func `R1.08 without a daemon the code still leaves the address bar`() async throws {
    try await blocking {
      let edge = try Edge(nil)
      let page = try result(edge)
      #expect(page.body.contains("<h1>The service is not available</h1>"))
      #expect(!page.raw.contains("no-such-directory"))
      #expect(edge.log.contains("code=DAEMON_UNREACHABLE"))
    }
  }

  @Test func `R1.08 no line of the log holds a code or a state`() async throws {
    try await blocking {
      for answer in [
        FakeDaemon.Answer.result(Samples.status("completed")), .error(Samples.error("INVALID_GRANT")), .close,
      ] {
        let edge = try Edge(FakeDaemon(["authorization.complete": answer]))
        _ = edge.get(Samples.callback)
        _ = edge.get(Samples.callback + "&code=secret-code-2")
        _ = edge.get(Samples.callback, method: "POST", headers: ["Content-Length: 11"], body: "secret-code")
        #expect(edge.log.contains("a login came back"))
        #expect(!edge.log.contains("secret-code") && !edge.log.contains("st-4711"))
      }
    }
  }

  @Test func `R1.08 a refused gateway names the rule that is missing`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .error(Samples.error("ACCESS_DENIED"))])
      let edge = try edge(daemon)
      let page = try result(edge)
      #expect(page.body.contains("fhirctl access grant unit:fhird-gateway.service"))
      #expect(edge.log.contains("fhirctl access grant unit:fhird-gateway.service"))
    }
  }

  @Test func `R1.08 a result is shown for ten minutes and unknown ones are not told apart`() async throws {
    try await blocking {
      let daemon = FakeDaemon(["authorization.complete": .result(Samples.status("completed"))])
      let edge = try edge(daemon)
      let location = try #require(edge.get(Samples.callback).header("Location"))
      edge.pass(seconds: 599)
      #expect(edge.get(location).status == 200)
      edge.pass(seconds: 2)
      let late = edge.get(location)
      #expect(late.status == 404)
      #expect(late.body == edge.get("/fhir-connections/result/" + String(repeating: "0", count: 32)).body)
    }
  }
}
