/// The parts of a client assertion (`private_key_jwt`) and a key's thumbprint input. Pure: the caller signs and hashes.

/// Source: SMART App Launch, client-confidential-asymmetric; R5.06-R5.08. A new one for every request.
package enum ClientAssertion {
  /// SMART allows 300 seconds ahead; a minute less leaves room for a server's clock that is behind ours.
  package static let lifetimeSeconds: Int64 = 240

  /// The JOSE header as JSON. `typ` is what Inferno checks.
  package static func header(algorithm: String, kid: String) -> [UInt8] {
    rendered(["alg": .string(algorithm), "kid": .string(kid), "typ": .string("JWT")])
  }

  /// The claims as JSON: `aud` a string, not an array; `exp` an integer. No `iat` and no `nbf`: a server whose clock is
  /// behind would refuse them.
  /// - Parameters:
  ///   - jti: never used before.
  ///   - nowSeconds: wall clock, seconds since 1970.
  ///   - skewSeconds: how far the server's clock is ahead of ours; 0: unknown.
  package static func claims(
    clientID: String, tokenURL: String, jti: String, nowSeconds: Int64, skewSeconds: Int64
  ) -> [UInt8] {
    rendered([
      "iss": .string(clientID), "sub": .string(clientID), "aud": .string(tokenURL), "jti": .string(jti),
      "exp": .integer(nowSeconds &+ skewSeconds &+ lifetimeSeconds),
    ])
  }

  /// What is signed: both parts in base64url, a dot between them. Source: RFC 7515 section 5.1.
  package static func signingInput(header: some Collection<UInt8>, claims: some Collection<UInt8>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Base64URL.encodedCount(header.count) + 1 + Base64URL.encodedCount(claims.count))
    Base64URL.append(header, to: &bytes)
    bytes.append(UInt8(ascii: "."))
    Base64URL.append(claims, to: &bytes)
    return bytes
  }

  /// The whole assertion, what `TokenRequest` takes as `secret` with `.assertion`.
  package static func compact(signingInput: [UInt8], signature: some Collection<UInt8>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(signingInput.count + 1 + Base64URL.encodedCount(signature.count))
    bytes.append(contentsOf: signingInput)
    bytes.append(UInt8(ascii: "."))
    Base64URL.append(signature, to: &bytes)
    return bytes
  }

  private static func rendered(_ members: [String: JSON]) -> [UInt8] {
    var bytes: [UInt8] = []
    JSON.object(members).append(to: &bytes)
    return bytes
  }
}

/// Source: RFC 7638.
package enum JWKThumbprint {
  /// The required members of a public key, in the order of their names and without blanks; its SHA-256 is the
  /// thumbprint. Every other member is left out. nil: neither RSA nor EC, or a member is missing or not base64url.
  package static func input(of members: [String: String]) -> [UInt8]? {
    let numbers: [String]
    let words: [String]
    switch members["kty"] {
    case "RSA": (words, numbers) = (["kty"], ["e", "n"])
    case "EC": (words, numbers) = (["crv", "kty"], ["x", "y"])
    default: return nil
    }
    for name in numbers {
      guard let text = members[name], let value = Base64URL.decode(text), !value.isEmpty else { return nil }
    }
    var required: [String: JSON] = [:]
    for name in words + numbers {
      guard let text = members[name], !text.isEmpty else { return nil }
      required[name] = .string(text)
    }
    // The names are ASCII: their order by code points is the order that `append` writes.
    var bytes: [UInt8] = []
    JSON.object(required).append(to: &bytes)
    return bytes
  }
}
