/// The command line against the daemon: what it prints, on which stream, and how it ends.
import FHIRControl
import TestSupport
import Testing

@Suite("fhirctl", .needs(.python3, .daemon, .fhirctl))
struct FhirctlTests {
  private func create(_ stage: Stage, _ name: String, _ more: [String] = []) async throws -> ProgramResult {
    try await stage.daemon.fhirctl(
      [
        "connection", "create", name, "--url", stage.server.base(), "--auth-method", "client_credentials",
        "--client-id", Stage.clientID, "--client-secret-file", "-", "--scope", "system/*.rs",
      ] + more, input: Stage.clientSecret + "\n")
  }

  @Test func `create, show, token, refresh, status, delete`() async throws {
    try await onStage { stage in
      let made = try await create(stage, "epic")
      #expect(made.succeeded, "\(made)")
      let token = try await stage.daemon.fhirctl(["token", "get", "epic"])
      #expect(token.succeeded, "\(token)")
      #expect(token.output.hasSuffix("\n"))
      let text = String(token.output.dropLast())
      #expect(try await stage.server.read("/fhir/Patient/1", token: text) == 200)
      let header = try await stage.daemon.fhirctl(["token", "get", "epic", "--header"])
      #expect(header.output == "Authorization: Bearer \(text)\n")
      let shown = try await stage.daemon.fhirctl(["--json", "connection", "show", "epic"])
      #expect(try WireJSON(parsing: shown.output)["connection_name"] == "epic")
      let status = try await stage.daemon.fhirctl(["status"])
      #expect(status.succeeded)
      #expect(status.output.contains("epic"))
      #expect(!status.output.contains(text))
      let test = try await stage.daemon.fhirctl(["connection", "test", "epic"], within: 130)
      #expect(test.succeeded, "\(test)")
      let gone = try await stage.daemon.fhirctl(["connection", "delete", "epic", "--yes"])
      #expect(gone.succeeded, "\(gone)")
    }
  }

  @Test func `exit statuses say what kind of no it was`() async throws {
    try await onStage { stage in
      let unknown = try await stage.daemon.fhirctl(["token", "get", "nobody"])
      #expect(unknown.end == .exited(1))
      #expect(unknown.output.isEmpty)
      #expect(unknown.error.hasPrefix("fhirctl: "))
      #expect(unknown.error.contains("hint: "))
      #expect(try await stage.daemon.fhirctl(["connection", "nonsense"]).end == .exited(64))
      #expect(try await stage.daemon.fhirctl(["connection", "create", "x", "--url", "ftp://x"]).end == .exited(64))
      _ = try await create(stage, "c", ["--token-url", "http://127.0.0.1:1/token"])
      #expect(try await stage.daemon.fhirctl(["token", "get", "c"]).end == .exited(75))
      #expect(try await stage.daemon.fhirctl(["connection", "test", "c"], within: 130).end == .exited(2))
      try await stage.daemon.terminate()
      let away = try await stage.daemon.fhirctl(["status"])
      #expect(away.end == .exited(69))
      #expect(away.error.contains(stage.daemon.socketPath))
    }
  }

  @Test func `a secret on the command line is not taken`() async throws {
    try await onStage { stage in
      let result = try await stage.daemon.fhirctl([
        "connection", "create", "x", "--url", stage.server.base(), "--client-secret", "not-here-please",
      ])
      #expect(result.end == .exited(64))
      #expect(!result.error.contains("not-here-please"))
    }
  }

  @Test func `exec gives the token by a descriptor and never by the environment`() async throws {
    try await onStage { stage in
      _ = try await create(stage, "c")
      let script = #"cat "$FHIR_ACCESS_TOKEN_FILE"; echo; echo "$FHIR_BASE_URL"; env"#
      let result = try await stage.daemon.fhirctl(["exec", "c", "--", "/bin/sh", "-c", script])
      #expect(result.succeeded, "\(result)")
      let lines = result.output.split(separator: "\n").map(String.init)
      let token = try #require(lines.first)
      #expect(try await stage.server.read("/fhir/Patient/1", token: token) == 200)
      #expect(lines.dropFirst().first == stage.server.base())
      #expect(Hunt([token]).found(in: lines.dropFirst().joined(separator: "\n")).isEmpty)
      let status = try await stage.daemon.fhirctl(["exec", "c", "--", "/bin/sh", "-c", "exit 42"])
      #expect(status.end == .exited(42))
    }
  }

  @Test func `every --json output is one document`() async throws {
    try await onStage { stage in
      _ = try await create(stage, "c")
      for command in [
        ["status"], ["connection", "list"], ["connection", "show", "c"], ["token", "status", "c"], ["health"],
        ["access", "list"], ["server", "info"], ["connection", "test", "c"],
      ] {
        let result = try await stage.daemon.fhirctl(["--json"] + command, within: 130)
        #expect(result.succeeded, "\(command): \(result)")
        #expect((try? WireJSON(parsing: result.output)) != nil, "\(command): \(result.output)")
      }
    }
  }
}
