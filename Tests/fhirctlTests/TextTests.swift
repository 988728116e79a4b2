/// Times, widths and tables, without a terminal.
import FHIRControl
import Testing

@testable import fhirctl

@Suite struct TextTests {
  private let now = Timestamp(milliseconds: 1_800_000_000_000)

  @Test(
    arguments: [
      (0.4, "now"), (-0.9, "now"), (1.5, "in 1 s"), (119, "in 119 s"), (120, "in 2 min"), (299, "in 4 min"),
      (-200, "3 min ago"), (7199, "in 119 min"), (7200, "in 2 h"), (-172_799, "47 h ago"), (172_800, "in 2 days"),
    ] as [(Double, String)])
  func `a time is said as people say it, never promising too much`(seconds: Double, words: String) {
    let time = Timestamp(milliseconds: now.milliseconds + Int64(seconds * 1000))
    #expect(Moment.relative(time, to: now) == words)
  }

  @Test(
    arguments: [
      ("abc", 3), ("", 0), ("é", 1), ("e\u{301}", 1), ("宿題", 4), ("한국", 4), ("👩‍👩‍👧", 2), ("❤️", 2), ("Ａ", 2),
      ("a\u{200b}b", 2),
    ] as [(String, Int)])
  func `a text is as wide as the terminal draws it`(text: String, width: Int) {
    #expect(Text.width(text) == width)
  }

  @Test func `a table is aligned and has no blanks at the ends of its lines`() {
    let table = Table(header: ["A", "B", "C"], rows: [["宿", "x", ""], ["long", "", "z"]])
    #expect(table.rendered(colours: false) == "A     B  C\n宿    x\nlong     z\n")
  }

  @Test func `colours do not move columns`() {
    let table = Table(header: ["A", "B"], rows: [[Cell("ok", .good), "x"], ["longer", "y"]])
    #expect(table.rendered(colours: true).contains("\u{1b}[32mok\u{1b}[0m      x\n"))
  }

  @Test func `plain text is untouched, and what steers is spelled out`() {
    #expect(Text.printable("größer, 宿題") == "größer, 宿題")
    #expect(Text.printable("a\tb\r\n\u{0}\u{85}\u{2066}") == "a\\tb\\r\\n\\u{0}\\u{85}\\u{2066}")
    #expect(Text.jsonPrintable("{\n\"a\":\"\u{9b}\u{e0041}\"}") == "{\n\"a\":\"\\u009b\\udb40\\udc41\"}")
  }

  @Test func `a picture taller than the terminal is cut and says so`() {
    let text = (1...10).map { "line \($0)\n" }.joined()
    let cut = "line 1\nline 2\nline 3\nline 4\n… and 6 more lines\n"
    #expect(StatusCommand.fitted(text, (rows: 6, columns: 80)) == cut)
    #expect(StatusCommand.fitted(text, (rows: 11, columns: 80)) == text)
    #expect(StatusCommand.fitted(text, nil) == text)
  }
}
