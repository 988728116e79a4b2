/// The tokens of the bundle reader: strings, numbers, words, and the sinks that their bytes go to.
import SMARTProtocol

extension BundleReader {
  mutating func string(_ bytes: [UInt8], _ cursor: inout BundleCursor, isKey: Bool) throws(Fault) {
    let (at, isASCII) = Self.plainEnd(bytes, from: cursor.at)
    cursor.at = at
    if !isASCII { isBeyondASCII = true }
    guard at < bytes.count else { return }
    switch bytes[at] {
    case UInt8(ascii: "\""):
      cursor.at += 1
      if isKey {
        state = .colon
        try keyEnded(bytes, &cursor)
      } else {
        state = .commaOrEnd
        try textEnded(bytes, &cursor)
      }
    case UInt8(ascii: "\\"):
      cursor.at += 1
      state = .escape(isKey: isKey)
    case let byte:
      try flush(bytes, &cursor)
      note("control-character", "a text has a control character that JSON forbids; it was escaped")
      var literal: [UInt8] = []
      JSON.appendLiteral(CollectionOfOne(byte), to: &literal)
      try append(literal.dropFirst().dropLast())
      cursor.at += 1
      cursor.run = cursor.at
    }
  }

  /// Where the first byte stands that is no plain part of a text: a quote, a backslash, a control character; or the end.
  private static func plainEnd(_ bytes: [UInt8], from start: Int) -> (at: Int, isASCII: Bool) {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops: UInt64 = 0x8080_8080_8080_8080
    var at = start
    var seen: UInt64 = 0
    let raw = bytes.span.bytes
    // Eight at a time: what is 0 in `byte ^ quote`, or below 0x20, has its top bit set, the first one for certain.
    while at + 8 <= bytes.count {
      let word = raw.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self).littleEndian
      let quotes = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
      let escapes = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
      let found =
        ((quotes &- ones) & ~quotes | (escapes &- ones) & ~escapes | (word &- ones &* 0x20) & ~word) & tops
      if found != 0 {
        let plain = found.trailingZeroBitCount & ~7
        seen |= word & ((1 << UInt64(plain)) &- 1)
        return (at + plain / 8, seen & tops == 0)
      }
      seen |= word
      at += 8
    }
    while at < bytes.count {
      let byte = bytes[at]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
      seen |= UInt64(byte)
      at += 1
    }
    return (at, seen & tops == 0)
  }

  /// The text that ends here, without its quotes, escapes as they came.
  private mutating func token(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) -> ArraySlice<UInt8> {
    let inRun = tokenStart - sinkCount
    if inRun >= 0 { return bytes[(cursor.run + inRun + 1)..<(cursor.at - 1)] }
    // It began in an earlier chunk.
    try flush(bytes, &cursor)
    switch place {
    case .root: return root[(tokenStart + 1)..<(root.count - 1)]
    case .entries: return []
    case .entry: return entry[(tokenStart + 1)..<(entry.count - 1)]
    case .resource: return resource[(tokenStart + 1)..<(resource.count - 1)]
    }
  }

  /// Only the keys that decide where bytes go are looked at, and only where they can.
  private mutating func keyEnded(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    switch place {
    case .root:
      guard depth == 1 else { return }
      lastKey = try token(bytes, &cursor).elementsEqual("entry".utf8) ? .entry : .other
    case .entries: return
    case .entry:
      guard depth == entryDepth else { return }
      lastKey = try token(bytes, &cursor).elementsEqual("resource".utf8) ? .resource : .other
    case .resource:
      guard depth == entryDepth + 1 else { return }
      let name = try token(bytes, &cursor)
      switch name.count {
      case 2: lastKey = name.elementsEqual("id".utf8) ? .id : .other
      case 12: lastKey = name.elementsEqual("resourceType".utf8) ? .resourceType : .other
      default: lastKey = .other
      }
    }
  }

  /// Longest type and id that are kept, in bytes.
  private static let nameBytesMax = 256

  private mutating func textEnded(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    switch place {
    case .root, .entries, .entry: return
    case .resource:
      guard depth == entryDepth + 1, lastKey == .resourceType || lastKey == .id else { return }
      let text = try token(bytes, &cursor)
      guard text.count <= Self.nameBytesMax, !text.contains(UInt8(ascii: "\\")) else { return }
      let name = String(decoding: text, as: UTF8.self)
      if lastKey == .id { resourceID = name } else { resourceType = PathParts.isResourceType(name) ? name : nil }
    }
  }

  mutating func literal(_ bytes: [UInt8], _ cursor: inout BundleCursor, _ rest: UInt32) throws(Fault) {
    var rest = rest
    while rest != 0, cursor.at < bytes.count {
      guard bytes[cursor.at] == UInt8(truncatingIfNeeded: rest) else {
        throw .json(.notJSON(offset: before + cursor.at))
      }
      rest >>= 8
      cursor.at += 1
    }
    state = rest == 0 ? .commaOrEnd : .literal(rest: rest)
  }

  mutating func number(_ bytes: [UInt8], _ cursor: inout BundleCursor, _ begun: NumberState) throws(Fault) {
    var number = begun
    var at = cursor.at
    while at < bytes.count {
      guard let next = Self.next(number, bytes[at]) else {
        cursor.at = at
        switch number {
        case .zero, .whole, .fraction, .exponent: state = .commaOrEnd
        case .minus, .point, .e, .sign: throw .json(.notJSON(offset: before + at))
        }
        return
      }
      number = next
      at += 1
    }
    cursor.at = at
    state = .number(number)
  }

  /// nil: the number ends before this byte, where it may.
  @inline(__always)
  private static func next(_ number: NumberState, _ byte: UInt8) -> NumberState? {
    let isDigit = byte >= 48 && byte <= 57
    switch number {
    case .minus: return isDigit ? (byte == 48 ? .zero : .whole) : nil
    case .zero: return byte == UInt8(ascii: ".") ? .point : byte | 0x20 == UInt8(ascii: "e") ? .e : nil
    case .whole:
      if isDigit { return .whole }
      return byte == UInt8(ascii: ".") ? .point : byte | 0x20 == UInt8(ascii: "e") ? .e : nil
    case .point: return isDigit ? .fraction : nil
    case .fraction: return isDigit ? .fraction : byte | 0x20 == UInt8(ascii: "e") ? .e : nil
    case .e:
      return isDigit ? .exponent : byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") ? .sign : nil
    case .sign, .exponent: return isDigit ? .exponent : nil
    }
  }

  // Sinks -------------------------------------------------------------------------------------------------------------

  var sinkCount: Int {
    switch place {
    case .root: root.count
    case .entries: 0
    case .entry: entry.count
    case .resource: resource.count
    }
  }

  /// What was scanned goes where it belongs.
  mutating func flush(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    if cursor.run < cursor.at { try append(bytes[cursor.run..<cursor.at]) }
    cursor.run = cursor.at
  }

  mutating func append(_ part: some Collection<UInt8>) throws(Fault) {
    switch place {
    case .root:
      guard root.count + part.count <= limits.otherBytes else { throw .entryTooLong(limit: limits.otherBytes) }
      root.append(contentsOf: part)
    case .entries: return
    case .entry:
      guard entry.count + part.count <= limits.otherBytes else { throw .entryTooLong(limit: limits.otherBytes) }
      entry.append(contentsOf: part)
    case .resource:
      guard resource.count + part.count <= limits.resourceBytes else {
        throw .resourceTooLong(limit: limits.resourceBytes)
      }
      resource.append(contentsOf: part)
    }
  }
}
