/// Turns what a caller wrote into a complete, normalized connection, or says everything that is wrong with it. Pure but
/// for the question whether a file can be read, which the caller brings.
package import FHIRControl
import SMARTProtocol

package struct ConnectionValidator: Sendable {
  package enum Limit {
    /// Longest name, in characters: it must fit a line of `fhirctl status`.
    package static let nameCharacters = 128
    /// Longest URL, in bytes; servers and proxies refuse longer ones.
    package static let urlBytes = 2048
    /// Longest client id, secret and scope, in bytes; far beyond any server seen.
    package static let clientIDBytes = 1024
    package static let secretBytes = 8192
    package static let scopeBytes = 16384
    package static let notesBytes = 16384
    /// Entries of `extra_parameters`, `extra_headers`, `allowed_origins` and `labels`, and the bytes of each text in them.
    package static let entries = 64
    package static let entryBytes = 4096
    package static let secondsMax: Double = 86400
    /// 90 days: no server keeps an unused refresh token longer.
    package static let keepAliveMax: Double = 7_776_000
    /// The health loop does not probe a server more often than this.
    package static let healthIntervalMin: Double = 10
    /// A rate below one request in 100 s is a connection that does not work; above ten thousand it is none.
    package static let requestsPerSecond: ClosedRange<Double> = 0.01...10000
    package static let requestsBurst = 1...10000
    /// Beyond it a server sees an attack.
    package static let requestsConcurrency = 1...256
  }

  package let allowInsecureLoopback: Bool
  package let canReadFile: @Sendable (String) -> Bool

  package init(allowInsecureLoopback: Bool, canReadFile: @escaping @Sendable (String) -> Bool) {
    self.allowInsecureLoopback = allowInsecureLoopback
    self.canReadFile = canReadFile
  }

  /// - Parameters:
  ///   - fields: as written; for an update, the stored fields with the changes laid over them.
  ///   - hasSecret: a secret is stored already.
  ///   - nameRequired: false for a test of fields that are not saved.
  package func complete(_ fields: ConnectionFields, hasSecret: Bool = false, nameRequired: Bool = true) -> (
    fields: ConnectionFields, errors: [FieldError]
  ) {
    var draft = Draft(fields: fields.withoutEmptyTexts, errors: [])
    if nameRequired || draft.fields.connectionName != nil { checkName(&draft) }
    checkURLs(&draft)
    checkAuthorization(&draft, hasSecret: hasSecret)
    checkTransport(&draft)
    checkPolicies(&draft)
    checkTexts(&draft)
    return (draft.fields, draft.errors)
  }

  private struct Draft {
    var fields: ConnectionFields
    var errors: [FieldError]
    mutating func refuse(_ field: String, _ message: String) { errors.append(FieldError(field, message)) }
  }

  private func checkName(_ draft: inout Draft) {
    guard let name = draft.fields.connectionName else {
      return draft.refuse("connection_name", "is required")
    }
    if name.count > Limit.nameCharacters {
      draft.refuse("connection_name", "has \(name.count) characters, \(Limit.nameCharacters) are allowed")
    }
    if name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F || $0 == "*" || $0 == "?" }) {
      draft.refuse("connection_name", "may not contain control characters, * or ?")
    }
    if name.first?.isWhitespace == true || name.last?.isWhitespace == true {
      draft.refuse("connection_name", "may not begin or end with white space")
    }
    if ConnectionID(name) != nil { draft.refuse("connection_name", "may not look like a connection id") }
  }

  private func checkURLs(_ draft: inout Draft) {
    if let base = draft.fields.fhirBaseURL {
      do {
        guard base.utf8.count <= Limit.urlBytes else { throw URLCheck.tooLong }
        draft.fields.fhirBaseURL = try FHIRBaseURL(base, allowInsecureLoopback: allowInsecureLoopback).text
      } catch { draft.refuse("fhir_base_url", Self.sentence(error)) }
    } else {
      draft.refuse("fhir_base_url", "is required")
    }
    for (field, path) in Self.endpointFields {
      guard let text = draft.fields[keyPath: path] else { continue }
      do {
        guard text.utf8.count <= Limit.urlBytes else { throw URLCheck.tooLong }
        draft.fields[keyPath: path] = try EndpointURL(text, allowInsecureLoopback: allowInsecureLoopback).text
      } catch { draft.refuse(field, Self.sentence(error)) }
    }
    if let issuer = draft.fields.issuer {
      do { _ = try EndpointURL(issuer, allowInsecureLoopback: allowInsecureLoopback) } catch {
        draft.refuse("issuer", error.sentence)
      }
    }
    for origin in draft.fields.allowedOrigins ?? [] where Origin(of: origin)?.description != origin {
      draft.refuse("allowed_origins", "\(origin) is not an origin: expected https://host or https://host:port")
    }
    checkLinkRewrites(&draft)
  }

  /// Where a link is led must be where the token may go.
  private func checkLinkRewrites(_ draft: inout Draft) {
    let homes = Set([draft.fields.fhirBaseURL ?? ""] + (draft.fields.allowedOrigins ?? [])).compactMap {
      Origin(of: $0)
    }
    for (from, to) in draft.fields.linkRewrites ?? [:] {
      for origin in [from, to] where Origin(of: origin)?.description != origin {
        draft.refuse("link_rewrites", "\(origin) is not an origin: expected https://host or http://host:port")
      }
      if let origin = Origin(of: to), !homes.contains(origin) {
        draft.refuse("link_rewrites", "\(to) is neither the base URL's origin nor one of allowed_origins")
      }
    }
  }

  private enum URLCheck: Error { case tooLong }

  private static func sentence(_ error: any Error) -> String {
    (error as? URLProblem)?.sentence ?? "is longer than \(Limit.urlBytes) bytes"
  }

  private static var endpointFields: [(String, WritableKeyPath<ConnectionFields, String?>)] {
    [
      ("token_url", \.tokenURL), ("auth_url", \.authURL), ("revocation_url", \.revocationURL),
      ("introspection_url", \.introspectionURL),
    ]
  }

  private func checkAuthorization(_ draft: inout Draft, hasSecret: Bool) {
    if let encoding = draft.fields.basicEncoding, ClientAuthentication.BasicEncoding(rawValue: encoding) == nil {
      draft.refuse(
        "basic_encoding", Self.oneOf(ClientAuthentication.BasicEncoding.allCases.map(\.rawValue), not: encoding))
    }
    if let text = draft.fields.clientAuthentication, ClientAuthenticationMethod(rawValue: text) == nil {
      draft.refuse(
        "client_authentication", Self.oneOf(ClientAuthenticationMethod.allCases.map(\.rawValue), not: text))
    }
    let method: AuthMethod
    if let text = draft.fields.authMethod {
      guard let known = AuthMethod(rawValue: text) else {
        return draft.refuse("auth_method", Self.oneOf(AuthMethod.allCases.map(\.rawValue), not: text))
      }
      method = known
    } else {
      method = draft.fields.clientID == nil ? .none : .clientCredentials
      draft.fields.authMethod = method.rawValue
    }
    if let text = draft.fields.registration, text != "dynamic" {
      draft.refuse("registration", Self.oneOf(["dynamic"], not: text))
    }
    // The server will give both.
    let isUnregistered = draft.fields.registration != nil && draft.fields.clientID == nil
    let secretKnown = isUnregistered || hasSecret || draft.fields.clientSecret != nil
    switch method {
    case .none:
      if draft.fields.clientSecret != nil {
        draft.refuse("client_secret", "is not used with auth_method none")
      }
    case .clientCredentials, .authorizationCode:
      if draft.fields.clientID == nil, !isUnregistered {
        draft.refuse("client_id", "is required for auth_method \(method.rawValue)")
      }
      let fallback: ClientAuthenticationMethod = secretKnown ? .clientSecretBasic : .none
      let text = draft.fields.clientAuthentication ?? fallback.rawValue
      draft.fields.clientAuthentication = text
      guard let authentication = ClientAuthenticationMethod(rawValue: text) else { return }
      switch authentication {
      case .none, .privateKeyJWT: break
      case .tlsClientAuth:
        if draft.fields.clientCertificateFile == nil {
          draft.refuse("client_certificate_file", "is required for client_authentication \(text)")
        }
      case .clientSecretBasic, .clientSecretPost:
        if !secretKnown { draft.refuse("client_secret", "is required for client_authentication \(text)") }
      }
    }
    checkLogin(&draft, method)
    if let text = draft.fields.scopeVersion, !["auto", "as_written"].contains(text) {
      draft.refuse("scope_version", Self.oneOf(["auto", "as_written"], not: text))
    }
    for problem in ScopeSet.problems(in: draft.fields.scope ?? "") { draft.refuse("scope", problem) }
    for problem in TokenRequest.problems(in: draft.fields.extraParameters ?? [:]) {
      draft.refuse(problem.field, problem.sentence)
    }
  }

  private func checkLogin(_ draft: inout Draft, _ method: AuthMethod) {
    if let pkce = draft.fields.pkce, !["S256", "none"].contains(pkce) {
      draft.refuse("pkce", Self.oneOf(["S256", "none"], not: pkce))
    }
    if let algorithm = draft.fields.signingAlgorithm, !Self.signingAlgorithms.contains(algorithm) {
      draft.refuse("signing_algorithm", Self.oneOf(Self.signingAlgorithms, not: algorithm))
    }
    if let problem = draft.fields.redirectURI.flatMap(Self.redirectProblem) { draft.refuse("redirect_uri", problem) }
    guard method == .authorizationCode else { return }
    // R3.10 asks for a scope of backend services; of people too: a login for nothing in particular grants nothing.
    if draft.fields.scope == nil { draft.refuse("scope", "is required for auth_method authorization_code") }
  }

  static let signingAlgorithms = ["ES384", "RS384", "ES256", "RS256"]

  /// R4.03: a full URI, https or loopback, without a fragment (RFC 6749 section 3.1.2).
  package static func redirectProblem(_ text: String) -> String? {
    guard text.utf8.count <= Limit.urlBytes else { return "is longer than \(Limit.urlBytes) bytes" }
    guard !text.utf8.contains(UInt8(ascii: "#")) else { return "may not have a fragment" }
    do {
      _ = try EndpointURL(text, allowInsecureLoopback: true)
      return nil
    } catch { return "must be https, or http to a loopback address: it \(error.sentence)" }
  }

  private func checkTransport(_ draft: inout Draft) {
    for (name, value) in (draft.fields.extraHeaders ?? [:]).sorted(by: { $0.key < $1.key }) {
      let token = !name.isEmpty && name.utf8.allSatisfy { Self.isTokenByte($0) }
      if !token { draft.refuse("extra_headers", "\(name.debugDescription) is not a header name") }
      if Self.ownHeaders.contains(name.lowercased()) {
        draft.refuse("extra_headers", "may not set \(name): fhird sets it itself")
      }
      if value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
        draft.refuse("extra_headers", "the value of \(name) has control characters")
      }
    }
    for (field, file) in [
      ("ca_file", draft.fields.caFile), ("client_certificate_file", draft.fields.clientCertificateFile),
    ] {
      guard let file else { continue }
      if !file.hasPrefix("/") {
        draft.refuse(field, "must be an absolute path")
      } else if !canReadFile(file) {
        draft.refuse(field, "\(file) cannot be read by fhird's user")
      }
    }
    if let proxy = draft.fields.proxy {
      let schemes = ["http://", "https://", "socks5h://"]
      if !schemes.contains(where: proxy.hasPrefix) || proxy.contains("@") || proxy.utf8.contains(where: { $0 <= 0x20 })
      {
        draft.refuse("proxy", "must be http://, https:// or socks5h:// with host and port, without a password")
      }
    }
  }

  /// Source: RFC 9110 section 5.6.2.
  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
    }
  }

  private static let ownHeaders: Set<String> = [
    "authorization", "host", "content-length", "content-type", "transfer-encoding", "connection", "expect", "cookie",
    "accept-encoding", "te", "upgrade",
  ]

  private func checkPolicies(_ draft: inout Draft) {
    if let refresh = draft.fields.refresh {
      if let mode = refresh.mode, RefreshPolicy.Mode(rawValue: mode) == nil {
        draft.refuse("refresh.mode", Self.oneOf(["ahead", "on_demand"], not: mode))
      }
      range(&draft, "refresh.margin_seconds", refresh.marginSeconds, 1...Limit.secondsMax)
      range(&draft, "refresh.min_interval_seconds", refresh.minIntervalSeconds, 1...Limit.secondsMax)
      if let replay = refresh.replay, ReplayPolicy.Mode(rawValue: replay) == nil {
        draft.refuse("refresh.replay", Self.oneOf(ReplayPolicy.Mode.allCases.map(\.rawValue), not: replay))
      }
      range(&draft, "refresh.replay_within_seconds", refresh.replayWithinSeconds, 1...Limit.secondsMax)
      range(&draft, "refresh.keep_alive_seconds", refresh.keepAliveSeconds, 3600...Limit.keepAliveMax)
    }
    range(
      &draft, "health.interval_seconds", draft.fields.health?.intervalSeconds,
      Limit.healthIntervalMin...Limit.secondsMax)
    checkRequests(&draft)
    checkMaintenance(&draft)
    if let version = draft.fields.fhirVersion {
      let names = ["DSTU2", "STU3", "R4", "R4B", "R5"]
      let numbers = version.utf8.allSatisfy { $0 == 46 || ($0 >= 48 && $0 <= 57) }
      if !names.contains(version), !numbers || version.utf8.count > 16 {
        draft.refuse("fhir_version", "expected DSTU2, STU3, R4, R4B, R5 or a number like 4.0.1")
      }
    } else if draft.fields.sendsFHIRVersion == true {
      draft.refuse("sends_fhir_version", "needs fhir_version: the one that is sent")
    }
  }

  private func checkRequests(_ draft: inout Draft) {
    if let method = draft.fields.searchMethod, SearchMethod(rawValue: method) == nil {
      draft.refuse("search_method", Self.oneOf(SearchMethod.allCases.map(\.rawValue), not: method))
    }
    guard let requests = draft.fields.requests else { return }
    if let rate = requests.perSecond, !Limit.requestsPerSecond.contains(rate) {
      draft.refuse("requests.per_second", "is \(rate); allowed are 0.01 to 10000")
    }
    if let burst = requests.burst, !Limit.requestsBurst.contains(burst) {
      draft.refuse("requests.burst", "is \(burst); allowed are 1 to 10000")
    }
    if let concurrency = requests.concurrency, !Limit.requestsConcurrency.contains(concurrency) {
      draft.refuse("requests.concurrency", "is \(concurrency); allowed are 1 to 256")
    }
    if requests.burst != nil, requests.perSecond == nil {
      draft.refuse("requests.burst", "needs requests.per_second")
    }
  }

  private func checkMaintenance(_ draft: inout Draft) {
    let windows = draft.fields.health?.maintenance ?? []
    if windows.count > MaintenanceWindow.countMax {
      draft.refuse(
        "health.maintenance", "has \(windows.count) windows, \(MaintenanceWindow.countMax) are allowed")
    }
    for text in windows.prefix(MaintenanceWindow.countMax) {
      do { _ = try MaintenanceWindow(text) } catch {
        draft.refuse("health.maintenance", "\(Words.clean(text, max: 60).debugDescription) \(error.sentence)")
      }
    }
  }

  private func range(_ draft: inout Draft, _ field: String, _ value: Double?, _ allowed: ClosedRange<Double>) {
    guard let value, !allowed.contains(value) else { return }
    draft.refuse(field, "is \(value); allowed are \(Int(allowed.lowerBound)) to \(Int(allowed.upperBound)) seconds")
  }

  private func checkTexts(_ draft: inout Draft) {
    func limit(_ field: String, _ text: String?, _ bytes: Int) {
      guard let text else { return }
      if text.utf8.count > bytes { draft.refuse(field, "has \(text.utf8.count) bytes, \(bytes) are allowed") }
      if text.utf8.contains(0) { draft.refuse(field, "may not contain NUL") }
    }
    limit("client_id", draft.fields.clientID, Limit.clientIDBytes)
    limit("client_secret", draft.fields.clientSecret, Limit.secretBytes)
    limit("scope", draft.fields.scope, Limit.scopeBytes)
    limit("aud", draft.fields.aud, Limit.urlBytes)
    limit("additional_notes", draft.fields.additionalNotes, Limit.notesBytes)
    let tables = [
      ("extra_parameters", draft.fields.extraParameters),
      ("authorization_parameters", draft.fields.authorizationParameters), ("extra_headers", draft.fields.extraHeaders),
      ("labels", draft.fields.labels), ("link_rewrites", draft.fields.linkRewrites),
    ]
    for (field, table) in tables {
      guard let table else { continue }
      if table.count > Limit.entries { draft.refuse(field, "has \(table.count) entries, \(Limit.entries) are allowed") }
      for (key, value) in table where key.utf8.count + value.utf8.count > Limit.entryBytes {
        draft.refuse(field, "the entry \(key.prefix(40)) is longer than \(Limit.entryBytes) bytes")
      }
    }
    if (draft.fields.allowedOrigins?.count ?? 0) > Limit.entries {
      draft.refuse("allowed_origins", "\(Limit.entries) entries are allowed")
    }
  }

  private static func oneOf(_ allowed: [String], not found: String) -> String {
    "is \(found.debugDescription); allowed are \(allowed.joined(separator: ", "))"
  }
}
