/// Discovery for logins: kept in the store, so that two logins ask the server once.
import FHIRControl
import SMARTProtocol

extension Authorizer {
  /// What is known of the server's endpoints, asked for now where it is not known or too old.
  func loginDiscovery(_ id: ConnectionID, _ connection: ConnectionRecord) async throws(ControlError) -> DiscoveryRecord
  {
    if let known = freshDiscovery(id, connection),
      known.endpoints["auth_url"] != nil || connection.fields.authURL != nil,
      known.endpoints["token_url"] != nil || connection.fields.tokenURL != nil
    {
      return known
    }
    guard
      let (discovery, failure) = await exchange.discover(
        connection, askAnyway: true, needed: [.authorization, .token])
    else {
      throw ControlError(.validationFailed, "the FHIR base URL \(connection.baseURL) may not be used")
    }
    let record = DiscoveryRecord(discovery.result, baseURL: connection.baseURL, at: clock.wall())
    if let failure {
      // Everything may be configured by hand; then the server's silence hinders nobody.
      guard connection.fields.authURL != nil, connection.fields.tokenURL != nil else {
        throw ControlError(failure, asking: connection.baseURL)
      }
      return record
    }
    do {
      try await ledger.commit(
        RecordBatch(writes: [
          ledger.put(Ledger.discoveryAddress(id), json: record, DiscoveryRecord.recordVersion, 1)
        ]))
    } catch {
      // It is a cache: the next login asks again.
    }
    return record
  }
}
