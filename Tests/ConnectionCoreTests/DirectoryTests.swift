/// The caller's own words in a hint, as a shell would read them.
import Testing

@testable import ConnectionCore

@Suite struct DirectoryTests {
  @Test(arguments: [
    ("epic", "epic"), ("unit:lab-import@1.service", "unit:lab-import@1.service"), ("", "''"), ("a b", "'a b'"),
    ("$(id)", "'$(id)'"), ("it's", "'it'\\''s'"), ("unit:a\\x2db.service", "'unit:a\\x2db.service'"),
    // A quote with a combining mark on it: one character for Swift, a quote for the shell.
    ("x'\u{301}; id", "'x'\\''\u{301}; id'"),
  ])
  func `a word is quoted where a shell would take it apart`(text: String, quoted: String) {
    #expect(Directory.quoted(text).utf8.elementsEqual(quoted.utf8))
  }
}
