/// Verifies a compact JWS against a JWK Set. Foreign bytes on both sides: bounded, total, and no way to `none` or HMAC.
import Crypto
import CryptoExtras
import FoundationEssentials
import SMARTProtocol

/// The algorithms that a server may have signed with. Source: RFC 7518 section 3.1; HMAC and `none` are not among them.
enum VerifyingAlgorithm: String {
  case es256 = "ES256"
  case es384 = "ES384"
  case es512 = "ES512"
  case rs256 = "RS256"
  case rs384 = "RS384"
  case rs512 = "RS512"
  case ps256 = "PS256"
  case ps384 = "PS384"
  case ps512 = "PS512"

  /// The curve of its keys; nil: RSA.
  var curve: String? {
    switch self {
    case .es256: "P-256"
    case .es384: "P-384"
    case .es512: "P-521"
    case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512: nil
    }
  }
}

/// A token taken apart. Source: RFC 7515 section 7.1.
struct SignedToken {
  let algorithm: VerifyingAlgorithm
  let kid: String?
  let signedBytes: [UInt8]
  let signature: [UInt8]

  /// An id_token with every claim that was ever seen has some kilobytes.
  static let bytesMax = 64 << 10
  private static let headerLimits = JSONDocument.Limits(bytes: 16 << 10, depth: 8, values: 256)

  /// nil: not three parts, no JSON header, a header that asks for what is not understood, or an algorithm that never
  /// verifies here.
  init?(_ token: [UInt8]) {
    guard token.count <= Self.bytesMax else { return nil }
    let parts = token.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Base64URL.decode(bytes: parts[0]),
      Base64URL.decode(bytes: parts[1]) != nil, let signature = Base64URL.decode(bytes: parts[2]),
      let document = try? JSONDocument(header, limits: Self.headerLimits), document.topLevelDuplicates.isEmpty,
      let algorithm = document.root["alg"]?.string.flatMap(VerifyingAlgorithm.init(rawValue:)),
      // RFC 7515 section 4.1.11: a recipient that does not know a critical member must refuse.
      document.root["crit"] == nil
    else { return nil }
    self.algorithm = algorithm
    kid = document.root["kid"]?.string
    signedBytes = parts[0] + [UInt8(ascii: ".")] + parts[1]
    self.signature = signature
  }
}

struct PublicKeySet {
  private let keys: [JSON]

  /// A set that does not parse has no keys; a key that does not parse verifies nothing, the others stay good.
  init(_ jwks: [UInt8]) {
    keys = (try? JSONDocument(jwks, limits: .small))?.root["keys"]?.elements ?? []
  }

  /// Each try costs a fraction of a millisecond, so a set of thousands would be a way to keep fhird busy.
  private static let triesMax = 32

  func verifies(_ token: SignedToken) -> Bool {
    let fitting = keys.filter { Self.fits($0, token.algorithm) }
    let named = token.kid.map { kid in fitting.filter { $0["kid"]?.string == kid } } ?? []
    return (named.isEmpty ? fitting : named).prefix(Self.triesMax).contains { Self.verifies(token, $0) }
  }

  private static func fits(_ jwk: JSON, _ algorithm: VerifyingAlgorithm) -> Bool {
    if let use = jwk["use"]?.string, use != "sig" { return false }
    if let named = jwk["alg"]?.string, named != algorithm.rawValue { return false }
    guard let curve = algorithm.curve else { return jwk["kty"]?.string == "RSA" }
    return jwk["kty"]?.string == "EC" && jwk["crv"]?.string == curve
  }

  private static func verifies(_ token: SignedToken, _ jwk: JSON) -> Bool {
    switch token.algorithm {
    case .es256:
      guard let point = point(jwk, 32), let key = try? P256.Signing.PublicKey(x963Representation: point),
        let signature = try? P256.Signing.ECDSASignature(rawRepresentation: token.signature)
      else { return false }
      return key.isValidSignature(signature, for: token.signedBytes)
    case .es384:
      guard let point = point(jwk, 48), let key = try? P384.Signing.PublicKey(x963Representation: point),
        let signature = try? P384.Signing.ECDSASignature(rawRepresentation: token.signature)
      else { return false }
      return key.isValidSignature(signature, for: token.signedBytes)
    case .es512:
      guard let point = point(jwk, 66), let key = try? P521.Signing.PublicKey(x963Representation: point),
        let signature = try? P521.Signing.ECDSASignature(rawRepresentation: token.signature)
      else { return false }
      return key.isValidSignature(signature, for: token.signedBytes)
    case .rs256: return isRSA(token, jwk, SHA256.hash(data: token.signedBytes), .insecurePKCS1v1_5)
    case .rs384: return isRSA(token, jwk, SHA384.hash(data: token.signedBytes), .insecurePKCS1v1_5)
    case .rs512: return isRSA(token, jwk, SHA512.hash(data: token.signedBytes), .insecurePKCS1v1_5)
    case .ps256: return isRSA(token, jwk, SHA256.hash(data: token.signedBytes), .PSS)
    case .ps384: return isRSA(token, jwk, SHA384.hash(data: token.signedBytes), .PSS)
    case .ps512: return isRSA(token, jwk, SHA512.hash(data: token.signedBytes), .PSS)
    }
  }

  private static func isRSA(
    _ token: SignedToken, _ jwk: JSON, _ digest: some Digest, _ padding: _RSA.Signing.Padding
  ) -> Bool {
    guard let n = number(jwk, "n"), let e = number(jwk, "e"), n.count * 8 <= PrivateKey.rsaBitsMax,
      let key = try? _RSA.Signing.PublicKey(n: n, e: e)
    else { return false }
    return key.isValidSignature(
      _RSA.Signing.RSASignature(rawRepresentation: token.signature), for: digest, padding: padding)
  }

  private static func number(_ jwk: JSON, _ name: String) -> [UInt8]? {
    guard let text = jwk[name]?.string, let bytes = Base64URL.decode(bytes: text.utf8), !bytes.isEmpty else {
      return nil
    }
    return bytes
  }

  /// 4, then both coordinates of full length; servers that leave leading zeros out are helped.
  private static func point(_ jwk: JSON, _ length: Int) -> [UInt8]? {
    guard let x = number(jwk, "x"), let y = number(jwk, "y"), x.count <= length, y.count <= length else { return nil }
    func padded(_ bytes: [UInt8]) -> [UInt8] { [UInt8](repeating: 0, count: length - bytes.count) + bytes }
    return [4] + padded(x) + padded(y)
  }
}
