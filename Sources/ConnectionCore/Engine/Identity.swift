/// Who logged in: an `id_token` is believed only when the issuer's published keys verify it and its claims are about this
/// login (R6.08). The grant does not depend on it, and is stored before the issuer's keys are asked for.
import FHIRControl
import SMARTProtocol

/// What became of an `id_token`.
struct Identity: Sendable {
  /// Claims that go into the launch context: `fhirUser`, `sub`. Empty: nothing is known of the person.
  var claims: [String: JSON] = [:]
  /// `verified`, or `unverified: ` and why.
  var words: String
}

extension Authorizer {
  /// Claims that callers are told; the rest is between the server and us.
  private static var toldClaims: Set<String> { ["fhirUser", "sub"] }

  func identity(_ token: [UInt8], _ pending: PendingAuthorization, _ id: ConnectionID, _ connection: ConnectionRecord)
    async -> Identity
  {
    func unverified(_ why: String) -> Identity { Identity(words: "unverified: \(why)") }
    guard let parts = JWTParts.split(token) else { return unverified("the id_token is no JWT") }
    guard let issuer = pending.issuer ?? parts.claims["iss"]?.string else { return unverified("it names no issuer") }
    // An issuer that nobody but the token itself names proves nothing.
    guard pending.issuer != nil else { return unverified("the server's issuer is not known; set issuer") }
    guard let (keys, wasAsked) = await keySet(of: issuer, id, connection) else {
      return unverified("the issuer's keys cannot be read")
    }
    if !signer.verifies(token, jwks: keys.body) {
      // Perhaps the issuer has changed its keys since.
      guard !wasAsked, let renewed = await renewedKeySet(keys, id, connection),
        signer.verifies(token, jwks: renewed.body)
      else { return unverified("no key of the issuer verifies it") }
    }
    let problems = IDTokenClaims.problems(
      claims: parts.claims, issuer: issuer, clientID: connection.fields.clientID ?? "", nonce: pending.nonce,
      nowSeconds: clock.wall().milliseconds / 1000)
    guard problems.isEmpty else { return unverified(problems.joined(separator: "; ")) }
    let told = (parts.claims.object ?? [:]).filter { Self.toldClaims.contains($0.key) && $0.value.string != nil }
    return Identity(claims: told, words: "verified")
  }
}
