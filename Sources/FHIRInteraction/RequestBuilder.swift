/// Makes a request out of an interaction: the URL, the headers, and whether it may be sent twice.
package import SMARTProtocol

extension FHIRRequest {
  /// - Throws: why there is none; the first thing that is wrong.
  package init(
    _ interaction: Interaction, at base: FHIRBaseURL, options: RequestOptions = RequestOptions()
  ) throws(Problem) {
    var draft = Draft(base: base, options: options)
    switch interaction {
    case .read(let type, let id):
      try draft.instance(.get, type, id, repeatability: .safe)
      draft.expects = .resource(type)
    case .vread(let type, let id, let version):
      try draft.instance(.get, type, id, repeatability: .safe)
      draft.path += "/_history/" + (try PathParts.id(version, &draft.findings))
      draft.expects = .resource(type)
    case .history(let type, let id, let parameters): try draft.history(type, id, parameters)
    case .search(let type, let compartment, let parameters): try draft.search(type, compartment, parameters)
    case .create(let type, let body, let criteria):
      try draft.write(.post, body, .never)
      draft.path = try PathParts.type(type)
      if let criteria { draft.ownHeaders.append(Header("If-None-Exist", try Draft.criteria(criteria))) }
    case .update(let target, let body):
      try draft.write(.put, body, options.ifMatch == nil ? .never : .idempotent)
      try draft.target(target)
    case .patch(let target, let format, let body):
      try draft.write(.patch, body, .never)
      try draft.target(target)
      if format != .fhirPath { draft.contentType = format.rawValue }
    case .delete(let target):
      draft.method = .delete
      draft.repeatability = .idempotent
      draft.expects = .outcome
      try draft.target(target)
    case .operation(let name, let type, let id, let parameters, let body):
      try draft.operation(name, type, id, parameters, body)
    case .bundle(let body):
      try draft.write(.post, body, .never)
      draft.expects = .resource("Bundle")
    case .capabilities:
      draft.path = "metadata"
      draft.repeatability = .safe
      if options.format == .plain { draft.query = "_format=json" }
      draft.expects = .resource(nil)
    case .raw(let method, let path, let body): try draft.raw(method, path, body)
    }
    self = try draft.request()
  }

  /// The next page of a search, at the address that the server gave, verbatim. Source: R9.05.
  /// - Parameter url: as `Paging` gave it.
  package init(page url: String, at base: FHIRBaseURL, options: RequestOptions = RequestOptions()) throws(Problem) {
    var draft = Draft(base: base, options: options)
    do { draft.absolute = try FHIRPageURL(url).text } catch { throw .badURL(error) }
    draft.repeatability = .safe
    draft.expects = .resource("Bundle")
    self = try draft.request()
  }
}

/// A request that is being put together.
private struct Draft {
  let base: FHIRBaseURL
  let options: RequestOptions
  var method = FHIRRequest.Method.get
  var path = ""
  var query = ""
  /// Instead of path and query.
  var absolute: String?
  var body: [UInt8]?
  var contentType: String?
  var ownHeaders: [FHIRRequest.Header] = []
  var repeatability = FHIRRequest.Repeatability.never
  var expects = FHIRRequest.Expectation.anything
  var parameters: [SearchParameter] = []
  var findings: [Finding] = []

  init(base: FHIRBaseURL, options: RequestOptions) {
    self.base = base
    self.options = options
  }

  mutating func instance(
    _ method: FHIRRequest.Method, _ type: String, _ id: String, repeatability: FHIRRequest.Repeatability
  ) throws(FHIRRequest.Problem) {
    self.method = method
    path = try PathParts.type(type) + "/" + (try PathParts.id(id, &findings))
    self.repeatability = repeatability
  }

  mutating func write(
    _ method: FHIRRequest.Method, _ body: [UInt8], _ repeatability: FHIRRequest.Repeatability
  ) throws(FHIRRequest.Problem) {
    guard !body.isEmpty else { throw .noBody }
    self.method = method
    self.body = body
    contentType = options.mediaType
    self.repeatability = repeatability
    expects = .outcome
  }

  static func criteria(_ parameters: [SearchParameter]) throws(FHIRRequest.Problem) -> String {
    guard !parameters.isEmpty else { throw .noCriteria }
    return try PathParts.query(parameters)
  }

  mutating func target(_ target: Interaction.Target) throws(FHIRRequest.Problem) {
    switch target {
    case .instance(let type, let id): try instance(method, type, id, repeatability: repeatability)
    case .criteria(let type, let criteria):
      path = try PathParts.type(type)
      query = try Self.criteria(criteria)
      repeatability = .never
    }
  }

  mutating func history(
    _ type: String?, _ id: String?, _ parameters: [SearchParameter]
  ) throws(FHIRRequest.Problem) {
    repeatability = .safe
    expects = .resource("Bundle")
    if let type {
      path = try PathParts.type(type) + "/"
      if let id { path += try PathParts.id(id, &findings) + "/" }
    } else if id != nil {
      throw .historyWithoutType
    }
    path += "_history"
    query = try PathParts.query(parameters)
  }

  mutating func search(
    _ type: String?, _ compartment: Interaction.Compartment?, _ parameters: [SearchParameter]
  ) throws(FHIRRequest.Problem) {
    repeatability = .safe
    expects = .resource("Bundle")
    self.parameters = parameters
    var segments: [String] = []
    if let compartment {
      segments.append(try PathParts.type(compartment.type))
      segments.append(try PathParts.id(compartment.id, &findings))
      // FHIR R4 section 3.1.0.9: everything in a compartment is asked for by *.
      if type == nil { segments.append("*") }
    }
    if let type { segments.append(try PathParts.type(type)) }
    path = segments.joined(separator: "/")
    query = try PathParts.query(parameters)
    let length = base.text.utf8.count + path.utf8.count + query.utf8.count + 2
    switch options.searchForm {
    case .get: guard length <= options.urlBytesMax else { throw .urlTooLong(limit: options.urlBytesMax) }
    case .byLength: if length > options.urlBytesMax { post() }
    case .post: post()
    }
  }

