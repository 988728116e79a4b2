/// What comes from files, from libcurl and into the log: headers, settings, opened records.
import ConnectionCore
import FHIRControl
import FoundationEssentials
import SMARTProtocol

@testable import CurlHTTP
@testable import FHIRDaemon
@testable import SystemdHost

extension FuzzTarget {
  static let httpAnswer = FuzzTarget(
    "http-answer",
    seeds: [
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: a\r\n  folded\r\nX:\r\n\r\nTrailer: x\r\n",
      " first\n:\n: v\n",
    ], words: ["HTTP/1.1 200 OK\r\n", ": ", "\r\n\r\n", "\n ", "\t", "\u{301}", "\r"]
  ) { bytes in
    var answer = Answer(bodyBytesMax: 64)
    for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
      let line = Array(line) + [0x0A]
      _ = line.withUnsafeBytes { answer.headerArrived($0) }
    }
    try hold(answer.headers.count <= Answer.headersMax, "\(answer.headers.count) headers")
    for header in answer.headers {
      for text in [header.name, header.value] {
        let ends = [text.utf8.first, text.utf8.last]
        try hold(!ends.contains { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D || $0 == 0x0A }, "blanks around \(header)")
        try hold(!text.utf8.contains(0x0A), "a line end within \(header)")
      }
      try hold(!header.name.utf8.contains(UInt8(ascii: ":")), "a colon in the name of \(header)")
    }
    var expected = 0
    for piece in bytes.split(separator: UInt8(ascii: ":")) {
      let fits = piece.withUnsafeBytes { answer.bodyArrived($0) }
      if fits { expected += piece.count }
      try hold(fits == (answer.isTooLarge == nil) || answer.isTooLarge != nil, "refused without a reason")
      if !fits { break }
    }
    try hold(answer.body.count == expected && expected <= 64, "a body of \(answer.body.count) bytes")
    answer.wipeBody()
    try hold(answer.body.isEmpty, "the body outlived its wiping")
  }

  static let environmentFile = FuzzTarget(
    "environment-file",
    seeds: [
      "# a\nFHIRD_LOG_LEVEL=debug\nA = \"b \\\"c\\\" \\\n d\" e\n; x\nB='x'y\\ z  \nC=\\\n  d\n", "A='open\nB=1\n",
      "1=x\nno\n=\n", "A=a\\", "1h 30min", "1.5GiB",
    ], words: ["FHIRD_", "=", "'", "\"", "\\", "\\\n", "#", ";", "\u{0}", "\r\n", "$", "`"]
  ) { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    let file = EnvironmentFile(text)
    let lines = bytes.count { $0 == 0x0A } + 1
    for assignment in file.assignments {
      try hold((1...lines).contains(assignment.line), "line \(assignment.line) of \(lines)")
      let name = Array(assignment.name.utf8)
      try hold(
        name.first.map { !(48...57).contains($0) } == true
          && name.allSatisfy { (97...122).contains($0 | 0x20) || (48...57).contains($0) || $0 == UInt8(ascii: "_") },
        "a name that is none: \(assignment.name)")
      try hold(!assignment.value.utf8.contains(0), "a value with a zero byte")
      var written = "\(assignment.name)=\""
      for scalar in assignment.value.unicodeScalars {
        if ["\"", "\\", "`", "$"].contains(scalar) { written += "\\" }
        written.unicodeScalars.append(scalar)
      }
      let again = EnvironmentFile(written + "\"\n")
      try hold(
        again.problems.isEmpty && again.assignments.map(\.value) == [assignment.value],
        "written and read again, the value is another one")
    }
    try holdValues(text)
    for problem in file.problems {
      try hold((1...lines).contains(problem.line), "line \(problem.line) of \(lines)")
      try holdSentence(problem.sentence, "setting")
      for secret in Marked.secrets(in: bytes) {
        try hold(!problem.sentence.utf8.contains(bytes: secret), "a value is told")
      }
    }
  }

  /// Durations, sizes and counts, as settings have them.
  private static func holdValues(_ text: String) throws {
    if let milliseconds = ConfigurationValue.duration(text) {
      try hold(milliseconds >= 0, "a duration of \(milliseconds) ms")
      let written = ConfigurationValue.text(duration: milliseconds)
      try hold(ConfigurationValue.duration(written) == milliseconds, "\(written) is another duration")
    }
    if let bytes = ConfigurationValue.bytes(text) {
      try hold(bytes >= 0, "a size of \(bytes)")
      let written = ConfigurationValue.text(bytes: bytes)
      try hold(ConfigurationValue.bytes(written) == bytes, "\(written) is another size")
    }
    if let count = ConfigurationValue.count(text) { try hold(count >= 0, "a count of \(count)") }
  }

  static let logText = FuzzTarget(
    "log-text", bytesMax: 4096,
    seeds: ["plain", "a b=\"c\"\\\n\r\t\u{1b}[31m", "\u{202E}x\u{2028}\u{E0001}\u{85}", ""],
    words: ["\u{1b}[", "\u{202E}", "\u{2066}", "\u{9b}", "\u{FEFF}", "\u{301}"]
  ) { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    var escaped: [UInt8] = []
    LogText.appendEscaped(text, to: &escaped)
    var logfmt: [UInt8] = []
    LogText.appendLogfmt(text, to: &logfmt)
    let plain = LogText.plain(text, bytesMax: 100)
    try hold(plain.utf8.count <= 100, "longer than it may be")
    for line in [escaped, logfmt, Array(plain.utf8)] {
      let shown = try unwrap(String(validating: line, as: UTF8.self), "not UTF-8")
      for scalar in shown.unicodeScalars {
        try hold(
          ![.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory),
          "U+\(String(scalar.value, radix: 16)) in the log")
      }
    }
    // A space or a quote within needs the quotes around.
    let isQuoted = logfmt.first == UInt8(ascii: "\"") && logfmt.last == UInt8(ascii: "\"") && logfmt.count > 1
    let needsQuotes = logfmt.contains { $0 == 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "=") }
    try hold(isQuoted || (!needsQuotes && !logfmt.isEmpty), "a reader of logfmt sees several values")
  }

  /// The first byte chooses the record; what follows is its plaintext, as it is when the seal was opened.
  static let records = FuzzTarget(
    "records", bytes: recordSeeds,
    words: ["\u{1}\u{10}\u{0}\u{0}\u{0}", "\u{7}\u{8}\u{0}\u{0}\u{0}", "kty=EC\nx=AA", "ES384"]
  ) { bytes in
    let rest = Array(bytes.dropFirst())
    try rest.withUnsafeBytes { opened in
      switch (bytes.first ?? 0) % 8 {
      case 0:
        guard let record = try? GrantRecord(opened) else { return }
        let again = try record.encoded.withUnsafeBytes { try GrantRecord($0) }
        try hold(again == record, "stored and read again, the grant is another one")
        let clock = StoppedClock()
        var adopted = record
        adopted.adopt(record.facts(generation: 1, on: clock), on: clock)
        try hold(adopted.standing == record.standing, "the machine's view has another standing")
      case 1:
        guard let record = try? InFlightRecord(opened) else { return }
        try hold(try record.encoded.withUnsafeBytes { try InFlightRecord($0) } == record, "another flight")
        _ = record.sentAt.instant(on: StoppedClock())
      case 2:
        guard let record = try? RefreshTokenRecord(opened) else { return }
        let again = try record.encoded.withUnsafeBytes { try RefreshTokenRecord($0) }
        try hold(again.current == record.current && again.previous == record.previous, "another refresh token")
      case 3:
        guard let record = try? ClientKeyRecord(opened) else { return }
        let half = (try? ClientKeyRecord.privateHalf(in: opened)).map { Array($0) } ?? []
        let written = half.withUnsafeBytes { record.encoded(privateHalf: $0) }
        try written.withUnsafeBytes {
          try hold(try ClientKeyRecord($0) == record, "another key")
          try hold(try ClientKeyRecord.privateHalf(in: $0).elementsEqual(half), "another private half")
        }
      case 4:
        guard let token = ServedToken(opened) else { return }
        try hold(token.header.elementsEqual(opened.prefix(ServedToken.headerBytes)), "another header")
        _ = token.remaining(now: Instant(milliseconds: 5), wall: Timestamp(milliseconds: 1_795_000_000_000), bootID: 1)
        _ = token.effectiveMinimum(.seconds(10))
        _ = "\(token.expiresAtWall)"
        _ = ServedToken.accessToken(in: UnsafeRawBufferPointer(rebasing: opened.dropFirst(ServedToken.headerBytes)))
      case 5:
        guard let record = try? KeySetRecord(opened) else { return }
        try hold(try record.encoded.withUnsafeBytes { try KeySetRecord($0) } == record, "another key set")
        let now = Timestamp(milliseconds: 1_795_000_000_000)
        _ = (record.isFresh(at: now), record.isUsable(at: now), record.mayBeDoubted(at: now))
        let lifetime = KeySetRecord.lifetime(cacheControl: record.entityTag)
        try hold(lifetime >= KeySetRecord.lifetimeMin && lifetime <= KeySetRecord.ageMax, "a lifetime out of bounds")
      case 6:
        guard let header = SealedHeader(opened) else { return }
        try hold(header.prefix.count == SealedHeader.nonceOffset, "the head has another length")
        let again = SealedHeader(header.prefix + Array(opened.dropFirst(SealedHeader.nonceOffset)))
        try hold(again == header, "another head")
      default:
        guard let record = try? HealthRecord(opened, on: StoppedClock()) else { return }
        let again = try record.encoded(on: StoppedClock()).withUnsafeBytes { try HealthRecord($0, on: StoppedClock()) }
        try hold(again == record, "stored and read again, the server's health is another one")
        try holdHistory(record.watch.history)
      }
    }
  }

  /// Bounded, and told without a trap.
  private static func holdHistory(_ history: HealthHistory) throws {
    try hold(history.changes.count <= HealthHistory.changesMax, "\(history.changes.count) changes")
    try hold(history.days.count <= HealthHistory.daysMax + 1, "\(history.days.count) days")
    let now = StoppedClock().wall()
    var history = history
    history.watched(.down, for: .seconds(86_400), until: now)
    history.probed(latency: .milliseconds(5), at: now)
    try hold(history.report(days: HealthHistory.daysMax, at: now).days.last?.probes ?? 0 > 0, "today is not told")
  }

  private struct StoppedClock: Clock {
    func now() -> Instant { Instant(milliseconds: 1000) }
    func wall() -> Timestamp { Timestamp(milliseconds: 1_795_000_000_000) }
    var bootID: UInt64 { 1 }
    func pause(_ span: Instant.Span) async {}
  }

  private static var recordSeeds: [[UInt8]] {
    let id = ConnectionID(high: 1, low: 2)
    let moment = Moment(Instant(milliseconds: 5), on: StoppedClock())
    var grant = GrantRecord(connection: id, subject: "s", standing: .failing, renewal: .refreshToken)
    grant.obtainedAt = moment
    grant.expiresAt = moment
    grant.lifetime = .seconds(300)
    grant.failures = 3
    grant.scope = "system/*.rs"
    grant.missingScope = ["a", "b"]
    grant.lastError = LastError(code: .invalidParams, message: "m", at: moment.wall, attempts: 1)
    grant.lostReplies = 1
    grant.lostAt = moment
    grant.context = Array("{\"patient\":\"p\"}".utf8)
    grant.authorizedAt = moment.wall
    grant.identity = "verified"
    let flight = InFlightRecord(generation: 7, sentAt: moment, fingerprint: KeyedHash(bytes: id.bytes))
    let token = ServedToken(
      expiresAt: moment.instant, bootID: 1, expiresAtWall: moment.wall, obtainedAtWall: moment.wall,
      lifetime: .seconds(60))
    let key = ClientKeyRecord(
      ClientKeyMaterial(algorithm: .es384, kid: "k", publicJWK: ["kty": "EC", "x": "AA"], privateBytes: []), of: id,
      createdAt: moment.wall, signsFrom: moment.wall)
    let header = SealedHeader(recordVersion: 1, keyID: 2, generation: 3)
    var keys = KeySetRecord(
      issuer: "https://i", url: "https://i/k", at: moment.wall, lifetime: .seconds(300), body: [1])
    keys.doubtedAt = moment.wall
    keys.entityTag = "no-cache, max-age=\"60\""
    var watch = ServerWatch()
    for second in 0..<4 {
      _ = watch.probed(
        ProbeReport(
          server: second == 0 ? .healthy(latency: .milliseconds(9)) : .down(detail: "refused"),
          metadata: second == 0 ? .readable : .trouble("a page"), document: .smartConfiguration, choice: "c",
          retryAfter: .seconds(60)),
        at: Instant(milliseconds: Int64(second) * 1000), wall: moment.wall, staleAfter: .seconds(60),
        inMaintenance: false)
    }
    watch.memory.etag = "\"7\""
    let health = HealthRecord(baseURL: "https://h/R4", savedAt: moment.wall, watch: watch)
    return [
      [0] + grant.encoded, [1] + flight.encoded, [2] + RefreshTokenRecord(current: [1, 2], previous: [3]).encoded,
      [3] + [UInt8](repeating: 9, count: 8).withUnsafeBytes { key.encoded(privateHalf: $0) },
      [4] + token.header + Array("\"access_token\":\"a\"".utf8),
      [5] + keys.encoded, [6] + header.prefix + [UInt8](repeating: 0, count: 40),
      [7] + health.encoded(on: StoppedClock()),
    ]
  }
}
