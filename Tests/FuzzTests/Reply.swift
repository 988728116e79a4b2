/// An answer over HTTP as inputs spell it: the status, header lines, an empty line, the body.

struct Reply {
  var status = 200
  private(set) var headers: [(name: String, value: String)] = []
  private(set) var body: [UInt8] = []

  /// Header lines that are read; the rest is body.
  private static let headersMax = 8

  init(_ bytes: some Collection<UInt8>) {
    var rest = Array(bytes)[...]
    func line() -> ArraySlice<UInt8>? {
      guard let end = rest.firstIndex(of: 0x0A) else { return nil }
      defer { rest = rest[(end + 1)...] }
      return rest[..<end]
    }
    if let first = line() {
      // Only what can stand in a status line: HTTP clients refuse the rest.
      status = Int(String(decoding: first.prefix(3), as: UTF8.self)).map { max(100, min($0, 599)) } ?? 200
    }
    while headers.count < Self.headersMax, let header = line(), !header.isEmpty {
      guard let colon = header.firstIndex(of: UInt8(ascii: ":")) else { continue }
      let value = header[(colon + 1)...].drop { $0 == 0x20 }
      headers.append((String(decoding: header[..<colon], as: UTF8.self), String(decoding: value, as: UTF8.self)))
    }
    body = Array(rest)
  }

  func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }

  static func wrap(_ body: [UInt8]) -> [UInt8] { Array("200\n\n".utf8) + body }

  /// Dictionary of everything that is an answer.
  static let words = [
    "200\n\n", "400\n\n", "401\n", "403\n\n", "404\n\n", "429\n", "302\n", "500\n\n", "503\n", "Retry-After: ",
    "WWW-Authenticate: ", "Location: ", "Content-Type: ", "\n\n", "<html><title>", "<?xml", "{\"", "\":\"", "\",\"",
    "\":",
    "null", "true", "false", "\\u0000", "\\ud83d\\ude00", "\u{FEFF}", "\u{85}", "[{", "}]",
  ]
}
