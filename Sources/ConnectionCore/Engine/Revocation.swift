/// Gives a token back to the server before it is erased here. Whatever the server says, it is erased.
import FHIRControl
import SMARTProtocol

extension Authorizer {
  /// - Returns: `revoked`, `not_supported_by_server`, `nothing_to_revoke` or `failed`, and words.
  func revoke(_ id: ConnectionID, _ connection: ConnectionRecord) async -> (outcome: String, detail: String?) {
    let key = ledger.grantKey(id, subject: "")
    var token: [UInt8] = []
    defer { wipe(&token) }
    do {
      let read = try ledger.withToken(key) { (served, members) in
        served.remaining(now: clock.now(), wall: clock.wall(), bootID: clock.bootID) > .zero
          ? ServedToken.accessToken(in: members) : nil
      }
      guard let found = read ?? nil else { return ("nothing_to_revoke", nil) }
      token = found
    } catch { return ("failed", error.sentence) }
    let discovered = (try? ledger.discovery(id)) ?? nil
    let url = connection.fields.revocationURL ?? discovered?.endpoints["revocation_url"]?.url
    let insecure = exchange.settings.current.allowInsecureLoopback
    guard let url, let endpoint = try? EndpointURL(url, allowInsecureLoopback: insecure) else {
      return ("not_supported_by_server", "no revocation endpoint is known; the token ends with its lifetime")
    }
    do {
      let request = try withClientSecret(id, connection, nil) { secret throws(TokenRequestProblem) in
        try TokenRequest.revocation(
          at: endpoint, token: token, hint: "access_token", clientID: connection.fields.clientID ?? "", secret: secret,
          authentication: Self.authentication(of: connection.fields))
      }
      let reply = try await exchange.http.send(request)
      if (200...299).contains(reply.status) { return ("revoked", nil) }
      return ("failed", "the revocation endpoint answered \(reply.status)")
    } catch let failure as HTTPFailure {
      return ("failed", failure.detail)
    } catch { return ("failed", (error as? ControlError)?.message) }
  }
}
