/// Client keys over the control socket: made, brought, rotated, published; private halves nowhere but sealed.
import FHIRControl
import Foundation
import TestSupport
import Testing

@Suite("client keys", .needs(.python3, .daemon))
struct KeyTests {
  private static let privateMembers: Set<String> = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
  /// RFC 7515 appendix A.3.
  private static let privateNumber = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
  private static let privateJWK =
    #"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#
    + #""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"\#(privateNumber)"}"#

  private func named(_ name: String, _ more: WireJSON = [:]) -> WireJSON {
    let reference: WireJSON = ["connection": .string(name)]
    return reference.merging(more)
  }

  @Test func `R5.11 a key is made, listed and published, and survives a kill`() async throws {
    try await onStage { stage in
      try await stage.create("epic")
      let made = try await stage.control.result("key.create", named("epic"))
      #expect(made["algorithm"] == "ES384" && made["state"] == "active" && made["connection_name"] == "epic")
      let set = try await stage.control.result("jwks.get", named("epic"))
      #expect(set["keys"].array.count == 1)
      let key = set["keys"].array[0]
      #expect(key["kid"] == made["kid"] && key["kty"] == "EC" && key["crv"] == "P-384" && key["use"] == "sig")
      #expect(key["x"].string?.count == 64 && key["y"].string?.count == 64)
      #expect(key == made["jwk"])
      try await stage.daemon.killHard()
      try await stage.daemon.start()
      let again = try await stage.daemon.connect()
      #expect(try await again.result("jwks.get") == set)
      #expect(try await again.result("key.list")["keys"].array.map { $0["kid"] } == [made["kid"]])
    }
  }

  @Test func `R5.09 a second key for the same algorithm is refused with the way to go, one for another is not`()
    async throws
  {
    try await onStage { stage in
      try await stage.create("epic")
      _ = try await stage.control.result("key.create", named("epic"))
      let second = try await stage.control.call("key.create", named("epic", ["algorithm": "ES384"]))
      #expect(code(second) == .validationFailed)
      #expect(second.hint == "fhirctl key rotate 'epic'")
      let rsa = try await stage.control.result("key.create", named("epic", ["algorithm": "RS384"]))
      #expect(rsa["jwk"]["n"].string?.count == 512)
      let unknown = try await stage.control.call("key.create", named("epic", ["algorithm": "HS256"]))
      #expect(code(unknown) == .validationFailed)
      #expect(try await stage.control.result("jwks.get")["keys"].array.count == 2)
    }
  }

  @Test func `R5.12 a rotation publishes old and new; ended, the new one signs and the old one is still there`()
    async throws
  {
    try await onStage { stage in
      try await stage.create("epic")
      let old = try await stage.control.result("key.create", named("epic"))["kid"]
      let under = try await stage.control.result("key.rotate", named("epic", ["overlap_seconds": 3600]))["keys"].array
      #expect(under.map { $0["state"] } == ["active", "next"])
      #expect(under[0]["kid"] == old && under[1]["kid"] != old)
      #expect(try await stage.control.result("jwks.get", named("epic"))["keys"].array.count == 2)
      let again = try await stage.control.call("key.rotate", named("epic", ["overlap_seconds": 60]))
      #expect(code(again) == .validationFailed)
      #expect(again.hint?.contains("--overlap 0") == true)
      let ended = try await stage.control.result("key.rotate", named("epic", ["overlap_seconds": 0]))["keys"].array
      #expect(ended.map { $0["state"] } == ["retired", "active"])
      #expect(ended.map { $0["kid"] } == under.map { $0["kid"] })
      #expect(try await stage.control.result("jwks.get", named("epic"))["keys"].array.count == 2)
      for bad in [-1.0, 604_801] {
        let answer = try await stage.control.call("key.rotate", named("epic", ["overlap_seconds": .number(bad)]))
        #expect(code(answer) == .invalidParams)
      }
    }
  }

  @Test func `R5.12 two rotations at a time make one new key`() async throws {
    try await onStage { stage in
      try await stage.create("epic")
      _ = try await stage.control.result("key.create", named("epic"))
      let ids = try await stage.control.begin("key.rotate", named("epic", ["overlap_seconds": 60]), times: 8)
      var done = 0
      for _ in ids { if try await stage.control.readAnswer().succeeded { done += 1 } }
      #expect(done == 1)
      #expect(try await stage.control.result("key.list", named("epic"))["keys"].array.count == 2)
    }
  }

  @Test func `R5.13 an imported key is sealed, told by its public half alone, and gone with its connection`()
    async throws
  {
    try await onStage { stage in
      try await stage.create("epic")
      let parameters = named("epic", ["private_key": .string(Self.privateJWK)])
      let made = try await stage.control.call("key.create", parameters)
      #expect(made.result["algorithm"] == "ES256")
      let listed = try await stage.control.call("key.list")
      let set = try await stage.control.call("jwks.get")
      let refused = try await stage.control.call("key.create", parameters)
      #expect(code(refused) == .validationFailed)
      let garbage = "-----BEGIN PRIVATE KEY-----\n\(Self.privateNumber)\n-----END PRIVATE KEY-----"
      let wrong = try await stage.control.call("key.create", named("epic", ["private_key": .string(garbage)]))
      #expect(wrong.error["data"]["fields"].array.first?["field"] == "private_key")
      for answer in [made, listed, set, refused, wrong] {
        #expect(!answer.description.contains(Self.privateNumber))
      }
      for key in set.result["keys"].array {
        #expect(Self.privateMembers.isDisjoint(with: key.object.keys))
      }
      #expect(stage.daemon.standardError.contains(made.result["kid"].string ?? "?"))
      #expect(!stage.daemon.standardError.contains(Self.privateNumber))
      let base64 = Self.privateNumber.replacing("-", with: "+").replacing("_", with: "/") + "="
      let number = Array(try #require(Data(base64Encoded: base64)))
      for file in TestMachine.files(below: stage.daemon.directory) {
        #expect(!Hunt.contains(file.bytes, Array(Self.privateNumber.utf8)), "\(file.path)")
        #expect(!Hunt.contains(file.bytes, number), "\(file.path)")
      }
      _ = try await stage.control.result("connection.delete", named("epic", ["revoke": false]))
      #expect(try await stage.control.result("key.list")["keys"].array.isEmpty)
    }
  }

  @Test func `keys are shown to those who may see the connection`() async throws {
    try await onStage { stage in
      try await stage.create("epic")
      try await stage.create("cerner")
      _ = try await stage.control.result("key.create", named("epic"))
      _ = try await stage.control.result("key.create", named("cerner"))
      let missing = try await stage.control.call("key.rotate", named("nowhere"))
      #expect(code(missing) == .connectionNotFound)
      let none = try await stage.control.call("key.rotate", named("epic", ["overlap": 5]))
      #expect(code(none) == .invalidParams)
      #expect(try await stage.control.result("key.list")["keys"].array.count == 2)
      #expect(try await stage.control.result("key.list", named("CERNER"))["keys"].array.count == 1)
    }
  }
}
