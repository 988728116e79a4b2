/// What callers say and hear about FHIR itself: `fhir.read`, `fhir.search`, `fhir.request`.

/// `fhir.read`
public struct FHIRReadParameters: ControlParameters {
  public var connection: String
  public var subject: String?
  public var resourceType: String
  public var id: String
  /// One version instead of the present one.
  public var version: String?
  /// `etag` of an earlier answer: an unchanged resource comes back as `not_modified`, without its bytes.
  public var ifNoneMatch: String?
  /// `last_modified` of an earlier answer; the same.
  public var ifModifiedSince: String?
  public init(
    connection: String, subject: String? = nil, resourceType: String, id: String, version: String? = nil,
    ifNoneMatch: String? = nil, ifModifiedSince: String? = nil
  ) {
    self.connection = connection
    self.subject = subject
    self.resourceType = resourceType
    self.id = id
    self.version = version
    self.ifNoneMatch = ifNoneMatch
    self.ifModifiedSince = ifModifiedSince
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection, subject, id, version
    case resourceType = "resource_type"
    case ifNoneMatch = "if_none_match"
    case ifModifiedSince = "if_modified_since"
  }
  public static let parameterNames = CodingKeys.names
}

/// `fhir.search`: one page, whose answer names the next one; or a stream of all pages as `progress` notifications, as fast as
/// the caller reads them.
public struct FHIRSearchParameters: ControlParameters {
  public var connection: String
  public var subject: String?
  /// Absent: of the whole system.
  public var resourceType: String?
  /// `name=value`, in their order, repeated where they are; the daemon encodes them.
  public var params: [String]?
  /// POST to `_search`: values stay out of addresses. Without it, when the URL would be too long.
  public var post: Bool?
  /// `strict` or `lenient`.
  public var handling: String?
  /// `next` of the page before.
  public var page: String?
  /// Resources come in notifications, page after page, while they arrive from the server.
  public var stream: Bool?
  /// Of a stream, above 0.
  public var maxPages: Int?
  /// Of a stream: matches, above 0; what was included with them comes on top.
  public var maxResources: Int?
  public init(
    connection: String, subject: String? = nil, resourceType: String? = nil, params: [String]? = nil, post: Bool? = nil,
    handling: String? = nil, page: String? = nil, stream: Bool? = nil, maxPages: Int? = nil, maxResources: Int? = nil
  ) {
    self.connection = connection
    self.subject = subject
    self.resourceType = resourceType
    self.params = params
    self.post = post
    self.handling = handling
    self.page = page
    self.stream = stream
    self.maxPages = maxPages
    self.maxResources = maxResources
  }
  enum CodingKeys: String, ListedCodingKey {
    case connection, subject, params, post, handling, page, stream
    case resourceType = "resource_type"
    case maxPages = "max_pages"
    case maxResources = "max_resources"
  }
  public static let parameterNames = CodingKeys.names
}

/// `fhir.request`: any interaction, with the token put in.
public struct FHIRRequestParameters: ControlParameters {
  public var connection: String
  public var subject: String?
  /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
  public var method: String
  /// Relative to the base URL, with its query as it is to be sent.
  public var path: String
  /// More headers: `If-Match`, `If-None-Exist`, `Prefer` and others; not those that fhird sets itself.
  public var headers: [String: String]?
  /// The bytes to send, as text.
  public var body: String?
  public init(
    connection: String, subject: String? = nil, method: String, path: String, headers: [String: String]? = nil,
    body: String? = nil
  ) {
    self.connection = connection
    self.subject = subject
    self.method = method
    self.path = path
    self.headers = headers
    self.body = body
  }
  enum CodingKeys: String, ListedCodingKey { case connection, subject, method, path, headers, body }
  public static let parameterNames = CodingKeys.names
}

/// What every one of them answers, beside `resource` (the JSON as the server wrote it), `resources` or `text`.
public struct FHIRAnswerFacts: Codable, Sendable, Hashable {
  public var status: Int
  public var attempts: Int
  public var etag: String?
  public var lastModified: String?
  public var location: String?
  public var notModified: Bool?
  /// Of a stream: how many came, and whether they are all that the server has.
  public var pages: Int?
  public var complete: Bool?
  /// Of a search: what the server counts, where it does; the next page.
  public var total: Int?
  public var matches: Int?
  public var includes: Int?
  public var next: String?
  /// What was odd, and what the server says about the search itself.
  public var findings: [String]?
  /// What came and is no JSON.
  public var text: String?
  public init(status: Int, attempts: Int) {
    self.status = status
    self.attempts = attempts
  }
  enum CodingKeys: String, CodingKey {
    case status, attempts, etag, location, pages, complete, total, matches, includes, next, findings, text
    case lastModified = "last_modified"
    case notModified = "not_modified"
  }
}
