/// Maintenance windows: what their texts mean, and which times they cover.
import FHIRControl
import Testing

@testable import ConnectionCore

private func time(_ text: String) throws -> Timestamp { try #require(Timestamp(text)) }

@Suite struct MaintenanceWindowTests {
  // 29 November 2026 is a Sunday.
  @Test(arguments: [
    ("Sun 02:00-04:00", "2026-11-29T02:00:00Z", true), ("Sun 02:00-04:00", "2026-11-29T03:59:59Z", true),
    ("Sun 02:00-04:00", "2026-11-29T04:00:00Z", false), ("Sun 02:00-04:00", "2026-11-29T01:59:59Z", false),
    ("Sun 02:00-04:00", "2026-11-28T03:00:00Z", false), ("sun 02:00-04:00", "2026-12-06T03:00:00Z", true),
    // Over midnight, and over the end of the week.
    ("Sun 23:00-01:00", "2026-11-29T23:30:00Z", true), ("Sun 23:00-01:00", "2026-11-30T00:59:00Z", true),
    ("Sun 23:00-01:00", "2026-11-30T01:00:00Z", false), ("Mon 00:00-24:00", "2026-11-30T00:00:00Z", true),
    ("Mon 00:00-24:00", "2026-12-01T00:00:00Z", false),
    ("daily 23:30-00:30", "2026-11-25T00:10:00Z", true), ("daily 23:30-00:30", "2026-11-25T23:30:00Z", true),
    ("daily 23:30-00:30", "2026-11-25T00:30:00Z", false),
    ("2026-12-01T22:00Z/2026-12-02T04:00Z", "2026-12-02T03:59:00Z", true),
    ("2026-12-01T22:00Z/2026-12-02T04:00Z", "2026-12-02T04:00:00Z", false),
    ("2026-12-01T22:00:30+01:00/2026-12-02T04:00+01:00", "2026-12-01T21:00:30Z", true),
    ("2026-12-01T22:00:30+01:00/2026-12-02T04:00+01:00", "2026-12-01T21:00:00Z", false),
    // Before 1970 the weeks go on.
    ("Thu 00:00-01:00", "1970-01-01T00:30:00Z", true), ("Wed 23:00-24:00", "1969-12-31T23:30:00Z", true),
  ])
  func `a window covers its times and no others`(text: String, at: String, covered: Bool) throws {
    let span = try MaintenanceWindow(text).span(at: time(at))
    #expect((span != nil) == covered)
  }

  @Test(arguments: [
    ("", "is no window"), ("Sunday", "is no window"), ("Sun 2:00-4:00", "has no times"),
    ("Sun 02:00", "has no times"), ("Sun 02:00-02:00", "begins when it ends"), ("Sun 24:00-02:00", "has no times"),
    ("Sun 02:60-03:00", "has no times"), ("Sun 02:00-25:00", "has no times"), ("Son 02:00-04:00", "names no day"),
    ("Sun  02:00-04:00 UTC", "is no window"), ("2026-12-01T22:00/2026-12-02T04:00", "has no times"),
    ("2026-12-02T04:00Z/2026-12-01T22:00Z", "ends before"), ("2026-12-01/2026-12-02", "has no times"),
    ("2026-12-01T22:00Z/2027-12-02T04:00Z", "longer than 31 days"), (String(repeating: "x", count: 101), "too long"),
    ("2026-12-01T22:00Z/2026-12-02T04:00Z/", "has no times"), ("Sun\u{301} 02:00-04:00", "names no day"),
  ])
  func `what is no window is refused, and why`(text: String, words: String) {
    #expect {
      try MaintenanceWindow(text)
    } throws: { ($0 as? MaintenanceWindow.Problem)?.sentence.contains(words) == true }
  }

  @Test func `windows that overlap or touch are one`() throws {
    let windows = [MaintenanceWindow](texts: ["Sun 02:00-04:00", "Sun 03:00-05:00", "daily 05:00-06:00", "nonsense"])
    #expect(windows.count == 3)
    let span = try #require(windows.span(at: time("2026-11-29T03:30:00Z")))
    #expect(span.lowerBound.description == "2026-11-29T02:00:00Z")
    #expect(span.upperBound.description == "2026-11-29T06:00:00Z")
    #expect(try windows.span(at: time("2026-11-30T03:30:00Z")) == nil)
    #expect(try windows.span(at: time("2026-11-30T05:30:00Z"))?.lowerBound.description == "2026-11-30T05:00:00Z")
  }

  @Test func `windows that cover all time have an end all the same`() throws {
    let always = [MaintenanceWindow](texts: ["daily 00:00-24:00"])
    #expect(try always.span(at: time("2026-11-29T03:30:00Z")) != nil)
    #expect(try [MaintenanceWindow]().span(at: time("2026-11-29T03:30:00Z")) == nil)
  }

  @Test func `a validation error names the window that is wrong`() {
    var fields = ConnectionFields()
    fields.connectionName = "c"
    fields.fhirBaseURL = "https://h/R4"
    fields.health = HealthFields(maintenance: ["Sun 02:00-04:00", "Son 02:00-04:00"])
    let validator = ConnectionValidator(allowInsecureLoopback: false) { _ in true }
    let errors = validator.complete(fields).errors
    #expect(errors.map(\.field) == ["health.maintenance"])
    #expect(errors.first?.message.hasPrefix("\"Son 02:00-04:00\" names no day") == true)
    fields.health = HealthFields(maintenance: Array(repeating: "Sun 02:00-04:00", count: 33))
    #expect(validator.complete(fields).errors.first?.message.contains("33 windows, 32 are allowed") == true)
  }
}
