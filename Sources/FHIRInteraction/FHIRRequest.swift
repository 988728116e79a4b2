/// One request to a FHIR server as a value: checked, encoded, ready for HTTP; the token is put in later, by others.
package import SMARTProtocol

package struct FHIRRequest: Sendable, Hashable {
  package enum Method: String, Sendable, Hashable, CaseIterable {
    case get = "GET", head = "HEAD", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE"
  }

  package struct Header: Sendable, Hashable {
    package var name: String
    package var value: String
    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Whether sending it twice is the same as sending it once. Source: R9.12.
  package enum Repeatability: String, Sendable, Hashable {
    /// GET, HEAD, a search by POST: nothing changes.
    case safe
    /// DELETE of an instance, and PUT with If-Match: the second one finds the work done, or is refused.
    case idempotent
    /// Everything else. PUT without If-Match is idempotent for HTTP, but makes a version each time, and could undo what
    /// somebody else wrote in between. A conditional create meets an index that does not yet know of the first one, a
    /// conditional update or delete what has come to match since.
    case never
  }

  /// What a good answer holds.
  package enum Expectation: Sendable, Hashable {
    /// A resource; of this type where one is named.
    case resource(String?)
    /// A resource, an OperationOutcome, or nothing.
    case outcome
    /// Whatever the server likes: operations, raw requests.
    case anything
  }

  package let method: Method
  /// Absolute, printable ASCII.
  package let url: String
  /// The base of the server; for `Location` and links.
  package let base: FHIRBaseURL
  /// `Accept` and `Content-Type` among them; never `Authorization`.
  package let headers: [Header]
  package let body: [UInt8]?
  package let repeatability: Repeatability
  package let expects: Expectation
  /// What a search asked for; compared with the self link. Empty for everything else.
  package let parameters: [SearchParameter]
  /// What is odd about it and was sent all the same.
  package let findings: [Finding]

  /// 304 may be the answer.
  package var isConditional: Bool {
    headers.contains { ["if-none-match", "if-modified-since"].contains($0.name.lowercased()) }
  }

  package func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }

  init(
    method: Method, url: String, base: FHIRBaseURL, headers: [Header], body: [UInt8]?, repeatability: Repeatability,
    expects: Expectation, parameters: [SearchParameter], findings: [Finding]
  ) {
    self.method = method
    self.url = url
    self.base = base
    self.headers = headers
    self.body = body
    self.repeatability = repeatability
    self.expects = expects
    self.parameters = parameters
    self.findings = findings
  }

  /// Why there is no request. Nothing of the caller's text is repeated save names that were found to be harmless.
  package enum Problem: Error, Sendable, Hashable {
    case resourceType
    case id
    case operationName
    case emptyParameterName
    case noCriteria
    case noBody
    case historyWithoutType
    case absoluteURL
    case foreignOrigin(Origin)
    case badURL(URLProblem)
    case pathTraversal
    case pathCharacter(offset: Int)
    case pathEscape(offset: Int)
    case fragment
    case urlTooLong(limit: Int)
    case headerName
    case headerValue(String)
    case headerNotAllowed(String)

    /// Lower case, no full stop.
    package var sentence: String {
      switch self {
      case .resourceType: "the resource type must be a FHIR type, as in Patient: letters, the first one upper case"
      case .id: "the id must have 1 to \(PathParts.idBytesMax) characters, without / \\ % or control characters"
      case .operationName: "the operation must be a name, as in $everything"
      case .emptyParameterName: "a search parameter has no name"
      case .noCriteria: "a conditional request needs search parameters: without any it would match everything"
      case .noBody: "this interaction needs a body"
      case .historyWithoutType: "the history of an instance needs the resource type too"
      case .absoluteURL: "the path must be relative to the FHIR base URL"
      case .foreignOrigin(let origin): "\(origin) is not the connection's server; allowed_origins may name it"
      case .badURL(let problem): "the URL \(problem.sentence)"
      case .pathTraversal: "the path must stay below the FHIR base URL"
      case .pathCharacter(let offset): "the path has a character at byte \(offset) that no URL may have"
      case .pathEscape(let offset): "the path has a % at byte \(offset) that two hexadecimal digits do not follow"
      case .fragment: "the path has a fragment (everything from the # on must go)"
      case .urlTooLong(let limit): "the URL would be longer than \(limit) bytes, and a search by POST is not allowed"
      case .headerName: "a header's name has characters that no header may have"
      case .headerValue(let name): "the header \(name) has a control character in its value, or is too long"
      case .headerNotAllowed(let name): "the header \(name) is set by the daemon and cannot be given"
      }
    }
  }
}

/// One name and value of a search, decoded: what stands here is encoded once, whatever it looks like.
package struct SearchParameter: Sendable, Hashable {
  package var name: String
  package var value: String
  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// What to do at a FHIR server. Source: FHIR R4, http.html; the names are the specification's own.
package enum Interaction: Sendable, Hashable {
  case read(type: String, id: String)
  case vread(type: String, id: String, version: String)
  /// Of one instance, a type, or the whole system.
  case history(type: String?, id: String?, parameters: [SearchParameter])
  /// Of a type, of a compartment, or of the whole system.
  case search(type: String?, in: Compartment?, parameters: [SearchParameter])
  /// - Parameter ifNoneExist: created only where nothing matches.
  case create(type: String, body: [UInt8], ifNoneExist: [SearchParameter]?)
  case update(Target, body: [UInt8])
  case patch(Target, PatchFormat, body: [UInt8])
  case delete(Target)
  /// - Parameter body: `Parameters` or a resource; nil: GET with the parameters in the URL.
  case operation(name: String, type: String?, id: String?, parameters: [SearchParameter], body: [UInt8]?)
  /// A batch or transaction: a Bundle posted to the base.
  case bundle(body: [UInt8])
  case capabilities
  /// - Parameter path: relative to the base, with its query as it is to be sent.
  case raw(FHIRRequest.Method, path: String, body: [UInt8]?)

  package struct Compartment: Sendable, Hashable {
    package var type: String
    package var id: String
    package init(type: String, id: String) {
      self.type = type
      self.id = id
    }
  }

  package enum Target: Sendable, Hashable {
    case instance(type: String, id: String)
    /// The one resource that matches.
    case criteria(type: String, [SearchParameter])
  }

  package enum PatchFormat: String, Sendable, Hashable, CaseIterable {
    /// RFC 6902.
    case jsonPatch = "application/json-patch+json"
    /// RFC 7386; some servers, and FHIR R6.
    case mergePatch = "application/merge-patch+json"
    /// FHIRPath Patch: a `Parameters` resource in FHIR's own media type.
    case fhirPath = "application/fhir+json"
  }
}
