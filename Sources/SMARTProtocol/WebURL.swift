/// Takes an `http:` or `https:` URL apart, strictly: what curl, proxies and browsers might read in different ways is
/// refused. Foundation's `URL` accepts too much (spaces, odd IPv4 forms, user information) to guard a secret with.

/// Why a text is not a usable URL. The sentence never repeats the text: user information in it would be a secret.
package enum URLProblem: Error, Sendable, Hashable {
  case empty
  case tooLong(limit: Int)
  case badCharacter(offset: Int)
  case badEscape(offset: Int)
  case notAbsolute
  case scheme(String)
  /// `http:` to a host that is not a loopback address, or loopback where that is not allowed.
  case insecure(loopback: Bool)
  case userInformation
  case host
  case port
  case dotSegments
  case query
  case fragment

  package var sentence: String {
    switch self {
    case .empty: "is empty"
    case .tooLong(let limit): "is longer than \(limit) bytes"
    case .badCharacter(let offset):
      "has a character at byte \(offset) that no URL may have (write it as %XX; a host beyond ASCII as xn--)"
    case .badEscape(let offset): "has a % at byte \(offset) that two hexadecimal digits do not follow"
    case .notAbsolute: "is not absolute: write https://host/path"
    case .scheme(let scheme): "begins with \(scheme): only https: is allowed"
    case .insecure(false): "must begin with https:"
    case .insecure(true):
      "must begin with https: (http: to a loopback address is only for tests, with FHIRD_ALLOW_INSECURE_LOOPBACK)"
    case .userInformation: "has a user name or password before the host: use client_id and client_secret"
    case .host: "has no valid host: a name, four decimal numbers, or an IPv6 address in brackets"
    case .port: "has a port that is not between 1 and 65535"
    case .dotSegments: "has . or .. in its path"
    case .query: "has a query (everything from the ? on must go)"
    case .fragment: "has a fragment (everything from the # on must go)"
    }
  }
}

/// Scheme, host and port: what a token may be sent to.
package struct Origin: Sendable, Hashable, CustomStringConvertible {
  package let scheme: String
  /// Lower case; an IPv6 address stands in its brackets.
  package let host: String
  package let port: Int

  package var isLoopback: Bool {
    host == "localhost" || host == "[::1]" || (WebURL.isDottedQuad(host) && host.hasPrefix("127."))
  }

  /// `https://host`, or `https://host:8443` where the port is not the scheme's own.
  package var description: String {
    port == Origin.defaultPort(scheme) ? "\(scheme)://\(host)" : "\(scheme)://\(host):\(port)"
  }

  static func defaultPort(_ scheme: String) -> Int { scheme == "https" ? 443 : 80 }

  fileprivate init(scheme: String, host: String, port: Int) {
    self.scheme = scheme
    self.host = host
    self.port = port
  }
}

/// The parts of an absolute URL; path and query as they were written.
struct WebURL {
  /// A URL beyond this is refused by servers and proxies too.
  static let bytesMax = 2048

  let origin: Origin
  let path: String
  let query: String?
  let hasFragment: Bool

