/// `fhirctl apply`: a document becomes connections and rules, once, and tells what it changes.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("fhirctl apply", .needs(.python3, .daemon, .fhirctl))
struct ApplyTests {
  private func document(_ stage: Stage, scope: String = "system/*.rs") -> String {
    let connection: WireJSON = [
      "connection_name": "clinic", "fhir_base_url": .string(stage.server.base("") + "/"),
      "auth_method": "client_credentials", "client_id": .string(Stage.clientID), "scope": .string(scope),
      "client_secret_file": "clinic.secret", "refresh": ["mode": "on_demand", "min_interval_seconds": 1],
      "health": ["enabled": false],
    ]
    let rule: WireJSON = ["principal": "unit:import.service", "methods": ["token.get"], "connections": ["clinic"]]
    let whole: WireJSON = ["connections": [connection], "access": [rule]]
    return whole.text
  }

  private func apply(_ stage: Stage, _ text: String, _ more: [String] = []) async throws -> ProgramResult {
    let file = stage.daemon.directory + "/document.json"
    try write(text, to: file)
    try write(Stage.clientSecret + "\n", to: stage.daemon.directory + "/clinic.secret")
    return try await stage.daemon.fhirctl(["apply", "-f", file] + more)
  }

  private func write(_ text: String, to path: String) throws {
    let file = try #require(fopen(path, "w"))
    chmod(path, 0o600)
    fputs(text, file)
    fclose(file)
  }

  @Test func `a document is applied once, and the second time changes nothing`() async throws {
    try await onStage { stage in
      let dry = try await apply(stage, document(stage), ["--dry-run"])
      #expect(dry.succeeded && dry.output.contains("create    connection clinic"), "\(dry)")
      #expect(dry.output.contains("2 changes; nothing was done"))
      #expect(!dry.output.contains(Stage.clientSecret))
      #expect(try await stage.control.result("connection.list")["connections"] == [])
      let first = try await apply(stage, document(stage))
      #expect(first.succeeded, "\(first)")
      _ = try await stage.token("clinic")
      let again = try await apply(stage, document(stage), ["--json"])
      let changes = try WireJSON(parsing: again.output)["changes"].array
      #expect(changes.count == 2 && changes.allSatisfy { $0["action"] == "unchanged" }, "\(again)")
      let shown = try await stage.control.result("connection.get", ["connection": "clinic"])
      #expect(shown["generation"] == 1)
      #expect(try await stage.control.result("access.list")["rules"].array.count == 1)
      let changed = try await apply(stage, document(stage, scope: "system/Patient.rs"))
      #expect(changed.output.contains("  scope: system/*.rs -> system/Patient.rs"), "\(changed)")
      #expect(changed.output.contains("1 change\n"))
      let secret = try await apply(stage, document(stage, scope: "system/Patient.rs"), ["--replace-secrets"])
      #expect(secret.output.contains("client_secret: stored -> from "), "\(secret)")
    }
  }

  @Test(arguments: [
    ("{", "is not JSON"), ("[]", "is no JSON object"), (#"{"conections":[]}"#, "unknown member"),
    (#"{"connections":[{"connection_name":"a","client_secret":"s3cr3t"}]}"#, "holds a client_secret"),
    (#"{"connections":[{"fhir_base_url":"https://h"}]}"#, "has no connection_name"),
    (#"{"connections":[{"connection_name":"a"},{"connection_name":"A"}]}"#, "twice"),
    (#"{"connections":[{"connection_name":"a","refresh":{"mod":"x"}}]}"#, "unknown member"),
    (#"{"connections":[{"connection_name":7}]}"#, "connections[0].connection_name"),
    (#"{"access":[{"methods":["token.get"]}]}"#, "access[0].principal"),
  ])
  func `what is wrong with a document is said by place, and nothing is done`(text: String, words: String) async throws {
    try await onStage { stage in
      let refused = try await apply(stage, text)
      #expect(refused.end == .exited(64), "\(refused)")
      #expect(refused.error.contains(words), "\(refused)")
      #expect(refused.error.contains("hint: ") && !refused.error.contains("s3cr3t"))
      #expect(try await stage.control.result("connection.list")["connections"] == [])
    }
  }
}
