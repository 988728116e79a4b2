/// An ID token: taken apart, and its claims held against what was asked. Pure: the caller verifies the signature.

/// A signed JWT in its compact form. Source: RFC 7515 section 7.1.
package enum JWTParts {
  /// Headers and claims are flat; 128 KiB is what a token may have.
  private static let limits = JSONDocument.Limits(bytes: TokenResponse.tokenBytesMax, depth: 16, values: 4000)

  /// - Returns: `signed`: the bytes that the signature is for. nil: not three parts of base64url, a part is empty or no
  ///   JSON object, a name stands twice in one of them, or the header demands extensions (`crit`): none is understood.
  package static func split(_ bytes: [UInt8]) -> (header: JSON, claims: JSON, signature: [UInt8], signed: [UInt8])? {
    guard bytes.count <= TokenResponse.tokenBytesMax else { return nil }
    let parts = bytes.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 3, let header = object(parts[0]), let claims = object(parts[1]),
      let signature = Base64URL.decode(bytes: parts[2]), !signature.isEmpty, header["crit"] == nil
    else { return nil }
    return (header, claims, signature, Array(bytes[..<parts[1].endIndex]))
  }

  private static func object(_ part: ArraySlice<UInt8>) -> JSON? {
    guard let text = Base64URL.decode(bytes: part), let document = try? JSONDocument(text, limits: limits),
      document.topLevelDuplicates.isEmpty, !document.repairedText, document.root.object != nil
    else { return nil }
    return document.root
  }
}

/// Source: OpenID Connect Core section 3.1.3.7, R6.08.
package enum IDTokenClaims {
  /// Foreign words that are shown.
  private static let shownCharactersMax = 200

  /// One sentence for each claim that is not as it must be; empty: the token is good.
  /// - Parameters:
  ///   - claims: of a token whose signature is verified.
  ///   - nonce: of the authorization request; nil: none was sent.
  ///   - nowSeconds: wall clock, seconds since 1970.
  ///   - leewaySeconds: how far the two clocks may differ.
  package static func problems(
    claims: JSON, issuer: String, clientID: String, nonce: String?, nowSeconds: Int64, leewaySeconds: Int64 = 300
  ) -> [String] {
    guard let members = claims.object else { return ["the claims are \(claims.kind), not an object"] }
    var problems: [String] = []
    func note(_ sentence: String?) {
      if let sentence { problems.append(sentence) }
    }
    note(exact("iss", members["iss"], issuer))
    audienceProblems(members, clientID).forEach { note($0) }
    note(timeProblem(members, nowSeconds: nowSeconds, leewaySeconds: leewaySeconds))
    note(issueProblem(members, nowSeconds: nowSeconds, leewaySeconds: leewaySeconds))
    if let nonce {
      // Not shown: whoever knows a nonce could put it into a token of his own.
      let received = members["nonce"]?.string
      if received.map({ $0.utf8.elementsEqual(nonce.utf8) }) != true {
        note(received == nil ? "it has no nonce, although one was sent" : "its nonce is not the one that was sent")
      }
    }
    note(fhirUserProblem(members["fhirUser"]))
    return problems
  }

  /// Bytes, not characters: two spellings of a letter are two issuers.
  private static func exact(_ name: String, _ value: JSON?, _ expected: String) -> String? {
    switch value ?? .null {
    case .string(let text):
      text.utf8.elementsEqual(expected.utf8) ? nil : "its \(name) is \(shown(text)), not \(shown(expected))"
    case .null: "it has no \(name)"
    case let other: "its \(name) is \(other.kind), not a string"
    }
  }

  private static func audienceProblems(_ members: [String: JSON], _ clientID: String) -> [String] {
    let audiences: [String]
    switch members["aud"] ?? .null {
    case .string(let text): audiences = [text]
    case .array(let values):
      audiences = values.compactMap(\.string)
      guard audiences.count == values.count else { return ["its aud holds something that is not a string"] }
    case .null: return ["it has no aud"]
    case let other: return ["its aud is \(other.kind), not a string or an array"]
    }
    guard audiences.contains(where: { $0.utf8.elementsEqual(clientID.utf8) }) else {
      return ["its aud does not name the client \(shown(clientID))"]
    }
    guard audiences.contains(where: { !$0.utf8.elementsEqual(clientID.utf8) }) else { return [] }
    // Made for several: the one that it was issued to must be us.
    return exact("azp", members["azp"], clientID).map { [$0] } ?? []
  }

  private static func timeProblem(_ members: [String: JSON], nowSeconds: Int64, leewaySeconds: Int64) -> String? {
    guard let expiry = seconds(members["exp"]) else { return "it has no exp that is a number" }
    return expiry + Double(leewaySeconds) > Double(nowSeconds) ? nil : "it has expired"
  }

  private static func issueProblem(_ members: [String: JSON], nowSeconds: Int64, leewaySeconds: Int64) -> String? {
    guard let issued = seconds(members["iat"]) else { return "it has no iat that is a number" }
    guard issued - Double(leewaySeconds) > Double(nowSeconds) else { return nil }
    return "its iat is more than \(leewaySeconds) s in the future: one of the two clocks is wrong"
  }

  private static func seconds(_ value: JSON?) -> Double? {
    switch value ?? .null {
    case .integer(let number): Double(number)
    case .number(let number): number
    case .null, .bool, .string, .array, .object: nil
    }
  }

  /// A URL, or a reference like `Practitioner/123`: servers send both.
  private static func fhirUserProblem(_ value: JSON?) -> String? {
    switch value ?? .null {
    case .null: return nil
    case .string(let text):
      if (try? WebURL(text)) != nil || isReference(text) { return nil }
      return "its fhirUser is \(shown(text)), which is no URL and no reference like Practitioner/123"
    case let other: return "its fhirUser is \(other.kind), not a string"
    }
  }

  /// A resource type, a slash, and FHIR's `id`: 1 to 64 of letters, digits, - and a point.
  private static func isReference(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard parts.count == 2, let first = parts[0].first, (65...90).contains(first),
      parts[0].allSatisfy({ (97...122).contains($0 | 0x20) }), (1...64).contains(parts[1].count)
    else { return false }
    return parts[1].allSatisfy {
      FormEncoding.isUnreserved($0) && $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "~")
    }
  }

  private static func shown(_ text: String) -> String { Words.clean(text, max: shownCharactersMax) }
}
