/// The notifications of a search, as they stand on the socket.
import FHIRClient
import FHIRControl
import FakeDaemon
import Testing

@Suite struct PagePartTests {
  private static func notice(_ members: String) -> String {
    "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":1,\(members)}}\n"
  }
  private static let answer =
    "{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"status\":200,\"attempts\":1,\"pages\":2,\"complete\":true}}\n"

  private func search(_ lines: String...) throws(ClientError) -> (parts: [FHIRPagePart], facts: FHIRAnswerFacts) {
    let daemon = FakeDaemon { _ in lines.map { .raw($0) } }
    var parts: [FHIRPagePart] = []
    let facts = try FHIRClient(socketPath: daemon.path).search(
      FHIRSearchParameters(connection: "c", resourceType: "Basic")
    ) { parts.append($0) }
    #expect(daemon.requests.first?.parameter("stream") == "true")
    #expect(daemon.requests.first?.parameter("timeout_seconds") == "3600")
    return (parts, facts)
  }

  @Test func `resources become lines, and the answer ends it`() throws {
    let (parts, facts) = try search(
      Self.notice("\"page\":1,\"lengths\":[8,9],\"resources\":[{\"a\": 1},{\"b\":[2]}]"),
      Self.notice("\"page\":1,\"next\":\"https://h/x?a=\\\"b\""),
      Self.notice("\"page\":2,\"lengths\":[11],\"resources\":[{\"é\":\"é\"}]"), Self.answer)
    #expect(
      parts.map { String(decoding: $0.lines, as: UTF8.self) } == ["{\"a\": 1}\n{\"b\":[2]}\n", "", "{\"é\":\"é\"}\n"])
    #expect(parts.map(\.page) == [1, 1, 2] && parts.map(\.count) == [2, 0, 1])
    #expect(parts.map(\.next) == [nil, "https://h/x?a=\"b", nil])
    #expect(facts.pages == 2 && facts.complete == true)
  }

  @Test func `other notifications are passed over`() throws {
    let event = "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"x\":[1]}}\n"
    #expect(try search(event, Self.answer).parts.isEmpty)
  }

  @Test(arguments: [
    "\"page\":1,\"lengths\":[8],\"resources\":[{\"a\": 1},{\"b\":[2]}]",
    "\"page\":1,\"lengths\":[8,10],\"resources\":[{\"a\": 1},{\"b\":[2]}]",
    "\"page\":1,\"lengths\":[9,8],\"resources\":[{\"a\": 1},{\"b\":[2]}]",
    "\"page\":1,\"lengths\":[99999999999999999999],\"resources\":[{}]", "\"page\":1,\"lengths\":[],\"resources\":[]",
    "\"page\":1,\"lengths\":[-8],\"resources\":[{\"a\": 1}]", "\"page\":1,\"lengths\":8,\"resources\":[{\"a\": 1}]",
    "\"page\":1,\"lengths\":[8],\"other\":[{\"a\": 1}]", "\"page\":1,\"lengths\":[8",
  ])
  func `lengths that do not fit are a violation, and nothing is printed`(members: String) {
    do throws(ClientError) {
      let (parts, _) = try search(Self.notice(members), Self.answer)
      Issue.record("taken: \(parts)")
    } catch { #expect(error.code == .protocolViolation) }
  }

  @Test func `an error after resources is thrown after them`() {
    var count = 0
    let daemon = FakeDaemon { _ in
      [
        .raw(Self.notice("\"page\":1,\"lengths\":[2],\"resources\":[{}]")),
        .error("{\"code\":-32033,\"message\":\"gone\",\"data\":{\"code\":\"FHIR_NOT_FOUND\",\"type\":\"fhir_error\"}}"),
      ]
    }
    do throws(ClientError) {
      _ = try FHIRClient(socketPath: daemon.path).search(FHIRSearchParameters(connection: "c")) { count += $0.count }
      Issue.record("no error")
    } catch { #expect(error.code == .refused && count == 1) }
  }
}
