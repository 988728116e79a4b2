/// TLS against the servers of Python and nginx: own CAs, wrong names, old versions, HTTP/2.
import ConnectionCore
import CurlHTTP
import Foundation
import SMARTProtocol
import TestSupport
import Testing

@Suite(
  "TLS",
  .enabled(
    if: (TestMachine.python3 != nil && Authority.openssl != nil) || TestMachine.isCI,
    "SKIPPED: this machine lacks python3 or openssl"))
struct TLSTests {
  @Test func `a server under the connection's own CA is trusted`() async throws {
    try await onServer { http, server in
      let reply = try await http.reply(
        HTTPRequest(.post, server.url + "/x", body: secret("hello"), caFile: server.authority.caFile))
      #expect(reply.status == 200)
      #expect(reply.text == "TLSv1.3")
      #expect(reply.timings.tlsHandshake > 0)
      let byName = try await http.reply(
        HTTPRequest(.get, "https://localhost:\(server.port)/", caFile: server.authority.caFile))
      #expect(byName.status == 200)
    }
  }

  @Test func `a server under an unknown CA gets no request, also beside those who trust it`() async throws {
    try await onServer { http, server in
      let trusting = HTTPRequest(.get, server.url, caFile: server.authority.caFile)
      #expect(try await http.reply(trusting).status == 200)
      let seen = server.requestCount
      // The open connection of those who trust the CA is not for the others.
      for caFile in [nil, try await Authority.make().caFile] as [String?] {
        let failure = await http.failure(
          HTTPRequest(.get, server.url, secretHeaders: [secret("Authorization: Bearer abc")], caFile: caFile))
        #expect(failure.kind == .tls)
        #expect(!failure.mayHaveBeenSent)
        #expect(failure.detail.contains("the certificate of 127.0.0.1 is not trusted"), "\(failure.detail)")
        #expect(failure.detail.contains(caFile ?? "set ca_file"))
      }
      #expect(server.requestCount == seen)
      #expect(try await http.reply(trusting).timings.newConnection == false)
    }
  }

  @Test func `a ca_file counts as soon as it is put right`() async throws {
    try await onServer { http, server in
      let file = server.authority.directory + "/mine.pem"
      func write(_ other: String) throws {
        try? FileManager.default.removeItem(atPath: file)
        try FileManager.default.copyItem(atPath: other, toPath: file)
      }
      try write(try await Authority.make().caFile)
      #expect(await http.failure(HTTPRequest(.get, server.url, caFile: file)).kind == .tls)
      try write(server.authority.caFile)
      #expect(try await http.reply(HTTPRequest(.get, server.url, caFile: file)).status == 200)
    }
  }

  @Test(arguments: [
    ("DNS:elsewhere.example", 30, "is for another name"), ("IP:127.0.0.1", -1, "has expired"),
  ])
  func `a certificate that is not right is refused in clear words`(name: String, days: Int, words: String) async throws
  {
    try await onServer(names: name, days: days) { http, server in
      let failure = await http.failure(
        HTTPRequest(.post, server.url, body: secret("x"), caFile: server.authority.caFile))
      #expect(failure.kind == .tls)
      #expect(!failure.mayHaveBeenSent)
      #expect(failure.detail.contains(words), "\(failure.detail)")
      #expect(failure.detail.contains("127.0.0.1"))
      #expect(server.requestCount == 0)
    }
  }

  @Test func `TLS 1_1 is refused, TLS 1_2 is not`() async throws {
    try await onServer(version: "TLSv1_1") { http, server in
      let failure = await http.failure(HTTPRequest(.get, server.url, caFile: server.authority.caFile))
      #expect(failure.kind == .tls)
      #expect(!failure.mayHaveBeenSent)
      #expect(failure.detail == "127.0.0.1 offers no TLS 1.2 or newer")
      #expect(server.requestCount == 0)
    }
    try await onServer(version: "TLSv1_2") { http, server in
      let reply = try await http.reply(HTTPRequest(.get, server.url, caFile: server.authority.caFile))
      #expect(reply.text == "TLSv1.2")
    }
  }

