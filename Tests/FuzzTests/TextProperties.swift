/// Small grammars: JSON, challenges, times, URLs, scopes, globs.
import FHIRControl
import FoundationEssentials

@testable import ConnectionCore
@testable import CurlHTTP
@testable import SMARTProtocol

extension FuzzTarget {
  static let json = FuzzTarget(
    "json",
    seeds: [
      "{\"a\":[1,-0,1.5e3,true,false,null,\"\\u00e9\\ud83d\\ude00\\n\"],\"secret\":\"S3CR3T-abcd\",\"b\":{}}",
      "\u{FEFF}[]",
      "{\"a\":1,\"a\":2}", "1e400", "9223372036854775808", "\"\\ud800\"", "[[[[[[[[]]]]]]]]",
      "{\"secret\":{\"secret\":\"x\"}}",
    ],
    words: [
      "{\"", "\":", "\\u", "\\ud800", "\\udc00", "\\\\", "\\\"", "1e", "e-", "0.", "-0", "true", "false", "null", "[[",
      "]]",
      "secret", "\u{FEFF}", "\u{301}",
    ]
  ) { bytes in
    let limits = JSONDocument.Limits(bytes: 1 << 20, depth: JSONScanner.depthMax, values: 100_000)
    let document = try? JSONDocument(bytes, limits: limits)
    if let document {
      var written: [UInt8] = []
      document.root.append(to: &written)
      let again = try JSONDocument(written, limits: limits)
      try hold(again.root == document.root, "written and read again, it is another value")
      try hold(
        again.topLevelDuplicates.isEmpty && !again.hasInnerDuplicates && !again.repairedText, "bad JSON was written")
      try hold(isJSON(written), "what was written is not JSON by the control protocol's reader")
    }
    // The strict reader's language is part of the lenient one's; numbers of 400 digits apart.
    if isJSON(bytes), bytes.count <= 400 {
      let document = try unwrap(document, "JSON that is not read")
      try hold(!document.repairedText, "sound text was repaired")
    }
    let lifting = try? JSONDocument(bytes, limits: limits, lifting: ["secret"])
    try hold((lifting == nil) == (document == nil), "with a secret lifted it is read otherwise")
    if let lifting, let document {
      try hold(lifting.root["secret"]?.string == nil, "a lifted secret became text")
      try hold(lifting.topLevelDuplicates == document.topLevelDuplicates, "lifted, a duplicate is told otherwise")
      if document.topLevelDuplicates.isEmpty, !document.repairedText {
        try hold(
          lifting.lifted["secret"] == document.root["secret"]?.string.map { Array($0.utf8) },
          "another secret was lifted")
      }
    }
  }

  static func isJSON(_ bytes: [UInt8]) -> Bool {
    let span = bytes.span
    var at = 0
    JSONScanner.skipWhitespace(span, &at)
    do { try JSONScanner.skipValue(span, &at, depth: 0) } catch { return false }
    JSONScanner.skipWhitespace(span, &at)
    return at == bytes.count
  }

  static let challenge = FuzzTarget(
    "www-authenticate", bytesMax: 1024,
    seeds: [
      "Bearer realm=\"fhir\", error=\"invalid_token\", error_description=\"a \\\"b\\\"\"",
      "Basic realm=x, Digest a=b,c=\"d\"",
      "Negotiate YWJj==, Bearer", "Basic", ", ,", "Bearer error=\"", "Bearer a = b ,, c", "X =,Y",
    ],
    words: ["Bearer ", "Basic ", "realm=", "error=", "error_description=", "\"", "\\", ", ", "==", "\u{301}", "\u{85}"]
  ) { bytes in
    let challenges = WWWAuthenticate.parse(String(decoding: bytes, as: UTF8.self))
    try hold(challenges.count <= 16, "\(challenges.count) challenges")
    func isToken(_ text: String) -> Bool {
      !text.isEmpty
        && text.utf8.allSatisfy {
          (48...57).contains($0) || (97...122).contains($0) || "!#$%&'*+-.^_`|~".utf8.contains($0)
        }
    }
    for challenge in challenges {
      try hold(isToken(challenge.scheme), "a scheme that is no token")
      try hold(challenge.parameters.count <= 32 && challenge.parameters.keys.allSatisfy(isToken), "odd parameters")
      try hold(challenge.token68 == nil || challenge.parameters.isEmpty, "token68 and parameters")
      if let error = OAuthError(challenge) { try holdSentence(error.error, "error") }
    }
    let written = challenges.map { challenge in
      let parameters = challenge.parameters.sorted { $0.key < $1.key }.map { name, value in
        "\(name)=\"\(value.unicodeScalars.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined())\""
      }
      return "\(challenge.scheme) \(challenge.token68 ?? parameters.joined(separator: ", "))"
    }.joined(separator: ", ")
    guard written.utf8.count <= WWWAuthenticate.bytesMax else { return }
    try hold(WWWAuthenticate.parse(written) == challenges, "written and read again: \(written)")
  }

