/// Reads the notifications of a search: resources are cut apart by the lengths that the daemon names, and not parsed.
import FHIRControl

extension FHIRPagePart {
  private static let head = Array("{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":".utf8)
  private static let resourcesHead = Array("\"resources\":[".utf8)

  /// nil: another line.
  init?(notification line: Span<UInt8>) throws(ClientError) {
    guard Self.stands(Self.head, in: line, at: 0) else { return nil }
    do { try self.init(line, paramsAt: Self.head.count) } catch {
      throw ClientError(.protocolViolation, "the daemon's notification is not what it should be")
    }
  }

  private struct Mismatch: Error {}

  private static func stands(_ text: [UInt8], in line: Span<UInt8>, at start: Int) -> Bool {
    line.count >= start + text.count && text.indices.allSatisfy { line[start + $0] == text[$0] }
  }

  private init(_ bytes: Span<UInt8>, paramsAt: Int) throws {
    page = 0
    count = 0
    lines = []
    var cursor = try JSONScanner.MemberCursor(bytes, at: paramsAt, depth: 1)
    while let member = try cursor.next(bytes) {
      if JSONScanner.matches("page", bytes, member.name) {
        page = Int(JSONScanner.text(bytes, member.value)) ?? 0
      } else if JSONScanner.matches("next", bytes, member.name) {
        guard bytes[member.value.lowerBound] == UInt8(ascii: "\"") else { throw Mismatch() }
        // Without its quotes.
        next = JSONScanner.text(bytes, member.value.lowerBound + 1..<member.value.upperBound - 1)
      } else if JSONScanner.matches("lengths", bytes, member.name) {
        let lengths = try Self.numbers(bytes, member.value)
        guard Self.stands(Self.resourcesHead, in: bytes, at: cursor.at) else { throw Mismatch() }
        try cut(bytes, from: cursor.at + Self.resourcesHead.count, lengths)
        return
      }
    }
  }

  private static func numbers(_ bytes: Span<UInt8>, _ array: Range<Int>) throws(Mismatch) -> [Int] {
    var numbers: [Int] = []
    var number = 0
    for at in array.dropFirst() {
      let byte = bytes[at]
      if byte >= 0x30, byte <= 0x39, number < 1 << 30 {
        number = number * 10 + Int(byte - 0x30)
      } else if number > 0, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") {
        numbers.append(number)
        number = 0
      } else {
        throw Mismatch()
      }
    }
    return numbers
  }

  /// The resources stand one behind the other, a comma between them; each becomes a line.
  private mutating func cut(_ line: Span<UInt8>, from start: Int, _ lengths: [Int]) throws(Mismatch) {
    let total = lengths.reduce(lengths.count) { $0 + $1 }
    // Behind the last one stand the brackets of the array, of params and of the notification.
    guard !lengths.isEmpty, line.count == start + total - 1 + 3 else { throw Mismatch() }
    lines = line.extracting(start..<start + total).copied
    count = lengths.count
    var at = 0
    for (index, length) in lengths.enumerated() {
      at += length
      guard lines[at] == UInt8(ascii: index + 1 == lengths.count ? "]" : ",") else { throw Mismatch() }
      lines[at] = UInt8(ascii: "\n")
      at += 1
    }
  }
}