  init(_ text: String) throws(URLProblem) {
    let bytes = Array(text.utf8)
    guard !bytes.isEmpty else { throw .empty }
    guard bytes.count <= Self.bytesMax else { throw .tooLong(limit: Self.bytesMax) }
    try Self.checkCharacters(bytes)
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), Self.isScheme(bytes[..<colon]) else {
      throw .notAbsolute
    }
    let scheme = String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
    guard scheme == "https" || scheme == "http" else { throw .scheme(String(scheme.prefix(20))) }
    guard bytes[(colon + 1)...].starts(with: "//".utf8) else { throw .notAbsolute }
    let start = colon + 3
    let end =
      bytes[start...].firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }
      ?? bytes.count
    origin = try Self.authority(bytes[start..<end], scheme: scheme)

    let fragment = bytes[end...].firstIndex(of: UInt8(ascii: "#"))
    hasFragment = fragment != nil
    let rest = bytes[end..<(fragment ?? bytes.count)]
    let mark = rest.firstIndex(of: UInt8(ascii: "?"))
    let pathBytes = rest[..<(mark ?? rest.endIndex)]
    path = String(decoding: pathBytes, as: UTF8.self)
    query = mark.map { String(decoding: rest[($0 + 1)...], as: UTF8.self) }
    let segments = pathBytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true)
    guard !segments.contains(where: { Self.isDotSegment($0) }) else { throw .dotSegments }
  }

  /// RFC 3986 section 2: unreserved, reserved, and % with two digits. Square brackets are left to the host.
  private static func checkCharacters(_ bytes: [UInt8]) throws(URLProblem) {
    for (i, byte) in bytes.enumerated() {
      switch byte {
      case UInt8(ascii: "%"):
        guard i + 2 < bytes.count, hexValue(bytes[i + 1]) != nil, hexValue(bytes[i + 2]) != nil else {
          throw .badEscape(offset: i)
        }
      case 0x21, 0x23...0x3B, 0x3D, 0x3F...0x5B, 0x5D, 0x5F, 0x61...0x7A, 0x7E: continue
      default: throw .badCharacter(offset: i)
      }
    }
  }

  private static func isScheme(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard let first = bytes.first, isLetter(first) else { return false }
    return bytes.allSatisfy {
      isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
    }
  }

  /// `.` and `..`, also when escaped: curl removes them, a signature or an `aud` does not.
  private static func isDotSegment(_ segment: ArraySlice<UInt8>) -> Bool {
    let text = String(decoding: segment, as: UTF8.self).lowercased()
    return [".", "..", "%2e", ".%2e", "%2e.", "%2e%2e"].contains(text)
  }

  private static func authority(_ bytes: ArraySlice<UInt8>, scheme: String) throws(URLProblem) -> Origin {
    guard !bytes.contains(UInt8(ascii: "@")) else { throw .userInformation }
    var hostBytes = bytes
    var portBytes: ArraySlice<UInt8> = []
    if bytes.first == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { throw .host }
      hostBytes = bytes[...close]
      let rest = bytes[(close + 1)...]
      guard rest.isEmpty || rest.first == UInt8(ascii: ":") else { throw .host }
      portBytes = rest.dropFirst()
    } else if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) {
      hostBytes = bytes[..<colon]
      portBytes = bytes[(colon + 1)...]
    }
    let host = String(decoding: hostBytes, as: UTF8.self).lowercased()
    guard isHost(host) else { throw .host }
    guard !portBytes.isEmpty else { return Origin(scheme: scheme, host: host, port: Origin.defaultPort(scheme)) }
    guard portBytes.count <= 5, portBytes.allSatisfy(isDigit),
      let port = Int(String(decoding: portBytes, as: UTF8.self)), (1...65535).contains(port)
    else { throw .port }
    return Origin(scheme: scheme, host: host, port: port)
  }

  /// A name in letters, digits, - and _; a dotted quad without leading zeros; an IPv6 address in brackets.
  static func isHost(_ host: String) -> Bool {
    if host.hasPrefix("[") { return host.hasSuffix("]") && isIPv6(host.dropFirst().dropLast()) }
    guard !host.isEmpty, host.utf8.count <= 253 else { return false }
    let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    for label in labels {
      guard !label.isEmpty, label.count <= 63, label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-"),
        label.allSatisfy({ isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") })
      else { return false }
    }
    // inet_aton reads 127.1, 0x7f.1 and 2130706433 as addresses: whatever ends like a number must be a plain one.
    guard let last = labels.last else { return false }
    let looksLikeNumber =
      last.allSatisfy(isDigit) || (last.starts(with: "0x".utf8) && last.dropFirst(2).allSatisfy { hexValue($0) != nil })
    return !looksLikeNumber || isDottedQuad(host)
  }

  static func isDottedQuad(_ host: String) -> Bool {
    let parts = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        guard (1...3).contains(part.count), part.allSatisfy(isDigit), part.count == 1 || part.first != 48,
          let value = Int(String(decoding: Array(part), as: UTF8.self))
        else { return false }
        return value <= 255
      }
  }

  /// RFC 4291 section 2.2; no zone.
  static func isIPv6(_ text: Substring) -> Bool {
    let sides = text.components(separatedByDoubleColon: ())
    guard sides.count <= 2 else { return false }
    var groups = 0
    for (i, side) in sides.enumerated() where !side.isEmpty {
      let parts = side.split(separator: ":", omittingEmptySubsequences: false)
      for (j, part) in parts.enumerated() {
        if part.contains(".") {
          guard i == sides.count - 1, j == parts.count - 1, isDottedQuad(String(part)) else { return false }
          groups += 2
        } else {
          guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ hexValue($0) != nil }) else { return false }
          groups += 1
        }
      }
    }
    return sides.count == 2 ? groups <= 7 : groups == 8
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (97...122).contains(byte | 0x20) }
  private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
}

extension Substring {
  /// The parts between `::`; `:::` gives more than two.
  fileprivate func components(separatedByDoubleColon: ()) -> [Substring] {
    var parts: [Substring] = []
    var start = startIndex
    var at = startIndex
    while at < endIndex {
      let next = index(after: at)
      if self[at] == ":", next < endIndex, self[next] == ":" {
        parts.append(self[start..<at])
        start = index(after: next)
        at = start
      } else {
        at = next
      }
    }
    parts.append(self[start...])
    return parts
  }
}
