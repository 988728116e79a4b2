/// How a client proves itself with a key (`private_key_jwt`): a new assertion for every request, in the server's time.
import FHIRControl
import SMARTProtocol
import Synchronization

/// What servers' `Date` headers say of their clocks; assertions are dated by it (R5.07, quirk 34). Forgotten with the
/// process: the next answer tells again.
final class ServerClocks: Sendable {
  /// Servers remembered; more than any operator has, and a bound all the same.
  static let serversMax = 10_000
  private let skews = Mutex<[String: Int64]>([:])

  /// Seconds that the server's clock is ahead of ours.
  func skew(of origin: String) -> Int64 { skews.withLock { $0[origin] ?? 0 } }

  /// - Parameters:
  ///   - sentAt: wall clock of the request, milliseconds since 1970.
  ///   - receivedAt: of its answer.
  func learn(_ date: String?, of origin: String, sentAt: Int64, receivedAt: Int64) {
    let skew = ServerDate.skew(header: date, sentAt: sentAt, receivedAt: receivedAt)
    skews.withLock { skews in
      // Without a word of it, or with a clock like ours, there is nothing to remember.
      guard let seconds = skew.map({ $0.milliseconds / 1000 }), seconds != 0 else {
        skews[origin] = nil
        return
      }
      if skews.count < Self.serversMax || skews[origin] != nil { skews[origin] = seconds }
    }
  }
}

extension Authorizer {
  /// Bytes of a `jti`: 128 bits, never the same twice.
  private static var jtiBytes: Int { 16 }

  /// - Parameters:
  ///   - endpoint: the token endpoint: the audience of every assertion, also of those for its neighbours.
  ///   - found: what discovery has just found; nil: what is stored counts.
  func assertion(
    _ id: ConnectionID?, _ connection: ConnectionRecord, for endpoint: EndpointURL, _ found: DiscoveryRecord?
  ) throws(ControlError) -> [UInt8] {
    let name = connection.name
    guard let id else {
      throw ControlError(
        .invalidClient, "a connection that is not saved has no key to sign with",
        hint: "save it, then: fhirctl key create NAME")
    }
    let now = clock.wall()
    let supported = (found ?? (try? ledger.discovery(id)) ?? nil)?.signingAlgorithms
    do {
      return try ledger.withSigningKey(
        of: id, now: now, algorithms: supported,
        preferred: connection.fields.signingAlgorithm.flatMap(SigningAlgorithm.init(rawValue:))
      ) { (record, privateHalf) throws(ClientKeyProblem) in
        let input = ClientAssertion.signingInput(
          header: ClientAssertion.header(algorithm: record.algorithm.rawValue, kid: record.kid),
          claims: ClientAssertion.claims(
            clientID: connection.fields.clientID ?? "", tokenURL: endpoint.text,
            jti: Base64URL.encode(entropy.bytes(Self.jtiBytes)), nowSeconds: now.milliseconds / 1000,
            skewSeconds: clocks.skew(of: endpoint.origin.description)))
        let signature = try signer.sign(input, privateBytes: privateHalf, record.algorithm)
        return ClientAssertion.compact(signingInput: input, signature: signature)
      }
    } catch { throw ControlError(error, connection: name) }
  }
}
