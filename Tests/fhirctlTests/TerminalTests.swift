/// The built program on a pseudo terminal: unseen input, colour, the live picture; and what it does without one.
import FHIRControl
import FakeDaemon
import Foundation
import Testing

@Suite struct TerminalTests {
  private let create = ["connection", "create", "x", "--url", "https://h", "--client-id", "abc"]

  private func onTerminal(
    _ terminal: Terminal, _ socket: String, _ arguments: [String], output: Bool = false, _ more: [String: String] = [:]
  ) throws -> (Process, Watchdog) {
    let process = Child.process(socket, arguments, ["TERM": "xterm"].merging(more) { $1 })
    process.standardInput = terminal.end
    process.standardError = terminal.end
    process.standardOutput = output ? terminal.end : FileHandle.nullDevice
    try process.start()
    return (process, Watchdog(process))
  }

  @Test func `a secret is asked for without echo and the terminal is itself again`() throws {
    let daemon = FakeDaemon(["connection.create": .result(Samples.json(Samples.connection("x")))])
    let terminal = try Terminal()
    let (process, watchdog) = try onTerminal(terminal, daemon.path, create)
    defer { watchdog.end() }
    #expect(terminal.see("client secret: "))
    #expect(!terminal.echoes)
    terminal.type("s3creX\u{7f}t\n")
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(terminal.echoes)
    #expect(!terminal.drain().contains("s3cre"))
    #expect(daemon.requests.first?.parameter("client_secret") == #""s3cret""#)
  }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
  func `a signal at the prompt ends the program and restores the terminal`(signal: Int32) throws {
    let daemon = FakeDaemon([:])
    let terminal = try Terminal()
    let (process, watchdog) = try onTerminal(terminal, daemon.path, create)
    defer { watchdog.end() }
    #expect(terminal.see("client secret: "))
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(process.terminationReason == .uncaughtSignal)
    #expect(process.terminationStatus == signal)
    #expect(terminal.echoes)
    #expect(daemon.requests.isEmpty)
  }

  @Test func `nobody is asked when the connection needs no secret`() throws {
    let daemon = FakeDaemon(["connection.create": .result(Samples.json(Samples.connection("x")))])
    let terminal = try Terminal()
    let (process, watchdog) = try onTerminal(
      terminal, daemon.path, ["connection", "create", "x", "--url", "https://h", "--auth-method", "none"])
    defer { watchdog.end() }
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(!terminal.drain().contains("secret"))
  }

  @Test func `a deletion happens only after a yes`() throws {
    let result = ConnectionDeleteResult(id: "1", connectionName: "x", grantsErased: 2, revocation: "revoked")
    let daemon = FakeDaemon([
      "connection.get": .result(Samples.json(Samples.connection("x"))),
      "connection.delete": .result(Samples.json(result)),
    ])
    for (answer, status) in [("n\n", 1), ("\n", 1), ("yes\n", 0)] as [(String, Int32)] {
      let terminal = try Terminal()
      let (process, watchdog) = try onTerminal(terminal, daemon.path, ["connection", "delete", "x"])
      defer { watchdog.end() }
      #expect(terminal.see("delete connection x with 2 grants, and revoke its tokens? [y/N]"))
      terminal.type(answer)
      process.waitUntilExit()
      #expect(process.terminationStatus == status)
    }
    #expect(daemon.requests.count { $0.method == "connection.delete" } == 1)
  }

  @Test func `colour is for terminals that have it and people who want it`() throws {
    let daemon = FakeDaemon(["connection.list": .result(Samples.page(Samples.connection("epic")))])
    func picture(_ environment: [String: String]) throws -> String {
      let terminal = try Terminal()
      let (process, watchdog) = try onTerminal(
        terminal, daemon.path, ["connection", "list"], output: true, environment)
      defer { watchdog.end() }
      process.waitUntilExit()
      return terminal.drain()
    }
    #expect(try picture([:]).contains("\u{1b}[32mactive\u{1b}[0m"))
    #expect(try picture(["NO_COLOR": ""]).contains("\u{1b}"))
    #expect(try !picture(["NO_COLOR": "1"]).contains("\u{1b}"))
    #expect(try !picture(["TERM": "dumb"]).contains("\u{1b}"))
    #expect(try !Child.run(daemon.path, "connection", "list", environment: ["TERM": "xterm"]).output.contains("\u{1b}"))
  }

