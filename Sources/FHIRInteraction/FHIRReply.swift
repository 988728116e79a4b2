/// What an answer of a FHIR server means: a closed set of kinds, judged by the body and warned by the headers. Total:
/// any status, any headers, any bytes.
package import SMARTProtocol

package struct FHIRReply: Sendable, Hashable {
  /// Stable names, for logs, metrics and switches.
  package enum Kind: String, Sendable, Hashable, CaseIterable {
    case success
    /// 304 on a conditional request.
    case notModified = "not_modified"
    /// 202: the work goes on; `Content-Location` says where to ask.
    case accepted
    /// 401.
    case authentication
    /// 403.
    case authorization
    /// 404 and 410.
    case notFound = "not_found"
    /// 429.
    case rateLimited = "rate_limited"
    /// The server understood and says no, in whatever status: 400, 409, 412, 422, 405; a 200 with errors.
    case refused
    /// 5xx, or a page that asks for patience.
    case serverTrouble = "server_trouble"
    /// An answer that is none: a login page, XML, half a body, a redirect.
    case unusable

    /// The control protocol's error code; nil where the answer is one.
    package var errorCode: String? {
      switch self {
      case .success, .notModified, .accepted: nil
      case .authentication: "FHIR_AUTHENTICATION"
      case .authorization: "FHIR_AUTHORIZATION"
      case .notFound: "FHIR_NOT_FOUND"
      case .rateLimited: "FHIR_RATE_LIMITED"
      case .refused: "FHIR_API_ERROR"
      case .serverTrouble: "SERVER_UNREACHABLE"
      case .unusable: "SERVER_ANSWER_UNUSABLE"
      }
    }
  }

  package var kind: Kind
  package var status: Int
  /// Why it is no success: lower case, no full stop, nothing trusted in it. nil for an answer that is one.
  package var sentence: String?
  /// Of the OperationOutcome, whatever the status was.
  package var issues: [Issue] = []
  /// From the challenge in `WWW-Authenticate`, else from the body.
  package var oauth: OAuthError?
  /// 401 and 429 among others: what the server asked for, clamped.
  package var retryAfter: Instant.Span?
  package var bodyKind: BodyKind
  /// Of the body; nil: not JSON, or said further behind than we looked.
  package var resourceType: String?
  package var entityTag: EntityTag?
  /// As the server wrote it, to go back in If-Modified-Since.
  package var lastModified: String?
  package var location: ResourceLocation?
  package var contentLocation: ResourceLocation?
  package var findings: [Finding] = []

  /// What the server asked for because of too many requests or its own trouble; an answer that says when to look again
  /// for something else asks for no pause.
  package var pause: Instant.Span? {
    kind == .rateLimited || kind == .serverTrouble ? retryAfter : nil
  }

  package var isSuccess: Bool { kind.errorCode == nil }

  /// One refresh may help: 401, and the challenge blames the token or says nothing. Source: R7.09.
  package var blamesToken: Bool {
    kind == .authentication && (oauth == nil || oauth?.error == "invalid_token")
  }

  /// What was asked; nil stands for a GET of anything.
  package struct Question: Sendable, Hashable {
    package var expects: FHIRRequest.Expectation
    package var isConditional: Bool
    /// HEAD, or a request whose body goes elsewhere: an empty body says nothing.
    package var isHead: Bool
    package var base: FHIRBaseURL?

    package init(
      expects: FHIRRequest.Expectation = .anything, isConditional: Bool = false, isHead: Bool = false,
      base: FHIRBaseURL? = nil
    ) {
      self.expects = expects
      self.isConditional = isConditional
      self.isHead = isHead
      self.base = base
    }

    package init(_ request: FHIRRequest) {
      expects = request.expects
      isConditional = request.isConditional
      isHead = request.method == .head
      base = request.base
    }
  }

  /// - Parameters:
  ///   - header: looks a header up without regard to case.
  ///   - body: all of it, or its beginning where it is read as it comes.
  ///   - isWhole: nothing of the body is missing.
  ///   - now: wall clock, milliseconds since 1970; for `Retry-After` as a date.
  package init(
    status: Int, header: (String) -> String?, body: [UInt8], isWhole: Bool = true, to question: Question, now: Int64
  ) {
    self.status = status
    bodyKind = BodyKind(body)
    kind = .unusable
    retryAfter = RetryAfter.parse(status: status, header: header, now: now)
    readHeaders(header, base: question.base)
    let content = ReplyContent(body, kind: bodyKind, isWhole: isWhole)
    resourceType = content.resourceType
    issues = content.issues
    oauth = oauth ?? content.oauth
    kind = judge(content, question)
    switch kind {
    case .success, .accepted: warn(contentType: header("Content-Type"), question)
    case .notModified: break
    case .unusable where (200...399).contains(status): sentence = unusable(content, header("Location"), question)
    case .serverTrouble where status < 400:
      sentence = "the server answered \(status) with a page that asks for patience"
    case .authentication, .authorization, .notFound, .rateLimited, .refused, .serverTrouble, .unusable:
      sentence = OperationOutcome.sentence(status: status, header: header, body: body)
    }
    if !isSuccess { warnOfError() }
  }

  /// Whether a body begins as a Bundle, as far as its first bytes tell: it can be read as it comes.
  package static func isBundle(_ head: [UInt8]) -> Bool { ReplyContent.leadingType(head[...]) == "Bundle" }

  /// Findings that are kept.
  private static let findingsMax = 16
  private static let lastModifiedBytesMax = 128

  private mutating func note(_ id: String, _ sentence: String) {
    if findings.count < Self.findingsMax { findings.append(Finding(id, sentence)) }
  }

  /// `E-Tag`, as Epic spells it now and then, is not looked at (quirk 28).
  private mutating func readHeaders(_ header: (String) -> String?, base: FHIRBaseURL?) {
    if let text = header("ETag") {
      entityTag = EntityTag(text)
      if entityTag == nil {
        note("etag-unusable", "the ETag cannot be sent back")
      } else if entityTag?.description != text {
        note("etag-form", "the ETag is not in quotes, as HTTP wants it")
      }
    }
    if let text = header("Last-Modified") {
      let isUsable =
        !text.isEmpty && text.utf8.count <= Self.lastModifiedBytesMax
        && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
      lastModified = isUsable ? text : nil
    }
    location = header("Location").flatMap { ResourceLocation($0, base: base) }
    contentLocation = header("Content-Location").flatMap { ResourceLocation($0, base: base) }
    if location?.isElsewhere == true { note("location-elsewhere", "Location names another server than was asked") }
    if let challenge = header("WWW-Authenticate") {
      oauth = WWWAuthenticate.parse(challenge).lazy.compactMap { OAuthError($0) }.first
    }
  }

  private func judge(_ content: ReplyContent, _ question: Question) -> Kind {
    switch status {
    case 401: return .authentication
    case 403: return .authorization
    case 404, 410: return .notFound
    case 429: return .rateLimited
    // A server that explains itself in FHIR works; one that says to come back does not.
    case 500, 501: return content.issues.isEmpty ? .serverTrouble : .refused
    case 408, 425, 502...: return .serverTrouble
    case 400..<500: return .refused
    case 304: return question.isConditional ? .notModified : .unusable
    case 202: return .accepted
    case 200..<300: return judgeSuccess(content, question)
    default: return .unusable
    }
  }

  private func judgeSuccess(_ content: ReplyContent, _ question: Question) -> Kind {
    if question.isHead { return .success }
    switch bodyKind {
    case .html where content.asksForPatience: return .serverTrouble
    case .html, .xml, .text: return question.expects == .anything ? .success : .unusable
    case .empty:
      switch question.expects {
      case .resource: return .unusable
      case .outcome, .anything: return .success
      }
    case .json:
      guard question.expects != .anything else { return .success }
      guard content.fault == nil else { return .unusable }
      if resourceType == "OperationOutcome", question.expects != .resource("OperationOutcome"),
        content.issues.contains(where: \.isError)
      {
        return .refused
      }
      return content.resourceType == nil && content.isRead ? .unusable : .success
    }
  }

  private func unusable(_ content: ReplyContent, _ location: String?, _ question: Question) -> String {
    let start = "the server answered \(status)"
    if (300..<400).contains(status) {
      guard status != 304 else { return "\(start) (not modified) to a request that set no condition" }
      let target = location.flatMap { Origin(of: $0) }.map { " to \($0)" } ?? ""
      return "\(start): a redirect\(target) does not move the FHIR base URL; correct fhir_base_url if it moved"
    }
    switch bodyKind {
    case .empty: return "\(start) with an empty body, where a resource was expected"
    case .html:
      return "\(start) with an HTML page: a login or maintenance page, or fhir_base_url is not a FHIR server's"
    case .xml: return "\(start) with XML, though JSON was asked for"
    case .text: return "\(start) with text that is not JSON"
    case .json:
      if let fault = content.fault { return "\(start), but \(fault)" }
      return "\(start) with JSON that is no FHIR resource"
    }
  }

  private mutating func warnOfError() {
    switch bodyKind {
    case .html: note("html-body", "the error is an HTML page, not an OperationOutcome")
    case .xml: note("xml-body", "the server answered in XML, though JSON was asked for")
    case .text: note("text-body", "the error is plain text, not an OperationOutcome")
    case .empty: note("empty-body", "the error has no body")
    case .json:
      if resourceType == nil { note("no-outcome", "the error is JSON, but no OperationOutcome") }
      if issues.contains(where: { $0.code == nil }) { note("issue-without-code", "an issue has no code") }
    }
    if (200..<300).contains(status), kind == .refused {
      note("error-with-\(status)", "an OperationOutcome with errors came with status \(status)")
    }
  }

  private static let jsonTypes: Set<String> = [
    "application/fhir+json", "application/json+fhir", "application/json", "text/json",
  ]

  /// Judged by the body, warned by the header. Source: R9.02, quirk 12.
  private mutating func warn(contentType: String?, _ question: Question) {
    if bodyKind == .json, !question.isHead {
      let parts = (contentType ?? "").lowercased().split(separator: ";").map { part in
        part.split(whereSeparator: { $0 == " " || $0 == "\t" }).joined()
      }
      if let type = parts.first {
        if !Self.jsonTypes.contains(type) {
          note("content-type", "JSON came as \(Words.clean(type, max: 80))")
        }
      } else {
        note("content-type-missing", "the answer has no Content-Type")
      }
      for part in parts.dropFirst() where part.hasPrefix("charset=") {
        let name = part.dropFirst(8).replacing("\"", with: "")
        if name != "utf-8", name != "utf8" { note("charset", "FHIR's JSON is UTF-8; the header says otherwise") }
      }
    }
    if case .resource(let type?) = question.expects, let resourceType, resourceType != type, kind == .success {
      note("other-resource", "\(type) was expected, and \(Words.clean(resourceType, max: 64)) came")
    }
  }
}
