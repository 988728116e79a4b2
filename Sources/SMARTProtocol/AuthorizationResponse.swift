/// What a browser brings back from the authorization endpoint: a code or a refusal, read strictly from foreign bytes.

/// Why an answer cannot be used. The sentence is for people: it never repeats the code or the state.
package enum AuthorizationResponseProblem: Error, Sendable, Hashable {
  case neitherCodeNorError
  case tooLong(String, limit: Int)
  case tooManyParameters(limit: Int)
  /// One of the protocol's own names stands twice. Source: RFC 6749 section 3.1.
  case duplicate(String)
  /// A `%` without two hexadecimal digits; nil: in a parameter's name.
  case badEscape(String?)
  case badCharacter(String)
  case notAnAddress
  /// A blank or a line break in the middle of a pasted address.
  case brokenAddress
  /// Parameters only after the `#`.
  case implicitResponse
  case issuerMissing
  /// Both cleaned.
  case issuerDiffers(received: String, expected: String)

  package var sentence: String {
    switch self {
    case .neitherCodeNorError:
      "the answer has neither a code nor an error: it is not the address that the server sent the browser to"
    case .tooLong(let name, let limit): "the answer's \(name) is longer than \(limit) bytes"
    case .tooManyParameters(let limit): "the answer has more than \(limit) parameters"
    case .duplicate(let name): "the answer has \(name) twice, which no server may send"
    case .badEscape(let name):
      "the answer has a % that two hexadecimal digits do not follow, in \(name ?? "the name of a parameter")"
    case .badCharacter(let name): "the answer's \(name) has a character that it may not have"
    case .notAnAddress:
      "this is no address: paste the whole line of the browser's address bar, from http:// or https:// to its end"
    case .brokenAddress: "the address has a blank or a line break in the middle: paste it as one line"
    case .implicitResponse:
      "the server answered after the # of the address (implicit response), where no code for fhird can stand: "
        + "the client must be registered for the authorization code flow"
    case .issuerMissing:
      "the answer does not name its issuer (iss), although the server's metadata says that every answer does"
    case .issuerDiffers(let received, let expected):
      "the answer comes from the issuer \(received), not from \(expected): the code is sent to nobody"
    }
  }
}