  static let times = FuzzTarget(
    "times", bytesMax: 256,
    seeds: [
      "Retry-After: 120", "Retry-After: Sun, 06 Nov 2033 08:49:37 GMT", "Retry-After: Sunday, 06-Nov-94 08:49:37 GMT",
      "Retry-After: Sun Nov  6 08:49:37 1994", "x-ms-retry-after-ms: 1500.5",
      "RateLimit: limit=10, remaining=0, reset=30",
      "RateLimit: \"default\";r=0;t=30", "X-RateLimit-Reset: 1795000100", "RateLimit-Reset: 1795000100000",
      "Retry-After: -1",
      "2026-11-23T18:00:00.250+01:30", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60-23:59", "2024-02-29t00:00:00z",
    ],
    words: [
      "Retry-After: ", "RateLimit: ", "RateLimit-Reset: ", "X-Rate-Limit-Reset: ", "x-ms-retry-after-ms: ", "GMT",
      "Sun, ",
      "Nov", "Feb", "t=", "reset=", "23:59:60", "T00:00:00", "+00:00", "99999999999999999999", "0000-", "9999-",
    ]
  ) { bytes in
    let now: Int64 = 1_795_000_000_000
    let reply = Reply(Array("429\n".utf8) + bytes + [0x0A, 0x0A])
    for status in [200, 429, 503] {
      let wait = RetryAfter.parse(status: status, header: { reply.header($0) }, now: now)
      try wait.map { try hold((.zero...RetryAfter.max).contains($0), "a pause of \($0.milliseconds) ms") }
    }
    for text in reply.headers.map(\.value) + [String(decoding: bytes, as: UTF8.self)] {
      if let point = HTTPDate.parse(text, now: now) { try holdDate(point) }
      if let time = Timestamp(text) { try holdTimestamp(time) }
      let skew = ServerDate.skew(header: text, sentAt: now, receivedAt: now + 40)
      try hold((skew == nil) == (HTTPDate.parse(text, now: now) == nil), "a date without a skew")
    }
  }

  private static func holdDate(_ point: Int64) throws {
    try hold(point % 1000 == 0, "a date with fractions")
    let text = Timestamp(milliseconds: point).description
    // What the year 9999 runs over into has no such text.
    guard point < 253_402_300_800_000 else { return }
    try hold(Timestamp(text)?.milliseconds == point, "\(text) is another point in time")
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let month = try unwrap(Int(text.dropFirst(5).prefix(2)), "no month")
    let date =
      "Mon, \(text.dropFirst(8).prefix(2)) \(months[month - 1]) \(text.prefix(4)) \(text.dropFirst(11).prefix(8)) GMT"
    try hold(HTTPDate.parse(date, now: 0) == point, "\(date) is another point in time")
  }

  private static func holdTimestamp(_ time: Timestamp) throws {
    // With its offset a time can lie before the year 0 or behind 9999, which four digits do not show.
    guard (-62_167_219_200_000..<253_402_300_800_000).contains(time.milliseconds) else { return }
    let again = try unwrap(Timestamp(time.description), "\(time) is not read again")
    let rest = time.milliseconds - again.milliseconds
    try hold((0..<1000).contains(rest), "\(time) is \(rest) ms off")
  }

