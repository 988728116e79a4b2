/// Makes, imports and uses client keys, and verifies signed tokens: the port `ClientSigner` on swift-crypto's BoringSSL.
package import ConnectionCore
import Crypto
import Dispatch
import SMARTProtocol

package struct JWTSigner: ClientSigner {
  package init() {}

  /// An RSA key takes some hundred milliseconds; Swift's own threads are one for each processor.
  private static let queue = DispatchQueue(label: "fhird.keys")

  package func makeKey(_ algorithm: SigningAlgorithm) async throws(ClientKeyProblem) -> ClientKeyMaterial {
    let made: Result<ClientKeyMaterial, ClientKeyProblem> = await withCheckedContinuation { continuation in
      Self.queue.async {
        continuation.resume(
          returning: Result { () throws(ClientKeyProblem) in
            try Self.material(try PrivateKey.make(algorithm), algorithm)
          })
      }
    }
    return try made.get()
  }

  package func importKey(_ text: [UInt8], algorithm: SigningAlgorithm?) throws(ClientKeyProblem) -> ClientKeyMaterial {
    let (key, own) = try KeyImport.key(text)
    let fitting = key.fitting
    guard let chosen = algorithm ?? own ?? fitting.first else { throw .unsupportedKey(kind: key.kind) }
    guard fitting.contains(chosen) else { throw .wrongAlgorithm(chosen, kind: key.kind, fitting: fitting) }
    return try Self.material(key, chosen)
  }

  package func sign(
    _ input: [UInt8], privateBytes: UnsafeRawBufferPointer, _ algorithm: SigningAlgorithm
  ) throws(ClientKeyProblem) -> [UInt8] {
    try unsafe PrivateKey(stored: privateBytes, algorithm).signature(of: input, algorithm)
  }

  package func verifies(_ token: [UInt8], jwks: [UInt8]) -> Bool {
    guard let token = SignedToken(token) else { return false }
    return PublicKeySet(jwks).verifies(token)
  }

  private static func material(_ key: PrivateKey, _ algorithm: SigningAlgorithm) throws(ClientKeyProblem)
    -> ClientKeyMaterial
  {
    var jwk = try key.publicMembers
    let kid = thumbprint(jwk)
    jwk["kid"] = kid
    jwk["use"] = "sig"
    jwk["alg"] = algorithm.rawValue
    return ClientKeyMaterial(algorithm: algorithm, kid: kid, publicJWK: jwk, privateBytes: key.bytes)
  }

  /// SHA-256 over the members that make the key, in the order of their names, without blanks. Their values are
  /// base64url or names of curves, so nothing needs escaping. Source: RFC 7638 section 3.
  static func thumbprint(_ members: [String: String]) -> String {
    let text = members.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
    return Base64URL.encode(Array(SHA256.hash(data: Array("{\(text)}".utf8))))
  }
}
