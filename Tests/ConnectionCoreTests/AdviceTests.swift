/// What an operator is told to do better.
import FHIRControl
import SMARTProtocol
import Testing

@testable import ConnectionCore

@Suite struct AdviceTests {
  private func ids(_ change: (inout ConnectionFields) -> Void, capabilities: [String] = []) throws -> [String] {
    var fields = ConnectionFields()
    fields.connectionName = "c"
    fields.fhirBaseURL = "https://h/R4"
    fields.authMethod = "client_credentials"
    fields.clientID = "abc"
    fields.scope = "system/Patient.rs"
    change(&fields)
    let id = try #require(ConnectionID(bytes: [UInt8](repeating: 7, count: ConnectionID.byteCount)))
    let record = ConnectionRecord(
      id: id, fields: fields, hasClientSecret: true, createdAt: Timestamp(milliseconds: 0),
      updatedAt: Timestamp(milliseconds: 0))
    var discovery = DiscoveryRecord(
      fhirBaseURL: "https://h/R4", endpoints: [:], findings: [], discoveredAt: Timestamp(milliseconds: 0))
    discovery.capabilities = capabilities
    return Advice.findings(record, discovery).map { String($0.prefix { $0 != ":" }) }
  }

  @Test func `a connection as SMART wants it needs no advice`() throws {
    #expect(try ids { _ in } == [])
    #expect(
      try ids {
        $0.authMethod = "none"; $0.scope = nil
      } == [])
  }

  @Test func `R3.10 a backend service without a scope is told`() throws {
    #expect(try ids { $0.scope = nil } == ["scope-none"])
  }

  @Test(arguments: ["system/*.cruds", "system/*.*", "system/*.write", "patient/Patient.rs system/*.cud"])
  func `R3.11 wildcards that write are told, and those that read are not`(scope: String) throws {
    #expect(try ids { $0.scope = scope } == ["scope-broad"])
    #expect(try ids { $0.scope = "system/*.rs system/*.read" } == [])
  }

  @Test func `R3.09 fhirUser without openid is told, and nothing is added to the scope`() throws {
    #expect(try ids { $0.scope = "fhirUser patient/Patient.rs" } == ["scope-openid"])
    #expect(try ids { $0.scope = "openid fhirUser patient/Patient.rs" } == [])
  }

  @Test func `R5.14 a key is proposed where the server takes one`() throws {
    let capability = ["client-confidential-asymmetric"]
    #expect(
      try ids({ $0.clientAuthentication = "client_secret_basic" }, capabilities: capability) == [
        "client-authentication"
      ])
    #expect(try ids({ $0.clientAuthentication = "private_key_jwt" }, capabilities: capability) == [])
    #expect(try ids { $0.clientAuthentication = "client_secret_basic" } == [])
  }
}
