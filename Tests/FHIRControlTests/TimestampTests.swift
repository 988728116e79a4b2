/// Times on the wire at the ends of what they can say.
import FHIRControl
import Testing

@Suite struct TimestampTests {
  @Test(arguments: [
    "0000-01-01T00:00:00Z", "0000-02-29T23:59:59Z", "0000-03-01T00:00:00Z", "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z", "2024-02-29T12:00:00Z", "9999-12-31T23:59:59Z",
  ])
  func `a time that was read is written as it was`(text: String) {
    #expect(Timestamp(text)?.description == text)
  }

  @Test(arguments: [Int64.min, Int64.min + 998, -1, Int64.max])
  func `a time that no clock says is written too`(milliseconds: Int64) {
    #expect(Timestamp(milliseconds: milliseconds).description.utf8.count == Timestamp.textBytes)
  }
}
