/// The calls about client keys (`private_key_jwt`): private keys go in, never out.
public import FHIRControl

extension FHIRClient {
  /// Makes a key, or takes one that exists.
  /// - Parameters:
  ///   - algorithm: ES384, RS384, ES256 or RS256; nil: ES384, or by the kind of the key that is brought.
  ///   - privateKey: PEM (PKCS#8, PKCS#1, SEC 1) or a private JWK.
  public func createKey(
    _ connection: String, algorithm: String? = nil, privateKey: String? = nil, kid: String? = nil,
    timeoutSeconds: Double? = nil
  ) throws(ClientError) -> KeySummary {
    try call(
      .keyCreate, KeyCreateParameters(connection: connection, algorithm: algorithm, privateKey: privateKey, kid: kid),
      timeoutSeconds: timeoutSeconds)
  }

  /// Publishes a new key for each that signs; it takes over after the overlap.
  /// - Parameter overlapSeconds: 0 to 604800; nil is 86400. 0 ends a rotation that is under way.
  public func rotateKey(
    _ connection: String, overlapSeconds: Double? = nil, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> KeyList {
    try call(
      .keyRotate, KeyRotateParameters(connection: connection, overlapSeconds: overlapSeconds),
      timeoutSeconds: timeoutSeconds)
  }

  /// - Parameter connection: id or name; nil: of every connection that the caller may see.
  public func keys(_ connection: String? = nil, timeoutSeconds: Double? = nil) throws(ClientError) -> KeyList {
    try call(.keyList, KeyListParameters(connection: connection), timeoutSeconds: timeoutSeconds)
  }

  /// The public keys, as a server reads them.
  /// - Parameter connection: id or name; nil: of every connection that the caller may see.
  public func keySet(_ connection: String? = nil, timeoutSeconds: Double? = nil) throws(ClientError) -> JWKSet {
    try call(.jwksGet, KeyListParameters(connection: connection), timeoutSeconds: timeoutSeconds)
  }
}
