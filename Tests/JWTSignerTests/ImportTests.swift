/// Keys that somebody brings: every common form is taken, everything else is refused with words that help.
import ConnectionCore
import Foundation
import SMARTProtocol
import Testing

@testable import JWTSigner

@Suite struct ImportTests {
  private let signer = JWTSigner()

  private func problem(_ text: [UInt8], _ algorithm: SigningAlgorithm? = nil) -> ClientKeyProblem? {
    do throws(ClientKeyProblem) {
      _ = try signer.importKey(text, algorithm: algorithm)
      return nil
    } catch { return error }
  }

  @Test func `R5.09 RSA of openssl is taken as PKCS#8 and PKCS#1, and is the same key`() throws {
    let openssl = try OpenSSL()
    try openssl.run("genrsa -traditional -out one.pem 2048")
    try openssl.run("pkcs8 -topk8 -nocrypt -in one.pem -out eight.pem")
    let one = try signer.importKey(openssl.read("one.pem"), algorithm: nil)
    let eight = try signer.importKey(openssl.read("eight.pem"), algorithm: .rs256)
    #expect(one.kid == eight.kid && one.privateBytes == eight.privateBytes)
    #expect(one.algorithm == .rs384 && eight.algorithm == .rs256)
    let token = try signer.token(["alg": "RS384", "kid": one.kid], one)
    #expect(signer.verifies(token, jwks: jwks(one.publicJWK)))
  }

  @Test(arguments: [("secp384r1", SigningAlgorithm.es384), ("prime256v1", .es256)])
  func `R5.09 EC of openssl is taken as SEC 1 and PKCS#8, with its parameters in front`(
    curve: String, algorithm: SigningAlgorithm
  ) throws {
    let openssl = try OpenSSL()
    try openssl.run("ecparam -name \(curve) -genkey -out sec1.pem")
    try openssl.run("pkcs8 -topk8 -nocrypt -in sec1.pem -out eight.pem")
    #expect(String(decoding: try openssl.read("sec1.pem"), as: UTF8.self).contains("BEGIN EC PARAMETERS"))
    let sec1 = try signer.importKey(openssl.read("sec1.pem"), algorithm: nil)
    let eight = try signer.importKey(openssl.read("eight.pem"), algorithm: algorithm)
    #expect(sec1.kid == eight.kid && sec1.privateBytes == eight.privateBytes && sec1.algorithm == algorithm)
    let token = try signer.token(["alg": algorithm.rawValue], eight)
    #expect(signer.verifies(token, jwks: jwks(sec1.publicJWK)))
    // The line ends of another system, and words around the block.
    let text = String(decoding: try openssl.read("eight.pem"), as: UTF8.self)
    let windows = "Bag Attributes\r\n" + text.replacing("\n", with: "\r\n")
    #expect(try signer.importKey(Array(windows.utf8), algorithm: nil).kid == sec1.kid)
  }

  @Test func `R5.09 a private JWK is taken, and only when its halves belong together`() throws {
    let ec = try signer.importKey(json(Vectors.ecPrivate), algorithm: nil)
    #expect(ec.algorithm == .es256 && ec.publicJWK["x"] == Vectors.ecPrivate["x"])
    #expect(signer.verifies(Array(Vectors.es256Token.utf8), jwks: jwks(ec.publicJWK)))
    let rsa = try signer.importKey(json(Vectors.rsaPrivate.merging(["alg": "RS256"]) { $1 }), algorithm: nil)
    #expect(rsa.algorithm == .rs256)

    func changed(_ key: [String: String], _ member: String, _ value: String?) -> [UInt8] {
      var key = key
      key[member] = value
      return json(key)
    }
    let otherPoint = changed(Vectors.ecPrivate, "x", Vectors.ecPrivate["y"])
    #expect(problem(otherPoint) == .notAKey(detail: "x and y do not belong to d"))
    #expect(problem(changed(Vectors.rsaPrivate, "p", Vectors.rsaPrivate["q"])) != nil)
    #expect(problem(changed(Vectors.rsaPrivate, "n", Vectors.thumbprintKey["n"])) != nil)
    #expect(problem(changed(Vectors.rsaPrivate, "qi", nil)) != nil)
    #expect(problem(changed(Vectors.rsaPrivate, "d", nil)) == .publicOnly)
    #expect(problem(changed(Vectors.ecPrivate, "d", nil)) == .publicOnly)
    #expect(problem(changed(Vectors.ecPrivate, "use", "enc")) != nil)
    #expect(problem(changed(Vectors.ecPrivate, "alg", "ECDH-ES")) != nil)
    #expect(problem(json(Vectors.hmacKey)) == .unsupportedKey(kind: "a shared secret"))
  }

