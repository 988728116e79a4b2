/// `fhirctl exec`: where the token is, and where it is not.
import FakeDaemon
import Foundation
import Testing

@Suite struct ExecTests {
  private let daemon = FakeDaemon(["token.get": .result(Samples.token)])

  private func exec(_ script: String) throws -> Outcome {
    try Child.run(daemon.path, "exec", "epic", "--", "sh", "-c", script)
  }

  @Test func `the command finds the base URL and the token`() throws {
    let run = try exec(#"echo "$FHIR_BASE_URL"; cat "$FHIR_ACCESS_TOKEN_FILE""#)
    #expect(run.output == "https://fhir.example.org/R4\nat-s3cret")
    #expect(run.errors.isEmpty)
  }

  @Test func `the token can be read again and by a child of the command`() throws {
    let run = try exec(#"cat "$FHIR_ACCESS_TOKEN_FILE"; echo; sh -c 'cat "$FHIR_ACCESS_TOKEN_FILE"'"#)
    #expect(run.lines == ["at-s3cret", "at-s3cret"])
  }

  @Test func `the token is neither in the environment nor in the arguments`() throws {
    let run = try exec(#"tr '\0' '\n' < /proc/$$/environ; tr '\0' '\n' < /proc/$$/cmdline; env"#)
    #expect(run.output.contains("FHIR_ACCESS_TOKEN_FILE=/proc/self/fd/"))
    #expect(!run.output.contains("s3cret"))
  }

  @Test func `the file is the owner's alone and cannot be changed`() throws {
    let run = try exec(
      #"stat -L -c %a "$FHIR_ACCESS_TOKEN_FILE"; (echo x >> "$FHIR_ACCESS_TOKEN_FILE") 2>/dev/null || echo sealed"#)
    #expect(run.lines == ["600", "sealed"])
  }

  @Test func `the command inherits no connection to the daemon`() throws {
    let run = try exec("ls -l /proc/$$/fd")
    // What Foundation itself leaves in every child.
    let plain = Process()
    plain.executableURL = URL(fileURLWithPath: "/bin/sh")
    plain.arguments = ["-c", "ls -l /proc/$$/fd"]
    let sockets = { (text: String) in text.split(separator: "\n").count { $0.contains("socket:") } }
    #expect(sockets(run.output) == sockets(try Child.run(plain).output))
    #expect(run.output.contains("fhir-access-token"))
  }

  @Test func `the exit status is the command's, also when a signal ended it`() throws {
    #expect(try exec("exit 42").status == 42)
    #expect(try exec("kill -TERM $$").status == -SIGTERM)
  }

  @Test func `a command that is not there is 127, one that cannot be run 126`() throws {
    let missing = try Child.run(daemon.path, "exec", "epic", "--", "no-such-command-here")
    #expect(missing.status == 127)
    #expect(missing.errors == "fhirctl: no-such-command-here: command not found\n")
    #expect(try Child.run(daemon.path, "exec", "epic", "--", "/etc/passwd").status == 126)
  }

  @Test func `options behind the dashes are the command's`() throws {
    let run = try Child.run(daemon.path, "exec", "epic", "--", "echo", "--json", "--socket", "--", "--client-secret=x")
    #expect(run.output == "--json --socket -- --client-secret=x\n")
  }

  @Test func `nothing runs when there is no token`() throws {
    let refusing = FakeDaemon([:])
    let run = try Child.run(refusing.path, "exec", "epic", "--", "echo", "ran")
    #expect(run.status == 1)
    #expect(run.output.isEmpty)
  }
}
