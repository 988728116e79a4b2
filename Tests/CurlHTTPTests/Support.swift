/// What the tests of CurlHTTP share: clients, requests, secrets, and an environment that would lead astray.
import ConnectionCore
import CurlHTTP
import Foundation
import SMARTProtocol
import TestSupport
import Testing

/// Every test runs with proxies in the environment where nobody listens: a client that looked there would fail.
private let misledEnvironment: Void = {
  for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
    setenv(name, "http://127.0.0.1:1", 1)
  }
}()

func makeClient(_ change: (inout CurlHTTP.Options) -> Void = { _ in }) throws -> CurlHTTP {
  _ = misledEnvironment
  var options = CurlHTTP.Options()
  options.allowInsecureLoopback = true
  change(&options)
  return try CurlHTTP(options: options)
}

/// Runs a test with a client and its server, and ends both.
func withServer<R>(
  _ server: RawServer, _ client: CurlHTTP? = nil, _ test: (CurlHTTP, RawServer) async throws -> R
) async throws -> R {
  let http = try client ?? makeClient()
  let result: Result<R, any Error>
  do { result = .success(try await test(http, server)) } catch { result = .failure(error) }
  #expect(await http.stop(deadline: .seconds(10)), "the loop did not end")
  server.stop()
  return try result.get()
}

/// Asks again and again until it is so.
func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
  _ = try await eventually(what) { try await isSo() ? true : nil }
}

private final class PlainSecret: SecretStorage {
  private let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }
  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { bytes.withUnsafeBytes(body) }
}

func secret(_ text: String) -> SharedSecret {
  let bytes = Array(text.utf8)
  return SharedSecret(SecretBytes(storage: PlainSecret(bytes), count: bytes.count))
}

extension HTTPReply {
  var text: String { String(decoding: body, as: UTF8.self) }
}

extension CurlHTTP {
  /// `send` with an untyped error: #expect does not take typed ones.
  func reply(_ request: HTTPRequest) async throws -> HTTPReply { try await send(request) }

  /// The failure that a request must end with.
  func failure(
    _ request: HTTPRequest, _ location: SourceLocation = #_sourceLocation
  ) async -> HTTPFailure {
    do throws(HTTPFailure) {
      let reply = try await send(request)
      Issue.record("answered with \(reply.status) instead of a failure", sourceLocation: location)
      return HTTPFailure(.cancelled, detail: "none", mayHaveBeenSent: false)
    } catch { return error }
  }
}

extension HTTPRequest {
  func with(_ change: (inout HTTPRequest) -> Void) -> HTTPRequest {
    var changed = self
    change(&changed)
    return changed
  }
}
