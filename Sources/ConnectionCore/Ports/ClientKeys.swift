/// Client keys as the core sees them (`private_key_jwt`): made, imported, used for a signature, never handed out.
import SMARTProtocol

/// How a client signs; the raw value is the JWS `alg`. In the order of preference where a server takes several.
/// SMART asks every client and server for ES384 or RS384; the other two are for servers that know nothing else.
package enum SigningAlgorithm: String, Sendable, CaseIterable, Codable {
  case es384 = "ES384"
  case rs384 = "RS384"
  case es256 = "ES256"
  case rs256 = "RS256"
}

/// The names that a published key may have. Everything else of a JWK is private, or says nothing here.
/// Source: RFC 7517 section 4, RFC 7518 sections 6.2.1 and 6.3.1.
package enum PublicJWK {
  package static let members: Set<String> = ["kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"]
}

/// A client key that was made or imported: the private half to be sealed at once, the public half as it is published.
package struct ClientKeyMaterial: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package let algorithm: SigningAlgorithm
  /// RFC 7638 thumbprint of the public key, SHA-256, base64url.
  package let kid: String
  /// `kty`, `use`, `alg`, `kid`, and `crv`, `x`, `y` or `n`, `e`.
  package let publicJWK: [String: String]
  /// In the signer's own form. Secret: whoever seals it wipes it.
  package private(set) var privateBytes: [UInt8]

  package init(algorithm: SigningAlgorithm, kid: String, publicJWK: [String: String], privateBytes: [UInt8]) {
    self.algorithm = algorithm
    self.kid = kid
    self.publicJWK = publicJWK
    self.privateBytes = privateBytes
  }

  package mutating func wipe() { SMARTProtocol.wipe(&privateBytes) }

  /// The same key under the name that a server knows it by.
  package consuming func named(_ kid: String) -> ClientKeyMaterial {
    var jwk = publicJWK
    jwk["kid"] = kid
    return ClientKeyMaterial(algorithm: algorithm, kid: kid, publicJWK: jwk, privateBytes: privateBytes)
  }

  package var description: String { "client key \(kid) (\(algorithm.rawValue))" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: ["kid": kid, "algorithm": algorithm.rawValue]) }
}

/// Why a key cannot be taken or used. Nothing of the key is in it.
package enum ClientKeyProblem: Error, Sendable, Hashable {
  /// `detail` says what was looked for in vain.
  case notAKey(detail: String)
  /// The PEM is protected by a passphrase.
  case encrypted
  /// A public key or a certificate where the private one is wanted.
  case publicOnly
  /// A sound key of a kind that cannot be used here.
  case unsupportedKey(kind: String)
  case tooShort(bits: Int, minimum: Int)
  case tooLong(bits: Int, maximum: Int)
  /// The key is of another kind than the algorithm.
  case wrongAlgorithm(SigningAlgorithm, kind: String, fitting: [SigningAlgorithm])
  /// The stored private half does not parse, or the library refuses to sign with it.
  case cannotSign

  /// For people, after "the key": lower case, no full stop.
  package var sentence: String {
    switch self {
    case .notAKey(let detail): "is not a private key: \(detail)"
    case .encrypted: "is encrypted with a passphrase"
    case .publicOnly: "is a public key; the private one is needed"
    case .unsupportedKey(let kind): "is of a kind that cannot be used: \(kind)"
    case .tooShort(let bits, let minimum): "has \(bits) bits; \(minimum) at least are needed"
    case .tooLong(let bits, let maximum): "has \(bits) bits; \(maximum) at most are taken"
    case .wrongAlgorithm(let algorithm, let kind, _): "is \(kind), which does not sign \(algorithm.rawValue)"
    case .cannotSign: "in the store does not sign"
    }
  }

  package var cure: String {
    switch self {
    case .notAKey: "give PEM (PKCS#8, PKCS#1 or SEC 1) or a private JWK"
    case .encrypted: "decrypt it first: openssl pkcs8 -in FILE -out PLAIN, into a file that only you can read"
    case .publicOnly: "give the file that was made with it and never left your hands"
    case .unsupportedKey: "use an EC key on P-384 or P-256, or RSA; or leave the import out and fhird makes one"
    case .tooShort, .tooLong: "leave the import out and fhird makes one of the right size"
    case .wrongAlgorithm(_, _, let fitting):
      fitting.isEmpty
        ? "leave the algorithm out" : "choose \(fitting.map(\.rawValue).joined(separator: " or ")), or leave it out"
    case .cannotSign: "fhirctl key rotate NAME --overlap 0, then have the server read the key set again"
    }
  }
}

/// Signs with client keys and verifies what servers have signed. Synchronous, but for making keys: microseconds,
/// and about one millisecond to sign with RSA.
package protocol ClientSigner: Sendable {
  /// P-384, P-256, or RSA with 3072 bits; made on a queue of the signer's own, so that nobody else waits for it.
  func makeKey(_ algorithm: SigningAlgorithm) async throws(ClientKeyProblem) -> ClientKeyMaterial

  /// - Parameters:
  ///   - text: PEM (PKCS#8, PKCS#1, SEC 1) or a private JWK. The caller wipes it.
  ///   - algorithm: must fit the key; nil: the JWK's `alg`, else ES384, ES256 or RS384 by the kind of the key.
  func importKey(_ text: [UInt8], algorithm: SigningAlgorithm?) throws(ClientKeyProblem) -> ClientKeyMaterial

  /// The signature over `input` alone, as a JWS carries it: for ECDSA the two numbers one after the other, of fixed
  /// length (ES384: 96 bytes). Source: RFC 7518 section 3.4.
  /// - Parameter privateBytes: `ClientKeyMaterial.privateBytes`, lent.
  func sign(_ input: [UInt8], privateBytes: UnsafeRawBufferPointer, _ algorithm: SigningAlgorithm)
    throws(ClientKeyProblem) -> [UInt8]

  /// Whether one key of a JWK Set verifies a compact JWS. Asymmetric algorithms only: `none` and HMAC never verify.
  /// Says nothing of the claims.
  func verifies(_ token: [UInt8], jwks: [UInt8]) -> Bool
}
