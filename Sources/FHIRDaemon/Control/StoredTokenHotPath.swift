/// The hot path over the store and the vault: one read, one unseal, one copy into the client's buffer.
package import ConnectionCore
import FHIRControl
package import SMARTProtocol

/// The store's reader for one thread. Lends the newest committed value, or nil, for the time of the call.
package protocol HotRecordReader: AnyObject {
  func withValue<R>(
    of table: Table, key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R
  ) throws(StoreError) -> R
}

/// The vault's opener for one thread: one plaintext at a time, in locked memory of its own.
package protocol HotRecordOpener: AnyObject {
  /// nil: the record does not open.
  func open(_ value: UnsafeRawBufferPointer, table: Table, key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer?
  /// Overwrites what `open` lent.
  func wipe()
}

package final class StoredTokenHotPath<Reader: HotRecordReader, Opener: HotRecordOpener>: HotPath {
  private let reader: Reader
  private let opener: Opener

  package init(reader: Reader, opener: Opener) {
    self.reader = reader
    self.opener = opener
  }

  package func serve(
    key: Span<UInt8>, minimum: Instant.Span, at moment: HotMoment, id: Span<UInt8>, into output: inout ByteBuffer
  ) -> Bool {
    unsafe key.withUnsafeBytes { key in
      // A store that cannot be read: the commands find out and say so.
      let served = try? unsafe reader.withValue(of: .tokens, key: key) { value in
        guard let value = unsafe value, let plaintext = unsafe opener.open(value, table: .tokens, key: key) else {
          return false
        }
        defer { opener.wipe() }
        return unsafe Self.append(plaintext, minimum: minimum, at: moment, id: id, to: &output)
      }
      return served ?? false
    }
  }

  /// What the recorded wall-clock expiry may differ from the one reckoned now before somebody must have set the clock.
  private static var clockStepMilliseconds: Int64 { 2000 }

  private static func append(
    _ plaintext: UnsafeRawBufferPointer, minimum: Instant.Span, at moment: HotMoment, id: Span<UInt8>,
    to output: inout ByteBuffer
  ) -> Bool {
    guard let token = unsafe ServedToken(plaintext) else { return false }
    let remaining = token.remaining(now: moment.now, wall: moment.wall, bootID: moment.bootID)
    guard remaining > .zero, remaining >= token.effectiveMinimum(minimum) else { return false }
    // The recorded time is the same in every answer; after a step of the clock only the reckoned one is true.
    let reckoned = moment.wall.milliseconds + remaining.milliseconds
    let stepped = (reckoned - token.expiresAtWall.milliseconds).magnitude > clockStepMilliseconds.magnitude
    unsafe output.appendToken(
      id: id, fragment: UnsafeRawBufferPointer(rebasing: plaintext[ServedToken.headerBytes...]),
      expiresAt: stepped ? Timestamp(milliseconds: reckoned) : token.expiresAtWall,
      expiresIn: remaining.milliseconds / 1000)
    return true
  }
}
