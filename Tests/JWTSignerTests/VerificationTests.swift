/// Tokens of servers: what verifies, and everything that must not.
import ConnectionCore
import Foundation
import SMARTProtocol
import Testing

@testable import JWTSigner

@Suite struct VerificationTests {
  private let signer = JWTSigner()
  private var rs256Token: [UInt8] { Array("\(Vectors.rs256Input).\(Vectors.rs256Signature)".utf8) }
  private var rsaPublic: [String: String] { Vectors.rsaPrivate.filter { ["kty", "n", "e"].contains($0.key) } }
  private var ecPublic: [String: String] { Vectors.ecPrivate.filter { $0.key != "d" } }

  @Test func `R6.08 the signed examples of RFC 7515 verify`() {
    #expect(signer.verifies(rs256Token, jwks: jwks(rsaPublic)))
    #expect(signer.verifies(Array(Vectors.es256Token.utf8), jwks: jwks(rsaPublic, ecPublic)))
    #expect(!signer.verifies(Array(Vectors.es256Token.utf8), jwks: jwks(rsaPublic)))
  }

  @Test func `R6.08 none and HMAC never verify, not even with the public key as the secret`() async throws {
    #expect(!signer.verifies(Array(Vectors.hs256Token.utf8), jwks: jwks(Vectors.hmacKey)))
    for algorithm in ["none", "None", "HS256", "HS384", "HS512", "", "EdDSA", "RS1"] {
      let header = Base64URL.encode(json(["alg": algorithm]))
      for signature in ["", Vectors.rs256Signature] {
        let token = Array("\(header).\(Vectors.payload).\(signature)".utf8)
        #expect(!signer.verifies(token, jwks: jwks(rsaPublic, ecPublic, Vectors.hmacKey)), "\(algorithm)")
      }
    }
    let noAlgorithm = Array("\(Base64URL.encode(Array("{}".utf8))).\(Vectors.payload).AA".utf8)
    #expect(!signer.verifies(noAlgorithm, jwks: jwks(rsaPublic)))
  }

  @Test func `R6.08 the kid picks the key; without one, or with one that nobody has, every fitting key is tried`()
    async throws
  {
    let key = try await signer.makeKey(.es384)
    let other = try await signer.makeKey(.es384)
    func token(_ kid: String?) throws -> [UInt8] {
      try signer.token(["alg": "ES384"].merging(kid.map { ["kid": $0] } ?? [:]) { $1 }, key)
    }
    let both = jwks(other.publicJWK, key.publicJWK)
    #expect(try signer.verifies(token(key.kid), jwks: both))
    #expect(try signer.verifies(token(nil), jwks: both))
    #expect(try signer.verifies(token("elsewhere"), jwks: both))
    #expect(try !signer.verifies(token(other.kid), jwks: both))
  }

  @Test func `R6.08 a key for encryption or for another algorithm is not used`() {
    #expect(!signer.verifies(rs256Token, jwks: jwks(rsaPublic.merging(["use": "enc"]) { $1 })))
    #expect(!signer.verifies(rs256Token, jwks: jwks(rsaPublic.merging(["alg": "RS384"]) { $1 })))
    #expect(signer.verifies(rs256Token, jwks: jwks(rsaPublic.merging(["alg": "RS256", "use": "sig"]) { $1 })))
  }

  @Test func `R6.08 a header with critical members is refused`() async throws {
    let key = try await signer.makeKey(.es256)
    let header = Base64URL.encode(Array(#"{"alg":"ES256","crit":["exp"],"exp":1}"#.utf8))
    let input = Array("\(header).\(Vectors.payload)".utf8)
    let token = input + Array(".\(Base64URL.encode(try signer.signature(input, key)))".utf8)
    #expect(!signer.verifies(token, jwks: jwks(key.publicJWK)))
  }

  @Test func `R6.08 PS256 and ES512 of openssl verify`() async throws {
    let openssl = try OpenSSL()
    func verified(_ algorithm: String, _ jwk: [String: String], sign: (borrowing OpenSSL) throws -> [UInt8]) throws
      -> Bool
    {
      let input = "\(Base64URL.encode(json(["alg": algorithm]))).\(Vectors.payload)"
      try openssl.write(Array(input.utf8), "input")
      let signature = try sign(openssl)
      return signer.verifies(Array("\(input).\(Base64URL.encode(signature))".utf8), jwks: jwks(jwk))
    }
    let rsa = try await signer.makeKey(.rs256)
    try openssl.write(rsa.privateBytes, "rsa.der")
    var jwk = rsa.publicJWK
    jwk["alg"] = nil
    for (algorithm, digest) in [("PS256", "sha256"), ("PS384", "sha384"), ("PS512", "sha512")] {
      let holds = try verified(algorithm, jwk) { openssl in
        let command =
          "dgst -\(digest) -sign rsa.der -keyform DER -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"
        try openssl.run("\(command) -out sig input")
        return try openssl.read("sig")
      }
      #expect(holds, "\(algorithm)")
    }
    let holds = try verified("RS512", jwk) { openssl in
      try openssl.run("dgst -sha512 -sign rsa.der -keyform DER -out sig input")
      return try openssl.read("sig")
    }
    #expect(holds)
  }

  @Test func `R6.08 foreign bytes never verify and never trap`() {
    let sets: [[UInt8]] = [
      [], Array("null".utf8), Array(#"{"keys":{}}"#.utf8), Array(#"{"keys":[null,1,"x",{}]}"#.utf8),
      Array(#"{"keys":[{"kty":"RSA","n":"","e":""},{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"RSA","n":7}]}"#.utf8),
      Array(#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"EC","crv":"P-256"}]}"#.utf8),
      [UInt8](repeating: UInt8(ascii: "["), count: 100_000),
    ]
    let tokens: [[UInt8]] = [
      [], Array("..".utf8), Array("a.b.c".utf8), Array("....".utf8), rs256Token, Array(Vectors.es256Token.utf8),
      rs256Token + Array(".x".utf8), [UInt8](repeating: UInt8(ascii: "A"), count: 1 << 20),
    ]
    for set in sets { for token in tokens { #expect(!signer.verifies(token, jwks: set)) } }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<500 {
      var token = rs256Token
      for _ in 0..<3 {
        token[Int.random(in: token.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if token != rs256Token { #expect(!signer.verifies(token, jwks: jwks(rsaPublic))) }
    }
  }

  @Test(.enabled(if: sharedFolder != nil, "no sample data: set FHIRD_SHARED"))
  func `R5.11 SMART's own example keys are read, and verify nothing that they did not sign`() async throws {
    for (name, algorithm) in [("ES384", "ES384"), ("RS384", "RS384")] {
      let path = "\(sharedFolder ?? "")/data/oauth/smart-ig-\(name).public.jwks.json"
      let set = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
      let key = try await signer.makeKey(SigningAlgorithm(rawValue: algorithm) ?? .es384)
      #expect(try !signer.verifies(signer.token(["alg": algorithm], key), jwks: set))
      let text = String(decoding: set, as: UTF8.self)
      #expect(throws: ClientKeyProblem.notAKey(detail: "it is a key set; give the one key out of it")) {
        try signer.importKey(Array(text.utf8), algorithm: nil)
      }
    }
  }
}
