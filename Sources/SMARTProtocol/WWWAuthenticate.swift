/// Reads `WWW-Authenticate`: several challenges in one value, quoted texts, token68. Total. Source: RFC 9110, 11.6.1.

package enum WWWAuthenticate {
  package struct Challenge: Sendable, Hashable {
    /// Lower case.
    package var scheme: String
    package var token68: String?
    /// Names in lower case; of a name that comes twice the first value.
    package var parameters: [String: String]
  }

  /// A value beyond this is cut; Epic's longest is 200 bytes.
  package static let bytesMax = 8192
  private static let challengesMax = 16
  private static let parametersMax = 32

  /// The challenges that can be read; what follows the first thing that makes no sense is left out.
  package static func parse(_ value: String) -> [Challenge] {
    var reader = Reader(bytes: Array(value.utf8.prefix(bytesMax)))
    var challenges: [Challenge] = []
    while challenges.count < challengesMax {
      reader.skip { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
      guard let scheme = reader.token() else { break }
      var challenge = Challenge(scheme: scheme.lowercased(), token68: nil, parameters: [:])
      reader.skipBlanks()
      if let token68 = reader.token68() {
        challenge.token68 = token68
      } else {
        while challenge.parameters.count < parametersMax, let (name, text) = reader.parameter() {
          if challenge.parameters[name] == nil { challenge.parameters[name] = text }
        }
      }
      challenges.append(challenge)
    }
    return challenges
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func skip(_ isSkipped: (UInt8) -> Bool) {
      while at < bytes.count, isSkipped(bytes[at]) { at += 1 }
    }

    mutating func skipBlanks() { skip { $0 == 0x20 || $0 == 0x09 } }

    /// RFC 9110 section 5.6.2.
    mutating func token() -> String? {
      let start = at
      skip { byte in
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
      }
      return at > start ? String(decoding: bytes[start..<at], as: UTF8.self) : nil
    }

    /// A token68 stands alone up to a comma or the end; otherwise nothing is consumed.
    mutating func token68() -> String? {
      let start = at
      skip { byte in
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "-._~+/".utf8.contains(byte)
        }
      }
      let hasText = at > start
      skip { $0 == UInt8(ascii: "=") }
      let end = at
      skipBlanks()
      if hasText, at == bytes.count || bytes[at] == UInt8(ascii: ",") {
        return String(decoding: bytes[start..<end], as: UTF8.self)
      }
      at = start
      return nil
    }

    /// `name=value`, with the commas before it; nil (and nothing consumed) where another challenge begins.
    mutating func parameter() -> (String, String)? {
      let start = at
      skip { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
      guard let name = token() else { return nil }
      skipBlanks()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "=") else {
        at = start
        return nil
      }
      at += 1
      skipBlanks()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return (name.lowercased(), token() ?? "") }
      return (name.lowercased(), quoted())
    }

    /// RFC 9110 section 5.6.4; a text that is never closed goes to the end.
    private mutating func quoted() -> String {
      at += 1
      var text: [UInt8] = []
      while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
        if bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count { at += 1 }
        text.append(bytes[at])
        at += 1
      }
      at += 1
      return String(decoding: text, as: UTF8.self)
    }
  }
}
