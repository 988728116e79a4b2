/// What arrives of an answer: header lines and body, each up to a limit. Memory that is given up is wiped.
import ConnectionCore
import Glibc

struct Answer {
  /// Of all header lines of one transfer, interim answers and trailers among them.
  static let headerBytesMax = 256 << 10
  static let headersMax = 1000
  /// What a body's memory starts with: a token answer fits.
  private static let bodyBytesFirst = 16 << 10

  private(set) var headers: [HTTPHeader] = []
  private(set) var body: [UInt8] = []
  private(set) var isTooLarge: String?
  /// Something came: the server has seen the request.
  private(set) var hasBegun = false
  private var headerBytes = 0
  private var headersEnded = false
  private let bodyBytesMax: Int

  init(bodyBytesMax: Int) { self.bodyBytesMax = max(0, bodyBytesMax) }

  /// - Returns: false where the transfer must end.
  mutating func headerArrived(_ line: UnsafeRawBufferPointer) -> Bool {
    hasBegun = true
    headerBytes += line.count
    guard headerBytes <= Self.headerBytesMax else {
      return refuse("more than \(Self.headerBytesMax >> 10) KiB of headers")
    }
    let text = unsafe String(decoding: line, as: UTF8.self)
    if text.hasPrefix("HTTP/"), body.isEmpty {
      // The status line of an interim answer or of the one after it: only the last one counts.
      headers.removeAll()
      headersEnded = false
      return true
    }
    // What follows the empty line are trailers, which nobody here asked for.
    if headersEnded { return true }
    if text == "\r\n" || text == "\n" {
      headersEnded = true
      return true
    }
    guard headers.count < Self.headersMax else { return refuse("more than \(Self.headersMax) headers") }
    if let first = text.utf8.first, first == 0x20 || first == 0x09 {
      // RFC 9112 section 5.2: a folded line goes on with the one before.
      let more = Self.trimmed(text[...])
      if let last = headers.indices.last, !more.isEmpty {
        headers[last].value += (headers[last].value.isEmpty ? "" : " ") + more
      }
      return true
    }
    guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) else { return true }
    headers.append(HTTPHeader(Self.trimmed(text[..<colon]), Self.trimmed(text[text.utf8.index(after: colon)...])))
    return true
  }

  /// - Returns: false where the transfer must end.
  mutating func bodyArrived(_ bytes: UnsafeRawBufferPointer) -> Bool {
    hasBegun = true
    guard bytes.count <= bodyBytesMax - body.count else { return refuse("a body of more than \(bodyBytesMax) bytes") }
    let needed = body.count + bytes.count
    if needed > body.capacity {
      var larger: [UInt8] = []
      larger.reserveCapacity(max(needed, 2 * body.capacity, Self.bodyBytesFirst))
      larger.append(contentsOf: body)
      wipeBody()
      body = larger
    }
    unsafe body.append(contentsOf: bytes)
    return true
  }

  /// A body that goes elsewhere. - Returns: false where the transfer must end.
  mutating func counts(_ bytes: Int) -> Bool {
    hasBegun = true
    return bytes <= bodyBytesMax || refuse("a body of more than \(bodyBytesMax) bytes")
  }

  mutating func wipeBody() {
    unsafe body.withUnsafeMutableBytes { buffer in
      if let start = buffer.baseAddress { unsafe explicit_bzero(start, buffer.count) }
    }
    body = []
  }

  private mutating func refuse(_ what: String) -> Bool {
    isTooLarge = what
    return false
  }

  private static func trimmed(_ text: Substring) -> String {
    var bytes = text.utf8
    func isSpace(_ byte: UInt8?) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a }
    while isSpace(bytes.first) { bytes.removeFirst() }
    while isSpace(bytes.last) { bytes.removeLast() }
    return String(Substring(bytes))
  }
}
