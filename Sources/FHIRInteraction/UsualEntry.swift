/// Reads what nearly every entry of a search has beside its resource, and gives up on everything else.
struct UsualEntry {
  private let bytes: [UInt8]
  private var at = 0
  private(set) var fullURL: ArraySlice<UInt8>?
  private(set) var mode: ArraySlice<UInt8>?

  /// - Parameter bytes: an entry that is JSON, its resource replaced by `null`.
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// false: it is another one.
  mutating func read() -> Bool {
    guard skip("{") else { return false }
    repeat {
      guard let name = text(), skip(":") else { return false }
      if name.elementsEqual("fullUrl".utf8), fullURL == nil {
        fullURL = text()
        guard fullURL != nil else { return false }
      } else if name.elementsEqual("resource".utf8) {
        guard skip("null") else { return false }
      } else if name.elementsEqual("search".utf8), mode == nil {
        guard skip("{"), let inner = text(), inner.elementsEqual("mode".utf8), skip(":") else { return false }
        mode = text()
        guard mode != nil, skip("}") else { return false }
      } else {
        return false
      }
    } while skip(",")
    return skip("}") && at == bytes.count
  }

  private mutating func skip(_ word: StaticString) -> Bool {
    skipBlanks()
    let end = at + word.utf8CodeUnitCount
    guard end <= bytes.count else { return false }
    for index in at..<end where bytes[index] != word.utf8Start[index - at] { return false }
    at = end
    return true
  }

  private mutating func skipBlanks() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 { at += 1 }
  }

  /// Between the quotes; nil: no text, or one with escapes.
  private mutating func text() -> ArraySlice<UInt8>? {
    guard skip("\""),
      let end = bytes[at...].firstIndex(where: { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }),
      bytes[end] == UInt8(ascii: "\"")
    else { return nil }
    defer { at = end + 1 }
    return bytes[at..<end]
  }
}
