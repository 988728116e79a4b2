/// Keys that are made: what is published of them, and that their signatures hold before a second implementation.
import ConnectionCore
import Foundation
import SMARTProtocol
import Testing

@testable import JWTSigner

@Suite struct SigningTests {
  private let signer = JWTSigner()

  @Test(arguments: SigningAlgorithm.allCases)
  func `R5.09 what is signed verifies against the published key and nothing else`(algorithm: SigningAlgorithm)
    async throws
  {
    let key = try await signer.makeKey(algorithm)
    let other = try await signer.makeKey(algorithm)
    let header = ["alg": algorithm.rawValue, "kid": key.kid, "typ": "JWT"]
    let token = try signer.token(header, key)
    #expect(signer.verifies(token, jwks: jwks(key.publicJWK)))
    #expect(signer.verifies(token, jwks: jwks(other.publicJWK, key.publicJWK)))
    #expect(!signer.verifies(token, jwks: jwks(other.publicJWK)))
    #expect(!signer.verifies(token, jwks: jwks()))
    // Any changed byte of the header, the payload or the signature.
    for at in stride(from: 0, to: token.count, by: 7) where token[at] != UInt8(ascii: ".") {
      var changed = token
      changed[at] = changed[at] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      #expect(!signer.verifies(changed, jwks: jwks(key.publicJWK)), "byte \(at)")
    }
  }

  @Test func `R5.09 an ECDSA signature is r and s of full length`() async throws {
    let es384 = try await signer.makeKey(.es384)
    let es256 = try await signer.makeKey(.es256)
    for i in 0..<300 {
      #expect(try signer.signature(Array("input \(i)".utf8), es384).count == 96)
      #expect(try signer.signature(Array("input \(i)".utf8), es256).count == 64)
    }
  }

  @Test func `R5.09 openssl verifies what ES384 and RS384 signed`() async throws {
    let openssl = try OpenSSL()
    let input = Array(Vectors.rs256Input.utf8)
    try openssl.write(input, "input")

    let rsa = try await signer.makeKey(.rs384)
    try openssl.write(rsa.privateBytes, "rsa.der")
    try openssl.write(try signer.signature(input, rsa), "rsa.sig")
    try openssl.run("pkey -inform DER -in rsa.der -pubout -out rsa.pub")
    try openssl.run("dgst -sha384 -verify rsa.pub -signature rsa.sig input")
    let modulus = String(decoding: try openssl.run("rsa -pubin -in rsa.pub -noout -modulus"), as: UTF8.self)
    let published = try #require(Base64URL.decode(bytes: (rsa.publicJWK["n"] ?? "").utf8))
    #expect(modulus.lowercased() == "modulus=\(published.hex)\n")
    #expect(published.count == 3072 / 8)

    let ec = try await signer.makeKey(.es384)
    let x = try #require(Base64URL.decode(bytes: (ec.publicJWK["x"] ?? "").utf8))
    let y = try #require(Base64URL.decode(bytes: (ec.publicJWK["y"] ?? "").utf8))
    // SubjectPublicKeyInfo of a P-384 point. Source: RFC 5480 section 2.
    let head = try #require([UInt8](hex: "3076301006072a8648ce3d020106052b8104002203620004"))
    try openssl.write(head + x + y, "ec.der")
    try openssl.run("pkey -pubin -inform DER -in ec.der -pubout -out ec.pub")
    let signature = try signer.signature(input, ec)
    // Ecdsa-Sig-Value, from the two halves. Source: RFC 3279 section 2.2.3.
    try openssl.write(DER.sequence([Array(signature[..<48]), Array(signature[48...])]), "ec.sig")
    try openssl.run("dgst -sha384 -verify ec.pub -signature ec.sig input")
  }

  @Test(arguments: SigningAlgorithm.allCases)
  func `R5.11 a published key has its kid, its use, full coordinates and no private member`(
    algorithm: SigningAlgorithm
  ) async throws {
    // Of 200 keys, most likely one has a coordinate that begins with a zero byte.
    for _ in 0..<(algorithm == .es384 || algorithm == .es256 ? 200 : 1) {
      let key = try await signer.makeKey(algorithm)
      let jwk = key.publicJWK
      #expect(Set(jwk.keys).isSubset(of: PublicJWK.members))
      #expect(jwk["kid"] == key.kid && jwk["use"] == "sig" && jwk["alg"] == algorithm.rawValue)
      switch algorithm {
      case .es384: #expect(jwk["crv"] == "P-384" && jwk["x"]?.count == 64 && jwk["y"]?.count == 64)
      case .es256: #expect(jwk["crv"] == "P-256" && jwk["x"]?.count == 43 && jwk["y"]?.count == 43)
      case .rs384, .rs256: #expect(jwk["e"] == "AQAB" && jwk["n"]?.count == 512)
      }
    }
  }

  @Test func `R5.11 the kid is the thumbprint of RFC 7638, whatever else the key says of itself`() async throws {
    #expect(JWTSigner.thumbprint(Vectors.thumbprintKey) == Vectors.thumbprint)
    var jwk = Vectors.rsaPrivate
    let plain = try signer.importKey(json(jwk), algorithm: nil)
    jwk["kid"] = "another"
    jwk["alg"] = "RS256"
    #expect(try signer.importKey(json(jwk), algorithm: nil).kid == plain.kid)
    #expect(plain.kid == JWTSigner.thumbprint(["kty": "RSA", "n": jwk["n"] ?? "", "e": jwk["e"] ?? ""]))
  }

  @Test func `R5.13 nothing of a private half is printed, and a wiped key has none`() async throws {
    var key = try await signer.makeKey(.es384)
    for text in ["\(key)", String(reflecting: key), String(describing: [key])] {
      #expect(!text.contains("privateBytes") && text.contains(key.kid))
    }
    var dumped = ""
    dump(key, to: &dumped)
    #expect(!dumped.contains("privateBytes"))
    key.wipe()
    #expect(key.privateBytes.isEmpty)
  }

  @Test func `R5.13 a stored key that is damaged or of another kind does not sign, and says so`() async throws {
    let key = try await signer.makeKey(.es384)
    #expect(throws: ClientKeyProblem.cannotSign) {
      try [UInt8](repeating: 0, count: 48).withUnsafeBytes { try signer.sign([1], privateBytes: $0, .es384) }
    }
    #expect(throws: ClientKeyProblem.cannotSign) {
      try key.privateBytes.dropLast().withUnsafeBytes { try signer.sign([1], privateBytes: $0, .es384) }
    }
    for algorithm in SigningAlgorithm.allCases where algorithm != .es384 {
      #expect(throws: ClientKeyProblem.cannotSign) {
        try key.privateBytes.withUnsafeBytes { try signer.sign([1], privateBytes: $0, algorithm) }
      }
    }
  }

  @Test func `R5.09 the signature of RFC 7515 A.2 comes out to the byte`() async throws {
    let key = try signer.importKey(json(Vectors.rsaPrivate), algorithm: .rs256)
    #expect(
      Base64URL.encode(try signer.signature(Array(Vectors.rs256Input.utf8), key)) == Vectors.rs256Signature)
  }
}
