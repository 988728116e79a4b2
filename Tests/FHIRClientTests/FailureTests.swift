/// What a client does about a daemon that is away, mute, gone, or something else altogether.
import FHIRClient
import FHIRControl
import FakeDaemon
import Foundation
import Testing

private func call(_ path: String, timeoutSeconds: Double? = nil) -> ClientError? {
  call(FHIRClient(socketPath: path), timeoutSeconds)
}

private func call(_ client: FHIRClient, _ timeoutSeconds: Double? = nil) -> ClientError? {
  do throws(ClientError) {
    _ = try client.accessRules(timeoutSeconds: timeoutSeconds)
    return nil
  } catch {
    return error
  }
}

@Suite struct FailureTests {
  @Test func `a socket that does not exist is an unreachable daemon, named by its path`() {
    let error = call("/tmp/no-such-directory/d.sock")
    #expect(error?.code == .daemonUnreachable)
    #expect(error?.exitStatus == 69)
    #expect(error?.message.contains("/tmp/no-such-directory/d.sock") == true)
  }

  @Test func `a socket that nobody listens on is an unreachable daemon`() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try Data().write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    #expect(call(file.path)?.code == .daemonUnreachable)
  }

  @Test func `a path too long for a socket is refused with both lengths`() {
    let error = call("/tmp/" + String(repeating: "x", count: 200))
    #expect(error?.code == .unsendable)
    #expect(error?.exitStatus == 64)
    #expect(error?.message.contains("107") == true)
    #expect(error?.message.contains("205") == true)
  }

  @Test func `a daemon that never answers is given up after its timeout and a grace`() {
    let daemon = FakeDaemon(["access.list": .hang])
    let start = ContinuousClock.now
    let error = call(daemon.path, timeoutSeconds: 0.2)
    let took = ContinuousClock.now - start
    #expect(error?.code == .timedOut)
    #expect(error?.exitStatus == 75)
    #expect(took >= .seconds(0.2 + FHIRClient.graceSeconds))
    #expect(took < .seconds(20))
  }

  @Test func `after a timeout the late answer cannot be taken for the next one`() throws {
    let daemon = FakeDaemon { request in request.connection == 1 ? [.hang] : [.result(#"{"rules":[]}"#)] }
    let client = FHIRClient(socketPath: daemon.path)
    #expect(call(client, 0.1)?.code == .timedOut)
    #expect(call(client) == nil)
    #expect(daemon.connections == 2)
  }

  @Test func `a daemon that closes before it answers is a lost connection, and the next call connects anew`() {
    let daemon = FakeDaemon { request in request.connection == 1 ? [.close] : [.result(#"{"rules":[]}"#)] }
    let client = FHIRClient(socketPath: daemon.path)
    let error = call(client)
    #expect(error?.code == .connectionLost)
    #expect(error?.exitStatus == 69)
    #expect(call(client) == nil)
  }

  @Test func `a connection that the daemon closed while it was idle is replaced before anything is sent`() {
    let daemon = FakeDaemon { _ in [.result(#"{"rules":[]}"#), .close] }
    let client = FHIRClient(socketPath: daemon.path)
    for round in 1...5 {
      #expect(call(client) == nil)
      #expect(daemon.hasClosed(round))
    }
  }

  @Test(arguments: [
    "hello\n", "\n", "[]\n", "{}\n", "{\"id\":ID}\n", "{\"id\":ID,\"result\":7}\n", "{\"id\":ID,\"result\":{}}\n",
    "\u{0}\u{0}{\n", "{\"id\":\"ID\",\"result\":{\"rules\":[]}}\n", "HTTP/1.1 400 Bad Request\n",
    "{\"id\":4711,\"result\":{\"rules\":[]}}\n", "{\"result\":{\"rules\":[]}}\n", "{\"id\":ID,\"error\":{}}\n",
  ])
  func `what is not an answer to the request is a protocol violation`(line: String) {
    let daemon = FakeDaemon { _ in [.raw(line)] }
    let error = call(daemon.path)
    #expect(error?.code == .protocolViolation)
    #expect(error?.exitStatus == 1)
  }

  @Test func `a violation names the place and never the value`() {
    let daemon = FakeDaemon([
      "token.get": .result(
        #"{"access_token":{"s3cret":1},"token_type":"Bearer","expires_at":"s3cret","expires_in":1,"fhir_base_url":"u"}"#
      )
    ])
    do throws(ClientError) {
      _ = try FHIRClient(socketPath: daemon.path).token("epic")
      Issue.record("an access token that is an object was taken")
    } catch {
      #expect(error.message.contains("access_token"))
      #expect(!"\(error)".contains("s3cret"))
    }
  }

  @Test func `a line without an end is cut off at the limit`() {
    let daemon = FakeDaemon { _ in [.flood(FHIRClient.replyBytesMax + (1 << 20))] }
    let error = call(daemon.path)
    #expect(error?.code == .protocolViolation)
    #expect(error?.message.contains("16 MiB") == true)
  }

  @Test func `a timeout out of range is refused before anything is sent`() {
    let daemon = FakeDaemon([:])
    for seconds in [0, -1, Double.nan, Double.infinity, 3601] {
      #expect(call(daemon.path, timeoutSeconds: seconds)?.code == .unsendable)
    }
    #expect(daemon.connections == 0)
  }

  @Test func `a request longer than the daemon reads is refused before anything is sent`() {
    let daemon = FakeDaemon([:])
    var fields = ConnectionFields()
    fields.additionalNotes = String(repeating: "x", count: FHIRClient.requestBytesMax)
    do throws(ClientError) {
      _ = try FHIRClient(socketPath: daemon.path).createConnection(fields)
      Issue.record("a request of more than the limit was sent")
    } catch {
      #expect(error.code == .unsendable)
    }
    #expect(daemon.connections == 0)
  }
}
