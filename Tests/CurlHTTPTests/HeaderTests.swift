/// Header lines as libcurl hands them over.
import ConnectionCore
import Testing

@testable import CurlHTTP

@Suite struct HeaderTests {
  private func headers(_ lines: String...) -> [HTTPHeader] {
    var answer = Answer(bodyBytesMax: 0)
    for line in lines { _ = Array(line.utf8).withUnsafeBytes { answer.headerArrived($0) } }
    return answer.headers
  }

  @Test func `a folded line goes on with the one before, with one blank between them`() {
    #expect(headers("A: 1\r\n", " \t2 \r\n", "\t3\r\n") == [HTTPHeader("A", "1 2 3")])
  }

  @Test func `a folded line leaves no blanks at the ends`() {
    #expect(headers("A:\r\n", " 1\r\n") == [HTTPHeader("A", "1")])
    #expect(headers("A: 1\r\n", " \r\n", "B: 2\r\n") == [HTTPHeader("A", "1"), HTTPHeader("B", "2")])
    #expect(headers(" 1\r\n").isEmpty)
  }
}
