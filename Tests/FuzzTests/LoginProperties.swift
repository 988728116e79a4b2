/// What browsers and servers bring to a login: the callback, the id_token, the key set.
import ConnectionCore

@testable import JWTSigner
@testable import SMARTProtocol

extension FuzzTarget {
  static let callback = FuzzTarget(
    "callback",
    seeds: [
      "code=S3CR3T-abcd&state=S3CR3T-1234&iss=https%3A%2F%2Flogin.example.org",
      "error=access_denied&error_description=the+user+said+no&error_uri=https://e.example/&state=x",
      "code=a&code=b", "code=&state=", "code=%zz", "state=a%20b%0A&code=x",
      "session_state=1&code=%53%33&state=%e2%82%ac",
      "https://app.example.org/callback?code=S3CR3T-abcd&state=x#frag",
      "<http://127.0.0.1:8765/callback?code=a&state=b>",
      "\u{201C}https://a.example/?error=x\u{201D}", "https://a.example/#access_token=x&state=y", "https://a.example/?",
    ],
    words: [
      "code=", "state=", "iss=", "error=", "error_description=", "error_uri=", "&", "%20", "%00", "+", "https://",
      "http://",
      "#", "?", "<", ">", "\u{201E}", "\u{00AB}", Marked.prefix + "abcd",
    ]
  ) { bytes in
    try holdCallback(
      query: bytes, of: { () throws(AuthorizationResponseProblem) in try AuthorizationResponse(query: bytes) })
    let text = String(decoding: bytes, as: UTF8.self)
    do throws(AuthorizationResponseProblem) {
      _ = try AuthorizationResponse(redirectURL: text)
    } catch {
      try holdSilent(error, among: Marked.secrets(in: bytes))
    }
    // The same query in an address gives the same answer, where an address can carry it.
    guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }) else { return }
    let direct = try? AuthorizationResponse(query: bytes)
    let pasted = try? AuthorizationResponse(redirectURL: " \"https://app.example.org/cb?\(text)#_=_\"\n")
    try hold(direct == pasted, "pasted, the answer is another one")
  }

  private static func holdCallback(
    query: [UInt8], of read: () throws(AuthorizationResponseProblem) -> AuthorizationResponse
  ) throws {
    let secrets = Marked.secrets(in: query)
    var response: AuthorizationResponse
    do throws(AuthorizationResponseProblem) {
      response = try read()
    } catch {
      return try holdSilent(error, among: secrets)
    }
    let state = values("state", in: query)
    try hold(state.count <= 1, "state stands twice and was believed")
    try hold(
      response.state.map { Array($0.utf8) } == state.first.flatMap { $0.isEmpty ? nil : $0 },
      "a state that is not the query's")
    switch response.outcome {
    case .code(let code):
      try hold(values("error", in: query).allSatisfy(\.isEmpty), "a refusal gave a code")
      try hold(!code.bytes.isEmpty && values("code", in: query) == [code.bytes], "a code that is not the query's")
      try hold(FormEncoding.decoded(FormEncoding.encoded(code.bytes)) == code.bytes, "the code does not survive a form")
      if code.bytes.starts(with: Marked.prefix.utf8) {
        try hold(!"\(code)".utf8.contains(bytes: code.bytes), "the code can be printed")
      }
    case .refused(let error):
      try holdSentence(error.error, "error")
      try hold(!values("error", in: query).allSatisfy(\.isEmpty), "a refusal that nobody sent")
    }
    if let problem = AuthorizationResponse.issuerProblem(
      received: response.issuer, expected: "https://login.example.org", required: true)
    {
      try holdSentence(problem.sentence, "issuer")
    } else {
      try hold(response.issuer == "https://login.example.org", "another issuer was taken")
    }
    response.wipe()
    if case .code(let code) = response.outcome { try hold(code.bytes.isEmpty, "a code outlived its wiping") }
  }

  /// Read in another way than the parser does: every pair of that name, decoded.
  private static func values(_ name: String, in query: [UInt8]) -> [[UInt8]] {
    func decoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
      var result: [UInt8] = []
      var i = text.startIndex
      while i < text.endIndex {
        if text[i] == UInt8(ascii: "%") {
          guard i + 2 < text.endIndex, let byte = UInt8(String(decoding: text[i + 1...i + 2], as: UTF8.self), radix: 16)
          else { return nil }
          result.append(byte)
          i += 3
        } else {
          result.append(text[i] == UInt8(ascii: "+") ? 0x20 : text[i])
          i += 1
        }
      }
      return result
    }
    return query.split(separator: UInt8(ascii: "&")).compactMap { pair in
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard decoded(parts[0]) == Array(name.utf8) else { return nil }
      return parts.count > 1 ? decoded(parts[1]) : []
    }
  }

  private static func holdSilent(_ problem: AuthorizationResponseProblem, among secrets: Set<[UInt8]>) throws {
    try holdSentence(problem.sentence, "problem")
    for secret in secrets { try hold(!problem.sentence.utf8.contains(bytes: secret), "told: \(problem.sentence)") }
  }

  static let idToken = FuzzTarget(
    "id-token",
    seeds: [
      "{\"iss\":\"https://login.example.org\",\"aud\":\"client\",\"exp\":1795000300,\"iat\":1795000000,\"nonce\":\"S3CR3T-abcd\","
        + "\"fhirUser\":\"Practitioner/123\",\"sub\":\"s\"}",
      "{\"iss\":\"https://login.example.org\",\"aud\":[\"client\",\"x\"],\"azp\":\"client\",\"exp\":1e10,\"iat\":1.5}",
      "{\"iss\":7,\"aud\":{},\"exp\":\"x\",\"fhirUser\":\"https://a.example/Patient/1\"}", "[]",
      "eyJhbGciOiJFUzI1NiJ9.e30.AA", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJFUzI1NiIsImNyaXQiOltdfQ.e30.AA", "a.b.c",
    ],
    words: [
      "iss", "aud", "azp", "exp", "iat", "nonce", "fhirUser", "https://login.example.org", "client", "1795000000",
      "1e400",
      "Practitioner/", "eyJhbGciOiJFUzI1NiJ9", ".e30.", "\":\"", "\",\"", "\":[\"", Marked.prefix + "abcd",
    ]
  ) { bytes in
    if let parts = JWTParts.split(bytes) {
      try hold(parts.header.object != nil && parts.claims.object != nil, "a part is no object")
      try hold(parts.header["crit"] == nil, "an extension that nobody understands was taken")
      let again = parts.signed + [UInt8(ascii: ".")] + Base64URL.encodedBytes(parts.signature)
      try hold(again == bytes, "the token has another spelling")
      try holdClaims(parts.claims)
    }
    // The claims in plain, so that the fuzzer need not learn base64.
    guard let document = try? JSONDocument(bytes, limits: .init(bytes: 64 << 10, depth: 16, values: 4000)) else {
      return
    }
    try holdClaims(document.root)
    let input = ClientAssertion.signingInput(
      header: ClientAssertion.header(algorithm: "ES384", kid: "k"), claims: bytes)
    let parts = JWTParts.split(ClientAssertion.compact(signingInput: input, signature: [1, 2, 3]))
    let isPlain = document.root.object != nil && document.topLevelDuplicates.isEmpty && !document.repairedText
    try hold((parts != nil) == isPlain, "a JWT of these claims is read otherwise than they are")
    if let parts {
      try hold(
        parts.claims == document.root && parts.signed == input && parts.signature == [1, 2, 3], "a part changed")
    }
  }

  private static func holdClaims(_ claims: JSON) throws {
    let issuer = "https://login.example.org"
    let nonce = Marked.prefix + "abcd"
    let now: Int64 = 1_795_000_000
    let problems = IDTokenClaims.problems(
      claims: claims, issuer: issuer, clientID: "client", nonce: nonce, nowSeconds: now)
    for problem in problems { try holdSentence(problem, "claim") }
    // What else the token says is shown; whoever puts the nonce there has published it.
    let others = JSON.object((claims.object ?? [:]).filter { $0.key != "nonce" }).text
    if !others.contains(nonce) { try hold(!problems.joined().contains(nonce), "the nonce is told") }
    guard problems.isEmpty else { return }
    func seconds(_ name: String) -> Double? {
      switch claims[name] {
      case .integer(let number)?: Double(number)
      case .number(let number)?: number
      default: nil
      }
    }
    try hold(claims["iss"]?.string == issuer && claims["nonce"]?.string == nonce, "issuer or nonce of another login")
    let audiences = claims["aud"]?.string.map { [$0] } ?? claims["aud"]?.elements.compactMap(\.string) ?? []
    try hold(audiences.contains("client"), "a token for somebody else")
    try hold((seconds("exp") ?? 0) > Double(now - 300), "an expired token")
    try hold((seconds("iat") ?? .infinity) <= Double(now + 300), "a token from the future")
  }

  /// A token, a line end, a key set. Nobody can sign for the keys that RFC 7515 prints but RFC 7515.
  static let keySet = FuzzTarget(
    "jwks",
    seeds: [
      "\(Keys.es256Token)\n{\"keys\":[\(Keys.ecPublic)]}",
      "\(Keys.rs256Token)\n{\"keys\":[\(Keys.rsaPublic),\(Keys.ecPublic)]}",
      "eyJhbGciOiJub25lIn0.e30.\n{\"keys\":[]}",
      "eyJhbGciOiJIUzI1NiJ9.e30.AA\n{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}",
      "eyJhbGciOiJSUzUxMiJ9.e30.AAAA\n{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"Aw\"}]}",
      "eyJhbGciOiJFUzUxMiJ9.e30.AAAA\n{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}]}",
    ],
    words: [
      "keys", "kty", "RSA", "EC", "crv", "P-256", "P-384", "P-521", "alg", "use", "sig", "kid", "\"n\":\"",
      "\"e\":\"AQAB\"",
      "\"x\":\"", "\"y\":\"", "eyJhbGciOiJFUzI1NiJ9", "eyJhbGciOiJQUzI1NiJ9", "eyJhbGciOiJSUzM4NCJ9", "AAAAAAAA",
    ], folders: ["oauth"], wrap: { Array("\(Keys.es256Token)\n".utf8) + $0 }
  ) { bytes in
    let signer = JWTSigner()
    let token = Array(bytes.prefix { $0 != 0x0A })
    let keys = Array(bytes.dropFirst(token.count + 1))
    let algorithm = JWTParts.split(token)?.header["alg"]?.string
    if signer.verifies(token, jwks: keys) {
      let count = (try? JSONDocument(keys, limits: .small))?.root["keys"]?.elements.count ?? 0
      try hold(count > 0, "verified by no key")
      try hold(
        algorithm == nil || VerifyingAlgorithm(rawValue: algorithm ?? "") != nil, "verified with \(algorithm ?? "")")
    }
    let known = [Keys.es256Token, Keys.rs256Token].map { Array($0.utf8) }
    if signer.verifies(token, jwks: Array("{\"keys\":[\(Keys.ecPublic),\(Keys.rsaPublic)]}".utf8)) {
      func signed(_ token: [UInt8]) -> ArraySlice<UInt8> { token[..<(token.lastIndex(of: UInt8(ascii: ".")) ?? 0)] }
      try hold(known.contains { signed($0) == signed(token) }, "a forged token")
    }
  }
}
