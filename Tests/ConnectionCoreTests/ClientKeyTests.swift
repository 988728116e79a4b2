/// Client keys over time: who signs, what is published, what goes; and that records hold their private half apart.
import FHIRControl
import Testing

@testable import ConnectionCore

private func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: seconds * 1000) }

private let connection = ConnectionID(high: 1, low: 2)

private func key(
  _ kid: String, _ algorithm: SigningAlgorithm = .es384, from: Int64 = 0, until: Int64? = nil, published: Int64? = nil
) -> ClientKeyRecord {
  let material = ClientKeyMaterial(
    algorithm: algorithm, kid: kid, publicJWK: ["kty": "EC", "kid": kid], privateBytes: [1])
  var record = ClientKeyRecord(material, of: connection, createdAt: at(from), signsFrom: at(from))
  record.signsUntil = until.map(at)
  record.publishedUntil = published.map(at)
  return record
}

@Suite struct ClientKeyPlanTests {
  private let grace = ClientKeyPlan.retiredGraceSeconds
  private let day: Int64 = 86400

  @Test func `R5.12 a key is next, active, retired and gone, each to the second`() {
    let record = key("a", from: 100, until: 200, published: 300)
    let states =
      [(99, .next), (100, .active), (199, .active), (200, .retired), (299, .retired), (300, .gone)]
      as [(Int64, ClientKeyPlan.State)]
    for (second, state) in states { #expect(ClientKeyPlan.state(of: record, at: at(second)) == state) }
    #expect(ClientKeyPlan.state(of: key("b"), at: at(1 << 40)) == .active)
  }

  @Test func `R5.12 a rotation publishes both at once, the new kid signs after the overlap, the old one goes later`()
    throws
  {
    let old = key("old")
    let rotation = try ClientKeyPlan([old], now: at(1000)).rotate(overlapSeconds: Double(day))
    #expect(rotation.toMake == [.es384])
    #expect(rotation.signsFrom == at(1000 + day))
    let changed = try #require(rotation.changed.first)
    #expect(changed.signsUntil == rotation.signsFrom)
    #expect(changed.publishedUntil == at(1000 + day + grace))
    var new = key("new", from: 1000 + day)
    new.createdAt = at(1000)
    func plan(_ second: Int64) -> ClientKeyPlan { ClientKeyPlan([changed, new], now: at(second)) }
    for (second, signs, published) in [
      (1000, "old", ["old", "new"]), (999 + day, "old", ["old", "new"]), (1000 + day, "new", ["old", "new"]),
      (999 + day + grace, "new", ["old", "new"]), (1000 + day + grace, "new", ["new"]),
    ] {
      #expect(plan(second).signing(algorithms: nil)?.kid == signs, "\(second)")
      #expect(plan(second).published.map(\.kid) == published, "\(second)")
    }
    #expect(plan(1000 + day + grace).erasable.map(\.kid) == ["old"])
  }

  @Test func `R5.12 without an overlap the new key signs at once and the old one is still published`() throws {
    let rotation = try ClientKeyPlan([key("old")], now: at(50)).rotate(overlapSeconds: 0)
    let plan = ClientKeyPlan(rotation.changed + [key("new", from: 50)], now: at(50))
    #expect(plan.signing(algorithms: nil)?.kid == "new")
    #expect(plan.published.count == 2)
  }

  @Test func `R5.12 a second rotation waits for the first, and an overlap of 0 ends it`() throws {
    let under = [key("old", until: 500, published: 500 + grace), key("new", from: 500)]
    let plan = ClientKeyPlan(under, now: at(100))
    #expect(throws: ClientKeyPlan.RotationRefusal.underWay(until: at(500))) { try plan.rotate(overlapSeconds: 60) }
    let rotation = try plan.rotate(overlapSeconds: 0)
    #expect(rotation.toMake.isEmpty)
    let after = ClientKeyPlan(rotation.changed, now: at(100))
    #expect(after.signing(algorithms: nil)?.kid == "new")
    #expect(after.keys(in: .retired).map(\.kid) == ["old"])
  }

  @Test func `R5.12 there is nothing to rotate without a key, and an end to how many are published`() throws {
    #expect(throws: ClientKeyPlan.RotationRefusal.noKey) {
      try ClientKeyPlan([], now: at(0)).rotate(overlapSeconds: 0)
    }
    let gone = key("gone", until: 1, published: 2)
    #expect(throws: ClientKeyPlan.RotationRefusal.noKey) {
      try ClientKeyPlan([gone], now: at(5)).rotate(overlapSeconds: 0)
    }
    var records = [key("active")]
    records += (1..<ClientKeyPlan.keysMax).map { key("retired \($0)", until: 1, published: 1 << 40) }
    #expect(throws: ClientKeyPlan.RotationRefusal.tooMany) {
      try ClientKeyPlan(records, now: at(5)).rotate(overlapSeconds: 0)
    }
  }

  @Test func `R5.09 the key is picked by what the server takes`() {
    let plan = ClientKeyPlan([key("rsa", .rs384), key("ec", .es384)], now: at(5))
    #expect(plan.signing(algorithms: nil)?.kid == "ec")
    #expect(plan.signing(algorithms: [])?.kid == "ec")
    #expect(plan.signing(algorithms: ["RS384"])?.kid == "rsa")
    #expect(plan.signing(algorithms: ["RS384", "ES384"])?.kid == "ec")
    #expect(plan.signing(algorithms: nil, preferred: .rs384)?.kid == "rsa")
    #expect(plan.signing(algorithms: ["ES384"], preferred: .rs384)?.kid == "ec")
    #expect(plan.signing(algorithms: ["PS256"])?.kid == nil)
  }

  @Test func `R5.12 a clock that went back does not leave a connection without a key`() {
    #expect(ClientKeyPlan([key("new", from: 1000)], now: at(5)).signing(algorithms: nil)?.kid == "new")
    let both = [key("new", from: 1000), key("old", until: 1000, published: 5000)]
    #expect(ClientKeyPlan(both, now: at(5)).signing(algorithms: nil)?.kid == "old")
  }
}

