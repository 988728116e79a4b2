/// One entry of `searchInclude` or `searchRevInclude`. Written `Type:parameter`, `Type:parameter:Target`, or with `*`;
/// some servers have a point for the colon, or a type alone.

package struct IncludePath: Sendable, Hashable {
  /// nil: every type.
  package var source: String?
  /// nil: every reference parameter of `source`.
  package var parameter: String?
  package var target: String?

  /// Whether the text is one, without taking it apart: HAPI lists twenty thousand.
  static func isPath(_ text: String) -> Bool {
    if text == "*" { return true }
    let bytes = text.utf8.span
    var colons = 0
    var isPlain = true
    for i in bytes.indices {
      switch bytes[i] {
      case UInt8(ascii: ":"): colons += 1
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "-"): continue
      default: isPlain = false
      }
    }
    let isWhole = bytes.count > 2 && bytes[0] != UInt8(ascii: ":") && bytes[bytes.count - 1] != UInt8(ascii: ":")
    return isPlain && isWhole && colons == 1 || IncludePath(text) != nil
  }

  package init?(_ text: String) {
    if text == "*" { return }
    let mark = text.utf8.contains(UInt8(ascii: ":")) ? UInt8(ascii: ":") : UInt8(ascii: ".")
    let parts = text.utf8.split(separator: mark, omittingEmptySubsequences: false).map { String(Substring($0)) }
    guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && !$0.utf8.contains(0x20) }) else {
      return nil
    }
    source = parts[0] == "*" ? nil : parts[0]
    parameter = parts[1] == "*" ? nil : parts[1]
    if parts.count == 3 { target = parts[2] }
    if source == nil, parameter != nil { return nil }
  }
}
