/// Help, version, completions and the manual page: all from the same definitions.
import FakeDaemon
import Foundation
import Testing

@Suite struct HelpTests {
  private static let commands = [
    [], ["status"], ["connection"], ["connection", "create"], ["connection", "list"], ["connection", "show"],
    ["connection", "update"], ["connection", "delete"], ["connection", "test"], ["token"], ["token", "get"],
    ["token", "status"], ["token", "refresh"], ["exec"], ["health"], ["key"], ["key", "create"],
    ["key", "rotate"], ["key", "list"], ["key", "jwks"], ["access"], ["access", "list"], ["access", "grant"],
    ["access", "revoke"], ["server"], ["server", "info"],
  ]

  @Test(arguments: Self.commands)
  func `every command explains itself, with an example where it does something`(command: [String]) throws {
    let run = try Child.run(Child.process(nil, command + ["--help"], [:]))
    #expect(run.status == 0)
    #expect(run.output.contains("OVERVIEW: "))
    if !run.output.contains("SUBCOMMANDS:") {
      #expect(run.output.contains("Example"))
      #expect(run.output.contains("--socket"))
    }
  }

  @Test func `the version is one line`() throws {
    let run = try Child.run(nil, "--version")
    #expect(run.status == 0)
    #expect(run.lines.count == 1)
    #expect(run.output.hasPrefix("fhirctl "))
  }

  @Test(arguments: ["bash", "zsh", "fish"])
  func `completions are generated for each shell`(shell: String) throws {
    let run = try Child.run(nil, "--generate-completion-script", shell)
    #expect(run.status == 0)
    #expect(run.output.contains("access"))
    #expect(run.output.contains("---completion"))
  }

  @Test func `a connection's name is completed by the daemon, and silence is the answer without one`() throws {
    let daemon = FakeDaemon([
      "connection.list": .result(
        Samples.page(Samples.connection("epic"), Samples.connection("Epic-2"), Samples.connection("cerner")))
    ])
    let words = ["---completion", "connection", "show", "--", "positional@0", "3", "2"]
    func complete(_ socket: String) throws -> Outcome {
      try Child.run(Child.process(socket, words + ["fhirctl", "connection", "show", "ep"], [:]))
    }
    let run = try complete(daemon.path)
    #expect(run.lines == ["epic", "Epic-2"])
    let silent = try complete("/tmp/none-here/d.sock")
    #expect(silent.output.isEmpty || silent.output == "\n")
    #expect(silent.errors.isEmpty)
  }

  @Test func `the manual page names every command and option`() throws {
    let dump = try Child.run(nil, "--experimental-dump-help")
    #expect(dump.status == 0)
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let generate = Process()
    generate.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    let man = root.appendingPathComponent("docs/man").path
    generate.arguments = ["python3", "\(man)/generate", "--section", "1", "--extra", "\(man)/fhirctl.1.extra"]
    generate.environment = Child.environment
    let page = try Child.run(generate, input: dump.output)
    #expect(page.status == 0, "\(page.errors)")
    #expect(page.output.contains(".TH FHIRCTL 1"))
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"] {
      #expect(page.output.contains(".SH \"\(section)\"") || page.output.contains(".SH \(section)"), "\(section)")
    }
    for command in Self.commands.dropFirst() where command.count == 2 {
      #expect(page.output.contains("fhirctl \(command.joined(separator: " "))"), "\(command)")
    }
    for option in ["client\\-secret\\-file", "min\\-valid", "no\\-revoke", "socket"] {
      #expect(page.output.contains(option), "\(option)")
    }
  }
}
