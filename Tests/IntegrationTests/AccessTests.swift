/// Who may call what: programs of other users and groups against the socket. Needs root, to become somebody else.
import FHIRControl
import TestSupport
import Testing

/// A program of another user, connected to the socket: what goes in is sent, what comes back is read.
private final class OtherProgram: Sendable {
  private static let relay = """
    import socket, sys
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    f = s.makefile("rwb", 0)
    for line in iter(sys.stdin.buffer.readline, b""):
        f.write(line)
        sys.stdout.buffer.write(f.readline() or b"closed\\n")
        sys.stdout.buffer.flush()
    """
  private let child: ChildProcess
  private let answered: Counter

  init(_ stage: Stage, uid: Int, gid: Int, groups: [Int] = [], name: String) throws {
    let setpriv = try #require(TestMachine.setpriv)
    let python = try #require(TestMachine.python3)
    child = try ChildProcess(
      setpriv,
      ["--reuid=\(uid)", "--regid=\(gid)"]
        + (groups.isEmpty ? ["--clear-groups"] : ["--groups=\(groups.map(String.init).joined(separator: ","))"])
        + [python, "-c", Self.relay, stage.daemon.socketPath],
      environment: TestMachine.plainEnvironment, outputPath: "\(stage.daemon.directory)/\(name).out",
      errorPath: "\(stage.daemon.directory)/\(name).err", input: nil)
    answered = Counter()
  }

  func call(_ method: String, _ parameters: WireJSON = [:]) async throws -> Answer {
    let request: WireJSON = ["jsonrpc": "2.0", "id": 1, "method": .string(method), "params": parameters]
    child.writeInput(request.text + "\n")
    let number = await answered.next()
    let line = try await eventually("the other program's answer to \(method)") { () -> String? in
      if let end = child.end() { throw IntegrationFailure("it ended: \(end) \(child.standardError)") }
      let lines = child.output.split(separator: "\n", omittingEmptySubsequences: false)
      return lines.count > number ? String(lines[number - 1]) : nil
    }
    return Answer(json: try WireJSON(parsing: line))
  }

  private actor Counter {
    private var count = 0
    func next() -> Int {
      count += 1
      return count
    }
  }
}

@Suite("access", .needs(.python3, .daemon, .root, .setpriv))
struct AccessTests {
  /// Debian's nobody and nogroup.
  private static let nobody = 65534
  /// Debian's group `users`, in nobody's supplementary groups only where a test puts it there.
  private static let usersGroup = 100