  private mutating func post() {
    method = .post
    path += path.isEmpty ? "_search" : "/_search"
    body = Array(query.utf8)
    query = ""
    contentType = "application/x-www-form-urlencoded"
  }

  mutating func operation(
    _ name: String, _ type: String?, _ id: String?, _ parameters: [SearchParameter], _ body: [UInt8]?
  ) throws(FHIRRequest.Problem) {
    var segments: [String] = []
    if let type { segments.append(try PathParts.type(type)) }
    if let id {
      guard type != nil else { throw .resourceType }
      segments.append(try PathParts.id(id, &findings))
    }
    segments.append(try PathParts.operation(name))
    path = segments.joined(separator: "/")
    query = try PathParts.query(parameters)
    expects = .anything
    repeatability = .safe
    if let body {
      try write(.post, body, .never)
      expects = .anything
    }
  }

  mutating func raw(_ method: FHIRRequest.Method, _ text: String, _ body: [UInt8]?) throws(FHIRRequest.Problem) {
    self.method = method
    self.body = body
    if body != nil { contentType = options.mediaType }
    if URLReference.isAbsolute(text) {
      absolute = try url(text)
    } else {
      path = try PathParts.raw(text)
    }
    let address = (absolute ?? path).prefix { $0 != "?" }
    // With criteria it could hit something else the second time.
    let hasCriteria = address.count < (absolute ?? path).count
    switch method {
    case .get, .head: repeatability = .safe
    case .post: repeatability = address.hasSuffix("/_search") || address == "_search" ? .safe : .never
    case .delete: repeatability = hasCriteria ? .never : .idempotent
    case .put: repeatability = namesOneVersion && !hasCriteria ? .idempotent : .never
    case .patch: repeatability = .never
    }
  }

  /// `If-Match` with a tag: the second one is refused. `*` matches what the first one made.
  private var namesOneVersion: Bool {
    options.ifMatch != nil
      || options.headers.contains {
        $0.name.lowercased() == "if-match" && EntityTag($0.value).map { $0.opaque != "*" } == true
      }
  }

  /// An absolute URL: below the base, or on an origin that the operator allowed.
  private func url(_ text: String) throws(FHIRRequest.Problem) -> String {
    let parsed: FHIRPageURL
    do { parsed = try FHIRPageURL(text) } catch { throw .badURL(error) }
    guard !parsed.hasFragment else { throw .fragment }
    guard !PathParts.climbs(parsed.path.utf8) else { throw .pathTraversal }
    let isBelow =
      parsed.origin == base.origin
      && (parsed.path == base.path || parsed.path.hasPrefix(base.path.hasSuffix("/") ? base.path : base.path + "/"))
    guard isBelow || options.allowedOrigins.contains(parsed.origin) else { throw .foreignOrigin(parsed.origin) }
    return parsed.text
  }

  func request() throws(FHIRRequest.Problem) -> FHIRRequest {
    var headers = [FHIRRequest.Header("Accept", options.mediaType)]
    if let contentType { headers.append(FHIRRequest.Header("Content-Type", contentType)) }
    if let tag = options.ifMatch { headers.append(FHIRRequest.Header("If-Match", tag.description)) }
    if let tag = options.ifNoneMatch { headers.append(FHIRRequest.Header("If-None-Match", tag.description)) }
    if let date = options.ifModifiedSince { headers.append(FHIRRequest.Header("If-Modified-Since", date)) }
    if let preference = options.preference { headers.append(FHIRRequest.Header("Prefer", preference)) }
    headers += ownHeaders
    for header in headers + options.headers { try RequestHeaders.check(header) }
    let given = Set(options.headers.map { $0.name.lowercased() })
    headers = headers.filter { !given.contains($0.name.lowercased()) } + options.headers
    let url = absolute ?? (path.isEmpty ? base.text : base.appending(path)) + (query.isEmpty ? "" : "?" + query)
    return FHIRRequest(
      method: method, url: url, base: base, headers: headers, body: body, repeatability: repeatability,
      expects: expects, parameters: parameters, findings: findings)
  }
}

/// Which headers a caller may give.
enum RequestHeaders {
  /// Value of one header, in bytes; more is refused by servers too.
  static let valueBytesMax = 8192

  /// What decides who asks, whom, and how the message is framed; and what makes one method out of another.
  private static let reserved: Set<String> = [
    "authorization", "proxy-authorization", "host", "cookie", "cookie2", "content-length", "transfer-encoding",
    "content-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect", "accept-encoding", "dpop",
    "x-http-method-override", "x-http-method", "x-method-override",
  ]

  static func check(_ header: FHIRRequest.Header) throws(FHIRRequest.Problem) {
    let isToken =
      !header.name.isEmpty && header.name.utf8.count <= 128
      && header.name.utf8.allSatisfy {
        (97...122).contains($0 | 0x20) || (48...57).contains($0) || "!#$%&'*+-.^_`|~".utf8.contains($0)
      }
    guard isToken else { throw .headerName }
    let name = header.name.lowercased()
    guard !reserved.contains(name), !name.hasPrefix("proxy-") else { throw .headerNotAllowed(header.name) }
    guard header.value.utf8.count <= valueBytesMax,
      header.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 })
    else { throw .headerValue(header.name) }
  }
}