  @Test func `R5.16 a server that wants a client certificate is shown the connection's own`() async throws {
    try await onServer(wantsCertificate: true) { http, server in
      let authority = server.authority
      let bare = await http.failure(HTTPRequest(.get, server.url, caFile: authority.caFile))
      #expect(bare.kind == .tls, "\(bare)")
      #expect(bare.detail == "127.0.0.1 wants a client certificate; set client_certificate_file")
      let file = authority.directory + "/client.pem"
      let pem = try [authority.certificate, authority.key].map { try String(contentsOfFile: $0, encoding: .utf8) }
      try pem.joined().write(toFile: file, atomically: true, encoding: .utf8)
      chmod(file, 0o640)
      let request = HTTPRequest(.get, server.url, caFile: authority.caFile, certificateFile: file)
      #expect(try await http.reply(request).text.contains("CN=server"))
      // The open connection of the client with a certificate is not for the others.
      #expect(await http.failure(HTTPRequest(.get, server.url, caFile: authority.caFile)).kind == .tls)
      chmod(file, 0o644)
      #expect(await http.failure(request).detail.contains("everybody may read it"))
      let half = request.with { $0.certificateFile = authority.certificate }
      chmod(authority.certificate, 0o600)
      #expect(await http.failure(half).detail.contains("must hold a certificate and its key"))
    }
  }

  @Test func `a ca_file that is none is named`() async throws {
    let directory = try TestMachine.makeDirectory()
    defer { TestMachine.remove(directory) }
    let http = try makeClient()
    #expect(FileManager.default.createFile(atPath: directory + "/text", contents: Data("no certificate\n".utf8)))
    #expect(mkfifo(directory + "/pipe", 0o600) == 0)
    try await withServer(RawServer { $0.waitForEnd() }, http) { http, server in
      for name in ["missing", "text", "pipe", ""] {
        let file = directory + "/" + name
        let failure = await http.failure(HTTPRequest(.get, "https://127.0.0.1:\(server.port)/", caFile: file))
        #expect(failure.kind == .tls)
        #expect(!failure.mayHaveBeenSent)
        #expect(failure.detail.contains("ca_file \(file) cannot be used"), "\(failure.detail)")
      }
    }
  }

  @Test func `https never leads to http`() async throws {
    let plain = try RawServer.answering { _ in RawServer.ok() }
    defer { plain.stop() }
    try await onServer(redirectingTo: plain.url + "/") { http, server in
      let failure = await http.failure(
        HTTPRequest(.get, server.url + "/redirect", redirects: .follow(max: 3), caFile: server.authority.caFile))
      #expect(failure.kind == .badReply)
      #expect(failure.detail.contains("from https to http"))
      #expect(plain.accepted == 0)
    }
  }

  @Test func `a server that speaks no TLS is told apart from one that hangs up`() async throws {
    let plain = try RawServer { connection in
      connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
      connection.waitForEnd()
    }
    try await withServer(plain) { http, server in
      let failure = await http.failure(HTTPRequest(.post, "https://127.0.0.1:\(server.port)/", body: secret("x")))
      #expect(failure.kind == .tls)
      #expect(!failure.mayHaveBeenSent)
      #expect(failure.detail == "127.0.0.1:\(server.port) does not speak TLS")
    }
    for resets in [true, false] {
      let rude = try RawServer { connection in
        connection.readSome()
        if resets { connection.willReset() }
      }
      try await withServer(rude) { http, server in
        let failure = await http.failure(HTTPRequest(.post, "https://127.0.0.1:\(server.port)/", body: secret("x")))
        #expect(failure.kind == .reset, "\(failure.detail)")
        #expect(!failure.mayHaveBeenSent)
      }
    }
  }

