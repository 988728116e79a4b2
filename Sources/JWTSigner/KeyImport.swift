/// Reads a private key that somebody brings: PEM (PKCS#8, PKCS#1, SEC 1) or a private JWK. Foreign bytes: total, bounded.
import ConnectionCore
import Crypto
import CryptoExtras
import FoundationEssentials
import SMARTProtocol

enum KeyImport {
  /// A PEM of RSA with 8192 bits has 6.4 kB.
  static let bytesMax = 32 << 10

  /// - Returns: the key and the algorithm that it names itself, if it does.
  static func key(_ text: [UInt8]) throws(ClientKeyProblem) -> (key: PrivateKey, algorithm: SigningAlgorithm?) {
    guard text.count <= bytesMax else { throw .notAKey(detail: "it is longer than \(bytesMax) bytes") }
    let first = text.first { ![0x09, 0x0a, 0x0d, 0x20].contains($0) }
    guard let first else { throw .notAKey(detail: "it is empty") }
    if first == UInt8(ascii: "{") { return try jwk(text) }
    return (try pem(text), nil)
  }

  // MARK: PEM

  /// The first private key; parameters, certificates and remarks around it are passed over. Source: RFC 7468.
  private static func pem(_ text: [UInt8]) throws(ClientKeyProblem) -> PrivateKey {
    var seen: Set<String> = []
    var rest = text[...]
    while let begin = rest.firstRange(of: Array("-----BEGIN ".utf8)) {
      rest = rest[begin.upperBound...]
      guard let labelEnd = rest.firstRange(of: Array("-----".utf8)) else { break }
      let label = String(decoding: rest[..<labelEnd.lowerBound].prefix(labelBytesMax), as: UTF8.self)
      rest = rest[labelEnd.upperBound...]
      guard let end = rest.firstRange(of: Array("-----END \(label)-----".utf8)) else {
        throw .notAKey(detail: "the PEM block has no end")
      }
      let body = rest[..<end.lowerBound]
      rest = rest[end.upperBound...]
      seen.insert(label)
      switch label {
      case "ENCRYPTED PRIVATE KEY": throw .encrypted
      case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
        // An old OpenSSL's own way. Source: RFC 1421 section 4.6.1.1.
        guard body.firstRange(of: Array("Proc-Type:".utf8)) == nil else { throw .encrypted }
        guard var der = PEMBody.decoded(body) else { throw .notAKey(detail: "the PEM block is not base64") }
        defer { wipe(&der) }
        return try key(der, isEC: label == "EC PRIVATE KEY")
      case "OPENSSH PRIVATE KEY": throw .unsupportedKey(kind: "an OpenSSH key")
      case "DSA PRIVATE KEY": throw .unsupportedKey(kind: "a DSA key")
      default: break
      }
    }
    if !seen.isDisjoint(with: ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"]) { throw .publicOnly }
    throw .notAKey(detail: "there is no PEM block with a private key in it, and it is no JWK")
  }

  private static let labelBytesMax = 64

  /// The library does not compare the curve that a key names with the one it is read for, so it is done here: the
  /// number of a key on another curve of the same size would pass.
  private static func key(_ der: [UInt8], isEC: Bool) throws(ClientKeyProblem) -> PrivateKey {
    if isEC || DER.names(DER.ecPublicKey, in: der) {
      if DER.names(DER.p384, in: der), let key = try? P384.Signing.PrivateKey(derRepresentation: der) {
        return .p384(key)
      }
      if DER.names(DER.p256, in: der), let key = try? P256.Signing.PrivateKey(derRepresentation: der) {
        return .p256(key)
      }
      guard DER.names(DER.p384, in: der) || DER.names(DER.p256, in: der) else {
        throw .unsupportedKey(kind: "an EC key on another curve than P-384 and P-256")
      }
      throw .notAKey(detail: "what it says of itself does not fit together")
    }
    if DER.names(DER.edwards, in: der), der.count < edwardsBytesMax {
      throw .unsupportedKey(kind: "an Edwards curve key")
    }
    return try rsa(der)
  }

  /// An Ed448 key in PKCS#8 has 73 bytes; three bytes that look like its identifier can stand in any longer key.
  private static let edwardsBytesMax = 128

  private static func rsa(_ der: [UInt8]) throws(ClientKeyProblem) -> PrivateKey {
    guard let key = try? _RSA.Signing.PrivateKey(unsafeDERRepresentation: der) else {
      throw .notAKey(detail: "it is neither EC on P-384 or P-256 nor sound RSA")
    }
    guard key.keySizeInBits >= PrivateKey.rsaBitsMin else {
      throw .tooShort(bits: key.keySizeInBits, minimum: PrivateKey.rsaBitsMin)
    }
    guard key.keySizeInBits <= PrivateKey.rsaBitsMax else {
      throw .tooLong(bits: key.keySizeInBits, maximum: PrivateKey.rsaBitsMax)
    }
    return .rsa(key)
  }

  // MARK: JWK

  /// The members of an RSA key beside `n` and `e`. Source: RFC 7518 section 6.3.2, in the order of PKCS#1.
  private static let rsaMembers = ["d", "p", "q", "dp", "dq", "qi"]

  private static func jwk(_ text: [UInt8]) throws(ClientKeyProblem) -> (PrivateKey, SigningAlgorithm?) {
    let document: JSONDocument
    do {
      document = try JSONDocument(
        text, limits: .init(bytes: bytesMax, depth: 8, values: 256), lifting: Set(rsaMembers + ["k"]))
    } catch { throw .notAKey(detail: error.sentence) }
    var secrets = document.lifted
    defer { for name in Array(secrets.keys) { wipe(&secrets[name, default: []]) } }
    let jwk = document.root
    guard document.topLevelDuplicates.isEmpty else { throw .notAKey(detail: "a member of the JWK stands there twice") }
    guard jwk["keys"] == nil else { throw .notAKey(detail: "it is a key set; give the one key out of it") }
    guard let type = jwk["kty"]?.string else { throw .notAKey(detail: "the JWK has no kty") }
    if let use = jwk["use"]?.string, use != "sig" { throw .unsupportedKey(kind: "a JWK that is not for signatures") }
    var algorithm: SigningAlgorithm?
    if let name = jwk["alg"]?.string {
      guard let known = SigningAlgorithm(rawValue: name) else {
        throw .unsupportedKey(kind: "a JWK for another algorithm than ES384, RS384, ES256 and RS256")
      }
      algorithm = known
    }
    switch type {
    case "EC": return (try ec(jwk, secrets["d"]), algorithm)
    case "RSA": return (try rsa(jwk, secrets), algorithm)
    case "oct": throw .unsupportedKey(kind: "a shared secret")
    default: throw .unsupportedKey(kind: "a JWK whose kty is neither EC nor RSA")
    }
  }

  private static func ec(_ jwk: JSON, _ number: [UInt8]?) throws(ClientKeyProblem) -> PrivateKey {
    guard let number else { throw .publicOnly }
    guard var bytes = Base64URL.decode(bytes: number) else { throw .notAKey(detail: "d is not base64url") }
    defer { wipe(&bytes) }
    let key: PrivateKey
    switch jwk["crv"]?.string {
    case "P-384":
      guard let parsed = try? P384.Signing.PrivateKey(rawRepresentation: bytes) else {
        throw .notAKey(detail: "d is no number of this curve")
      }
      key = .p384(parsed)
    case "P-256":
      guard let parsed = try? P256.Signing.PrivateKey(rawRepresentation: bytes) else {
        throw .notAKey(detail: "d is no number of this curve")
      }
      key = .p256(parsed)
    default: throw .unsupportedKey(kind: "an EC key on another curve than P-384 and P-256")
    }
    let known = try key.publicMembers
    for name in ["x", "y"] {
      guard let brought = jwk[name]?.string, let point = Base64URL.decode(bytes: brought.utf8),
        let own = known[name].flatMap({ Base64URL.decode(bytes: $0.utf8) }),
        // Some leave leading zeros out, which they must not; the key is sound all the same.
        point.drop(while: { $0 == 0 }).elementsEqual(own.drop(while: { $0 == 0 }))
      else { throw .notAKey(detail: "x and y do not belong to d") }
    }
    return key
  }

  private static func rsa(_ jwk: JSON, _ secrets: [String: [UInt8]]) throws(ClientKeyProblem) -> PrivateKey {
    guard secrets["d"] != nil else { throw .publicOnly }
    var numbers: [[UInt8]] = []
    defer { for i in numbers.indices { wipe(&numbers[i]) } }
    for name in ["n", "e"] {
      guard let number = jwk[name]?.string.flatMap({ Base64URL.decode(bytes: $0.utf8) }), !number.isEmpty else {
        throw .notAKey(detail: "\(name) is missing or not base64url")
      }
      numbers.append(number)
    }
    for name in rsaMembers {
      guard let text = secrets[name] else {
        throw .notAKey(detail: "the JWK has d, but not all of p, q, dp, dq and qi")
      }
      guard let number = Base64URL.decode(bytes: text), !number.isEmpty else {
        throw .notAKey(detail: "\(name) is not base64url")
      }
      numbers.append(number)
    }
    var der = DER.pkcs1(numbers)
    defer { wipe(&der) }
    return try rsa(der)
  }
}
