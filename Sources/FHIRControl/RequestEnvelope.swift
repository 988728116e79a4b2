/// The members of a request line, found and not copied. Pure.
///
/// `id` may be a text or a number and comes back byte for byte. `null` is refused, though JSON-RPC 2.0 only discourages it:
/// an answer with `"id":null` is how a line is answered that could not be read. A request without `id` is carried out and
/// gets no answer. A member given twice is refused, because parsers differ in which of the two they take.
public struct RequestEnvelope: Sendable, Hashable {
  /// Why a line is not a request.
  public enum Problem: Error, Sendable, Hashable {
    /// Not JSON; the offset of the first byte that cannot be.
    case malformed(at: Int)
    case tooDeep(limit: Int)
    case batch
    case notAnObject
    /// `jsonrpc` is missing or not "2.0".
    case version
    /// Neither text nor number, or longer than `idBytesMax`.
    case id
    /// `method` is missing or not a text.
    case method
    /// `params` is not an object.
    case params
    case unknownMember(String)
    case repeatedMember(String)
  }

  /// The longest `id`, in bytes as written: room for any UUID or counter, not for a payload.
  public static let idBytesMax = 256

  public private(set) var problem: Problem?
  /// The `id` as written; nil: none, or not usable.
  public private(set) var id: Range<Int>?
  /// Between the quotes.
  public private(set) var method: Range<Int> = 0..<0
  public private(set) var methodHasEscapes = false
  /// The object with its braces; nil: none given.
  public private(set) var params: Range<Int>?

  /// - Parameter line: one line, without its LF. CR at the end is white space.
  public init(_ line: Span<UInt8>) {
    do {
      try scan(line)
    } catch {
      // A line that is not JSON has no members that could be trusted.
      id = nil
      switch error {
      case .malformed(let at): problem = .malformed(at: at)
      case .tooDeep: problem = .tooDeep(limit: JSONScanner.depthMax)
      }
    }
  }

  /// The method's name, escapes resolved.
  public func methodName(in line: Span<UInt8>) -> String { JSONScanner.text(line, method) }

  private mutating func scan(_ line: Span<UInt8>) throws(JSONScanner.Failure) {
    var at = 0
    JSONScanner.skipWhitespace(line, &at)
    guard at < line.count, line[at] == UInt8(ascii: "{") else {
      let batch = at < line.count && line[at] == UInt8(ascii: "[")
      try JSONScanner.skipValue(line, &at, depth: 0)
      try finish(line, at)
      problem = batch ? .batch : .notAnObject
      return
    }
    var members = try JSONScanner.MemberCursor(line, at: at, depth: 0)
    var seen = Seen()
    while let member = try members.next(line) { take(member, line, &seen) }
    try finish(line, members.at)
    if !seen.contains(.version) { note(.version) }
    if !seen.contains(.method) { note(.method) }
  }

  private struct Seen: OptionSet {
    let rawValue: UInt8
    static let version = Seen(rawValue: 1)
    static let id = Seen(rawValue: 2)
    static let method = Seen(rawValue: 4)
    static let params = Seen(rawValue: 8)
  }

  private mutating func take(_ member: JSONScanner.Member, _ line: Span<UInt8>, _ seen: inout Seen) {
    let which: Seen
    if member.nameHasEscapes {
      switch JSONScanner.text(line, member.name) {
      case "jsonrpc": which = .version
      case "id": which = .id
      case "method": which = .method
      case "params": which = .params
      default: which = []
      }
    } else if JSONScanner.matches("jsonrpc", line, member.name) {
      which = .version
    } else if JSONScanner.matches("id", line, member.name) {
      which = .id
    } else if JSONScanner.matches("method", line, member.name) {
      which = .method
    } else if JSONScanner.matches("params", line, member.name) {
      which = .params
    } else {
      which = []
    }
    guard !which.isEmpty else { return note(.unknownMember(JSONScanner.text(line, member.name))) }
    guard seen.isDisjoint(with: which) else { return note(.repeatedMember(JSONScanner.text(line, member.name))) }
    seen.insert(which)
    take(which, member.value, line)
  }

  private mutating func take(_ which: Seen, _ value: Range<Int>, _ line: Span<UInt8>) {
    let first = line[value.lowerBound]
    switch which {
    case .version:
      if !JSONScanner.matches("\"2.0\"", line, value) { note(.version) }
    case .id:
      let usable = first == UInt8(ascii: "\"") || first == UInt8(ascii: "-") || (0x30...0x39).contains(first)
      if usable, value.count <= Self.idBytesMax { id = value } else { note(.id) }
    case .method:
      guard first == UInt8(ascii: "\"") else { return note(.method) }
      method = value.lowerBound + 1..<value.upperBound - 1
      for i in method where line[i] == UInt8(ascii: "\\") { methodHasEscapes = true }
    default:
      if first == UInt8(ascii: "{") { params = value } else { note(.params) }
    }
  }

  /// The first problem is told.
  private mutating func note(_ problem: Problem) {
    if self.problem == nil { self.problem = problem }
  }

  private func finish(_ line: Span<UInt8>, _ end: Int) throws(JSONScanner.Failure) {
    var at = end
    JSONScanner.skipWhitespace(line, &at)
    guard at == line.count else { throw .malformed(at: at) }
  }
}
