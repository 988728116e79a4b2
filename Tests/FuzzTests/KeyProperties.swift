/// Keys that somebody brings, and base64 in both of its homes.
import ConnectionCore
import FoundationEssentials

@testable import JWTSigner
@testable import SMARTProtocol

extension FuzzTarget {
  /// The first byte chooses the algorithm that is asked for; what follows is the key.
  static let keyImport = FuzzTarget(
    "key-import", bytesMax: 8192,
    seeds: [Keys.sec1, Keys.pkcs8, Keys.pkcs1, Keys.ed25519, Keys.ecPrivate, Keys.rsaPrivate, Keys.rsaPublic].map {
      "0" + $0
    } + [
      "1" + Keys.sec1, "0-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
      "0-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + Keys.sec1,
      "0-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
      "0{\"keys\":[]}",
      "0{\"kty\":\"oct\",\"k\":\"S3CR3T-abcd\"}",
    ],
    words: [
      "-----BEGIN ", "-----END ", "-----", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY", "MII",
      "kty",
      "RSA", "EC", "crv", "P-384", "P-256", "\"d\":\"", "\"alg\":\"ES384\"", "\"use\":\"sig\"", "AQAB", "Proc-Type:",
    ]
  ) { bytes in
    let wanted: SigningAlgorithm? =
      switch bytes.first {
      case UInt8(ascii: "1"): .es384
      case UInt8(ascii: "2"): .rs384
      case UInt8(ascii: "3"): .es256
      case UInt8(ascii: "4"): .rs256
      default: nil
      }
    let text = Array(bytes.dropFirst())
    let signer = JWTSigner()
    let material: ClientKeyMaterial
    do throws(ClientKeyProblem) {
      material = try signer.importKey(text, algorithm: wanted)
    } catch {
      try holdSentence(error.sentence, "key")
      try holdSentence(error.cure, "cure")
      try holdNothing(of: text, in: error.sentence + error.cure)
      return
    }
    if let wanted { try hold(material.algorithm == wanted, "another algorithm than the one that was asked for") }
    try hold(Set(material.publicJWK.keys).isSubset(of: PublicJWK.members), "a private member is published")
    let input = try unwrap(JWKThumbprint.input(of: material.publicJWK), "no thumbprint of its own public half")
    try hold(!input.isEmpty && material.publicJWK["kid"] == material.kid, "published under another name")
    let required = material.publicJWK.filter { ["kty", "crv", "x", "y", "n", "e"].contains($0.key) }
    try hold(JWTSigner.thumbprint(required) == material.kid, "the name is not the thumbprint")
    try holdSigns(material, signer)
  }

  private static func holdSigns(_ material: ClientKeyMaterial, _ signer: JWTSigner) throws {
    let signed = ClientAssertion.signingInput(
      header: ClientAssertion.header(algorithm: material.algorithm.rawValue, kid: material.kid),
      claims: Array("{}".utf8))
    let signature = try material.privateBytes.withUnsafeBytes {
      try signer.sign(signed, privateBytes: $0, material.algorithm)
    }
    var keys: [UInt8] = []
    JSON.object(["keys": .array([.object(material.publicJWK.mapValues { .string($0) })])]).append(to: &keys)
    try hold(
      signer.verifies(ClientAssertion.compact(signingInput: signed, signature: signature), jwks: keys),
      "the public half does not verify what the private one signed")
  }

  /// Whole lines of a key are nowhere in what is said of it: 24 letters in a row are no accident.
  private static func holdNothing(of text: [UInt8], in sentence: String) throws {
    let shown = Array(sentence.utf8)
    guard text.count >= 24 else { return }
    for start in 0...max(0, shown.count - 24) where shown.count >= 24 {
      let window = shown[start..<start + 24]
      // Our own words are no secret, wherever else they stand.
      guard !window.contains(0x20) else { continue }
      try hold(!text.contains(bytes: window), "the key in words: \(sentence)")
    }
  }

  static let base64 = FuzzTarget(
    "base64", bytesMax: 1024, seeds: ["", "AA", "AAA", "AAAA", "_-8", "+/8=", "AB", "A", "AA==", " AA\n==", "SGVsbG8"],
    words: ["==", "-_", "+/", "\r\n"]
  ) { bytes in
    let decoded = Base64URL.decode(bytes: bytes)
    try hold(decoded == Base64URL.decode(String(decoding: bytes, as: UTF8.self)), "as a text it is another one")
    if let decoded { try hold(Base64URL.encodedBytes(decoded) == bytes, "two spellings of the same bytes") }
    let encoded = Base64URL.encodedBytes(bytes)
    try hold(encoded.count == Base64URL.encodedCount(bytes.count), "the length was guessed wrong")
    try hold(Base64URL.decode(bytes: encoded) == bytes, "encoded and decoded, it is another one")
    var padded: [UInt8] = []
    Base64.append(bytes, to: &padded)
    try hold(padded.count == Base64.encodedCount(bytes.count), "the padded length was guessed wrong")
    try hold(Data(base64Encoded: Data(padded)) == Data(bytes), "Foundation reads another text")
    try hold(PEMBody.decoded(padded) == bytes, "a PEM block is read otherwise than it was written")
    let stripped = bytes.filter { ![0x0A, 0x0D, 0x20, 0x09].contains($0) }
    if let body = PEMBody.decoded(bytes) {
      let bare = stripped.filter { $0 != UInt8(ascii: "=") }
      let whole = bare + [UInt8](repeating: UInt8(ascii: "="), count: (4 - bare.count % 4) % 4)
      try hold(Data(base64Encoded: Data(whole)) == Data(body), "Foundation reads another PEM block")
    }
  }
}