/// Source: RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207.
package struct AuthorizationResponse: Sendable, Hashable {
  package enum Outcome: Sendable, Hashable {
    case code(SecretText)
    /// The words are the sender's, cleaned: anybody can call a redirect address.
    case refused(OAuthError)
  }
  /// nil: absent or empty.
  package let state: String?
  package let issuer: String?
  package private(set) var outcome: Outcome

  /// Codes that are JWTs have some kilobytes.
  package static let codeBytesMax = 16 << 10
  /// fhird's own are far shorter; no other can match.
  package static let stateBytesMax = 1 << 10
  package static let issuerBytesMax = WebURL.bytesMax
  /// Of `error` and its texts; what is kept of them is shorter still.
  package static let textBytesMax = 8 << 10
  /// 64 KiB: a code, a state and texts of full length, every byte of the code escaped.
  package static let queryBytesMax = 64 << 10
  package static let redirectURLBytesMax = queryBytesMax + WebURL.bytesMax
  /// Six are the protocol's; servers add a few.
  package static let parametersMax = 64

  /// From the query of the redirect, without its `?`.
  package init(query: some Collection<UInt8>) throws(AuthorizationResponseProblem) {
    guard query.count <= Self.queryBytesMax else { throw .tooLong("query", limit: Self.queryBytesMax) }
    let pairs = query.split(separator: UInt8(ascii: "&"), maxSplits: Self.parametersMax)
    guard pairs.count <= Self.parametersMax else { throw .tooManyParameters(limit: Self.parametersMax) }
    var found: [Name: [UInt8]] = [:]
    defer {
      for name in Name.allCases where found[name] != nil { SMARTProtocol.wipe(&found[name, default: []]) }
    }
    for pair in pairs {
      let equals = pair.firstIndex(of: UInt8(ascii: "="))
      guard let name = FormEncoding.decoded(pair[..<(equals ?? pair.endIndex)]) else { throw .badEscape(nil) }
      // R4.16: what is not recognised is ignored, its value unread.
      guard let name = Name(rawValue: String(decoding: name, as: UTF8.self)) else { continue }
      guard found[name] == nil else { throw .duplicate(name.rawValue) }
      let encoded = equals.map { pair[pair.index(after: $0)...] } ?? pair[pair.endIndex...]
      guard let value = FormEncoding.decoded(encoded) else { throw .badEscape(name.rawValue) }
      found[name] = value
    }
    try self.init(found)
  }

  /// From the whole address, as a person pastes it: blanks, quotes or `<>` around it are taken off.
  package init(redirectURL: String) throws(AuthorizationResponseProblem) {
    guard redirectURL.utf8.count <= Self.redirectURLBytesMax else {
      throw .tooLong("address", limit: Self.redirectURLBytesMax)
    }
    let address = Self.unwrapped(redirectURL).utf8
    let scheme = String(decoding: Array(address.prefix("https://".utf8.count)), as: UTF8.self).lowercased()
    guard scheme.hasPrefix("https://") || scheme.hasPrefix("http://") else { throw .notAnAddress }
    guard address.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { throw .brokenAddress }
    let hash = address.firstIndex(of: UInt8(ascii: "#")) ?? address.endIndex
    let mark = address[..<hash].firstIndex(of: UInt8(ascii: "?"))
    let query = mark.map { address[address.index(after: $0)..<hash] } ?? address[hash..<hash]
    do throws(AuthorizationResponseProblem) {
      try self.init(query: query)
    } catch {
      guard error == .neitherCodeNorError, Self.isAnswer(fragment: address[hash...].dropFirst()) else { throw error }
      throw .implicitResponse
    }
  }

  /// From the parameters, decoded already. Empty ones count as absent.
  package init(
    state: String?, code: [UInt8]?, iss: String? = nil, error: String? = nil, errorDescription: String? = nil,
    errorURI: String? = nil
  ) throws(AuthorizationResponseProblem) {
    var found: [Name: [UInt8]] = [:]
    found[.state] = state.map { Array($0.utf8) }
    found[.code] = code
    found[.iss] = iss.map { Array($0.utf8) }
    found[.error] = error.map { Array($0.utf8) }
    found[.errorDescription] = errorDescription.map { Array($0.utf8) }
    found[.errorURI] = errorURI.map { Array($0.utf8) }
    try self.init(found)
  }

  /// What is read; every other parameter is ignored.
  private enum Name: String, CaseIterable {
    case code, state, iss, error
    case errorDescription = "error_description"
    case errorURI = "error_uri"

    var bytesMax: Int {
      switch self {
      case .code: AuthorizationResponse.codeBytesMax
      case .state: AuthorizationResponse.stateBytesMax
      case .iss: AuthorizationResponse.issuerBytesMax
      case .error, .errorDescription, .errorURI: AuthorizationResponse.textBytesMax
      }
    }
  }

  private init(_ found: [Name: [UInt8]]) throws(AuthorizationResponseProblem) {
    for name in Name.allCases {
      guard let bytes = found[name] else { continue }
      guard bytes.count <= name.bytesMax else { throw .tooLong(name.rawValue, limit: name.bytesMax) }
      switch name {
      // RFC 6749 appendix A: visible ASCII characters and the space. `iss` is a URL.
      case .code, .state, .iss:
        guard bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else { throw .badCharacter(name.rawValue) }
      // Cleaned instead: servers write their own language.
      case .error, .errorDescription, .errorURI: break
      }
    }
    // RFC 6749 section 3.1: parameters without a value are treated as if they were omitted.
    func text(_ name: Name) -> String? {
      guard let bytes = found[name], !bytes.isEmpty else { return nil }
      return String(decoding: bytes, as: UTF8.self)
    }
    state = text(.state)
    issuer = text(.iss)
    // A refusal with a code beside it is no permission.
    if let error = text(.error) {
      outcome = .refused(OAuthError(foreign: error, description: text(.errorDescription), uri: text(.errorURI)))
    } else if let code = found[.code], !code.isEmpty {
      outcome = .code(SecretText(code))
    } else {
      throw .neitherCodeNorError
    }
  }

  /// Overwrites the code, as far as nobody else holds it.
  package mutating func wipe() {
    guard case .code(var code) = outcome else { return }
    outcome = .code(SecretText([]))
    code.wipe()
  }

  /// What people, chat programs and mails put around an address.
  private static let wrappings: [Unicode.Scalar: Unicode.Scalar] = [
    "<": ">", "\"": "\"", "'": "'", "`": "`", "(": ")", "\u{201C}": "\u{201D}", "\u{201E}": "\u{201C}",
    "\u{2018}": "\u{2019}", "\u{00AB}": "\u{00BB}",
  ]
  /// Wrappings within each other.
  private static let wrappingsMax = 4

  private static func unwrapped(_ text: String) -> Substring {
    var rest = Substring(text).unicodeScalars
    for _ in 0...wrappingsMax {
      while let first = rest.first, first.properties.isWhitespace { rest.removeFirst() }
      while let last = rest.last, last.properties.isWhitespace { rest.removeLast() }
      guard let first = rest.first, let close = wrappings[first], let last = rest.dropFirst().last, last == close
      else { break }
      rest.removeFirst()
      rest.removeLast()
    }
    return Substring(rest)
  }

  /// Whether a fragment holds parameters of an answer; `#_=_` and anchors of pages do not.
  private static func isAnswer(fragment: some Collection<UInt8>) -> Bool {
    let names: Set<String> = ["access_token", "id_token", "code", "error"]
    return fragment.split(separator: UInt8(ascii: "&"), maxSplits: parametersMax).contains { pair in
      names.contains(String(decoding: Array(pair.prefix { $0 != UInt8(ascii: "=") }), as: UTF8.self))
    }
  }

  /// Whether the answer comes from the server that was asked: the defence against a mix-up. Source: RFC 9207, R4.13.
  /// - Parameters:
  ///   - expected: the issuer of the server's metadata; nil: unknown, there is nothing to hold it against.
  ///   - required: the metadata says `authorization_response_iss_parameter_supported`.
  package static func issuerProblem(
    received: String?, expected: String?, required: Bool
  ) -> AuthorizationResponseProblem? {
    guard let received else { return required ? .issuerMissing : nil }
    // Bytes, not characters: RFC 9207 section 2.4 wants the simple string comparison of RFC 3986.
    guard let expected, !received.utf8.elementsEqual(expected.utf8) else { return nil }
    // Characters of an issuer that are shown.
    let shownMax = 200
    return .issuerDiffers(
      received: Words.clean(received, max: shownMax), expected: Words.clean(expected, max: shownMax))
  }
}
