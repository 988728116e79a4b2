/// Reads KEY=VALUE files in the format of `EnvironmentFile=` (systemd.exec(5)), so that one file serves systemd and a
/// start by hand. Stricter in one thing: a line that is no assignment is an error here, where systemd skips it.

struct EnvironmentFile {
  struct Assignment: Equatable {
    var name: String
    var value: String
    /// From 1; of the line where the assignment begins.
    var line: Int
  }

  /// What is wrong with a line; the line itself is not repeated, since it may hold a secret.
  struct Problem: Error, Equatable {
    var line: Int
    var sentence: String
  }

  /// 1 MiB: a longer one is not a configuration.
  static let bytesMax = 1 << 20

  private(set) var assignments: [Assignment] = []
  private(set) var problems: [Problem] = []

  init(_ text: String) {
    guard text.utf8.count <= Self.bytesMax else {
      problems.append(Problem(line: 1, sentence: "the file is longer than \(Self.bytesMax) bytes"))
      return
    }
    var reader = Reader(bytes: Array(text.utf8))
    while !reader.isAtEnd {
      let line = reader.line
      do throws(Problem) {
        if let (name, value) = try reader.assignment() {
          assignments.append(Assignment(name: name, value: value, line: line))
        }
      } catch {
        problems.append(error)
        reader.skipLine()
      }
    }
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0
    var line = 1

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { at >= bytes.count }
    private var byte: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func advance() {
      if bytes[at] == 0x0A { line += 1 }
      at += 1
    }

    private mutating func skipBlanks() {
      while let byte, byte == 0x20 || byte == 0x09 || byte == 0x0D { at += 1 }
    }

    mutating func skipLine() {
      while let byte, byte != 0x0A { at += 1 }
      if byte != nil { advance() }
    }

    /// One line, or several joined by a backslash at their end; nil for blank lines and comments.
    mutating func assignment() throws(Problem) -> (String, String)? {
      skipBlanks()
      guard let first = byte else { return nil }
      if first == 0x0A {
        advance()
        return nil
      }
      if first == UInt8(ascii: "#") || first == UInt8(ascii: ";") {
        skipLine()
        return nil
      }
      let start = line
      let name = try name(line: start)
      return (name, try value(line: start))
    }

    private mutating func name(line: Int) throws(Problem) -> String {
      let start = at
      while let byte, byte != UInt8(ascii: "="), byte != 0x0A { at += 1 }
      guard byte == UInt8(ascii: "=") else { throw Problem(line: line, sentence: "the line is no KEY=VALUE") }
      var end = at
      while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
      at += 1
      let name = bytes[start..<end]
      guard let first = name.first, !(48...57).contains(first),
        name.allSatisfy({ (97...122).contains($0 | 0x20) || (48...57).contains($0) || $0 == UInt8(ascii: "_") })
      else {
        throw Problem(line: line, sentence: "what stands before the = is no name of letters, digits and _")
      }
      return String(decoding: name, as: UTF8.self)
    }

    /// systemd.exec(5): outside quotes a backslash takes the next character as it is and joins lines; blanks at both
    /// ends go. Within single quotes nothing is special, within double quotes a backslash before " \ ` $ is.
    private mutating func value(line: Int) throws(Problem) -> String {
      var value: [UInt8] = []
      var kept = 0
      skipBlanks()
      while let byte, byte != 0x0A {
        switch byte {
        case UInt8(ascii: "'"):
          try quoted(by: byte, line: line, into: &value)
          kept = value.count
        case UInt8(ascii: "\""):
          try quoted(by: byte, line: line, into: &value)
          kept = value.count
        case UInt8(ascii: "\\"):
          at += 1
          guard let next = self.byte else { break }
          if next != 0x0A { value.append(next) }
          advance()
          kept = value.count
        default:
          value.append(byte)
          at += 1
          if byte != 0x20, byte != 0x09, byte != 0x0D { kept = value.count }
        }
      }
      guard !value.contains(0) else { throw Problem(line: line, sentence: "the value has a zero byte") }
      if byte != nil { advance() }
      return String(decoding: value.prefix(kept), as: UTF8.self)
    }

    private mutating func quoted(by quote: UInt8, line: Int, into value: inout [UInt8]) throws(Problem) {
      let opening = at
      at += 1
      while let byte, byte != quote {
        if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\""), at + 1 < bytes.count {
          let next = bytes[at + 1]
          if "\"\\`$".utf8.contains(next) {
            value.append(next)
            at += 2
            continue
          }
          if next == 0x0A {
            at += 1
            advance()
            continue
          }
        }
        value.append(byte)
        advance()
      }
      guard byte == quote else {
        // What follows is read again from the line of the quote's own, so that one slip hides no other.
        at = opening
        self.line = 1 + bytes[..<opening].count { $0 == 0x0A }
        throw Problem(line: line, sentence: "a quote is opened and never closed")
      }
      at += 1
    }
  }
}
