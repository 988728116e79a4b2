/// The tokens of the bundle reader: strings, numbers, words, and the sinks that their bytes go to.
import SMARTProtocol

extension BundleReader {
  mutating func string(_ bytes: [UInt8], _ cursor: inout BundleCursor, isKey: Bool) throws(Fault) {
    var at = cursor.at
    var seen: UInt8 = 0
    while at < bytes.count {
      let byte = bytes[at]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
      seen |= byte
      at += 1
    }
    cursor.at = at
    if seen >= 0x80 { isBeyondASCII = true }
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

  /// Only the keys that decide where bytes go are looked at, and only where they can.
  private mutating func keyEnded(_ bytes: [UInt8], _ cursor: inout BundleCursor) throws(Fault) {
    switch place {
    case .root:
      guard depth == 1 else { return }
      try flush(bytes, &cursor)
      lastKey = root[(tokenStart + 1)..<(root.count - 1)].elementsEqual("entry".utf8) ? .entry : .other
    case .entries: return
    case .entry:
      guard depth == entryDepth else { return }
      try flush(bytes, &cursor)
      lastKey = entry[(tokenStart + 1)..<(entry.count - 1)].elementsEqual("resource".utf8) ? .resource : .other
    case .resource:
      guard depth == entryDepth + 1 else { return }
      try flush(bytes, &cursor)
      let name = resource[(tokenStart + 1)..<(resource.count - 1)]
      if name.count == 2 {
        lastKey = name.elementsEqual("id".utf8) ? .id : .other
      } else {
        lastKey = name.elementsEqual("resourceType".utf8) ? .resourceType : .other
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
      try flush(bytes, &cursor)
      let text = resource[(tokenStart + 1)..<(resource.count - 1)]
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
