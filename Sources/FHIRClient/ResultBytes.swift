/// Finds the result's JSON in an answer, as the daemon wrote it.
import FHIRControl

/// nil: the line is no success that answers this request.
func resultBytes(in line: [UInt8], answering id: Int64) -> [UInt8]? {
  guard let range = try? resultRange(in: line.span, answering: id) else { return nil }
  return Array(line[range])
}

private func resultRange(in line: Span<UInt8>, answering id: Int64) throws(JSONScanner.Failure) -> Range<Int>? {
  var at = 0
  JSONScanner.skipWhitespace(line, &at)
  var cursor = try JSONScanner.MemberCursor(line, at: at, depth: 0)
  var result: Range<Int>?
  var isAnswer = false
  while let member = try cursor.next(line) {
    if JSONScanner.matches("result", line, member.name) { result = member.value }
    if JSONScanner.matches("id", line, member.name) { isAnswer = JSONScanner.text(line, member.value) == "\(id)" }
    if JSONScanner.matches("error", line, member.name) { return nil }
  }
  at = cursor.at
  JSONScanner.skipWhitespace(line, &at)
  return isAnswer && at == line.count ? result : nil
}
