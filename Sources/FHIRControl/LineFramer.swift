/// Cuts a stream of bytes into lines of bounded length. Pure: the caller reads the socket.
public struct LineFramer: Sendable {
  /// The longest request line, in bytes without its LF. A longer one is answered with one error and the connection closed.
  public static let requestBytesMax = 1 << 20

  /// A line passed the limit: the stream cannot be trusted any more, close it.
  public struct LineTooLong: Error, Sendable, Hashable {
    public let limit: Int
  }

  private let lineBytesMax: Int
  private var buffer: [UInt8] = []
  /// Where the next line begins.
  private var start = 0
  /// There is no LF before this place.
  private var searched = 0

  public init(lineBytesMax: Int = LineFramer.requestBytesMax) { self.lineBytesMax = lineBytesMax }

  /// Bytes that belong to a line which has not ended.
  public var pendingBytes: Int { buffer.count - start }

  public mutating func append(contentsOf bytes: some Sequence<UInt8>) {
    if start == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.capacity <= Self.keptBytes)
      start = 0
      searched = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next whole line without LF or CRLF; nil: more bytes are needed. Empty lines are passed over.
  public mutating func nextLine() throws(LineTooLong) -> [UInt8]? {
    while let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
      var line = buffer[start..<end]
      start = end + 1
      searched = start
      guard line.count <= lineBytesMax else { throw LineTooLong(limit: lineBytesMax) }
      if line.last == UInt8(ascii: "\r") { line.removeLast() }
      if !line.isEmpty { return Array(line) }
    }
    searched = buffer.count
    guard pendingBytes <= lineBytesMax else { throw LineTooLong(limit: lineBytesMax) }
    if start > Self.keptBytes {
      buffer.removeFirst(start)
      searched -= start
      start = 0
    }
    return nil
  }

  /// A buffer of this size is kept when it is empty; a larger one goes back to the system.
  private static let keptBytes = 64 << 10
}
