/// Discovery for logins: kept in the store, so that two logins ask the server once.
import FHIRControl
import SMARTProtocol

extension Authorizer {
  /// What is known of the server's endpoints, asked for now where it is not known or too old.
  func loginDiscovery(_ id: ConnectionID, _ connection: ConnectionRecord) async throws(ControlError) -> DiscoveryRecord
  {
    func isEnough(_ known: DiscoveryRecord) -> Bool {
      (known.endpoints["auth_url"] != nil || connection.fields.authURL != nil)
        && (known.endpoints["token_url"] != nil || connection.fields.tokenURL != nil)
    }
    if let known = freshDiscovery(id, connection), isEnough(known) { return known }
    if let known = await unchanged(id, connection), isEnough(known) {
      await keep(known, id)
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
    await keep(record, id)
    return record
  }

  private func keep(_ record: DiscoveryRecord, _ id: ConnectionID) async {
    do {
      try await ledger.commit(
        RecordBatch(writes: [
          ledger.put(Ledger.discoveryAddress(id), json: record, DiscoveryRecord.recordVersion, 1)
        ]))
    } catch {
      // It is a cache: the next login asks again.
    }
  }

  /// What is stored, when the server says that its smart-configuration is still the same (R2.11).
  func unchanged(_ id: ConnectionID?, _ connection: ConnectionRecord) async -> DiscoveryRecord? {
    guard let id, var stored = (try? ledger.discovery(id)) ?? nil, stored.fits(connection), let tag = stored.entityTag
    else { return nil }
    var request = exchange.request(
      .get, connection.baseURL + "/.well-known/smart-configuration", accept: "application/json", for: connection)
    request.redirects = .follow(max: Exchange.redirectsMax)
    request.headers.append(HTTPHeader("If-None-Match", tag))
    guard let reply = try? await exchange.http.send(request), reply.status == 304 else { return nil }
    stored.discoveredAt = clock.wall()
    return stored
  }
}