  static let urls = FuzzTarget(
    "urls", bytesMax: 2100,
    seeds: [
      "https://fhir.example.org/r4", "HTTPS://FHIR.Example.org:443/r4/?a=b#c", "http://[::1]:8080/x",
      "http://127.0.0.1/",
      "https://user:pw@x/", "https://0x7f.1/", "https://[::ffff:1.2.3.4]/", "https://a/%2e%2E/b", "../token?x#y",
      "//evil.example/token", "/token", "?q", "#f", "https:///x", "https://a:0/", "https://a_b-c.example./",
    ],
    words: [
      "https://", "http://", "//", "/../", "/./", "..", "%2e", "%2F", "@", "[::1]", "[::ffff:127.0.0.1]", ":443",
      ":65536",
      "127.0.0.1", "0x7f", "localhost", "\\", "xn--", "\u{301}",
    ]
  ) { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    for insecure in [false, true] {
      do {
        let base = try FHIRBaseURL(text, allowInsecureLoopback: insecure)
        let again = try FHIRBaseURL(base.text, allowInsecureLoopback: insecure)
        try hold(again == base, "normalized twice, it is another base")
        try hold(!base.text.hasSuffix("/") && base.text.utf8.allSatisfy { $0 != 0x3F && $0 != 0x23 }, "not normalized")
        try holdOrigin(base.origin, insecure: insecure)
        try hold(Origin(of: base.appending("/a")) == base.origin, "a path changed the origin")
      } catch let problem as URLProblem {
        try holdSentence(problem.sentence, "URL")
      }
      do {
        let endpoint = try EndpointURL(text, allowInsecureLoopback: insecure)
        try hold(endpoint.text.utf8.elementsEqual(text.utf8), "an endpoint was rewritten")
        try holdOrigin(endpoint.origin, insecure: insecure)
        try holdSeenByCurl(endpoint, insecure: insecure)
        let url = try unwrap(URL(string: text), "Foundation does not read \(text)")
        try hold(url.scheme?.lowercased() == endpoint.origin.scheme, "Foundation sees another scheme in \(text)")
        let host = endpoint.origin.host.filter { $0 != "[" && $0 != "]" }
        let theirs = url.host()?.lowercased().filter { $0 != "[" && $0 != "]" }
        try hold(theirs == host, "Foundation sees another host in \(text)")
        let port = endpoint.origin.scheme == "https" ? 443 : 80
        try hold((url.port ?? port) == endpoint.origin.port, "Foundation sees another port in \(text)")
        try hold(
          URLReference.resolve(text, against: "https://b.example/x").utf8.elementsEqual(text.utf8), "resolved anew")
      } catch let problem as URLProblem {
        try holdSentence(problem.sentence, "URL")
      }
    }
    // A reference without scheme and host stays where the base is.
    let target = URLReference.resolve(text, against: "https://fhir.example.org/r4/")
    if !URLReference.isAbsolute(text), !bytes.starts(with: "//".utf8), let origin = Origin(of: target) {
      try hold(origin.description == "https://fhir.example.org", "\(text) leads to \(origin)")
    }
  }

  /// What passes here goes to libcurl, which must not send it elsewhere.
  private static func holdSeenByCurl(_ endpoint: EndpointURL, insecure: Bool) throws {
    let target: Target
    do throws(Target.Refusal) {
      target = try Target(endpoint.text, allowInsecureLoopback: insecure)
    } catch {
      throw Violation(description: "libcurl does not read \(endpoint): \(error.detail)")
    }
    let origin = endpoint.origin
    try hold(target.isSecure == (origin.scheme == "https"), "libcurl sees another scheme in \(endpoint)")
    // An IPv6 address has many spellings, and libcurl its own.
    if !origin.host.hasPrefix("[") {
      try hold(target.host == origin.host, "libcurl goes to \(target.host) for \(endpoint)")
    }
    try hold(target.port == "\(origin.port)", "libcurl goes to port \(target.port) for \(endpoint)")
  }

  private static func holdOrigin(_ origin: Origin, insecure: Bool) throws {
    try hold(origin.scheme == "https" || (insecure && origin.isLoopback), "plain http to \(origin)")
    try hold((1...65535).contains(origin.port), "port \(origin.port)")
    try hold(origin.host == origin.host.lowercased() && !origin.host.isEmpty, "host \(origin.host)")
    try hold(Origin(of: origin.description) == origin, "\(origin) is another origin")
  }