  @Test func `R5.09 the algorithm must fit the key`() throws {
    let wrong = problem(json(Vectors.ecPrivate), .es384)
    #expect(wrong == .wrongAlgorithm(.es384, kind: "an EC key on P-256", fitting: [.es256]))
    #expect(wrong?.cure == "choose ES256, or leave it out")
    #expect(problem(json(Vectors.rsaPrivate), .es384) != nil)
    #expect(problem(json(Vectors.rsaPrivate), .rs384) == nil)
  }

  @Test func `R5.13 short, encrypted, public and foreign keys are refused, each with its own words`() throws {
    let openssl = try OpenSSL()
    try openssl.run("genrsa -out short.pem 1024")
    #expect(problem(try openssl.read("short.pem")) == .tooShort(bits: 1024, minimum: 2048))
    try openssl.run("genrsa -out good.pem 2048")
    try openssl.run("pkcs8 -topk8 -in good.pem -passout pass:x -out encrypted.pem")
    #expect(problem(try openssl.read("encrypted.pem")) == .encrypted)
    try openssl.run("rsa -in good.pem -aes128 -traditional -passout pass:x -out old.pem")
    #expect(problem(try openssl.read("old.pem")) == .encrypted)
    try openssl.run("pkey -in good.pem -pubout -out public.pem")
    #expect(problem(try openssl.read("public.pem")) == .publicOnly)
    try openssl.run("req -x509 -key good.pem -subj /CN=x -out certificate.pem")
    #expect(problem(try openssl.read("certificate.pem")) == .publicOnly)
    try openssl.run("genpkey -algorithm ed25519 -out ed.pem")
    #expect(problem(try openssl.read("ed.pem")) == .unsupportedKey(kind: "an Edwards curve key"))
    // The same size as P-256 and P-384: their numbers would pass.
    for curve in ["secp256k1", "brainpoolP384r1", "secp521r1"] {
      try openssl.run("ecparam -name \(curve) -genkey -noout -out other.pem")
      try openssl.run("pkcs8 -topk8 -nocrypt -in other.pem -out other8.pem")
      for file in ["other.pem", "other8.pem"] {
        #expect(
          problem(try openssl.read(file))
            == .unsupportedKey(kind: "an EC key on another curve than P-384 and P-256"), "\(curve) \(file)")
      }
    }
  }

  @Test func `R5.13 garbage is refused, and no refusal holds a piece of it`() throws {
    for text in ["", "  \n", "hunter2-secret", "{", "{\"kty\":\"EC\"}", "-----BEGIN PRIVATE KEY-----\nhunter2-secret"] {
      let found = try #require(self.problem(Array(text.utf8)))
      #expect(!found.sentence.contains("hunter2") && !found.cure.isEmpty)
    }
    let block = "-----BEGIN PRIVATE KEY-----\nhunter2secret\n-----END PRIVATE KEY-----\n"
    #expect(problem(Array(block.utf8))?.sentence.contains("hunter2") == false)
    #expect(problem([UInt8](repeating: 0x2d, count: 1 << 20)) != nil)
  }

  @Test func `R5.13 a damaged key never traps`() throws {
    let openssl = try OpenSSL()
    try openssl.run("ecparam -name secp384r1 -genkey -out ec.pem")
    let samples = [
      try openssl.read("ec.pem"), json(Vectors.rsaPrivate), json(Vectors.ecPrivate),
      Array("-----BEGIN RSA PRIVATE KEY-----\n".utf8) + Array("MIIBAAIBAAKB".utf8)
        + Array("\n-----END RSA PRIVATE KEY-----\n".utf8),
    ]
    var random = SystemRandomNumberGenerator()
    for sample in samples {
      for _ in 0..<200 {
        var text = sample
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          text[Int.random(in: text.indices, using: &random)] = UInt8.random(in: 0...127, using: &random)
        }
        if Bool.random(using: &random) { text.removeLast(Int.random(in: 0..<text.count, using: &random)) }
        _ = problem(text)
      }
    }
  }

  @Test(arguments: [0, 1, 2, 3, 4, 63, 64, 65])
  func `base64url goes there and back, and has one spelling`(count: Int) {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + 251) }
    let text = Base64URL.encode(bytes)
    #expect(Base64URL.decode(bytes: text.utf8) == bytes)
    #expect(Base64URL.decode(bytes: "A".utf8) == nil)
    #expect(Base64URL.decode(bytes: "AB".utf8) == nil)
    #expect(Base64URL.decode(bytes: "AA==".utf8) == nil)
    #expect(PEMBody.decoded("AA==\n".utf8) == [0])
  }
}
