/// How a valid token is answered on the control queue itself, and the one form of that answer.
package import FHIRControl
package import SMARTProtocol

/// The time as the hot path sees it: read once a turn of the loop, for all that became ready together.
package struct HotMoment: Sendable {
  package var now: Instant
  package var wall: Timestamp
  package var bootID: UInt64
  package init(now: Instant, wall: Timestamp, bootID: UInt64) {
    self.now = now
    self.wall = wall
    self.bootID = bootID
  }
}

/// Serves a token without a hop, a lock or a wait. Lives on the control server's thread.
package protocol HotPath: AnyObject {
  /// Appends the whole answer, LF included, if the grant's token lives long enough.
  /// - Parameters:
  ///   - key: the bytes of the `GrantKey`.
  ///   - minimum: the caller's `min_valid_seconds`.
  ///   - id: the request's `id` as written.
  /// - Returns: false: nothing was appended, the commands answer.
  func serve(
    key: Span<UInt8>, minimum: Instant.Span, at moment: HotMoment, id: Span<UInt8>, into output: inout ByteBuffer
  ) -> Bool
}

extension ByteBuffer {
  /// `{"jsonrpc":"2.0","id":ID,"result":{FRAGMENT,"expires_at":"…","expires_in":N}}` and LF.
  package mutating func appendToken(
    id: Span<UInt8>, fragment: UnsafeRawBufferPointer, expiresAt: Timestamp, expiresIn: Int64
  ) {
    append("{\"jsonrpc\":\"2.0\",\"id\":")
    append(id)
    append(",\"result\":{")
    unsafe append(fragment)
    append(",\"expires_at\":\"")
    append(expiresAt)
    append("\",\"expires_in\":")
    append(decimal: expiresIn)
    append("}}\n")
  }
}
