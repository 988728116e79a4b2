/// The JSON reader: right documents read right, wrong ones refused with the right word, bounds kept.
import Foundation
import SMARTProtocol
import TestSupport
import Testing

@Suite struct JSONDocumentTests {
  private func read(_ text: String, limits: JSONDocument.Limits = .small) throws -> JSON {
    try JSONDocument(Array(text.utf8), limits: limits).root
  }

  @Test(arguments: [
    ("null", JSON.null), (" true ", .bool(true)), ("-0", .integer(0)), ("9223372036854775807", .integer(.max)),
    ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.5e2", .number(150)),
    ("\"a\\u00e9\\n\\/\\ud83d\\ude00\"", .string("aé\n/😀")), ("[]", .array([])),
    ("{\"a\":[1,{\"b\":null}]}", .object(["a": .array([.integer(1), .object(["b": .null])])])),
    ("\u{FEFF}{}", .object([:])), ("1e999", .number(.greatestFiniteMagnitude)),
  ])
  func `a value reads as what it says`(text: String, expected: JSON) throws {
    #expect(try read(text) == expected)
  }

  @Test(arguments: [
    ("", JSONDocument.Fault.empty), ("  \n", .empty), ("{\"a\":1", .endsEarly), ("[1,", .endsEarly),
    ("\"ab", .endsEarly),
    ("tru", .endsEarly), ("{} x", .trailingBytes(offset: 3)), ("<html>", .notJSON(offset: 0)),
    ("{a:1}", .notJSON(offset: 1)), ("[1,]", .notJSON(offset: 3)), ("{\"a\" 1}", .notJSON(offset: 5)),
    ("01", .notJSON(offset: 0)), ("nulx", .notJSON(offset: 3)), ("\"\\x\"", .notJSON(offset: 2)), ("1.", .endsEarly),
    ("-", .endsEarly),
  ])
  func `what is no JSON is refused by name`(text: String, fault: JSONDocument.Fault) {
    #expect(throws: fault) { try read(text) }
  }

  @Test func `R6.10 depth, size and number of values are bounded`() {
    let limits = JSONDocument.Limits(bytes: 100, depth: 3, values: 5)
    #expect(throws: JSONDocument.Fault.tooDeep(limit: 3)) { try read("[[[[]]]]", limits: limits) }
    #expect(throws: Never.self) { try read("[[[]]]", limits: limits) }
    #expect(throws: JSONDocument.Fault.tooManyValues(limit: 5)) { try read("[1,2,3,4,5]", limits: limits) }
    #expect(throws: JSONDocument.Fault.tooLong(limit: 100)) {
      try read("\"" + String(repeating: "a", count: 100) + "\"", limits: limits)
    }
    #expect(throws: JSONDocument.Fault.tooDeep(limit: 32)) { try read(String(repeating: "[", count: 1_000_000)) }
  }

  @Test func `a member that comes twice is told of and the last one counts`() throws {
    let document = try JSONDocument(Array("{\"a\":1,\"b\":{\"c\":1,\"c\":2},\"\\u0061\":3}".utf8), limits: .small)
    #expect(document.topLevelDuplicates == ["a"])
    #expect(document.hasInnerDuplicates)
    #expect(document.root["a"] == .integer(3))
  }

  @Test func `a lifted member comes as bytes and never as a value`() throws {
    let text = "{\"access_token\":\"a\\u002fb\",\"x\":{\"access_token\":\"inner\"},\"n\":1}"
    let document = try JSONDocument(Array(text.utf8), limits: .small, lifting: ["access_token", "n"])
    #expect(document.lifted == ["access_token": Array("a/b".utf8)])
    #expect(document.root["access_token"] == nil)
    #expect(document.root["x"]?["access_token"] == .string("inner"))
    #expect(document.root["n"] == .integer(1))
  }

  @Test func `a lifted member that comes twice is told of`() throws {
    let text = "{\"t\":\"a\",\"t\":\"b\"}"
    let document = try JSONDocument(Array(text.utf8), limits: .small, lifting: ["t"])
    #expect(document.topLevelDuplicates == ["t"])
  }

  @Test func `text that is not UTF-8 is repaired and told of`() throws {
    let document = try JSONDocument([0x22, 0x61, 0xFF, 0x22], limits: .small)
    #expect(document.root == .string("a\u{FFFD}"))
    #expect(document.repairedText)
    #expect(try JSONDocument(Array("\"\\ud800x\"".utf8), limits: .small).root == .string("\u{FFFD}x"))
  }

  @Test func `what is written reads back the same, by Foundation too`() throws {
    let value: JSON = .object([
      "a": .string("\u{0}\u{1f}\"\\/\u{7f}é\u{2028}😀"), "b": .array([.null, .bool(false), .number(0.1), .integer(-5)]),
      "big": .number(1e300), "e": .object([:]),
    ])
    var bytes: [UInt8] = []
    value.append(to: &bytes)
    #expect(try JSONDocument(bytes, limits: .small).root == value)
    let foundation = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    #expect(foundation["a"] as? String == "\u{0}\u{1f}\"\\/\u{7f}é\u{2028}😀")
  }

  @Test func `members are appended with commas between them`() {
    var bytes: [UInt8] = []
    JSON.appendMember("a", .integer(1), to: &bytes)
    JSON.appendMember("b\"", .string("c"), to: &bytes)
    #expect(String(decoding: bytes, as: UTF8.self) == "\"a\":1,\"b\\\"\":\"c\"")
  }

  @Test func `of ten thousand damaged documents this reader takes none that Foundation refuses, text apart`() throws {
    let original = Array("{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":\"d\"},\"e\":\"\"}".utf8)
    var mutator = Mutator(seed: 1)
    for _ in 0..<10_000 {
      let bytes = mutator.mutate(original)
      guard let document = try? JSONDocument(bytes, limits: .small) else { continue }
      // Raw control characters, broken UTF-8 and numbers beyond Double are taken on purpose.
      let isLenient = document.repairedText || bytes.contains { $0 < 0x20 } || document.root.text.contains("e+308")
      let data = Data(bytes)
      if !isLenient, (try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)) == nil {
        Issue.record("took what Foundation refuses: \(String(decoding: bytes, as: UTF8.self))")
      }
      #expect(try JSONDocument(Array(document.root.text.utf8), limits: .small).root == document.root)
    }
  }
}
