/// A time that outlives the process: on the boot clock for this boot, on the wall clock for any other.
package import FHIRControl
package import SMARTProtocol

package struct Moment: Sendable, Equatable {
  package var instant: Instant
  package var bootID: UInt64
  package var wall: Timestamp

  package init(instant: Instant, bootID: UInt64, wall: Timestamp) {
    self.instant = instant
    self.bootID = bootID
    self.wall = wall
  }

  package init(_ instant: Instant, on clock: some Clock) {
    self.init(instant: instant, bootID: clock.bootID, wall: clock.wall(at: instant))
  }

  /// Where this moment lies on the present timeline.
  package func instant(on clock: some Clock) -> Instant {
    if bootID == clock.bootID { return instant }
    return clock.now() + Instant.Span(milliseconds: wall.milliseconds - clock.wall().milliseconds)
  }

  package var bytes: [UInt8] {
    UInt64(bitPattern: instant.milliseconds).littleEndianBytes + bootID.littleEndianBytes
      + UInt64(bitPattern: wall.milliseconds).littleEndianBytes
  }

  package init?(_ bytes: [UInt8]?) {
    guard let bytes, bytes.count == 24 else { return nil }
    func word(_ at: Int) -> UInt64 {
      bytes[at..<at + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    let (instant, wall) = (Int64(bitPattern: word(0)), Int64(bitPattern: word(16)))
    guard RecordReader.isTime(instant), RecordReader.isTime(wall) else { return nil }
    self.init(
      instant: Instant(milliseconds: instant), bootID: word(8), wall: Timestamp(milliseconds: wall))
  }
}

extension Clock {
  /// The wall time of an instant, as the wall clock stands now.
  package func wall(at instant: Instant) -> Timestamp {
    Timestamp(milliseconds: wall().milliseconds + (instant - now()).milliseconds)
  }
}
