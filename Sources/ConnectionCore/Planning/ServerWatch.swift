/// Everything that is known of one server's health: whether it answers, what it says of itself, what was asked last, and its
/// history. Pure: events in, changes out; the caller brings time and chance.
package import FHIRControl
package import SMARTProtocol

/// What a probe asks for.
package enum ProbeDocument: UInt8, Sendable {
  case smartConfiguration = 1, capabilityStatement = 2

  /// As `health.get` calls it.
  package var name: String {
    switch self {
    case .smartConfiguration: "smart-configuration"
    case .capabilityStatement: "metadata"
    }
  }
}

/// How `/metadata` is asked for.
package enum CapabilityForm: UInt8, Sendable {
  /// Can become: summary, json.
  case whole = 0
  /// `_summary=true`, for a server that sends a large statement anew each time; on trial. Can become: summary, wholeOnly.
  case summaryTrial = 1
  case summary = 2
  /// The server does not know the small form.
  case wholeOnly = 3
  /// `_format=json`, for a server that answers with a page unless it is asked so.
  case json = 4

  package var query: String {
    switch self {
    case .whole, .wholeOnly: ""
    case .summaryTrial, .summary: "?_summary=true"
    case .json: "?_format=json"
    }
  }
}

/// What the last probes left behind for the next one.
package struct ProbeMemory: Sendable, Equatable {
  /// What was asked last; the validators are of this document in this form.
  package var document: ProbeDocument?
  package var form = CapabilityForm.whole
  package var etag: String?
  package var lastModified: String?
  /// The server has no smart-configuration, as far as was asked.
  package var lacksSMART = false
  /// The document was read once: a page in its place is trouble.
  package var sawDocument = false
  package init() {}

  /// What is asked for from now on.
  package mutating func turn(to document: ProbeDocument) {
    guard self.document != document else { return }
    self.document = document
    etag = nil
    lastModified = nil
    sawDocument = false
  }

  package mutating func turn(to form: CapabilityForm) {
    self.form = form
    etag = nil
    lastModified = nil
  }
}

/// What a probe says of the document.
package enum MetadataFinding: Sendable, Equatable {
  /// Read, or said to be the same.
  case readable
  /// It is not what it was, or no such document at all.
  case trouble(String)
  /// It could not be looked at this time, because the server is in trouble.
  case unread(String)
  /// The server keeps it to itself, or it is too large to look at: nobody knows.
  case unknown(String)
}

/// What one probe found, all in all.
package struct ProbeReport: Sendable, Equatable {
  package var server: ProbeResult
  package var metadata: MetadataFinding
  package var document: ProbeDocument
  /// Why this document was asked for.
  package var choice: String
  /// The server asked to be left alone for so long.
  package var retryAfter: Instant.Span?
  package init(
    server: ProbeResult, metadata: MetadataFinding, document: ProbeDocument, choice: String,
    retryAfter: Instant.Span? = nil
  ) {
    self.server = server
    self.metadata = metadata
    self.document = document
    self.choice = choice
    self.retryAfter = retryAfter
  }
}

package struct ServerWatch: Sendable, Equatable {
  package private(set) var server = HealthMachine()
  package private(set) var metadata = HealthTrack()
  /// When the document was read last, or said to be the same.
  package private(set) var lastReadAt: Instant?
  package private(set) var document: ProbeDocument?
  package private(set) var choice: String?
  /// The server wants to be left alone until then.
  package private(set) var restUntil: Instant?
  package private(set) var history = HealthHistory()
  package var memory = ProbeMemory()
  /// When this process probed last: time before it was not watched.
  private var watchedSince: Instant?

  package init() {}

  /// As another process left it.
  package init(
    server: HealthMachine, metadata: HealthTrack, lastReadAt: Instant?, document: ProbeDocument?, choice: String?,
    restUntil: Instant?, history: HealthHistory, memory: ProbeMemory
  ) {
    self.server = server
    self.metadata = metadata
    self.lastReadAt = lastReadAt
    self.document = document
    self.choice = choice
    self.restUntil = restUntil
    self.history = history
    self.memory = memory
  }

  /// - Parameters:
  ///   - staleAfter: how old a document may be that cannot be asked for.
  ///   - inMaintenance: the result is noted, and changes nothing.
  /// - Returns: what changed.
  package mutating func probed(
    _ report: ProbeReport, at now: Instant, wall: Timestamp, staleAfter: Instant.Span, inMaintenance: Bool
  ) -> [HealthHistory.Change] {
    if let since = watchedSince {
      history.watched(inMaintenance ? .maintenance : server.state, for: now - since, until: wall)
    }
    watchedSince = now
    history.probed(latency: report.server.latency, at: wall)
    document = report.document
    choice = report.choice
    restUntil = report.retryAfter.map { now + $0 }
    if report.metadata == .readable { lastReadAt = now }
    guard !inMaintenance else {
      server.noted(report.server, at: now)
      return []
    }
    var changes: [HealthHistory.Change] = []
    func note(_ aspect: HealthHistory.Aspect, _ former: HealthState?, _ track: HealthTrack) {
      guard let former else { return }
      changes.append(.init(at: wall, aspect: aspect, from: former, to: track.state, reason: track.reason))
    }
    note(.server, server.probed(report.server, at: now), server.track)
    if let (state, reason) = finding(report.metadata, at: now, wall, staleAfter) {
      note(.metadata, metadata.found(state, reason: reason, at: now), metadata)
    }
    for change in changes { history.changed(change) }
    return changes
  }

  /// nil: this probe says nothing of the metadata.
  private func finding(
    _ finding: MetadataFinding, at now: Instant, _ wall: Timestamp, _ staleAfter: Instant.Span
  ) -> (HealthState, String?)? {
    switch finding {
    case .readable: return (.healthy, nil)
    case .trouble(let words): return (.degraded, words)
    case .unknown(let words): return (.unknown, words)
    case .unread(let words):
      if metadata.state == .unknown { return (.unknown, words) }
      guard let lastReadAt, now - lastReadAt > staleAfter else { return nil }
      let read = Timestamp(milliseconds: wall.milliseconds - (now - lastReadAt).milliseconds)
      return (.degraded, "stale: last read at \(read); \(words)")
    }
  }

  package mutating func trimHistory(at now: Timestamp) { history.trim(at: now) }

  /// The server has not been asked a moment ago, and has not asked to be left alone.
  package func mayBeAsked(at now: Instant, floor: Instant.Span) -> Bool {
    if let restUntil, now < restUntil { return false }
    if let last = server.lastProbeAt, now - last < floor, now >= last { return false }
    return true
  }

  /// When the next probe comes.
  package func next(
    after now: Instant, interval: Instant.Span, chance: Double, inMaintenance: Bool
  ) -> Instant {
    let wait = server.wait(interval: interval, chance: chance, isPatient: inMaintenance || restUntil != nil)
    // A little on top: not in the very second that the server named.
    let rest = restUntil.map { $0 + .milliseconds(Int64(1000 * chance)) }
    return max(now + wait, rest ?? now)
  }
}
