/// What an operator could do better with a connection: findings, never refusals.
import FHIRControl
import SMARTProtocol

enum Advice {
  static func findings(_ record: ConnectionRecord, _ discovery: DiscoveryRecord?) -> [String] {
    let fields = record.fields
    guard record.usesTokens else { return [] }
    var advice: [String] = []
    func note(_ id: String, _ sentence: String) { advice.append(Finding(id, sentence).description) }
    let scopes = ScopeSet(fields.scope ?? "").scopes
    // R3.10: OAuth servers outside SMART need none.
    if !record.usesLogins, scopes.isEmpty {
      note("scope-none", "no scope is set; SMART backend services must ask for one, such as system/Patient.rs")
    }
    // R3.11
    if let broad = scopes.first(where: Self.writesEverything) {
      note("scope-broad", "\(broad) lets the token write every type; name the types that are needed")
    }
    // R3.09
    if scopes.contains("fhirUser"), !scopes.contains("openid") {
      note("scope-openid", "fhirUser comes with openid only; servers leave it out without")
    }
    // R5.14
    if fields.clientAuthentication?.hasPrefix("client_secret") == true,
      discovery?.capabilities?.contains("client-confidential-asymmetric") == true
    {
      note(
        "client-authentication",
        "the server takes private_key_jwt, with which no secret travels: fhirctl key create '\(record.name)'")
    }
    return advice
  }

  private static func writesEverything(_ scope: String) -> Bool {
    let bare = scope.prefix { $0 != "?" }
    guard ResourceScope(scope) != nil, bare.contains("/*."), let access = bare.split(separator: ".").last else {
      return false
    }
    return !["rs", "read", "r", "s"].contains(access)
  }
}
