/// The fields of a connection as options: each field's name with dashes.
import ArgumentParser
import FHIRControl
import FoundationEssentials

/// `key=value`; an empty text is no pair and makes an empty dictionary, which takes the field away.
struct Pair: ExpressibleByArgument {
  let key: String
  let value: String

  init?(argument: String) {
    guard !argument.isEmpty else {
      (key, value) = ("", "")
      return
    }
    guard let sign = argument.firstIndex(of: "="), sign > argument.startIndex else { return nil }
    key = String(argument[..<sign])
    value = String(argument[argument.index(after: sign)...])
  }
}

/// `Name: value`; empty as with `Pair`.
struct Header: ExpressibleByArgument {
  let name: String
  let value: String

  init?(argument: String) {
    guard !argument.isEmpty else {
      (name, value) = ("", "")
      return
    }
    guard let colon = argument.firstIndex(of: ":"), colon > argument.startIndex else { return nil }
    name = String(argument[..<colon])
    value = String(argument[argument.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
  }
}

struct ConnectionFlags: ParsableArguments {
  @Option(
    name: [.customLong("url"), .customLong("fhir-base-url")],
    help: ArgumentHelp("The FHIR server's base URL.", valueName: "url"))
  var fhirBaseURL: String?

  @Option(
    help: ArgumentHelp(
      "none (an open server), client_credentials, or authorization_code (logins by browser).", valueName: "method"),
    completion: .list(["none", "client_credentials", "authorization_code"]))
  var authMethod: String?

  @Option(
    help: ArgumentHelp(
      "client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or none.", valueName: "method"),
    completion: .list(["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"]))
  var clientAuthentication: String?

  @Option(name: .customLong("client-id"), help: ArgumentHelp("The client registered at the server.", valueName: "id"))
  var clientID: String?

  @Option(
    name: .customLong("auth-url"), help: ArgumentHelp("Authorization endpoint; else discovered.", valueName: "url"))
  var authURL: String?

  @Option(name: .customLong("token-url"), help: ArgumentHelp("Token endpoint; else discovered.", valueName: "url"))
  var tokenURL: String?

  @Option(help: ArgumentHelp("The authorization server's issuer.", valueName: "url"))
  var issuer: String?

  @Option(
    name: .customLong("revocation-url"), help: ArgumentHelp("Revocation endpoint; else discovered.", valueName: "url"))
  var revocationURL: String?

  @Option(
    name: .customLong("introspection-url"),
    help: ArgumentHelp("Introspection endpoint; else discovered.", valueName: "url"))
  var introspectionURL: String?

  @Option(help: ArgumentHelp("What to ask for, separated by spaces.", valueName: "scopes"))
  var scope: String?

  @Option(help: ArgumentHelp("The audience to ask for, where it is not the base URL.", valueName: "url"))
  var aud: String?

  @Option(
    help: ArgumentHelp("How client_secret_basic encodes id and secret: rfc6749 or raw.", valueName: "encoding"),
    completion: .list(["rfc6749", "raw"]))
  var basicEncoding: String?

  @Option(
    name: .customLong("redirect-uri"),
    help: ArgumentHelp(
      "Where the server sends browsers after a login, as registered there; else the gateway.", valueName: "url"))
  var redirectURI: String?

  @Option(
    help: ArgumentHelp("auto (v1 or v2, where the server names one alone) or as_written.", valueName: "way"),
    completion: .list(["auto", "as_written"]))
  var scopeVersion: String?

  @Option(
    help: ArgumentHelp("dynamic: the server gives the client id (connection register).", valueName: "way"),
    completion: .list(["dynamic"]))
  var registration: String?

  @Option(
    help: ArgumentHelp("S256, or none for a server that refuses PKCE.", valueName: "method"),
    completion: .list(["S256", "none"]))
  var pkce: String?

  @Option(
    help: ArgumentHelp("What client assertions are signed with: ES384, RS384, ES256 or RS256.", valueName: "algorithm"),
    completion: .list(["ES384", "RS384", "ES256", "RS256"]))
  var signingAlgorithm: String?

  @Flag(
    name: .customLong("sends-client-id"), inversion: .prefixedNo,
    help: "Whether token requests carry client_id also beside another client authentication.")
  var sendsClientID: Bool?

  @Option(
    name: [.customLong("authorization-parameter"), .customLong("authorization-parameters")],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("One more parameter for the authorization request; repeatable.", valueName: "key=value"))
  var authorizationParameters: [Pair] = []

  @Option(
    name: [.customLong("extra-parameter"), .customLong("extra-parameters")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp("One more parameter for the token request; repeatable.", valueName: "key=value"))
  var extraParameters: [Pair] = []

  @Option(
    name: [.customLong("extra-header"), .customLong("extra-headers")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp("One more header for every request to the server; repeatable.", valueName: "name: value"))
  var extraHeaders: [Header] = []

  @Option(
    help: ArgumentHelp("Certificates to trust for this server, instead of the system's.", valueName: "file"),
    completion: .file())
  var caFile: String?

  @Option(
    help: ArgumentHelp("The client's certificate and key (PEM) for servers that want one (mTLS).", valueName: "file"),
    completion: .file())
  var clientCertificateFile: String?

  @Option(help: ArgumentHelp("The HTTP proxy to go through.", valueName: "url"))
  var proxy: String?

  @Option(
    name: [.customLong("allowed-origin"), .customLong("allowed-origins")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Another origin that may be sent the token; repeatable.", valueName: "origin"))
  var allowedOrigins: [String] = []

  @Option(
    name: [.customLong("link-rewrite"), .customLong("link-rewrites")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "An origin in the server's links, and what it is read as: for a server that does not know its own name behind a "
        + "proxy; repeatable.", valueName: "from=to"))
  var linkRewrites: [Pair] = []

  @Option(
    help: ArgumentHelp("ahead (before expiry) or on_demand (when somebody asks).", valueName: "mode"),
    completion: .list(["ahead", "on_demand"]))
  var refreshMode: String?

  @Option(help: ArgumentHelp("The largest margin before expiry.", valueName: "seconds"))
  var refreshMarginSeconds: Double?

  @Option(help: ArgumentHelp("The shortest time between two refreshes.", valueName: "seconds"))
  var refreshMinIntervalSeconds: Double?

  @Option(
    help: ArgumentHelp(
      "once (send a refresh token again, once, when the reply was lost) or never.", valueName: "policy"),
    completion: .list(["once", "never"]))
  var refreshReplay: String?

  @Option(
    help: ArgumentHelp("For how long the server takes a used refresh token again.", valueName: "seconds"))
  var refreshReplayWithinSeconds: Double?

  @Option(help: ArgumentHelp("How often an idle grant is refreshed all the same.", valueName: "seconds"))
  var refreshKeepAliveSeconds: Double?

  @Option(help: ArgumentHelp("How often the server is probed.", valueName: "seconds"))
  var healthIntervalSeconds: Double?

  @Option(
    name: .customLong("health-maintenance"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "When trouble is no news: 'Sun 02:00-04:00', 'daily 23:30-00:30' (UTC) or "
        + "2026-12-01T22:00Z/2026-12-02T04:00Z; repeatable.", valueName: "window"))
  var healthMaintenance: [String] = []

  @Flag(inversion: .prefixedNo, help: "Whether the server is probed at all.")
  var health: Bool?

  @Option(help: ArgumentHelp("The most FHIR requests a second to this server, as 10 or 0.5.", valueName: "number"))
  var requestsPerSecond: Double?

  @Option(
    help: ArgumentHelp(
      "With a rate: requests that may go at once after a quiet time; else as many as go in a second.",
      valueName: "number"))
  var requestsBurst: Int?

  @Option(help: ArgumentHelp("The most FHIR requests under way at once; 8 unless given.", valueName: "number"))
  var requestsConcurrency: Int?

  @Option(
    help: ArgumentHelp(
      "auto (searches by GET, by POST where the URL would be too long), get, or post (values never stand in URLs).",
      valueName: "method"),
    completion: .list(["auto", "get", "post"]))
  var searchMethod: String?

  @Option(help: ArgumentHelp("The FHIR version, where the server does not say.", valueName: "version"))
  var fhirVersion: String?

  @Flag(
    name: .customLong("sends-fhir-version"), inversion: .prefixedNo,
    help: "Whether the version is named in the media type, for servers with several at one base URL.")
  var sendsFHIRVersion: Bool?

  @Option(
    name: [.customLong("label"), .customLong("labels")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp("A label; repeatable.", valueName: "key=value"))
  var labels: [Pair] = []

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Words for those who come after you.", valueName: "text"))
  var additionalNotes: String?
}

extension ConnectionFlags {
  /// Only what was given is set.
  func fields() throws(Failure) -> ConnectionFields {
    var fields = ConnectionFields()
    fields.fhirBaseURL = fhirBaseURL
    fields.authMethod = authMethod
    fields.clientAuthentication = clientAuthentication
    fields.clientID = clientID
    fields.authURL = authURL
    fields.tokenURL = tokenURL
    fields.issuer = issuer
    fields.revocationURL = revocationURL
    fields.introspectionURL = introspectionURL
    fields.scope = scope
    fields.aud = aud
    fields.basicEncoding = basicEncoding
    fields.extraParameters = try Self.dictionary(extraParameters.map { ($0.key, $0.value) }, "--extra-parameter")
    fields.extraHeaders = try Self.dictionary(extraHeaders.map { ($0.name, $0.value) }, "--extra-header")
    fields.caFile = caFile.map(Self.absolute)
    fields.clientCertificateFile = clientCertificateFile.map(Self.absolute)
    fields.proxy = proxy
    fields.allowedOrigins = allowedOrigins.isEmpty ? nil : allowedOrigins.filter { !$0.isEmpty }
    let refresh = RefreshFields(
      mode: refreshMode, marginSeconds: refreshMarginSeconds, minIntervalSeconds: refreshMinIntervalSeconds,
      replay: refreshReplay, replayWithinSeconds: refreshReplayWithinSeconds,
      keepAliveSeconds: refreshKeepAliveSeconds)
    if refresh != RefreshFields() { fields.refresh = refresh }
    fields.redirectURI = redirectURI
    fields.pkce = pkce
    fields.registration = registration
    fields.scopeVersion = scopeVersion
    fields.signingAlgorithm = signingAlgorithm
    fields.sendsClientID = sendsClientID
    fields.authorizationParameters = try Self.dictionary(
      authorizationParameters.map { ($0.key, $0.value) }, "--authorization-parameter")
    let watch = HealthFields(
      enabled: health, intervalSeconds: healthIntervalSeconds,
      maintenance: healthMaintenance.isEmpty ? nil : healthMaintenance.filter { !$0.isEmpty })
    if watch != HealthFields() { fields.health = watch }
    let requests = RequestFields(
      perSecond: requestsPerSecond, burst: requestsBurst, concurrency: requestsConcurrency)
    if requests != RequestFields() { fields.requests = requests }
    fields.searchMethod = searchMethod
    fields.fhirVersion = fhirVersion
    fields.sendsFHIRVersion = sendsFHIRVersion
    fields.linkRewrites = try Self.dictionary(linkRewrites.map { ($0.key, $0.value) }, "--link-rewrite")
    fields.labels = try Self.dictionary(labels.map { ($0.key, $0.value) }, "--label")
    fields.additionalNotes = additionalNotes
    return fields
  }

  private static func dictionary(
    _ pairs: [(key: String, value: String)], _ flag: String
  ) throws(Failure) -> [String: String]? {
    guard !pairs.isEmpty else { return nil }
    var result: [String: String] = [:]
    for pair in pairs where !pair.key.isEmpty {
      guard result.updateValue(pair.value, forKey: pair.key) == nil else {
        throw .usage("\(flag) names \(pair.key) twice", hint: "give it once")
      }
    }
    return result
  }

  /// The daemon reads the file, and its working directory is not the caller's.
  private static func absolute(_ path: String) -> String {
    guard !path.isEmpty, !path.hasPrefix("/") else { return path }
    return FileManager.default.currentDirectoryPath + "/" + path
  }
}

/// The option that sets a field, for the daemon's complaints.
enum FieldFlag {
  static func name(of field: String) -> String {
    switch field {
    case "connection_name": "NAME"
    case "fhir_base_url": "--url"
    case "client_secret": "--client-secret-file"
    case "extra_parameters": "--extra-parameter"
    case "authorization_parameters": "--authorization-parameter"
    case "extra_headers": "--extra-header"
    case "allowed_origins": "--allowed-origin"
    case "labels": "--label"
    case "link_rewrites": "--link-rewrite"
    case "health.enabled": "--health"
    case _ where ConnectionFields.parameterNames.contains(String(field.prefix { $0 != "." })):
      "--" + field.replacing("_", with: "-").replacing(".", with: "-")
    default: field
    }
  }
}
