/// `fhir.read` and `fhir.request`, and how FHIR is answered. Resources leave as the server wrote them: their numbers keep every digit.
import FHIRControl
import FHIRInteraction
import SMARTProtocol

extension Commands {
  /// The longest answer, in bytes: what a client that is slow to read may have waiting.
  static var answerBytesMax: Int { 15 << 20 }

  func read(_ parameters: FHIRReadParameters, _ call: ControlCall) async throws(ControlError) -> [UInt8] {
    var target = try target(parameters.connection, parameters.subject, call)
    if let tag = parameters.ifNoneMatch {
      guard let tag = EntityTag(tag) else {
        throw ControlError.validation([FieldError("if_none_match", "is no entity tag")])
      }
      target.options.ifNoneMatch = tag
    }
    if let date = parameters.ifModifiedSince {
      guard HTTPDate.parse(date, now: clock.wall().milliseconds) != nil else {
        throw ControlError.validation([
          FieldError("if_modified_since", "is no HTTP date, as in Sat, 24 Oct 2026 08:00:00 GMT")
        ])
      }
      target.options.ifModifiedSince = date
    }
    let interaction: Interaction =
      parameters.version.map { .vread(type: parameters.resourceType, id: parameters.id, version: $0) }
      ?? .read(type: parameters.resourceType, id: parameters.id)
    return try await carryOut(interaction, target, field: "id")
  }

  func request(_ parameters: FHIRRequestParameters, _ call: ControlCall) async throws(ControlError) -> [UInt8] {
    var target = try target(parameters.connection, parameters.subject, call)
    guard let method = FHIRRequest.Method(rawValue: parameters.method.uppercased()) else {
      let known = FHIRRequest.Method.allCases.map(\.rawValue).joined(separator: ", ")
      throw ControlError.validation([
        FieldError("method", "is \(parameters.method.debugDescription); allowed are \(known)")
      ])
    }
    target.options.headers = (parameters.headers ?? [:]).sorted { $0.key < $1.key }
      .map { FHIRRequest.Header($0.key, $0.value) }
    let body = parameters.body.map { Array($0.utf8) }
    return try await carryOut(.raw(method, path: parameters.path, body: body), target, field: "path")
  }

  private func carryOut(_ interaction: Interaction, _ target: FHIRTarget, field: String) async throws(ControlError)
    -> [UInt8]
  {
    let request: FHIRRequest
    do { request = try FHIRRequest(interaction, at: target.base, options: target.options) } catch {
      throw ControlError(error, field: field)
    }
    let exchange = try await perform(request, at: target)
    var facts = facts(exchange)
    guard !exchange.body.isEmpty, exchange.reply.kind != .notModified else { return try answer(facts) }
    guard let line = Self.line(exchange.body) else {
      facts.text = String(decoding: exchange.body, as: UTF8.self)
      return try answer(facts)
    }
    return try answer(facts, member: "resource", [line], isList: false)
  }

  // MARK: answers

  func facts(_ exchange: FHIRExchange) -> FHIRAnswerFacts {
    var facts = FHIRAnswerFacts(status: exchange.reply.status, attempts: exchange.attempts)
    facts.etag = exchange.reply.entityTag?.description
    facts.lastModified = exchange.reply.lastModified
    facts.location = (exchange.reply.location ?? exchange.reply.contentLocation)?.url
    facts.notModified = exchange.reply.kind == .notModified ? true : nil
    facts.findings = exchange.findings.isEmpty ? nil : exchange.findings
    return facts
  }

  /// The JSON of a body on one line; nil: it is none. A line end within a text is always escaped, so each one that stands
  /// there as a byte is a blank.
  private static func line(_ body: [UInt8]) -> [UInt8]? {
    let bare = body.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(body.dropFirst(3)) : body
    guard (try? JSONDocument(bare, limits: .large)) != nil else { return nil }
    return bare.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
  }

  func answer(_ facts: FHIRAnswerFacts, member: String = "", _ lines: [[UInt8]] = [], isList: Bool = false)
    throws(ControlError) -> [UInt8]
  {
    var bytes = try encoded(facts)
    if !member.isEmpty {
      bytes.removeLast()
      bytes += Array(",\"\(member)\":".utf8)
      if isList { bytes.append(UInt8(ascii: "[")) }
      for (index, line) in lines.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        bytes += line
      }
      bytes += Array((isList ? "]}" : "}").utf8)
    }
    guard bytes.count <= Self.answerBytesMax else {
      throw ControlError(
        .fhirAPIError, "the answer has \(bytes.count >> 10) KiB; \(Self.answerBytesMax >> 10) are carried",
        hint: "ask for fewer results a page: _count=50, or for fewer members: _elements=…")
    }
    return bytes
  }
}