@Suite struct ClientKeyRecordTests {
  @Test func `R5.13 a record comes back whole, its private half only where it is lent`() throws {
    let secret = (0..<48).map { UInt8($0) }
    var record = key("a", from: 5, until: 6, published: 7)
    record.publicJWK = ["kty": "EC", "crv": "P-384", "x": "AQ", "y": "Ag", "kid": "a", "alg": "ES384", "use": "sig"]
    let bytes = secret.withUnsafeBytes { record.encoded(privateHalf: $0) }
    #expect(try bytes.withUnsafeBytes { try ClientKeyRecord($0) } == record)
    #expect(try bytes.withUnsafeBytes { Array(try ClientKeyRecord.privateHalf(in: $0)) } == secret)
    #expect(!"\(record)".contains("\(secret)"))
    for count in 0..<bytes.count {
      let readable = bytes[..<count].withUnsafeBytes { (try? ClientKeyRecord.privateHalf(in: $0)) != nil }
      #expect(!readable, "\(count) bytes")
    }
  }

  @Test func `R5.11 a private member never gets into a record, a summary or a key set`() throws {
    let jwk = [
      "kty": "RSA", "n": "AQ", "e": "AQAB", "d": "secret", "p": "secret", "q": "secret", "dp": "secret", "k": "secret",
    ]
    let material = ClientKeyMaterial(algorithm: .rs384, kid: "a", publicJWK: jwk, privateBytes: [1])
    let record = ClientKeyRecord(material, of: connection, createdAt: at(0), signsFrom: at(0))
    #expect(Set(record.publicJWK.keys) == ["kty", "n", "e"])
    var tampered = record
    tampered.publicJWK = jwk
    #expect(Set(tampered.summary(named: "epic", state: .active).jwk.keys) == ["kty", "n", "e"])
    let bytes = [UInt8(1)].withUnsafeBytes { tampered.encoded(privateHalf: $0) }
    #expect(throws: RecordMalformed.self) { _ = try bytes.withUnsafeBytes { try ClientKeyRecord($0) } }
  }

  @Test func `a key and the client secret of a connection lie apart, under the same prefix`() {
    let address = Ledger.clientKeyAddress(connection, kid: "abc")
    #expect(address.table == .keys && address.key == connection.bytes + Array("jwkabc".utf8))
    #expect(!Ledger.secretAddress(connection).key.starts(with: connection.bytes + Array("jwk".utf8)))
    #expect(!Ledger.clientKeySetAddress(connection).key.starts(with: connection.bytes + Array("jwk".utf8)))
    #expect(Ledger.clientKeySetAddress(connection).key.starts(with: connection.bytes))
  }
}
