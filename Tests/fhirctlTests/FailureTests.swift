/// How the built program fails: words on standard error, nothing on standard output, the exit status of its kind.
import FHIRControl
import FakeDaemon
import Foundation
import Testing

private func refusing(_ error: ControlError) -> FakeDaemon {
  FakeDaemon { _ in [.error(Samples.json(error))] }
}

@Suite struct FailureTests {
  @Test func `an unreachable daemon is 69 and names the socket and two ways out`() throws {
    for arguments in [["status"], ["token", "get", "x"], ["exec", "x", "--", "true"], ["server", "info"]] {
      let run = try Child.run(Child.process("/tmp/none-here/d.sock", arguments, [:]))
      #expect(run.status == 69)
      #expect(run.output.isEmpty)
      #expect(run.errors.hasPrefix("fhirctl: the daemon is not reachable on /tmp/none-here/d.sock"))
      #expect(run.errors.contains("hint: systemctl status fhird, or name another socket with FHIRD_SOCKET"))
    }
  }

  @Test func `the socket option wins over the environment, before and after the command`() throws {
    let daemon = FakeDaemon(["server.info": .result(Samples.json(Samples.info))])
    #expect(try Child.run("/tmp/none-here/d.sock", "--socket", daemon.path, "server", "info").status == 0)
    #expect(try Child.run("/tmp/none-here/d.sock", "server", "info", "--socket", daemon.path).status == 0)
    #expect(try Child.run("/tmp/none-here/d.sock", "server", "info", "--socket=\(daemon.path)").status == 0)
  }

  @Test(
    arguments: [
      (ErrorCode.connectionNotFound, 1), (.internalError, 1), (.needsLogin, 3), (.invalidParams, 64),
      (.validationFailed, 64), (.throttled, 75), (.serverUnreachable, 75), (.overloaded, 75), (.shuttingDown, 75),
      (.accessDenied, 77),
    ] as [(ErrorCode, Int32)])
  func `each class of refusal has its exit status, its words and its hint`(code: ErrorCode, status: Int32) throws {
    let daemon = refusing(ControlError(code, "it cannot be", hint: "do this"))
    let run = try Child.run(daemon.path, "token", "get", "epic", "--json")
    #expect(run.status == status)
    #expect(run.output.isEmpty)
    #expect(run.errors == "fhirctl: it cannot be\nhint: do this\n")
  }

  @Test func `every bad field is told by the option that sets it`() throws {
    let daemon = refusing(
      ControlError(
        .validationFailed, "2 fields are wrong",
        fields: [
          FieldError("fhir_base_url", "is not a URL"), FieldError("refresh.margin_seconds", "is above 86400"),
          FieldError("connection_name", "is taken"),
        ]))
    let run = try Child.run(daemon.path, "connection", "create", "x", "--url", "h", "--auth-method", "none")
    #expect(run.status == 64)
    #expect(run.errors.contains("  --url: is not a URL\n"))
    #expect(run.errors.contains("  --refresh-margin-seconds: is above 86400\n"))
    #expect(run.errors.contains("  NAME: is taken\n"))
  }

  @Test func `the authorization server's words and the time to wait are told`() throws {
    let daemon = refusing(
      ControlError(
        .throttled, "the server asks for patience", retryAfterSeconds: 30,
        oauth: OAuthErrorBody(error: "slow_down", errorDescription: "easy")))
    let run = try Child.run(daemon.path, "token", "refresh", "epic")
    #expect(run.errors.contains("the authorization server said: slow_down, easy"))
    #expect(run.errors.contains("hint: try again in 30 s"))
  }

  @Test func `a mute daemon is 75 after the timeout`() throws {
    let daemon = FakeDaemon { _ in [.hang] }
    let run = try Child.run(daemon.path, "--timeout", "0.2", "server", "info")
    #expect(run.status == 75)
    #expect(run.errors.contains("did not answer in time"))
  }

  @Test func `a daemon that leaves, talks garbage or never ends its line is told apart`() throws {
    let gone = FakeDaemon { _ in [.close] }
    #expect(try Child.run(gone.path, "server", "info").status == 69)
    for answer in [FakeDaemon.Answer.raw("<html>\n"), .flood(17 << 20), .result("7")] {
      let daemon = FakeDaemon { _ in [answer] }
      let run = try Child.run(daemon.path, "server", "info")
      #expect(run.status == 1)
      #expect(run.errors.contains("hint: is it fhird that listens"))
    }
  }

  @Test func `a wrong command line is 64 and says where to read on`() throws {
    for arguments in [
      ["tokn"], ["token", "get"], ["token", "get", "x", "y"], ["status", "--nope"], ["status", "--timeout", "0"],
      ["status", "--timeout", "x"], ["status", "--watch", "--interval", "0"], ["exec", "x"], ["exec", "x", "true"],
      ["token", "get", "x", "--min-valid", "-1"], ["connection", "create", "x", "--label", "novalue"],
      ["connection", "create", "x", "--label", "a=1", "--label", "a=2"], ["exec", "x", "--json", "--", "true"],
    ] {
      let run = try Child.run(Child.process("/tmp/none-here/d.sock", arguments, [:]))
      #expect(run.status == 64, "\(arguments)")
      #expect(run.output.isEmpty)
      #expect(run.errors.hasPrefix("fhirctl: "))
      #expect(run.errors.contains("\nhint: "), "\(arguments)")
    }
  }

  @Test(arguments: [
    ["--client-secret", "s3cret"], ["--client-secret=s3cret"], ["--client_secret", "s3cret"],
  ])
  func `a secret in an argument is refused and not repeated`(secret: [String]) throws {
    let daemon = FakeDaemon([:])
    let run = try Child.run(
      Child.process(daemon.path, ["connection", "create", "x", "--url", "https://h"] + secret, [:]))
    #expect(run.status == 64)
    #expect(!run.errors.contains("s3cret"))
    #expect(run.errors.contains("--client-secret-file"))
    #expect(daemon.requests.isEmpty)
  }

  @Test func `a secret file that is missing, empty, too long or no text is refused`() throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let contents = [
      "empty": Data("\n".utf8), "long": Data(repeating: 65, count: 20_000), "binary": Data([0xff, 0xfe, 0x41]),
    ]
    for (name, data) in contents { try data.write(to: directory.appendingPathComponent(name)) }
    let daemon = FakeDaemon([:])
    for name in contents.keys + ["missing"] {
      let run = try Child.run(
        daemon.path, "connection", "update", "x", "--client-secret-file",
        directory.appendingPathComponent(name).path)
      #expect(run.status == 64, "\(name)")
    }
    #expect(daemon.requests.isEmpty)
  }

  @Test func `a secret file loses its last line end and nothing else`() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: file) }
    try Data(" s3 cret\n\n".utf8).write(to: file)
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file.path)
    let daemon = FakeDaemon(["connection.create": .result(Samples.json(Samples.connection("x")))])
    let arguments = ["connection", "create", "x", "--url", "https://h", "--client-secret-file", file.path]
    let open = try Child.run(Child.process(daemon.path, arguments, [:]))
    #expect(open.status == 0)
    #expect(open.errors.contains("can be opened by others"))
    #expect(daemon.requests.last?.parameter("client_secret") == #"" s3 cret\n""#)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
    #expect(try Child.run(Child.process(daemon.path, arguments, [:])).errors.isEmpty)
    _ = try Child.run(
      daemon.path, "connection", "create", "x", "--url", "https://h", "--client-secret-file", "-", input: "piped\r\n")
    #expect(daemon.requests.last?.parameter("client_secret") == #""piped""#)
  }
}