  @Test func `a stranger is refused, told who was seen, and told the rule that would help`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let stranger = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "stranger")
      for (method, parameters) in [
        ("token.get", ["connection": "c"]), ("connection.list", [:]), ("connection.get", ["connection": "c"]),
        ("access.grant", ["principal": "everyone", "methods": ["*"]]), ("health.get", [:]), ("store.compact", [:]),
      ] as [(String, WireJSON)] {
        let answer = try await stranger.call(method, parameters)
        #expect(code(answer) == .accessDenied, "\(method): \(answer)")
        #expect(answer.description.contains("\(Self.nobody)"), "who was seen: \(answer)")
        #expect(answer.hint?.contains("fhirctl access grant") == true, "\(answer)")
      }
      // A stranger learns nothing about which connections there are.
      let known = try await stranger.call("token.get", ["connection": "c"])
      let unknown = try await stranger.call("token.get", ["connection": "d"])
      #expect(code(known) == code(unknown))
      let info = try await stranger.call("server.info")
      #expect(info.result["caller"]["uid"] == .integer(Int64(Self.nobody)))
      #expect(try await stage.server.count(path: "/token") == 0)
    }
  }

  @Test func `health.get lists the connections that the caller may see, and no others`() async throws {
    try await onStage { stage in
      try await stage.create("lab-one", tenant: "one")
      try await stage.create("radiology", tenant: "two")
      try await stage.control.result(
        "access.grant", ["principal": "uid:65534", "methods": ["health.*"], "connections": ["lab-*"]])
      let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "watcher")
      let list = try await caller.call("health.get").result["connection_health"].array
      #expect(list.map { $0["connection_name"] } == ["lab-one"], "\(list.map(\.text))")
      #expect(try await caller.call("health.get", ["connection": "lab-one"]).succeeded)
      for method in ["health.get", "health.check"] {
        #expect(code(try await caller.call(method, ["connection": "radiology"])) == .accessDenied, "\(method)")
      }
    }
  }

  @Test func `a grant by uid, by user, by group and by supplementary group lets in, and only to what it says`()
    async throws
  {
    let cases: [(principal: String, groups: [Int])] = [
      ("uid:65534", []), ("user:nobody", []), ("group:nogroup", []), ("group:users", [Self.usersGroup]),
      ("everyone", []),
    ]
    try await onStage { stage in
      try await stage.create("lab-one", tenant: "one")
      try await stage.create("radiology", tenant: "two")
      for (i, (principal, groups)) in cases.enumerated() {
        let rule = try await stage.control.result(
          "access.grant",
          ["principal": .string(principal), "methods": ["token.*"], "connections": ["lab-*"], "note": "a test"])
        let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, groups: groups, name: "caller\(i)")
        let served = try await caller.call("token.get", ["connection": "lab-one"])
        #expect(served.result["access_token"].exists, "\(principal): \(served)")
        #expect(code(try await caller.call("token.get", ["connection": "radiology"])) == .accessDenied, "\(principal)")
        #expect(
          code(try await caller.call("connection.get", ["connection": "lab-one"])) == .accessDenied, "\(principal)")
        try await stage.control.result("access.revoke", ["rule": rule["id"]])
        #expect(
          code(try await caller.call("token.get", ["connection": "lab-one"])) == .accessDenied,
          "\(principal): revoked while connected")
      }
      #expect(try await stage.control.result("access.list")["rules"].array.isEmpty)
    }
  }

  @Test func `a group that the caller is not in does not help`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      try await stage.control.result("access.grant", ["principal": "group:users", "methods": ["token.get"]])
      let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "caller")
      #expect(code(try await caller.call("token.get", ["connection": "c"])) == .accessDenied)
    }
  }

  @Test func `a new rule holds for a client that is already connected`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "caller")
      #expect(code(try await caller.call("token.get", ["connection": "c"])) == .accessDenied)
      try await stage.control.result("access.grant", ["principal": "uid:65534", "methods": ["token.get"]])
      #expect(try await caller.call("token.get", ["connection": "c"]).succeeded)
    }
  }

  @Test func `subjects are part of a rule`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      try await stage.control.result(
        "access.grant", ["principal": "uid:65534", "methods": ["token.get"], "subjects": ["lab-*"]])
      let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "caller")
      #expect(code(try await caller.call("token.get", ["connection": "c", "subject": "ward-7"])) == .accessDenied)
      #expect(code(try await caller.call("token.get", ["connection": "c"])) == .accessDenied)
      #expect(code(try await caller.call("token.get", ["connection": "c", "subject": "lab-7"])) != .accessDenied)
    }
  }

  @Test func `a list shows a caller only the connections that are theirs`() async throws {
    try await onStage { stage in
      for name in ["lab-one", "lab-two", "radiology"] { try await stage.create(name, tenant: name) }
      try await stage.control.result(
        "access.grant", ["principal": "uid:65534", "methods": ["connection.list"], "connections": ["lab-*"]])
      let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "caller")
      let page = try await caller.call("connection.list")
      #expect(
        Set(page.result["connections"].array.compactMap { $0["connection_name"].string }) == ["lab-one", "lab-two"])
    }
  }

  @Test func `rules outlive a restart, and a renamed connection leaves the glob`() async throws {
    try await onStage { stage in
      try await stage.create("lab-one")
      try await stage.control.result(
        "access.grant", ["principal": "uid:65534", "methods": ["token.get"], "connections": ["lab-*"]])
      #expect(try await stage.daemon.terminate() == .exited(0))
      try await stage.daemon.start()
      let caller = try OtherProgram(stage, uid: Self.nobody, gid: Self.nobody, name: "caller")
      #expect(try await caller.call("token.get", ["connection": "lab-one"]).succeeded)
      let control = try await stage.daemon.connect()
      try await control.result("connection.update", ["connection": "lab-one", "connection_name": "private"])
      #expect(code(try await caller.call("token.get", ["connection": "private"])) == .accessDenied)
    }
  }

  @Test func `a rule that cannot mean anything is refused`() async throws {
    try await onStage { stage in
      for bad in [
        ["principal": "nobody", "methods": ["token.get"]], ["principal": "uid:-1", "methods": ["token.get"]],
        ["principal": "uid:1", "methods": []], ["principal": "uid:1", "methods": ["token.gte"]],
        ["principal": "user:no-such-user-here", "methods": ["token.get"]],
      ] as [WireJSON] {
        let answer = try await stage.control.call("access.grant", bad)
        #expect([.invalidParams, .validationFailed].contains(code(answer)), "\(bad.text): \(answer)")
      }
      #expect(code(try await stage.control.call("access.revoke", ["rule": "no-such-rule"])) == .ruleNotFound)
    }
  }
}