  static let scopes = FuzzTarget(
    "scopes", bytesMax: 1024,
    seeds: [
      "system/*.rs launch/patient openid fhirUser offline_access\nsystem/Patient.read",
      "patient/Observation.cruds?a=b&c=d\n*",
      "user/*.* patient/*.write\nuser/*.r?x=1", "system/patient.rs system/Patient.sr\n?*?", "a\u{301} b\n*a?b*",
    ],
    words: [
      "system/", "patient/", "user/", "launch/", ".rs", ".cruds", ".read", ".write", ".*", "?a=b", "&", "*", "\u{301}",
    ]
  ) { bytes in
    let parts = bytes.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
    let text = String(decoding: parts.first ?? [], as: UTF8.self)
    let other = String(decoding: parts.dropFirst().first ?? [], as: UTF8.self)
    let wanted = ScopeSet(text)
    let granted = ScopeSet(other)
    try hold(ScopeSet(wanted.description) == wanted, "written and read again, the set is another one")
    try hold(ScopeSet(wanted.description).scopes == wanted.scopes, "written and read again, the scopes are others")
    try hold(wanted.missing(from: wanted).isEmpty, "a set does not cover itself")
    let missing = wanted.missing(from: granted)
    try hold(missing.count <= wanted.scopes.count, "more is missing than was wanted")
    let joined = (granted.scopes + missing).joined(separator: " ")
    try hold(wanted.missing(from: ScopeSet(joined)).isEmpty, "with what was missing it is still not covered")
    for problem in ScopeSet.problems(in: text) { try holdSentence(problem, "scope") }
    for scope in wanted.scopes {
      guard let resource = ResourceScope(scope) else { continue }
      try hold(!resource.access.isEmpty, "a scope without access")
      try hold(ResourceScope(resource.text) == resource, "\(scope), written as \(resource.text), is another scope")
    }
    if let glob = Glob(other) {
      try hold(
        glob.matches(text) == matches(Array(other.unicodeScalars), Array(text.unicodeScalars)), "\(other) on \(text)")
      if glob.matchesEverything { try hold(glob.matches(text), "\(other) does not match \(text)") }
    }
  }

  static let shellWord = FuzzTarget(
    "shell-word", bytesMax: 256, seeds: ["epic", "a b", "it's", "'", "", "$(id)`id`\\\"", "x'\u{301}; id #"],
    words: ["'", "\\", "\"", "$(", "`", "\u{301}", "\n", ";"]
  ) { bytes in
    guard !bytes.contains(0) else { return }
    let text = String(decoding: bytes, as: UTF8.self)
    // POSIX 2.2: within single quotes nothing is special; outside them a backslash takes the next byte as it is.
    var word: [UInt8] = []
    var isQuoted = false
    var rest = Array(Directory.quoted(text).utf8)[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "'"): isQuoted.toggle()
      case UInt8(ascii: "\\") where !isQuoted: word.append(try unwrap(rest.popFirst(), "a backslash at the end"))
      default:
        let isPlain = (48...57).contains(byte) || (97...122).contains(byte | 0x20) || "-./:@_".utf8.contains(byte)
        try hold(isQuoted || isPlain, "outside the quotes a shell reads \(byte)")
        word.append(byte)
      }
    }
    try hold(!isQuoted && word.elementsEqual(text.utf8), "the shell's word is another one")
  }

  /// A glob by the book: a row of what can be matched for each sign of the pattern.
  private static func matches(_ pattern: [Unicode.Scalar], _ text: [Unicode.Scalar]) -> Bool {
    var row = [true] + [Bool](repeating: false, count: text.count)
    for sign in pattern {
      var next = [Bool](repeating: false, count: text.count + 1)
      if sign == "*" { next[0] = row[0] }
      for i in text.indices {
        next[i + 1] = sign == "*" ? row[i + 1] || next[i] : row[i] && (sign == "?" || sign == text[i])
      }
      row = next
    }
    return row[text.count]
  }
}