  @Test func `what a server says cannot steer the terminal, in text or in JSON`() throws {
    let error = LastError(
      code: .fhirAPIError, message: "a\u{1b}]0;owned\u{7}b\nc\u{9b}31m\u{202e}d", at: Samples.fromNow(-5), attempts: 1)
    let daemon = FakeDaemon([
      "health.get": .result(Samples.json(Samples.health)),
      "connection.list": .result(Samples.page(Samples.connection("epic", error: error))),
    ])
    for arguments in [["status"], ["status", "--json"]] {
      let run = try Child.run(Child.process(daemon.path, arguments, [:]))
      for character in ["\u{1b}", "\u{7}", "\u{9b}", "\u{202e}"] { #expect(!run.output.contains(character)) }
    }
    let json = try Child.run(daemon.path, "status", "--json")
    let decoded = try JSONDecoder().decode(JSONValue.self, from: Data(json.output.utf8))
    #expect("\(decoded)".contains("owned"))
    #expect(json.output.contains(#"\u009b"#))
    let refusal = FakeDaemon { _ in [.error(Samples.json(ControlError(.internalError, "x\u{1b}[2Jy")))] }
    #expect(try Child.run(refusal.path, "status").errors == "fhirctl: x\\u{1b}[2Jy\n")
  }

  @Test func `a watch on a terminal redraws until it is interrupted, which is its good end`() throws {
    let daemon = FakeDaemon([
      "health.get": .result(Samples.json(Samples.health)),
      "connection.list": .result(Samples.page(Samples.connection("epic"))),
    ])
    let terminal = try Terminal()
    let (process, watchdog) = try onTerminal(
      terminal, daemon.path, ["status", "--watch", "--interval", "0.2"], output: true)
    defer { watchdog.end() }
    #expect(terminal.see("epic"))
    #expect(terminal.wait { daemon.requests.count >= 6 })
    kill(process.processIdentifier, SIGINT)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 0)
    #expect(terminal.drain().components(separatedBy: "\u{1b}[H").count > 2)
  }

  @Test func `a watch survives a daemon that goes and comes back`() throws {
    let daemon = FakeDaemon { request in
      if request.connection == 2 { return [.close] }
      let healthy = request.method == "health.get"
      return [.result(healthy ? Samples.json(Samples.health) : Samples.page(Samples.connection("epic")))]
        + (request.connection == 1 && !healthy ? [.close] : [])
    }
    let process = Child.process(daemon.path, ["status", "--watch", "--interval", "0.2", "--json"], [:])
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.start()
    let watchdog = Watchdog(process)
    defer { watchdog.end() }
    var text = ""
    while text.split(separator: "\n").count < 3 {
      let data = output.fileHandleForReading.availableData
      guard !data.isEmpty else { break }
      text += String(decoding: data, as: UTF8.self)
    }
    kill(process.processIdentifier, SIGINT)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(daemon.connections >= 3)
    for line in text.split(separator: "\n") { #expect(try object(String(line))?["daemon"] != nil) }
  }

  @Test func `a broken pipe is quiet`() throws {
    let daemon = FakeDaemon([
      "connection.list": .result(
        Samples.json(ConnectionPage(connections: (0..<3000).map { Samples.connection("c\($0)") })))
    ])
    let shell = Child.process(
      daemon.path, ["-c", "trap '' PIPE; \(Child.program.path) connection list | head -1"], [:])
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    let run = try Child.run(shell)
    #expect(run.status == 0)
    #expect(run.errors.isEmpty)
    #expect(run.lines.count == 1)
  }
}
