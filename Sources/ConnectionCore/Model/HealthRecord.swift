/// The record of the table `health`: what is known of one server, found by the keyed hash of its base URL. Sealed; a restart
/// goes on from it.
package import FHIRControl
import SMARTProtocol

package struct HealthRecord: Sendable, Equatable {
  package static let recordVersion: UInt8 = 1

  package var baseURL: String
  package var savedAt: Timestamp
  package var watch: ServerWatch

  package init(baseURL: String, savedAt: Timestamp, watch: ServerWatch) {
    self.baseURL = baseURL
    self.savedAt = savedAt
    self.watch = watch
  }

  private enum Tag {
    static let baseURL: UInt8 = 1, savedAt: UInt8 = 2, state: UInt8 = 3, since: UInt8 = 4, reason: UInt8 = 5
    static let lastProbeAt: UInt8 = 6, latency: UInt8 = 7, detail: UInt8 = 8
    static let metadataState: UInt8 = 9, metadataSince: UInt8 = 10, metadataReason: UInt8 = 11
    static let lastReadAt: UInt8 = 12, document: UInt8 = 13, choice: UInt8 = 14, restUntil: UInt8 = 15
    static let askedDocument: UInt8 = 16, form: UInt8 = 17, etag: UInt8 = 18, lastModified: UInt8 = 19
    static let lacksSMART: UInt8 = 20, sawDocument: UInt8 = 21
    static let days: UInt8 = 22, changes: UInt8 = 23, changesDropped: UInt8 = 24
  }

  package func encoded(on clock: some Clock) -> [UInt8] {
    var out = RecordWriter()
    func put(_ tag: UInt8, _ instant: Instant?) {
      if let instant { out.put(tag, Moment(instant, on: clock).bytes) }
    }
    func put(_ tag: UInt8, _ text: String?) { if let text { out.put(tag, text) } }
    out.put(Tag.baseURL, baseURL)
    out.put(Tag.savedAt, savedAt.milliseconds)
    out.put(Tag.state, [watch.server.state.code])
    put(Tag.since, watch.server.since)
    put(Tag.reason, watch.server.track.reason)
    put(Tag.lastProbeAt, watch.server.lastProbeAt)
    if let latency = watch.server.latency { out.put(Tag.latency, latency.milliseconds) }
    put(Tag.detail, watch.server.detail)
    out.put(Tag.metadataState, [watch.metadata.state.code])
    put(Tag.metadataSince, watch.metadata.since)
    put(Tag.metadataReason, watch.metadata.reason)
    put(Tag.lastReadAt, watch.lastReadAt)
    if let document = watch.document { out.put(Tag.document, [document.rawValue]) }
    put(Tag.choice, watch.choice)
    put(Tag.restUntil, watch.restUntil)
    if let document = watch.memory.document { out.put(Tag.askedDocument, [document.rawValue]) }
    out.put(Tag.form, [watch.memory.form.rawValue])
    put(Tag.etag, watch.memory.etag)
    put(Tag.lastModified, watch.memory.lastModified)
    if watch.memory.lacksSMART { out.put(Tag.lacksSMART, [1]) }
    if watch.memory.sawDocument { out.put(Tag.sawDocument, [1]) }
    out.put(Tag.days, watch.history.days.flatMap(\.bytes))
    out.put(Tag.changes, watch.history.changes.flatMap(\.bytes))
    out.put(Tag.changesDropped, watch.history.changesDropped)
    return out.bytes
  }

  /// No server is left alone for longer, whatever it asked for.
  private static let restMax = RetryAfter.max

  package init(_ bytes: UnsafeRawBufferPointer, on clock: some Clock) throws(RecordMalformed) {
    let fields = try RecordReader(bytes)
    func state(_ tag: UInt8) -> HealthState { fields.bytes(tag)?.first.flatMap { HealthState(code: $0) } ?? .unknown }
    func instant(_ tag: UInt8) -> Instant? {
      guard let instant = Moment(fields.bytes(tag))?.instant(on: clock), RecordReader.isTime(instant.milliseconds),
        RecordReader.isTime(clock.wall(at: instant).milliseconds)
      else { return nil }
      return instant
    }
    // A clock that was ahead must not keep a server from being asked.
    func past(_ tag: UInt8) -> Instant? { instant(tag).map { min($0, clock.now()) } }
    func document(_ tag: UInt8) -> ProbeDocument? { fields.bytes(tag)?.first.flatMap(ProbeDocument.init(rawValue:)) }
    baseURL = try fields.required(fields.text(Tag.baseURL), "base URL")
    savedAt = Timestamp(milliseconds: try fields.required(fields.milliseconds(Tag.savedAt), "time"))
    var memory = ProbeMemory()
    memory.document = document(Tag.askedDocument)
    memory.form = fields.bytes(Tag.form)?.first.flatMap(CapabilityForm.init(rawValue:)) ?? .whole
    memory.etag = fields.text(Tag.etag)
    memory.lastModified = fields.text(Tag.lastModified)
    memory.lacksSMART = fields.bytes(Tag.lacksSMART) == [1]
    memory.sawDocument = fields.bytes(Tag.sawDocument) == [1]
    watch = ServerWatch(
      server: HealthMachine(
        track: HealthTrack(state: state(Tag.state), since: past(Tag.since), reason: fields.text(Tag.reason)),
        lastProbeAt: past(Tag.lastProbeAt),
        latency: fields.milliseconds(Tag.latency).map { Instant.Span(milliseconds: $0) },
        detail: fields.text(Tag.detail)),
      metadata: HealthTrack(
        state: state(Tag.metadataState), since: past(Tag.metadataSince), reason: fields.text(Tag.metadataReason)),
      lastReadAt: past(Tag.lastReadAt), document: document(Tag.document), choice: fields.text(Tag.choice),
      restUntil: instant(Tag.restUntil).map { min($0, clock.now() + Self.restMax) },
      history: HealthHistory(
        days: try HealthHistory.Day.list(fields.bytes(Tag.days) ?? []),
        changes: try HealthHistory.Change.list(fields.bytes(Tag.changes) ?? []),
        changesDropped: fields.word(Tag.changesDropped) ?? 0),
      memory: memory)
  }
}

