/// Request lines: what is found in a good one, what is said of a bad one, and that a JSON parser agrees.
import FHIRControl
import Foundation
import Testing

@Suite struct RequestEnvelopeTests {
  private struct Found: Equatable {
    var id: String?
    var method: String
    var params: String?
    var problem: RequestEnvelope.Problem?
  }

  private func scan(_ bytes: [UInt8]) -> Found {
    let request = RequestEnvelope(bytes.span)
    func text(_ range: Range<Int>?) -> String? { range.map { String(decoding: bytes[$0], as: UTF8.self) } }
    return Found(
      id: text(request.id), method: request.methodName(in: bytes.span), params: text(request.params),
      problem: request.problem)
  }
  private func scan(_ text: String) -> Found { scan(Array(text.utf8)) }

  @Test func `members are found in any order and white space`() {
    let found = Found(id: "7", method: "token.get", params: #"{"connection":"epic"}"#, problem: nil)
    #expect(scan(#"{"jsonrpc":"2.0","id":7,"method":"token.get","params":{"connection":"epic"}}"#) == found)
    #expect(
      scan(
        " {\t\"params\" :{\"connection\":\"epic\"} ,\r \"method\": \"token.get\", \"id\" :7, \"jsonrpc\":\"2.0\" }\r")
        == found)
  }

