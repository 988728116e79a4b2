/// Finds the bytes of the `result` member in an answer that is known to be valid JSON.

/// The value of the top-level member `result`, as the daemon wrote it; nil when there is none.
func resultBytes(in line: [UInt8]) -> [UInt8]? {
  var scanner = MemberScanner(line)
  return scanner.value(of: Array("result".utf8))
}

private struct MemberScanner {
  private let bytes: [UInt8]
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

  mutating func value(of key: [UInt8]) -> [UInt8]? {
    skipSpace()
    guard current == UInt8(ascii: "{") else { return nil }
    at += 1
    while true {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { return nil }
      let name = at + 1
      skipString()
      let isKey = at - 1 >= name && bytes[name..<at - 1].elementsEqual(key)
      skipSpace()
      guard current == UInt8(ascii: ":") else { return nil }
      at += 1
      skipSpace()
      let start = at
      skipValue()
      if isKey { return trimmed(start..<at) }
      skipSpace()
      guard current == UInt8(ascii: ",") else { return nil }
      at += 1
    }
  }

  /// Up to the comma or brace that ends the member; inner objects, arrays and texts are passed over.
  private mutating func skipValue() {
    var depth = 0
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        skipString()
        continue
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        if depth == 0 { return }
        depth -= 1
      case UInt8(ascii: ","):
        if depth == 0 { return }
      default: break
      }
      at += 1
    }
  }

  private mutating func skipString() {
    at += 1
    while let byte = current, byte != UInt8(ascii: "\"") {
      at += byte == UInt8(ascii: "\\") ? 2 : 1
    }
    at += 1
  }

  private mutating func skipSpace() {
    while let byte = current, Self.isSpace(byte) { at += 1 }
  }

  private func trimmed(_ range: Range<Int>) -> [UInt8] {
    var end = min(range.upperBound, bytes.count)
    while end > range.lowerBound, Self.isSpace(bytes[end - 1]) { end -= 1 }
    return Array(bytes[range.lowerBound..<end])
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
  }
}
