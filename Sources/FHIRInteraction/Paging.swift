/// Goes through the pages of a search or history: which link comes next, whether it may be followed, when it ends. Pure:
/// it says what to fetch and is told what came. Source: R9.05 to R9.07, R9.09, R9.18.
package import SMARTProtocol

package struct Paging: Sendable {
  package struct Limits: Sendable, Hashable {
    package var pages: Int
    /// Matches; what was included comes on top.
    package var resources: Int
    package var bytes: Int
    /// Beyond this no page is counted: a hash of each link is kept.
    package static let pagesMax = 100_000
    package init(pages: Int = 1000, resources: Int = 1_000_000, bytes: Int = 1 << 30) {
      self.pages = max(1, min(pages, Self.pagesMax))
      self.resources = max(1, resources)
      self.bytes = max(1, bytes)
    }
  }

  /// `from` in a link is read as `to`: a server that does not know its own name behind a proxy (quirk 18).
  package struct Rewrite: Sendable, Hashable {
    package var from: Origin
    package var to: Origin
    package init(from: Origin, to: Origin) {
      self.from = from
      self.to = to
    }
  }

  package enum Action: Sendable, Hashable {
    /// GET this address, verbatim. `withToken` is false only where the operator allowed the origin without it.
    case fetch(url: String, withToken: Bool)
    /// Another origin: the operator must allow it before it hears the token.
    case askPermission(origin: Origin)
    case stop(End)
  }

  package enum End: Sendable, Hashable {
    case complete
    /// More than was wanted; `resume` has the next link.
    case pageLimit, resourceLimit, byteLimit
    /// A link that was there before, or pages that say the same again.
    case loop
    /// So many pages in a row without an entry.
    case emptyPages
    /// The server has forgotten the search (404, 410, 400 on its own link). Source: R9.07.
    case stateLost(status: Int)
    /// A page did not come; `resume` has its link.
    case failed(sentence: String)
    /// The next link cannot be followed.
    case linkUnusable(sentence: String)
    case permissionDenied(origin: Origin)

    /// Everything that the server has, came.
    package var isComplete: Bool { self == .complete }

    /// Lower case, no full stop.
    package var sentence: String {
      switch self {
      case .complete: "all pages were read"
      case .pageLimit: "the limit of pages was reached"
      case .resourceLimit: "the limit of resources was reached"
      case .byteLimit: "the limit of bytes was reached"
      case .loop: "the server's pages go round in a circle"
      case .emptyPages: "page after page was empty"
      case .stateLost(let status): "paging state lost: the server answered \(status) to its own link; search again"
      case .failed(let sentence): "a page did not come: \(sentence)"
      case .linkUnusable(let sentence): "the next link \(sentence)"
      case .permissionDenied(let origin): "the next page is at \(origin), which the connection does not allow"
      }
    }
  }

  enum State: Sendable {
    /// The first page is under way. Can become: following, waiting, stopped.
    case first
    /// A linked page is under way. Can become: itself, waiting, stopped.
    case following
    /// Until the operator has spoken. Can become: following, stopped.
    case waiting(PageLink)
    case stopped(End)
  }

  /// Whether other origins may be asked, and what they may hear.
  package enum Permission: Sendable, Hashable { case withToken, withoutToken }

  /// Pages without an entry that are read in a row: servers filter after they have cut their pages.
  package static let emptyPagesMax = 20

  private let asked: [SearchParameter]
  private let home: Origin
  private let limits: Limits
  private let rewrites: [Rewrite]
  private var permissions: [Origin: Permission]
  private var state = State.first
  /// The address that is under way; relative links are resolved against it.
  private var current: String
  private var seen: Set<UInt64>
  private var lastFingerprint: UInt64?
  private var emptyPages = 0
  package private(set) var result = PagingResult()

  /// - Parameters:
  ///   - request: the search, as it is sent first.
  ///   - allowed: other origins of the connection, and whether they may have the token.
  package init(
    _ request: FHIRRequest, limits: Limits = Limits(), allowed: [Origin: Permission] = [:], rewrites: [Rewrite] = []
  ) {
    asked = request.parameters
    home = request.base.origin
    current = request.url
    self.limits = limits
    self.rewrites = rewrites
    permissions = allowed
    // The first page of a POST has the address of nothing that a link could name.
    seen = request.method == .get ? [PageTally.hash(request.url.utf8)] : []
  }

  /// Goes on where a former run stopped.
  package init(
    resuming link: String, of request: FHIRRequest, limits: Limits = Limits(), allowed: [Origin: Permission] = [:],
    rewrites: [Rewrite] = []
  ) {
    self.init(request, limits: limits, allowed: allowed, rewrites: rewrites)
    state = .following
    result.isContinued = true
    current = link
    seen = [PageTally.hash(link.utf8)]
  }

  /// A page came, and all of its entries.
  package mutating func pageArrived(_ page: BundleSummary, _ tally: PageTally) -> Action {
    switch state {
    case .waiting, .stopped: return stopped()  // a late page; nobody counts it
    case .first:
      result.compare(asked, with: page.links["self"], against: current)
    case .following: break
    }
    result.count(page, tally)
    result.resume = nil
    guard let next = page.next else { return stop(.complete) }
    if tally.entries > 0, tally.fingerprint == lastFingerprint { return stop(.loop) }
    lastFingerprint = tally.entries > 0 ? tally.fingerprint : lastFingerprint
    emptyPages = tally.entries > 0 ? 0 : emptyPages + 1
    if emptyPages >= Self.emptyPagesMax { return stop(.emptyPages) }
    let link: PageLink
    do { link = try PageLink(next, from: current, rewrites: rewrites) } catch {
      return stop(.linkUnusable(sentence: error.sentence))
    }
    if link.wasRewritten { result.note("link-rewritten", "the next link names another origin; a rule rewrote it") }
    guard seen.insert(PageTally.hash(link.url.utf8)).inserted else { return stop(.loop) }
    result.resume = link.url
    if result.pages >= limits.pages { return stop(.pageLimit) }
    if result.matches >= limits.resources { return stop(.resourceLimit) }
    if result.bytes >= limits.bytes { return stop(.byteLimit) }
    return follow(link)
  }

  /// The address of the page behind the present one, if `pageArrived` will most likely say to fetch it with the token.
  package func foreseen(_ next: String) -> String? {
    guard result.pages + 1 < limits.pages, let link = try? PageLink(next, from: current, rewrites: rewrites),
      link.origin == home || permissions[link.origin] == .withToken, !seen.contains(PageTally.hash(link.url.utf8))
    else { return nil }
    return link.url
  }

  /// A page did not come, after all its retries.
  package mutating func pageRefused(_ reply: FHIRReply) -> Action {
    switch state {
    case .waiting, .stopped: return stopped()
    case .first: return stop(.failed(sentence: reply.sentence ?? "the server answered \(reply.status)"))
    case .following:
      if [400, 404, 410].contains(reply.status) {
        result.resume = nil
        return stop(.stateLost(status: reply.status))
      }
      result.resume = current
      return stop(.failed(sentence: reply.sentence ?? "the server answered \(reply.status)"))
    }
  }

  /// No answer, or a Bundle that could not be read.
  package mutating func pageFailed(_ sentence: String) -> Action {
    switch state {
    case .waiting, .stopped: return stopped()
    case .first: return stop(.failed(sentence: sentence))
    case .following:
      result.resume = current
      return stop(.failed(sentence: sentence))
    }
  }

  /// The operator allows the origin that was asked about.
  package mutating func permissionGiven(_ permission: Permission) -> Action {
    switch state {
    case .waiting(let link):
      permissions[link.origin] = permission
      return follow(link)
    case .first, .following: return .fetch(url: current, withToken: true)  // nothing was asked
    case .stopped: return stopped()
    }
  }

  package mutating func permissionDenied() -> Action {
    switch state {
    case .waiting(let link): return stop(.permissionDenied(origin: link.origin))
    case .first, .following: return .fetch(url: current, withToken: true)  // nothing was asked
    case .stopped: return stopped()
    }
  }

  private mutating func follow(_ link: PageLink) -> Action {
    let withToken: Bool
    if link.origin == home {
      withToken = true
    } else if let permission = permissions[link.origin] {
      withToken = permission == .withToken
    } else {
      state = .waiting(link)
      return .askPermission(origin: link.origin)
    }
    state = .following
    current = link.url
    return .fetch(url: link.url, withToken: withToken)
  }

  private mutating func stop(_ end: End) -> Action {
    state = .stopped(end)
    result.finish(end)
    return .stop(end)
  }

  private func stopped() -> Action {
    switch state {
    case .stopped(let end): .stop(end)
    case .waiting(let link): .askPermission(origin: link.origin)
    case .first, .following: .fetch(url: current, withToken: true)
    }
  }
}

/// Where a page's next link leads.
struct PageLink: Sendable, Hashable {
  let url: String
  let origin: Origin
  let wasRewritten: Bool

  /// - Parameter asked: the address of the page that has the link.
  init(_ link: String, from asked: String, rewrites: [Paging.Rewrite]) throws(URLProblem) {
    var page = try FHIRPageURL(URLReference.isAbsolute(link) ? link : URLReference.resolve(link, against: asked))
    let rule = rewrites.first { $0.from == page.origin }
    if let rule {
      let rest = page.text.drop { $0 != ":" }.dropFirst(3).drop { $0 != "/" && $0 != "?" && $0 != "#" }
      page = try FHIRPageURL(rule.to.description + rest)
    }
    // http: is never upgraded by guess; a rule may.
    guard page.origin.scheme == "https" || page.origin.isLoopback else { throw .insecure(loopback: false) }
    url = page.text
    origin = page.origin
    wasRewritten = rule != nil
  }
}
