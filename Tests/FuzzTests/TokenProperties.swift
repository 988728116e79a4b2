/// Answers of the token endpoint, of introspection, of revocation.
import SMARTProtocol

@testable import ConnectionCore

extension FuzzTarget {
  static let tokenResponse = FuzzTarget(
    "token-response", seeds: tokenSeeds,
    words: Reply.words + oauthWords + [
      "access_token", "refresh_token", "id_token", "token_type", "Bearer", "expires_in", "scope", "patient", "3600",
      "1e400", "-1", "\"\"", Marked.prefix + "abcd",
    ], folders: ["oauth"], wrap: Reply.wrap
  ) { bytes in
    let reply = Reply(bytes)
    func classify() -> TokenOutcome {
      TokenReply.classify(
        status: reply.status, header: { reply.header($0) }, body: reply.body, requestedScope: "system/*.rs",
        now: 1_795_000_000_000)
    }
    let outcome = classify()
    try hold(outcome == classify(), "the same answer, two outcomes")
    let plain = try? JSONDocument(reply.body, limits: .small)
    switch outcome {
    case .granted(let token): try holdGranted(token, reply, plain)
    case .grantDead(let refusal):
      try hold(
        asciiLowercased(plain?.root["error"]?.string ?? "") == "invalid_grant",
        "a grant ended without the server's invalid_grant: \(refusal.sentence)")
      try hold(reply.status != 429, "a limiter ended a grant")
    case .network: throw Violation(description: "an answer taken for none")
    case .clientWrong, .scopeRefused, .throttled, .serverTrouble, .garbled: break
    }
    if let refusal = outcome.refusal {
      try holdRefusal(refusal, reply.status)
      try holdTokensAreSilent(reply, in: refusal)
    }
  }