  @Test(.enabled(if: TestMachine.program("nginx") != nil, "SKIPPED: nginx is not installed (apt-get install nginx)"))
  func `nginx is spoken to in HTTP 2`() async throws {
    let authority = try await Authority.make()
    let port = try freePort()
    let conf = """
      daemon off; worker_processes 1; pid \(authority.directory)/pid; error_log stderr; events {}
      http { access_log off; client_body_temp_path \(authority.directory)/b; proxy_temp_path \(authority.directory)/p;
        fastcgi_temp_path \(authority.directory)/f; uwsgi_temp_path \(authority.directory)/u;
        scgi_temp_path \(authority.directory)/s;
        server { listen 127.0.0.1:\(port) ssl http2; ssl_certificate \(authority.certificate);
          ssl_certificate_key \(authority.key); location / { return 200 "two"; } } }
      """
    try conf.write(toFile: authority.directory + "/conf", atomically: true, encoding: .utf8)
    let nginx = try ChildProcess(
      try #require(TestMachine.program("nginx")), ["-c", authority.directory + "/conf", "-e", "stderr"],
      environment: TestMachine.plainEnvironment, outputPath: authority.directory + "/out",
      errorPath: authority.directory + "/err")
    let http = try makeClient()
    let request = HTTPRequest(.get, "https://127.0.0.1:\(port)/", caFile: authority.caFile)
    let reply = try await eventually("nginx to answer") { try? await http.reply(request) }
    #expect(reply.text == "two")
    #expect(reply.timings.httpVersion == "2")
    #expect(try await http.reply(request).timings.newConnection == false)
    let post = try await http.reply(
      request.with {
        $0.method = .post; $0.body = secret("x")
      })
    #expect(post.timings.httpVersion == "2")
    #expect(post.timings.newConnection)
    #expect(await http.stop(deadline: .seconds(10)))
    nginx.send(signal: SIGTERM)
    try await nginx.waitForEnd()
  }

  private func freePort() throws -> Int {
    let server = try RawServer { _ in }
    defer { server.stop() }
    return server.port
  }

  private func onServer(
    names: String = "IP:127.0.0.1,DNS:localhost", days: Int = 30, version: String = "", redirectingTo: String = "",
    wantsCertificate: Bool = false, _ test: (CurlHTTP, PythonServer) async throws -> Void
  ) async throws {
    let authority = try await Authority.make(names: names, days: days)
    let server = try await PythonServer(
      authority, version: version, redirect: redirectingTo, wantsCertificate: wantsCertificate)
    let http = try makeClient()
    let result: Result<Void, any Error>
    do { result = .success(try await test(http, server)) } catch { result = .failure(error) }
    #expect(await http.stop(deadline: .seconds(10)))
    try await server.stop()
    TestMachine.remove(authority.directory)
    try result.get()
  }
}

/// Python's http.server behind TLS. Says its port, then a line for each request.
private final class PythonServer: Sendable {
  private static let program = """
    import http.server, socket, ssl, sys
    directory, version, redirect, wants = sys.argv[1:]
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            print("request", flush=True)
            shown = self.connection.getpeercert() or {}
            body = (self.connection.version() + "".join(f" CN={v}" for ((k, v),) in shown.get("subject", ()))).encode()
            self.send_response(302 if self.path == "/redirect" else 200)
            if self.path == "/redirect": self.send_header("Location", redirect)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        do_GET = do_POST = answer
        def log_message(self, *_): pass
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        # The handshake belongs to the connection's thread.
        def finish_request(self, request, address):
            request = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            try: request.do_handshake()
            except (ssl.SSLError, OSError): return self.linger(request.detach())
            super().finish_request(request, address)
        # The client reads why before the connection is gone: bytes of its own that nobody has read would reset it.
        def linger(self, descriptor):
            with socket.socket(fileno=descriptor) as rest:
                rest.settimeout(5)
                try:
                    while rest.recv(4096): pass
                except OSError: pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory + "/server.pem", directory + "/server.key")
    if wants == "true":
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(directory + "/ca.pem")
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    """

  let authority: Authority
  let port: Int
  private let child: ChildProcess
  var url: String { "https://127.0.0.1:\(port)" }
  var requestCount: Int { child.output.components(separatedBy: "request\n").count - 1 }

  init(_ authority: Authority, version: String, redirect: String, wantsCertificate: Bool) async throws {
    self.authority = authority
    let child = try ChildProcess(
      try #require(TestMachine.python3),
      ["-W", "ignore", "-c", Self.program, authority.directory, version, redirect, "\(wantsCertificate)"],
      environment: TestMachine.plainEnvironment, outputPath: authority.directory + "/server.out",
      errorPath: authority.directory + "/server.err")
    self.child = child
    port = try await eventually("the TLS server's port") {
      if child.end() != nil { throw IntegrationFailure("the TLS server ended: \(child.standardError)") }
      return child.output.contains("\n") ? Int(child.output.prefix { $0 != "\n" }) : nil
    }
  }

  func stop() async throws {
    child.send(signal: SIGKILL)
    try await child.waitForEnd()
  }
}
