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
}

/// Resources of a page, as they came; or, without any, where the page after it is.
public struct FHIRPagePart: Sendable, Hashable {
  /// From 1.
  public var page: Int
  public var count: Int
  /// Each on a line of its own, with its LF.
  public var lines: [UInt8]
  /// The page is complete; a search that is cut off goes on here.
  public var next: String?
}

extension FHIRClient {
  /// All pages, as they come from the server.
  /// - Parameters:
  ///   - parameters: `stream` is set here.
  ///   - timeoutSeconds: of the whole search; nil is the longest that there is.
  ///   - receive: until it returns, the daemon waits, and with it, in the end, the server.
  public func search(
    _ parameters: FHIRSearchParameters, timeoutSeconds: Double? = nil, receive: (FHIRPagePart) -> Void
  ) throws(ClientError) -> FHIRAnswerFacts {
    var parameters = parameters
    parameters.stream = true
    return try FHIRAnswer(
      result: callStream(.fhirSearch, parameters, timeoutSeconds: timeoutSeconds ?? timeoutSecondsMax) {
        line throws(ClientError) in
        guard let part = try FHIRPagePart(notification: line) else { return false }
        receive(part)
        return true
      }
    ).facts
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
