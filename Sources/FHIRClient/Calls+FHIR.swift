/// FHIR through the daemon: resources come as the server wrote them, byte for byte but for line ends.
public import FHIRControl
import FoundationEssentials

/// What an interaction brought.
public struct FHIRAnswer: Sendable, Hashable {
  public var facts: FHIRAnswerFacts
  /// JSON, each on one line: the one resource, or those of a page.
  public var resources: [[UInt8]]
  public init(facts: FHIRAnswerFacts, resources: [[UInt8]]) {
    self.facts = facts
    self.resources = resources
  }
}

extension FHIRClient {
  public func read(_ parameters: FHIRReadParameters, timeoutSeconds: Double? = nil) throws(ClientError) -> FHIRAnswer {
    try FHIRAnswer(result: callRaw(.fhirRead, parameters, timeoutSeconds: timeoutSeconds))
  }

  public func request(
    _ parameters: FHIRRequestParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> FHIRAnswer {
    try FHIRAnswer(result: callRaw(.fhirRequest, parameters, timeoutSeconds: timeoutSeconds))
  }

  /// One page; `facts.next` names the one that follows.
  public func searchPage(
    _ parameters: FHIRSearchParameters, timeoutSeconds: Double? = nil
  ) throws(ClientError) -> FHIRAnswer {
    try FHIRAnswer(result: callRaw(.fhirSearch, parameters, timeoutSeconds: timeoutSeconds))
  }
}

extension FHIRAnswer {
  init(result bytes: [UInt8]) throws(ClientError) {
    do {
      let (found, others) = try Self.slices(bytes.span)
      resources = found.map { Array(bytes[$0]) }
      // Everything else is small.
      let small = others.map { String(decoding: bytes[$0], as: UTF8.self) }.joined(separator: ",")
      facts = try JSONDecoder().decode(FHIRAnswerFacts.self, from: Data("{\(small)}".utf8))
    } catch { throw ClientError(.protocolViolation, "the daemon's answer is not what it should be") }
  }

  private static func slices(_ bytes: Span<UInt8>) throws(JSONScanner.Failure) -> (
    resources: [Range<Int>], others: [Range<Int>]
  ) {
    var found: [Range<Int>] = []
    var others: [Range<Int>] = []
    var cursor = try JSONScanner.MemberCursor(bytes, at: 0, depth: 0)
    while let member = try cursor.next(bytes) {
      if JSONScanner.matches("resource", bytes, member.name) {
        found.append(member.value)
        continue
      }
      guard JSONScanner.matches("resources", bytes, member.name) else {
        // With the quotes of its name.
        others.append(member.name.lowerBound - 1..<member.value.upperBound)
        continue
      }
      var at = member.value.lowerBound + 1
      JSONScanner.skipWhitespace(bytes, &at)
      while at < member.value.upperBound - 1 {
        let start = at
        try JSONScanner.skipValue(bytes, &at, depth: 2)
        found.append(start..<at)
        JSONScanner.skipWhitespace(bytes, &at)
        // The comma, or the array's end.
        at += 1
        JSONScanner.skipWhitespace(bytes, &at)
      }
    }
    return (found, others)
  }
}
