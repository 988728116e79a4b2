/// The hot path's parts: what is read from a line, what is remembered, what is answered.
import ConnectionCore
import FHIRControl
import Foundation
import SMARTProtocol
import Testing

@testable import FHIRDaemon

@Suite struct HotRequestTests {
  private struct Read: Equatable {
    var connection: String
    var subject: String
    var milliseconds: Int64
  }

  private func read(_ line: [UInt8]) -> Read? {
    let envelope = RequestEnvelope(line.span)
    guard envelope.problem == nil, let params = envelope.params, let request = HotRequest(line.span, params: params)
    else { return nil }
    return Read(
      connection: String(decoding: line[request.connection], as: UTF8.self),
      subject: String(decoding: line[request.subject], as: UTF8.self), milliseconds: request.minimum.milliseconds)
  }

  private func read(params: String) -> Read? {
    read(Array(#"{"jsonrpc":"2.0","id":1,"method":"token.get","params":\#(params)}"#.utf8))
  }

  @Test func `members are read in any order`() {
    let all = Read(connection: "epic", subject: "p-1", milliseconds: 12_500)
    #expect(read(params: #"{"connection":"epic","subject":"p-1","min_valid_seconds":12.5}"#) == all)
    #expect(read(params: #"{ "min_valid_seconds" : 12.500, "subject":"p-1" , "connection":"epic" }"#) == all)
    #expect(read(params: #"{"connection":"épic"}"#) == Read(connection: "épic", subject: "", milliseconds: 10_000))
    #expect(read(params: #"{"connection":"epic","subject":"","min_valid_seconds":0}"#)?.milliseconds == 0)
    #expect(read(params: #"{"connection":"epic","min_valid_seconds":86400}"#)?.milliseconds == 86_400_000)
  }

  @Test(arguments: [
    "{}", #"{"connection":""}"#, #"{"connection":5}"#, #"{"connection":null}"#, #"{"connection":"a\u0062"}"#,
    #"{"connection":"a","subject":null}"#, #"{"connection":"a","subject":1}"#, #"{"connection":"a","connection":"b"}"#,
    #"{"connection":"a","subject":"","subject":"x"}"#, #"{"connection":"a","min_valid_seconds":-1}"#,
    #"{"connection":"a","min_valid_seconds":86400.001}"#, #"{"connection":"a","min_valid_seconds":86401}"#,
    #"{"connection":"a","min_valid_seconds":1e1}"#, #"{"connection":"a","min_valid_seconds":1.0001}"#,
    #"{"connection":"a","min_valid_seconds":"1"}"#, #"{"connection":"a","min_valid_seconds":99999999999999999999}"#,
    #"{"connection":"a","timeout_seconds":1}"#, #"{"connection":"a","other":1}"#, #"{"conn\u0065ction":"a"}"#,
    #"{"connection":"a","min_valid_seconds":1,"min_valid_seconds":1}"#,
  ])
  func `whatever is unusual is left to the long way`(_ params: String) {
    #expect(read(params: params) == nil)
  }

  @Test func `names beyond the limit are left to the long way`() {
    let name = String(repeating: "n", count: HotRequest.nameBytesMax)
    #expect(read(params: #"{"connection":"\#(name)"}"#) != nil)
    #expect(read(params: #"{"connection":"\#(name)n"}"#) == nil)
  }

  /// What is taken here means the same to the parser that the commands use.
  @Test func `the long way agrees about every mutation that is taken`() throws {
    struct Line: Decodable {
      var method: String
      var params: TokenGetParameters
    }
    let seed = Array(
      #"{"jsonrpc":"2.0","id":7,"method":"token.get","params":{"connection":"epic","subject":"é1","min_valid_seconds":12.5}}"#
        .utf8)
    let alphabet = Array("{}[]\",:\\u0123456789eE+-.a é\t".utf8) + [0, 0xC3, 0xFF]
    var taken = 0
    for _ in 0..<40_000 {
      var line = seed
      for _ in 0..<Int.random(in: 1...3) {
        let at = Int.random(in: 0..<line.count)
        switch Int.random(in: 0..<4) {
        case 0: line[at] = alphabet.randomElement()!
        case 1: line.insert(alphabet.randomElement()!, at: at)
        case 2: line.remove(at: at)
        default:
          let end = min(line.count, at + Int.random(in: 1...30))
          line.insert(contentsOf: line[at..<end], at: Int.random(in: 0..<line.count))
        }
      }
      guard let found = read(line) else { continue }
      taken += 1
      let text = String(decoding: line, as: UTF8.self)
      let decoded = try JSONDecoder().decode(Line.self, from: Data(line))
      #expect(decoded.params.connection == found.connection, "\(text)")
      #expect(decoded.params.subject ?? "" == found.subject, "\(text)")
      let seconds = decoded.params.minValidSeconds ?? TokenGetParameters.minValidSecondsDefault
      #expect(abs(seconds * 1000 - Double(found.milliseconds)) < 0.001, "\(text)")
    }
    #expect(taken > 1000)
  }
}

@Suite struct GrantCacheTests {
  private func line(_ connection: String, _ subject: String) throws -> ([UInt8], HotRequest) {
    let line = Array(#"{"params":{"connection":"\#(connection)","subject":"\#(subject)"}}"#.utf8)
    let request = HotRequest(line.span, params: 10..<line.count - 1)
    return (line, try #require(request))
  }
  private func key(_ low: UInt64) -> GrantKey {
    GrantKey(connection: ConnectionID(high: 1, low: low), subject: KeyedHash(bytes: [UInt8](repeating: 1, count: 16))!)
  }

  @Test func `an entry is found by both names until the epoch moves`() throws {
    var cache = GrantCache()
    let (bytes, request) = try line("ab", "c")
    let found1 = cache.key(bytes.span, request, epoch: 5)
    #expect(found1 == nil)
    let found2 = cache.insert(key(9), bytes.span, request, epoch: 5)
    #expect(found2 == key(9).bytes)
    let found3 = cache.key(bytes.span, request, epoch: 5)
    #expect(found3 == key(9).bytes)
    let (other, otherRequest) = try line("a", "bc")
    let found4 = cache.key(other.span, otherRequest, epoch: 5)
    #expect(found4 == nil)
    let found5 = cache.key(bytes.span, request, epoch: 6)
    #expect(found5 == nil)
  }

  @Test func `an entry that was looked up before a change does not outlive it`() throws {
    var cache = GrantCache()
    let (bytes, request) = try line("a", "")
    _ = cache.insert(key(9), bytes.span, request, epoch: 5)
    let found6 = cache.key(bytes.span, request, epoch: 6)
    #expect(found6 == nil)
    let found7 = cache.key(bytes.span, request, epoch: 5)
    #expect(found7 == nil)
  }

  @Test func `a few are kept and the oldest goes`() throws {
    var cache = GrantCache()
    for i in 0..<UInt64(GrantCache.entriesMax + 1) {
      let (bytes, request) = try line("c\(i)", "")
      _ = cache.insert(key(i), bytes.span, request, epoch: 1)
    }
    let (first, firstRequest) = try line("c0", "")
    let (last, lastRequest) = try line("c\(GrantCache.entriesMax)", "")
    let found8 = cache.key(first.span, firstRequest, epoch: 1)
    #expect(found8 == nil)
    let found9 = cache.key(last.span, lastRequest, epoch: 1)
    #expect(found9 == key(UInt64(GrantCache.entriesMax)).bytes)
  }
}

@Suite struct ByteBufferTests {
  private func text(_ buffer: borrowing ByteBuffer) -> String { String(decoding: buffer.bytes, as: UTF8.self) }

  @Test func `bytes go in behind and out in front`() {
    var buffer = ByteBuffer()
    let found10 = buffer.capacity
    #expect(found10 == 0)
    var expected = ""
    for i in 0..<3000 {
      buffer.append(Array("\(i),".utf8))
      expected += "\(i),"
      if i % 3 == 0 {
        buffer.consume(2)
        expected.removeFirst(2)
      }
    }
    let found11 = text(buffer)
    #expect(found11 == expected)
    buffer.truncate(to: 5)
    let found12 = text(buffer)
    #expect(found12 == String(expected.prefix(5)))
    buffer.consume(5)
    let found13 = buffer.isEmpty
    #expect(found13)
    buffer.release()
    let found14 = buffer.capacity
    #expect(found14 == 0)
  }

  @Test(arguments: [0, 9, 10, 3599, 86_400, Int64.max, -1, Int64.min])
  func `numbers are written as people write them`(_ number: Int64) {
    var buffer = ByteBuffer()
    buffer.append(decimal: number)
    let found15 = text(buffer)
    #expect(found15 == "\(number)")
  }

  @Test func `a token's answer is one line of JSON`() throws {
    var buffer = ByteBuffer()
    let id = Array("\"a\"".utf8)
    Array(#""access_token":"t""#.utf8).withUnsafeBytes {
      buffer.appendToken(
        id: id.span, fragment: $0, expiresAt: Timestamp(milliseconds: 1_700_000_000_000), expiresIn: 42)
    }
    #expect(
      text(buffer)
        == #"{"jsonrpc":"2.0","id":"a","result":{"access_token":"t","expires_at":"2023-11-14T22:13:20Z","expires_in":42}}"#
        + "\n")
  }
}

@Suite struct DeadlinesTests {
  @Test func `entries come out in time order, and not before their time`() {
    var deadlines = Deadlines()
    for i in (0..<500).shuffled() {
      deadlines.insert(Deadlines.Entry(at: Instant(milliseconds: Int64(i)), token: 0, serial: UInt64(i)))
    }
    var out: [UInt64] = []
    while let entry = deadlines.removeDue(at: Instant(milliseconds: 249)) { out.append(entry.serial) }
    #expect(out == Array(0..<250))
    #expect(deadlines.next == Instant(milliseconds: 250))
  }

  @Test func `a million finished requests leave nothing behind`() {
    var deadlines = Deadlines()
    for i in 0..<UInt64(1_000_000) {
      deadlines.insert(Deadlines.Entry(at: Instant(milliseconds: Int64(i)), token: 0, serial: i))
      deadlines.sweep(live: 1) { $0.serial == 7 }
    }
    #expect(deadlines.count <= Deadlines.sweepFrom + 1)
    #expect(deadlines.removeDue(at: Instant(milliseconds: 7))?.serial == 7)
  }
}

@Suite struct StoredTokenHotPathTests {
  /// A store with one record; the sealed bytes are the plain ones, reversed.
  private final class Reader: HotRecordReader {
    var records: [[UInt8]: [UInt8]] = [:]
    var failure: StoreError?
    func withValue<R>(
      of table: Table, key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R
    ) throws(StoreError) -> R {
      if let failure { throw failure }
      guard table == .tokens, let value = records[Array(key)] else { return body(nil) }
      return value.withUnsafeBytes { body($0) }
    }
  }

  private final class Opener: HotRecordOpener {
    var opened: [UInt8] = []
    var plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
    var wipes = 0
    var refuses = false
    deinit { plain.deallocate() }
    func open(_ value: UnsafeRawBufferPointer, table: Table, key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
      if refuses { return nil }
      for (i, byte) in value.reversed().enumerated() { plain[i] = byte }
      return UnsafeRawBufferPointer(rebasing: plain[..<value.count])
    }
    func wipe() { wipes += 1 }
  }

  private let key = [UInt8](repeating: 9, count: 32)
  private let reader = Reader()
  private let opener = Opener()
  private let now = Instant(milliseconds: 1_000_000)
  private let wall = Timestamp(milliseconds: 1_700_000_000_000)

  private func put(secondsLeft: Int64, lifetime: Int64 = 300) {
    let token = ServedToken(
      expiresAt: now + .seconds(secondsLeft), bootID: 7,
      expiresAtWall: Timestamp(milliseconds: wall.milliseconds + secondsLeft * 1000),
      obtainedAtWall: wall, lifetime: .seconds(lifetime))
    reader.records[key] = (token.header + Array(#""access_token":"secret""#.utf8)).reversed()
  }

  private func serve(minimum: Int64 = 10, at moment: HotMoment? = nil) -> String? {
    let path = StoredTokenHotPath(reader: reader, opener: opener)
    var output = ByteBuffer()
    let id = Array("1".utf8)
    let moment = moment ?? HotMoment(now: now, wall: wall, bootID: 7)
    guard path.serve(key: key.span, minimum: .seconds(minimum), at: moment, id: id.span, into: &output) else {
      let found16 = output.isEmpty
      #expect(found16)
      return nil
    }
    return String(decoding: output.bytes, as: UTF8.self)
  }

  @Test func `a valid token is served with what is left of it, and wiped`() {
    put(secondsLeft: 120)
    #expect(
      serve()
        == #"{"jsonrpc":"2.0","id":1,"result":{"access_token":"secret","expires_at":"2023-11-14T22:15:20Z","expires_in":120}}"#
        + "\n")
    #expect(opener.wipes == 1)
  }

  @Test func `a token that does not live long enough is left to the commands`() {
    put(secondsLeft: 20)
    #expect(serve(minimum: 20) != nil)
    #expect(serve(minimum: 21) == nil)
    put(secondsLeft: 0)
    #expect(serve(minimum: 0) == nil)
    #expect(opener.wipes == 3)
  }

  @Test func `nobody can ask for more than half of what the server gives`() {
    put(secondsLeft: 160, lifetime: 300)
    #expect(serve(minimum: 86_400) != nil)
    put(secondsLeft: 140, lifetime: 300)
    #expect(serve(minimum: 86_400) == nil)
  }

  @Test func `no record, one that does not open and a store that fails are left to the commands`() {
    #expect(serve() == nil)
    put(secondsLeft: 120)
    opener.refuses = true
    #expect(serve() == nil)
    reader.failure = .closed
    #expect(serve() == nil)
  }

  @Test func `after somebody set the clock the expiry is told on the new one`() {
    put(secondsLeft: 120)
    let tomorrow = HotMoment(now: now, wall: Timestamp(milliseconds: wall.milliseconds + 86_400_000), bootID: 7)
    #expect(serve(at: tomorrow)?.contains(#""expires_at":"2023-11-15T22:15:20Z","expires_in":120"#) == true)
  }
}

@Suite struct ControlHotPathTests {
  @Test func `a valid token is served without the commands`() async throws {
    try await withServer(tokenBytes: 8) { server in
      let client = try server.client()
      for id in 1...5 {
        let answer = try client.ask(
          #"{"jsonrpc":"2.0","id":\#(id),"method":"token.get","params":{"connection":"epic"}}"#)
        #expect(answer["id"] == .integer(Int64(id)))
        #expect(answer["result"]?["access_token"] == .string("tttttttt"))
      }
      #expect(server.directory.lookups == 1)
      let statistics = await server.server.statistics()
      #expect(statistics.hotHits == 5)
      #expect(statistics.slowPath == 0)
    }
  }

  @Test func `a rule that goes away is obeyed by clients that are connected`() async throws {
    try await withServer(tokenBytes: 8) { server in
      let client = try server.client()
      #expect(try client.ask(tokenLine)["result"]?["access_token"] != nil)
      server.directory.deny()
      #expect(try client.ask(tokenLine)["result"]?["method"] == .string("token.get"))
      #expect(await server.server.statistics().slowPath == 1)
    }
  }

  @Test func `what the hot path cannot serve is answered by the commands`() async throws {
    try await withServer(tokenBytes: 8) { server in
      let client = try server.client()
      for params in [
        #"{"connection":"other"}"#, #"{"connection":"epic","min_valid_seconds":61}"#,
        #"{"connection":"epic","timeout_seconds":5}"#, #"{"conn\u0065ction":"epic"}"#,
      ] {
        let answer = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"token.get","params":\#(params)}"#)
        #expect(answer["result"]?["method"] == .string("token.get"))
      }
      #expect(await server.server.statistics().hotHits == 0)
    }
  }
}