  @Test func `escaped names and methods mean the same`() {
    let found = scan(#"{"json\u0072pc":"2.0","\u0069d":"a","method":"token\u002eget"}"#)
    #expect(found == Found(id: "\"a\"", method: "token.get", params: nil, problem: nil))
  }

  @Test(arguments: ["\"a\"", "\"\"", "0", "-7", "1.5", "1e3", "9007199254740993", "\"é😀\"", #""\u00e9\n""#])
  func `an id of every allowed kind is kept as written`(_ id: String) {
    #expect(scan(#"{"jsonrpc":"2.0","id":\#(id),"method":"m"}"#).id == id)
  }

  @Test(arguments: ["null", "true", "{}", "[]", "\"\(String(repeating: "x", count: 255))\""])
  func `an id of another kind is refused and not echoed`(_ id: String) {
    let found = scan(#"{"jsonrpc":"2.0","id":\#(id),"method":"m"}"#)
    #expect(found.problem == .id)
    #expect(found.id == nil)
  }

  @Test(arguments: [
    (#"{"id":1,"method":"m"}"#, RequestEnvelope.Problem.version),
    (#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, .version),
    (#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, .version),
    (#"{"jsonrpc":"2.0","id":1}"#, .method),
    (#"{"jsonrpc":"2.0","id":1,"method":5}"#, .method),
    (#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, .params),
    (#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, .params),
    (#"{"jsonrpc":"2.0","id":1,"method":"m","timeout_seconds":1}"#, .unknownMember("timeout_seconds")),
    (#"{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}"#, .repeatedMember("method")),
  ])
  func `a bad request says what is wrong and keeps its id`(_ line: String, _ problem: RequestEnvelope.Problem) {
    let found = scan(line)
    #expect(found.problem == problem)
    #expect(found.id == "1")
  }

  @Test func `other values are not requests`() {
    #expect(scan("[]").problem == .batch)
    #expect(scan(#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#).problem == .batch)
    #expect(scan("17").problem == .notAnObject)
    #expect(scan("\"text\"").problem == .notAnObject)
    #expect(scan("null").problem == .notAnObject)
    #expect(scan("").problem == .malformed(at: 0))
    #expect(scan("[1").problem == .malformed(at: 2))
  }

  @Test func `nesting is bounded, without a limit on what an attacker writes`() {
    func nested(_ depth: Int) -> String {
      let open = String(repeating: "[", count: depth), close = String(repeating: "]", count: depth)
      return #"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":\#(open)\#(close)}}"#
    }
    #expect(scan(nested(62)).problem == nil)
    #expect(scan(nested(63)).problem == .tooDeep(limit: 64))
    #expect(scan(Array(repeating: UInt8(ascii: "["), count: 1 << 20)).problem == .tooDeep(limit: 64))
    #expect(scan(String(repeating: "{\"a\":", count: 200_000)).problem == .tooDeep(limit: 64))
  }

  @Test(arguments: [
    "{", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":01}", "{\"a\":1.}", "{\"a\":.5}", "{\"a\":+1}",
    "{\"a\":1e}", "{\"a\":-}", "{\"a\":tru}", "{\"a\":nul", "{\"a\":NaN}", "{'a':1}", "{a:1}", "{\"a\":\"\u{1}\"}",
    "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}", "{\"a\":\"", "{\"a\":\"\\",
    "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":[}", "\u{FEFF}{}", "{\"a\":1}{\"a\":1}", "\u{0}\u{1}",
  ])
  func `what is not JSON is told so`(_ text: String) {
    guard case .malformed = scan(text).problem else {
      Issue.record("\(text.debugDescription) passed: \(scan(text))")
      return
    }
  }

  @Test func `broken UTF-8 is not JSON`() {
    let bad: [[UInt8]] = [
      [0xFF], [0xC0, 0x80], [0xC3], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80],
      [0xF0, 0x9F, 0x98], [0xE2, 0x28, 0xA1],
    ]
    for bytes in bad {
      let line = Array(#"{"jsonrpc":"2.0","id":""#.utf8) + bytes + Array(#"","method":"m"}"#.utf8)
      guard case .malformed = scan(line).problem else {
        Issue.record("\(bytes) passed")
        continue
      }
    }
  }

  /// Every line that is taken means to a JSON parser what it means here.
  @Test func `a JSON parser agrees about every mutation that is taken`() throws {
    let seeds = [
      #"{"jsonrpc":"2.0","id":7,"method":"token.get","params":{"connection":"epic","min_valid_seconds":12.5}}"#,
      #"{"params":{"a":[1,-2.5e3,{"b":"\u00e9\ud83d\ude00\n"}],"c":null,"d":true},"method":"x.y","id":"é","jsonrpc":"2.0"}"#,
    ].map { Array($0.utf8) }
    let alphabet = Array("{}[]\",:\\u0123456789eE+-.abtfn é\t\r".utf8) + [0, 0x1F, 0x7F, 0xC3, 0xED, 0xF0, 0xFF]
    var generator = SplitMix(state: 20_261_124)
    var taken = 0
    for _ in 0..<60_000 {
      var line = seeds[Int.random(in: 0..<seeds.count, using: &generator)]
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let at = Int.random(in: 0..<line.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: line[at] = alphabet.randomElement(using: &generator)!
        case 1: line.insert(alphabet.randomElement(using: &generator)!, at: at)
        case 2: line.remove(at: at)
        default:
          let end = min(line.count, at + Int.random(in: 1...12, using: &generator))
          line.insert(contentsOf: line[at..<end], at: Int.random(in: 0..<line.count, using: &generator))
        }
      }
      guard scan(line).problem == nil else { continue }
      taken += 1
      try agree(line)
    }
    #expect(taken > 1000)
  }

  private func agree(_ line: [UInt8]) throws {
    let text = String(decoding: line, as: UTF8.self)
    guard let tree = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else {
      // The one thing that the parser cannot hold: a number beyond a double.
      #expect(text.contains(/[0-9][eE]\+?[0-9]{3}/) || text.contains(/[0-9]{300}/), "only we take \(text)")
      return
    }
    let found = scan(line)
    #expect(tree["method"] as? String == found.method, "\(text)")
    if let id = found.id {
      let value = try JSONSerialization.jsonObject(with: Data("[\(id)]".utf8)) as? [Any]
      #expect((tree["id"] as? NSObject) == (value?.first as? NSObject), "\(text)")
    } else {
      #expect(tree["id"] == nil, "\(text)")
    }
    if let params = found.params {
      let value = try? JSONSerialization.jsonObject(with: Data(params.utf8)) as? NSDictionary
      #expect((tree["params"] as? NSDictionary) == value, "\(text)")
    }
  }
}

/// A repeatable source of randomness. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