  private static func asciiLowercased(_ text: String) -> String {
    String(decoding: text.utf8.map { (65...90).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }

  private static func holdGranted(_ token: TokenResponse, _ reply: Reply, _ plain: JSONDocument?) throws {
    func visible(_ bytes: [UInt8]) -> Bool {
      !bytes.isEmpty && bytes.count <= TokenResponse.tokenBytesMax && bytes.allSatisfy { (0x21...0x7E).contains($0) }
    }
    let root = try unwrap(plain?.root.object, "a token out of what is no JSON object")
    try hold((200...299).contains(reply.status), "a token with status \(reply.status)")
    try hold((root["error"]?.string ?? "").isEmpty, "a refused answer gave a token")
    try hold(visible(token.accessToken.bytes), "an access token that cannot stand in a header")
    try hold(
      Array((root["access_token"]?.string ?? "").utf8) == token.accessToken.bytes, "another token than the answer's")
    for (name, other) in [("refresh_token", token.refreshToken), ("id_token", token.idToken)] {
      guard let other else { continue }
      try hold(visible(other.bytes), "a \(name) that cannot be sent")
      try hold(Array((root[name]?.string ?? "").utf8) == other.bytes, "another \(name) than the answer's")
    }
    try hold(token.tokenType.lowercased() == "bearer", "a token of type \(token.tokenType)")
    try hold(
      (TokenResponse.lifetimeMin...TokenResponse.lifetimeMax).contains(token.expiresIn), "a lifetime out of bounds")
    let own: Set<String> = [
      "access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope", "error",
    ]
    try hold(plain?.topLevelDuplicates.isDisjoint(with: own) == true, "a member stands twice and was believed")
    try hold(token.context.keys.allSatisfy { !own.contains($0) }, "the protocol's own member as context")
    try hold(token.context.count <= TokenResponse.contextMembersMax, "too much context")
    if let rendered = token.renderedContext {
      let again = try JSONDocument(rendered, limits: .small)
      for (name, value) in again.root.object ?? [:] {
        try hold(token.context[name] == value, "the context changed when it was written")
      }
    }
    for finding in token.findings { try holdSentence(finding.sentence, "finding") }
    var shown = token.findings.map(\.sentence).joined() + String(describing: token.accessToken)
    debugPrint(token.accessToken, terminator: "", to: &shown)
    try holdSilent(shown, reply)
  }

  static func holdRefusal(_ refusal: TokenRefusal, _ status: Int) throws {
    try holdSentence(refusal.sentence, "refusal")
    try hold(refusal.status == status, "another status than the answer's")
    if let wait = refusal.retryAfter {
      try hold((.zero...RetryAfter.max).contains(wait), "a pause of \(wait.milliseconds) ms")
    }
    if let oauth = refusal.oauth {
      try holdSentence(oauth.error, "error")
      try oauth.description.map { try holdSentence($0, "error_description") }
      try oauth.uri.map { try holdSentence($0, "error_uri") }
    }
  }

  /// What stands only in the members that hold tokens is in no word of ours.
  static func holdTokensAreSilent(_ reply: Reply, in refusal: TokenRefusal) throws {
    try holdSilent("\(refusal)", reply)
  }

  private static func holdSilent(_ shown: String, _ reply: Reply) throws {
    let names: Set<String> = ["access_token", "refresh_token", "id_token", "token"]
    guard let document = try? JSONDocument(reply.body, limits: .small, lifting: names),
      document.topLevelDuplicates.isEmpty
    else { return }
    // The server's own words are told; whoever puts a token there has published it.
    let elsewhere = Array((document.root.text + reply.headers.map(\.value).joined(separator: " ")).utf8)
    for value in document.lifted.values {
      for secret in Marked.secrets(in: value) where !elsewhere.contains(bytes: secret) {
        try hold(!shown.utf8.contains(bytes: secret), "a token in words: \(shown)")
      }
    }
  }

  /// A secret of ours, a line end, a server's words.
  static let redaction = FuzzTarget(
    "redaction", bytesMax: 512,
    seeds: [
      "s3cret\nthe password s3cret is wrong: s3crets3cret s3c", "aaaa\naaaaaaa aaa", "abcab\nabcabcab…", "abcd\nxabc…",
      "abc\nabc",
    ], words: ["…", "aaaa", "[secret]", "\n"]
  ) { bytes in
    let secret = Array(bytes.prefix { $0 != 0x0A })
    let text = String(decoding: bytes.dropFirst(secret.count + 1), as: UTF8.self)
    let redaction = Redaction([SharedSecret(SecretBytes(storage: Lent(secret), count: secret.count))])
    let shown = redaction.clean(text)
    // What is put in its place could itself be taken for such a secret; repaired bytes too.
    let isPlain = secret.allSatisfy { (0x20..<0x7F).contains($0) && $0 != 0x5B && $0 != 0x5D }
    guard secret.count >= 4, isPlain, !"[secret]".utf8.contains(bytes: secret) else {
      return try hold(secret.count >= 4 || shown.utf8.elementsEqual(text.utf8), "a short one was looked for")
    }
    try hold(!shown.utf8.contains(bytes: secret), "the secret is still there: \(shown)")
    if !text.utf8.contains(bytes: secret.prefix(4)) { try hold(shown == text, "something else was taken out") }
  }

  private final class Lent: SecretStorage {
    private let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { bytes.withUnsafeBytes { body($0) } }
  }

  static let neighbours = FuzzTarget(
    "introspection",
    seeds: [
      "200\n\n{\"active\":true,\"scope\":\"system/*.rs\",\"exp\":1795000000,\"token\":\"S3CR3T-abcd\"}",
      "200\n\n{\"active\":false}", "200\n\n{\"error\":\"invalid_client\"}",
      "401\nWWW-Authenticate: Basic realm=\"x\"\n\n",
      "400\n\n{\"error\":\"unsupported_token_type\",\"error_description\":\"no\"}", "503\nRetry-After: 5\n\nbusy",
      "302\nLocation: https://login.example.org/\n\n", "200\n\n",
    ], words: Reply.words + oauthWords + ["active", "unsupported_token_type", "token", Marked.prefix + "abcd"],
    folders: ["oauth"], wrap: Reply.wrap
  ) { bytes in
    let reply = Reply(bytes)
    let isSuccess = (200...299).contains(reply.status)
    let root = (try? JSONDocument(reply.body, limits: .small))?.root
    switch IntrospectionReply.read(status: reply.status, header: { reply.header($0) }, body: reply.body) {
    case .success(let answer):
      try hold(isSuccess, "an introspection with status \(reply.status)")
      try hold(root?["active"]?.bool == answer.active, "active is not what the server said")
      for name in ["token", "access_token", "refresh_token", "id_token"] {
        try hold(answer.root[name]?.string == nil, "\(name) became text")
      }
    case .failure(let refusal):
      try holdRefusal(refusal, reply.status)
      try holdTokensAreSilent(reply, in: refusal)
    }
    switch RevocationReply.classify(
      status: reply.status, header: { reply.header($0) }, body: reply.body, now: 1_795_000_000_000)
    {
    case .revoked: try hold(isSuccess, "revoked with status \(reply.status)")
    case .unsupportedTokenType: try hold(!isSuccess, "a success is no refusal")
    case .retryLater(let wait):
      try hold([429, 503].contains(reply.status), "told to wait by \(reply.status)")
      try wait.map { try hold((.zero...RetryAfter.max).contains($0), "a pause of \($0.milliseconds) ms") }
    case .refused(let refusal):
      try hold(!isSuccess, "a success is no refusal")
      try holdRefusal(refusal, reply.status)
      try holdTokensAreSilent(reply, in: refusal)
    }
  }

  private static let oauthWords = [
    "error", "error_description", "error_uri", "invalid_grant", "invalid_client", "invalid_scope", "slow_down",
    "server_error", "temporarily_unavailable", "error=\"invalid_grant\"",
  ]

  private static let tokenSeeds = [
    "200\n\n{\"access_token\":\"S3CR3T-abcd\",\"token_type\":\"Bearer\",\"expires_in\":3600,\"scope\":\"system/*.rs\"}",
    "200\n\n{\"access_token\":\"a\",\"token_type\":\"bearer\",\"refresh_token\":\"r\",\"id_token\":\"a.b.c\","
      + "\"patient\":\"p1\",\"need_patient_banner\":false,\"fhirContext\":[{\"reference\":\"X/1\"}],\"n\":1.5}",
    "200\n\n{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":\"3599.5\",\"scope\":[\"a\",\"b\"]}",
    "200\n\n{\"access_token\":\"a\",\"access_token\":\"b\",\"token_type\":\"Bearer\"}",
    "200\n\n{\"access_token\":\"S3CR3T-abcd\",\"token_type\":\"mac\"}", "200\n\naccess_token=a&token_type=bearer",
    "400\n\n{\"error\":\"invalid_grant\",\"error_description\":\"token expired\",\"error_uri\":\"https://e.example/\"}",
    "400\n\n{\"error\":\"INVALID_GRANT\",\"refresh_token\":\"S3CR3T-abcd\"}",
    "401\nWWW-Authenticate: Basic realm=\"x\", Bearer error=\"invalid_client\"\n\n",
    "429\nRetry-After: 120\n\n{\"error\":\"slow_down\"}", "503\nRetry-After: Sun, 06 Nov 2033 08:49:37 GMT\n\n<html>",
    "302\nLocation: https://login.example.org/x\n\n", "200\n\n<!doctype html><html></html>", "500\n\n",
  ]
}
