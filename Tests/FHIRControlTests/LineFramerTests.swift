/// Lines out of a stream: every way of cutting the same bytes gives the same lines.
import FHIRControl
import Testing

@Suite struct LineFramerTests {
  private func lines(_ framer: inout LineFramer) throws -> [String] {
    var lines: [String] = []
    while let line = try framer.nextLine() { lines.append(String(decoding: line, as: UTF8.self)) }
    return lines
  }

  @Test(arguments: 1...9)
  func `lines come out whole, however the bytes came in`(_ step: Int) throws {
    let text = Array("one\ntwo\r\n\n\r\nthree é\nrest".utf8)
    var framer = LineFramer()
    var found: [String] = []
    for start in stride(from: 0, to: text.count, by: step) {
      framer.append(contentsOf: text[start..<min(start + step, text.count)])
      found += try lines(&framer)
    }
    #expect(found == ["one", "two", "three é"])
    #expect(framer.pendingBytes == 4)
    framer.append(contentsOf: Array("\n".utf8))
    #expect(try lines(&framer) == ["rest"])
    #expect(framer.pendingBytes == 0)
  }

  @Test func `a line of the limit passes and one byte more does not`() throws {
    var framer = LineFramer(lineBytesMax: 8)
    framer.append(contentsOf: Array("12345678\n".utf8))
    #expect(try lines(&framer) == ["12345678"])
    framer.append(contentsOf: Array("123456789\n".utf8))
    #expect(throws: LineFramer.LineTooLong.self) { try framer.nextLine() }
  }

  @Test func `a line without an end is refused as soon as it is too long`() throws {
    var framer = LineFramer(lineBytesMax: 8)
    framer.append(contentsOf: Array("ok\n12345678".utf8))
    #expect(try lines(&framer) == ["ok"])
    framer.append(contentsOf: [UInt8(ascii: "9")])
    #expect(throws: LineFramer.LineTooLong.self) { try framer.nextLine() }
  }

  @Test func `many lines go through a small buffer`() throws {
    var framer = LineFramer(lineBytesMax: 1000)
    var count = 0
    for i in 0..<5000 {
      framer.append(contentsOf: Array("line \(i) \(String(repeating: "x", count: 100))\nhalf".utf8))
      count += try lines(&framer).count
      #expect(framer.pendingBytes <= 1000)
      framer.append(contentsOf: [10])
      count += try lines(&framer).count
    }
    #expect(count == 10_000)
  }
}