extension HealthState {
  fileprivate var code: UInt8 {
    switch self {
    case .unknown: 0
    case .healthy: 1
    case .degraded: 2
    case .down: 3
    case .off: 4
    case .maintenance: 5
    }
  }
  fileprivate init?(code: UInt8) {
    switch code {
    case 0: self = .unknown
    case 1: self = .healthy
    case 2: self = .degraded
    case 3: self = .down
    case 4: self = .off
    case 5: self = .maintenance
    default: return nil
    }
  }
}

/// Reads numbers one after the other.
private struct Cursor {
  private let bytes: [UInt8]
  private var at = 0
  init(_ bytes: [UInt8]) { self.bytes = bytes }
  var isAtEnd: Bool { at == bytes.count }

  mutating func take(_ count: Int) throws(RecordMalformed) -> ArraySlice<UInt8> {
    guard count <= bytes.count - at else { throw RecordMalformed("the history is cut off") }
    defer { at += count }
    return bytes[at..<at + count]
  }
  mutating func number<N: FixedWidthInteger & UnsignedInteger>(_: N.Type) throws(RecordMalformed) -> N {
    try take(N.bitWidth / 8).reversed().reduce(0) { $0 << 8 | N($1) }
  }
}

extension HealthHistory.Day {
  fileprivate var bytes: [UInt8] {
    [UInt32(bitPattern: number), probes, healthy, degraded, down, maintenance, answered, latencyMin, latencyMax]
      .flatMap(\.littleEndianBytes) + latencySum.littleEndianBytes
  }

  fileprivate static func list(_ bytes: [UInt8]) throws(RecordMalformed) -> [Self] {
    var cursor = Cursor(bytes)
    var days: [Self] = []
    while !cursor.isAtEnd {
      var day = Self(number: Int32(bitPattern: try cursor.number(UInt32.self)))
      guard days.last.map({ $0.number < day.number }) ?? true else { throw RecordMalformed("days out of order") }
      day.probes = try cursor.number(UInt32.self)
      day.healthy = try cursor.number(UInt32.self)
      day.degraded = try cursor.number(UInt32.self)
      day.down = try cursor.number(UInt32.self)
      day.maintenance = try cursor.number(UInt32.self)
      day.answered = try cursor.number(UInt32.self)
      day.latencyMin = try cursor.number(UInt32.self)
      day.latencyMax = try cursor.number(UInt32.self)
      day.latencySum = try cursor.number(UInt64.self)
      days.append(day)
    }
    return days
  }
}

extension HealthHistory.Change {
  fileprivate var bytes: [UInt8] {
    let words = Array((reason ?? "").utf8)
    return UInt64(bitPattern: at.milliseconds).littleEndianBytes + [aspect.rawValue, from.code, to.code]
      + UInt16(clamping: words.count).littleEndianBytes + words.prefix(Int(UInt16.max))
  }

  fileprivate static func list(_ bytes: [UInt8]) throws(RecordMalformed) -> [Self] {
    var cursor = Cursor(bytes)
    var changes: [Self] = []
    while !cursor.isAtEnd {
      let at = Int64(bitPattern: try cursor.number(UInt64.self))
      let codes = Array(try cursor.take(3))
      let count = Int(try cursor.number(UInt16.self))
      let words = Words.clean(
        String(decoding: try cursor.take(count), as: UTF8.self), max: HealthHistory.reasonCharactersMax)
      guard RecordReader.isTime(at), let aspect = HealthHistory.Aspect(rawValue: codes[0]),
        let from = HealthState(code: codes[1]), let to = HealthState(code: codes[2])
      else { throw RecordMalformed("a change that is none") }
      changes.append(
        Self(
          at: Timestamp(milliseconds: at), aspect: aspect, from: from, to: to, reason: words.isEmpty ? nil : words))
    }
    return changes
  }
}

extension Ledger {
  package func healthAddress(_ baseURL: String) -> RecordAddress {
    RecordAddress(.health, vault.hash(.serverURL, Array(baseURL.utf8)).bytes)
  }

  /// nil: nothing is known of this server.
  package func health(_ baseURL: String, on clock: some Clock) throws(LedgerError) -> HealthRecord? {
    let address = healthAddress(baseURL)
    let result = try open(at: address, HealthRecord.recordVersion) { (_, bytes) in
      Result { () throws(RecordMalformed) in try HealthRecord(bytes, on: clock) }
    }
    return try result.map { result throws(LedgerError) in try Self.unwrap(result, at: address) }
  }

  package func health(in stored: StoredRecord, on clock: some Clock) throws(LedgerError) -> HealthRecord {
    let address = RecordAddress(.health, stored.key)
    let result = try open(stored.value, at: address, HealthRecord.recordVersion) { (_, bytes) in
      Result { () throws(RecordMalformed) in try HealthRecord(bytes, on: clock) }
    }
    return try Self.unwrap(result, at: address)
  }

  package func put(_ record: HealthRecord, on clock: some Clock) -> RecordBatch.Write {
    put(healthAddress(record.baseURL), record.encoded(on: clock), HealthRecord.recordVersion, 1)
  }
}
