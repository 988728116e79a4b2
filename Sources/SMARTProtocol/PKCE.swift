/// Proof key for code exchange, S256 only: verifier from the caller's random bytes, challenge from the caller's digest.

/// Source: RFC 7636; R4.07, R4.08.
package enum PKCE {
  /// 256 bits, as RFC 7636 section 4.1 recommends; they give a verifier of 43 characters, the shortest allowed.
  package static let randomBytes = 32
  /// Bytes of a SHA-256 digest.
  package static let digestBytes = 32
  /// `plain` would show the verifier to whoever sees the authorization request.
  package static let method = "S256"

  /// - Parameter random: `randomBytes` bytes of a CSPRNG, fresh for every authorization request.
  package static func verifier(random: [UInt8]) -> SecretText {
    precondition(random.count == randomBytes, "a verifier is made of \(randomBytes) random bytes")
    return SecretText(Base64URL.encodedBytes(random))
  }

  /// - Parameter digest: SHA-256 of the verifier's ASCII bytes.
  package static func challenge(sha256OfVerifier digest: [UInt8]) -> String {
    precondition(digest.count == digestBytes, "a SHA-256 digest has \(digestBytes) bytes")
    return Base64URL.encode(digest)
  }
}
