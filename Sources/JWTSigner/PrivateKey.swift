/// A private key of one of the three kinds that sign here: what it is, what of it is public, and its signature.
import ConnectionCore
import Crypto
import CryptoExtras
import FoundationEssentials
import SMARTProtocol

enum PrivateKey {
  case p384(P384.Signing.PrivateKey)
  case p256(P256.Signing.PrivateKey)
  case rsa(_RSA.Signing.PrivateKey)

  /// Modulus bits. Less is refused by servers and by NIST SP 800-131A; more only costs time at every request.
  static let rsaBitsMin = 2048
  static let rsaBitsMax = 8192

  static func make(_ algorithm: SigningAlgorithm) throws(ClientKeyProblem) -> PrivateKey {
    switch algorithm {
    case .es384: return .p384(P384.Signing.PrivateKey(compactRepresentable: false))
    case .es256: return .p256(P256.Signing.PrivateKey(compactRepresentable: false))
    case .rs384, .rs256:
      // 3072: as strong as P-256 and SHA-256. Source: NIST SP 800-57 part 1, table 2.
      guard let key = try? _RSA.Signing.PrivateKey(keySize: .bits3072) else { throw .cannotSign }
      return .rsa(key)
    }
  }

  /// Reads what `bytes` wrote. Nothing is copied on the way into the library's own memory, which it wipes.
  init(stored bytes: UnsafeRawBufferPointer, _ algorithm: SigningAlgorithm) throws(ClientKeyProblem) {
    switch algorithm {
    case .es384:
      guard let key = unsafe try? P384.Signing.PrivateKey(rawRepresentation: bytes) else { throw .cannotSign }
      self = .p384(key)
    case .es256:
      guard let key = unsafe try? P256.Signing.PrivateKey(rawRepresentation: bytes) else { throw .cannotSign }
      self = .p256(key)
    case .rs384, .rs256:
      guard let key = unsafe try? _RSA.Signing.PrivateKey(derRepresentation: bytes) else { throw .cannotSign }
      self = .rsa(key)
    }
  }

  /// The private half: for EC the number alone, for RSA PKCS#8 in DER. Secret.
  var bytes: [UInt8] {
    switch self {
    case .p384(let key): Self.taken(key.rawRepresentation)
    case .p256(let key): Self.taken(key.rawRepresentation)
    case .rsa(let key): Self.taken(key.pkcs8DERRepresentation)
    }
  }

  private static func taken(_ data: Data) -> [UInt8] {
    var data = data
    let bytes = Array(data)
    data.resetBytes(in: data.startIndex..<data.endIndex)
    return bytes
  }

  var kind: String {
    switch self {
    case .p384: "an EC key on P-384"
    case .p256: "an EC key on P-256"
    case .rsa: "an RSA key"
    }
  }

  /// What it signs, the usual choice first.
  var fitting: [SigningAlgorithm] {
    switch self {
    case .p384: [.es384]
    case .p256: [.es256]
    case .rsa: [.rs384, .rs256]
    }
  }

  /// The members that a thumbprint is made of. Coordinates keep their full length, leading zeros and all.
  /// Source: RFC 7518 section 6.2.1.2; a modulus has none in front (6.3.1.1).
  var publicMembers: [String: String] {
    get throws(ClientKeyProblem) {
      switch self {
      case .p384(let key): return Self.point(key.publicKey.x963Representation, "P-384")
      case .p256(let key): return Self.point(key.publicKey.x963Representation, "P-256")
      case .rsa(let key):
        guard let numbers = try? key.publicKey.getKeyPrimitives() else { throw .cannotSign }
        return [
          "kty": "RSA", "n": Base64URL.encode(numbers.modulus),
          "e": Base64URL.encode(numbers.publicExponent),
        ]
      }
    }
  }

  /// - Parameter x963: 4, then both coordinates.
  private static func point(_ x963: Data, _ curve: String) -> [String: String] {
    let coordinates = x963.dropFirst()
    let half = coordinates.count / 2
    return [
      "kty": "EC", "crv": curve, "x": Base64URL.encode(coordinates.prefix(half)),
      "y": Base64URL.encode(coordinates.suffix(half)),
    ]
  }

  func signature(of input: [UInt8], _ algorithm: SigningAlgorithm) throws(ClientKeyProblem) -> [UInt8] {
    var signature: Data?
    switch (self, algorithm) {
    case (.p384(let key), .es384): signature = try? key.signature(for: input).rawRepresentation
    case (.p256(let key), .es256): signature = try? key.signature(for: input).rawRepresentation
    case (.rsa(let key), .rs384):
      signature = try? key.signature(for: SHA384.hash(data: input), padding: .insecurePKCS1v1_5).rawRepresentation
    case (.rsa(let key), .rs256):
      signature = try? key.signature(for: SHA256.hash(data: input), padding: .insecurePKCS1v1_5).rawRepresentation
    case (.p384, .es256), (.p384, .rs384), (.p384, .rs256), (.p256, .es384), (.p256, .rs384), (.p256, .rs256),
      (.rsa, .es384), (.rsa, .es256):
      throw .wrongAlgorithm(algorithm, kind: kind, fitting: fitting)
    }
    guard let signature else { throw .cannotSign }
    return Array(signature)
  }
}
