/// Calls against a scripted daemon: what goes over the wire, and what a caller gets.
import FHIRClient
import FHIRControl
import FakeDaemon
import Foundation
import Testing

private let token =
  #"{"access_token":"at-1","token_type":"Bearer","expires_at":"2026-11-23T18:00:00Z","expires_in":60,"fhir_base_url":"https://h/R4"}"#

private func failure(_ body: () throws -> Void) -> ClientError? {
  do {
    try body()
    return nil
  } catch {
    return error as? ClientError
  }
}

@Suite struct CallTests {
  @Test func `a request is one JSON-RPC line with the timeout among its parameters`() throws {
    let daemon = FakeDaemon(["token.get": .result(token)])
    let result = try FHIRClient(socketPath: daemon.path).token("epic", minValidSeconds: 120, timeoutSeconds: 7)
    #expect(result.accessToken == "at-1")
    let request = try #require(daemon.requests.first)
    let object = try #require(
      JSONSerialization.jsonObject(with: Data(request.line.utf8)) as? [String: Any])
    #expect(object["jsonrpc"] as? String == "2.0")
    #expect(Set(object.keys) == ["jsonrpc", "id", "method", "params"])
    #expect(request.parameter("connection") == #""epic""#)
    #expect(request.parameter("min_valid_seconds") == "120")
    #expect(request.parameter("timeout_seconds") == "7")
    #expect(request.parameter("subject") == nil)
  }

  @Test func `a method without parameters sends an empty object`() throws {
    let daemon = FakeDaemon(["access.list": .result(#"{"rules":[]}"#)])
    #expect(try FHIRClient(socketPath: daemon.path).accessRules().rules.isEmpty)
    #expect(daemon.requests.first?.line.contains(#""params":{}"#) == true)
  }

  @Test func `calls of one client share a connection and never an id`() throws {
    let daemon = FakeDaemon(["token.get": .result(token)])
    let client = FHIRClient(socketPath: daemon.path)
    for _ in 0..<3 { _ = try client.token("epic") }
    #expect(daemon.connections == 1)
    #expect(Set(daemon.requests.map(\.id)).count == 3)
  }

  @Test func `a refusal carries the daemon's whole error and keeps the connection`() throws {
    let error = ControlError(
      .accessDenied, "uid 1000 may not call token.get", hint: "fhirctl access grant uid:1000 --method token.get")
    let json = String(decoding: try JSONEncoder().encode(error), as: UTF8.self)
    let daemon = FakeDaemon(["token.get": .error(json), "access.list": .result(#"{"rules":[]}"#)])
    let client = FHIRClient(socketPath: daemon.path)
    let refusal = try #require(failure { _ = try client.token("epic") })
    #expect(refusal.code == .refused)
    #expect(refusal.controlError == error)
    #expect(refusal.hint == error.data.hint)
    #expect(refusal.exitStatus == 77)
    _ = try client.accessRules()
    #expect(daemon.connections == 1)
  }

  @Test func `every error code of the daemon gives its own exit status`() throws {
    for code in ErrorCode.allCases {
      let json = String(decoding: try JSONEncoder().encode(ControlError(code, "no")), as: UTF8.self)
      let daemon = FakeDaemon(["access.list": .error(json)])
      let refusal = failure { _ = try FHIRClient(socketPath: daemon.path).accessRules() }
      #expect(refusal?.exitStatus == code.exitStatus, "\(code)")
    }
  }

  @Test func `an error code of a later version is still told with its hint`() throws {
    let daemon = FakeDaemon([
      "access.list": .error(
        #"{"code":-32099,"message":"the moon is full","data":{"code":"FULL_MOON","hint":"wait","type":"t","detail":"d"}}"#
      )
    ])
    let refusal = try #require(failure { _ = try FHIRClient(socketPath: daemon.path).accessRules() })
    #expect(refusal.code == .refused)
    #expect(refusal.message == "the moon is full")
    #expect(refusal.hint == "wait")
    #expect(refusal.exitStatus == 1)
  }

  @Test func `an error that answers no request by id is taken as the answer`() throws {
    let json = String(decoding: try JSONEncoder().encode(ControlError(.overloaded, "too many clients")), as: UTF8.self)
    let daemon = FakeDaemon(["access.list": .raw(#"{"jsonrpc":"2.0","id":null,"error":\#(json)}"# + "\n")])
    let refusal = failure { _ = try FHIRClient(socketPath: daemon.path).accessRules() }
    #expect(refusal?.exitStatus == 75)
  }

  @Test func `notifications before the answer are passed over`() throws {
    let daemon = FakeDaemon { _ in
      [
        .raw(#"{"jsonrpc":"2.0","method":"progress","params":{"n":1}}"# + "\n"),
        .raw(#"{"jsonrpc":"2.0","method":"event","params":{}}"# + "\n"), .result(#"{"rules":[]}"#),
      ]
    }
    #expect(try FHIRClient(socketPath: daemon.path).accessRules().rules.isEmpty)
  }

  @Test func `members that this version does not know are passed over, and kept in the raw result`() throws {
    let result = #"{"rules": [], "later": {"a,}": "]\"}", "n": [1, {"result": 2}]}, "big": 12345678901234567890}"#
    let daemon = FakeDaemon { _ in [.raw("{ \"note\" : \"result\" ,\"id\":ID, \"result\" : \(result) }\n")] }
    let client = FHIRClient(socketPath: daemon.path)
    #expect(try client.accessRules().rules.isEmpty)
    let raw = try client.callRaw(.accessList, NoParameters())
    #expect(String(decoding: raw, as: UTF8.self) == result)
  }

  @Test func `an answer that arrives in pieces is one answer`() throws {
    let daemon = FakeDaemon { _ in
      var pieces: [FakeDaemon.Answer] = [.raw(#"{"id":ID,"#)]
      pieces += #""jsonrpc":"2.0","result":{"rules":[]}}"#.map { .raw(String($0)) }
      return pieces + [.raw("\n")]
    }
    #expect(try FHIRClient(socketPath: daemon.path).accessRules().rules.isEmpty)
  }

  @Test func `a list is read page by page to its end`() throws {
    let daemon = FakeDaemon { request in
      switch request.parameter("cursor") {
      case nil: [.result(#"{"connections":[],"unreadable":[{"id":"1","detail":"d","hint":"h"}],"next_cursor":"b"}"#)]
      case #""b""#: [.result(#"{"connections":[],"next_cursor":"c"}"#)]
      default: [.result(#"{"connections":[],"unreadable":[{"id":"2","detail":"d","hint":"h"}]}"#)]
      }
    }
    let page = try FHIRClient(socketPath: daemon.path).connections(filter: "e*")
    #expect(page.unreadable?.map(\.id) == ["1", "2"])
    #expect(page.nextCursor == nil)
    #expect(daemon.requests.count == 3)
    #expect(daemon.requests.allSatisfy { $0.parameter("filter") == #""e*""# })
  }

  @Test func `a list that gives the same cursor again is not followed for ever`() throws {
    let daemon = FakeDaemon(["connection.list": .result(#"{"connections":[],"next_cursor":"b"}"#)])
    let error = failure { _ = try FHIRClient(socketPath: daemon.path).connections() }
    #expect(error?.code == .protocolViolation)
    #expect(daemon.requests.count == 2)
  }
}
