/// A point on the daemon's own timeline, in milliseconds. Pure: the caller brings it.
///
/// The timeline is the kernel's boot clock: it goes on during suspend and no setting of the wall clock moves it.
/// Wall times (RFC 3339, `Timestamp`) appear only on the wire and in records; the composition root converts.
package struct Instant: Sendable, Hashable, Comparable {
  package var milliseconds: Int64
  package init(milliseconds: Int64) { self.milliseconds = milliseconds }
  package static func < (a: Instant, b: Instant) -> Bool { a.milliseconds < b.milliseconds }
  package static func + (a: Instant, b: Span) -> Instant { Instant(milliseconds: a.milliseconds &+ b.milliseconds) }
  package static func - (a: Instant, b: Span) -> Instant { Instant(milliseconds: a.milliseconds &- b.milliseconds) }
  package static func - (a: Instant, b: Instant) -> Span { Span(milliseconds: a.milliseconds &- b.milliseconds) }

  /// A length of time, in milliseconds.
  package struct Span: Sendable, Hashable, Comparable {
    package var milliseconds: Int64
    package init(milliseconds: Int64) { self.milliseconds = milliseconds }
    package static func seconds(_ n: Int64) -> Span { Span(milliseconds: n &* 1000) }
    package static func milliseconds(_ n: Int64) -> Span { Span(milliseconds: n) }
    package static let zero = Span(milliseconds: 0)
    package var seconds: Double { Double(milliseconds) / 1000 }
    package static func < (a: Span, b: Span) -> Bool { a.milliseconds < b.milliseconds }
    package static func + (a: Span, b: Span) -> Span { Span(milliseconds: a.milliseconds &+ b.milliseconds) }
    package static func - (a: Span, b: Span) -> Span { Span(milliseconds: a.milliseconds &- b.milliseconds) }
  }
}
