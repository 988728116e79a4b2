/// The secret hunt: everything runs at the most talkative level, then every secret is looked for in every place.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("the secret hunt", .needs(.python3, .daemon, .fhirctl))
struct SecretHuntTests {
  private static let oddSecret = "hunted secret/+%&with=odd:ch\"ars"
  private static let names = ["Kardiologie-Nordstadt", "Praxis-Sonnenschein", "Labor-Westhafen", "Umbenannt-Ostpark"]
  private static let subject = "Patient/hunted-4711-subject"

  /// Everything the daemon answered, save to `token.get`.
  private final actor Replies {
    var text = ""
    func keep(_ answer: Answer) { text += answer.description + "\n" }
  }

  @Test(.timeLimit(.minutes(3)))
  func `no secret, no token, no name and no subject is anywhere but where it belongs`() async throws {
    try await onStage { stage in
      let replies = Replies()
      @discardableResult
      func call(_ method: String, _ parameters: WireJSON) async throws -> Answer {
        let answer = try await stage.control.call(method, parameters, within: 130)
        if method != "token.get" { await replies.keep(answer) }
        return answer
      }
      try await play(stage, call)
      try await playLogins(stage, call)

      // Everything that was shown to the server or issued by it, as it stood on the wire; and what fhird alone knows.
      let secrets =
        try await stage.server.secrets() + [Self.oddSecret, Stage.clientSecret, "a-stolen-code-of-the-hunt"]
      let hunt = Hunt(secrets.filter { $0.utf8.count >= 6 })
      #expect(hunt.count > 8)
      #expect(hunt.found(in: stage.daemon.standardError).isEmpty, "standard error")
      #expect(hunt.found(in: await replies.text).isEmpty, "answers")
      for place in ["environ", "cmdline"] {
        let bytes = stage.daemon.procFile(place)
        #expect(!bytes.isEmpty)
        #expect(hunt.found(in: bytes).isEmpty, "/proc/PID/\(place)")
      }
      #expect(stage.daemon.standardError.split(separator: "\n").count > 20, "the log was not talkative")

      // The store while it runs, and after a clean end; the key file is no place for them either.
      let hidden = Hunt(hunt.texts + Self.names + Self.names.map { $0.lowercased() } + [Self.subject])
      let key = try #require(TestMachine.bytes(of: stage.daemon.masterKeyPath))
      for moment in ["running", "stopped"] {
        let files = TestMachine.files(below: stage.daemon.directory).filter { !$0.path.hasSuffix("/stdout") }
        #expect(files.contains { $0.bytes.count >= 8192 }, "no data file was searched")
        for file in files where file.path != stage.daemon.errorPath {
          let found = hidden.found(in: file.bytes)
          #expect(found.isEmpty, "\(moment): \(file.path) holds \(found)")
          if file.path != stage.daemon.masterKeyPath {
            let keyFound = key.count >= 16 && Hunt.contains(file.bytes, key)
            #expect(!keyFound, "\(moment): \(file.path) holds the master key")
          }
        }
        #expect(Hunt([Self.subject]).found(in: stage.daemon.standardError).isEmpty, "a subject in the log")
        if moment == "running" { #expect(try await stage.daemon.terminate() == .exited(0)) }
      }
    }
  }

  /// Good and bad days of a daemon: each code path that has a secret in its hands.
  private func play(_ stage: Stage, _ call: (String, WireJSON) async throws -> Answer) async throws {
    let fields = stage.connection(Self.names[0], tenant: "a")
    _ = try await call("connection.create", fields)
    _ = try await call("connection.create", fields)
    try await stage.server.register(client: "odd client", secret: Self.oddSecret)
    _ = try await call(
      "connection.create",
      stage.connection(
        Self.names[1], tenant: "b",
        [
          "client_id": "odd client", "client_secret": .string(Self.oddSecret),
          "client_authentication": "client_secret_post",
        ]))
    _ = try await call(
      "connection.create",
      stage.connection(Self.names[2], tenant: "c", ["client_secret": "a-wrong-secret-of-the-hunt", "auth_method": "x"]))
    _ = try await call(
      "connection.create", stage.connection(Self.names[2], tenant: "c", ["client_secret": "a-wrong-secret-of-the-hunt"])
    )
    for name in Self.names.prefix(3) {
      let connection: WireJSON = ["connection": .string(name)]
      _ = try await call("connection.test", connection)
      _ = try await call("token.get", connection)
      _ = try await call("token.get", connection.merging(["subject": .string(Self.subject)]))
      _ = try await call("token.refresh", connection)
      _ = try await call("token.status", connection)
      _ = try await call("connection.get", connection)
    }
    _ = try await call("connection.test", stage.connection("unsaved", tenant: "d"))
    // A server that answers the token request with the request, and with half of an answer.
    for (i, rule) in [
      ["status": 400, "json": ["error": "invalid_request", "error_description": .string(Stage.clientSecret)]],
      ["status": 500, "body": .string("echo: \(Stage.clientSecret)")], ["drop": "half_body"],
      ["json": ["access_token": "a-token-in-a-bad-answer", "token_type": "mac"]],
    ].enumerated() as EnumeratedSequence<[WireJSON]> {
      let name = "bad-\(i)"
      _ = try await call("connection.create", stage.connection(name, tenant: name))
      try await stage.server.rule(rule.merging(["path": .string("/\(name)/token")]))
      _ = try await call("token.get", ["connection": .string(name)])
      _ = try await call("token.status", ["connection": .string(name)])
    }
    _ = try await call(
      "connection.update", ["connection": .string(Self.names[0]), "connection_name": .string(Self.names[3])])
    _ = try await call("connection.update", ["connection": .string(Self.names[3]), "client_secret": 5])
    _ = try await call("connection.list", [:])
    _ = try await call("health.get", [:])
    // A request that does not parse, with a secret in it: the refusal must not show it.
    try await stage.control.write(line: "{\"client_secret\": \"\(Self.oddSecret)")
    _ = try await stage.control.readAnswer()
    let shown = try await stage.daemon.fhirctl(["status"])
    #expect(Hunt([Stage.clientSecret]).found(in: shown.output + shown.error).isEmpty)
    _ = try await call("connection.delete", ["connection": .string(Self.names[1])])
  }

  /// Logins, refresh tokens and keys, on good and bad days.
  private func playLogins(_ stage: Stage, _ call: (String, WireJSON) async throws -> Answer) async throws {
    let grant: WireJSON = ["connection": "logins", "subject": .string(Self.subject)]
    try await stage.server.settings(["refresh_tokens": true])
    try await stage.createApp("logins", tenant: "l", ["refresh": ["mode": "ahead", "min_interval_seconds": 1]])
    for deny in [WireJSON.null, ["error": "access_denied"], .null] {
      try await stage.server.settings(["authorize_error": deny])
      let login = try await stage.control.result("authorization.start", grant)
      let back = try await stage.agree(try #require(login["authorization_url"].string))
      for _ in 1...2 { _ = try await call("authorization.complete", ["redirect_url": .string(back)]) }
      _ = try await call("authorization.status", ["state": login["state"]])
    }
    _ = try await call("authorization.complete", ["state": "nobody's", "code": "a-stolen-code-of-the-hunt"])
    _ = try await call(
      "authorization.complete", ["redirect_url": "http://127.0.0.1/x?code=a-stolen-code-of-the-hunt&code=twice"])
    for rule in [
      ["status": 400, "json": ["error": "invalid_request"]], ["lose_reply": true], ["drop": "half_body"],
    ] as [WireJSON] {
      try await stage.server.rule(rule.merging(["path": "/l/token", "times": 1]))
      _ = try await call("token.refresh", grant)
      _ = try await call("token.status", grant)
    }
    _ = try await call("token.get", grant)
    _ = try await call("token.introspect", grant)
    _ = try await call("token.revoke", grant)
    _ = try await call(
      "connection.create",
      stage.connection(
        "keys", tenant: "k", ["client_authentication": "private_key_jwt", "client_secret": .null]))
    _ = try await call("key.create", ["connection": "keys"])
    let keys = try await stage.control.result("jwks.get", ["connection": "keys"])
    try await stage.server.settings(["assertion_jwks": keys])
    _ = try await call("token.get", ["connection": "keys"])
    _ = try await call("key.create", ["connection": "keys", "private_key": "a-stolen-code-of-the-hunt"])
    _ = try await call("key.list", [:])
  }

  @Test func `a daemon that dies leaves no memory behind`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      _ = try await stage.token("c")
      let limits = String(decoding: stage.daemon.procFile("limits"), as: UTF8.self)
      stage.daemon.send(signal: SIGABRT)
      let child = try #require(stage.daemon.child)
      #expect(try await child.waitForEnd(within: 20) == .signalled(SIGABRT))
      #expect(!child.droppedCore, "a core was written; \(limits)")
    }
  }

  @Test func `other processes of the same user cannot look into it`() async throws {
    try await onStage { stage in
      // PR_SET_DUMPABLE 0: the kernel gives the files below /proc/PID to root.
      let pid = try #require(stage.daemon.pid)
      var info = Glibc.stat()
      #expect(lstat("/proc/\(pid)/mem", &info) == 0)
      #expect(info.st_uid == 0)
      if geteuid() != 0 { #expect(open("/proc/\(pid)/mem", O_RDONLY) < 0) }
    }
  }
}
