/// The parameters that belong to the protocol and not to a method. Pure.
import FHIRControl

/// Takes `timeout_seconds` out of `params`: every method has it, no command sees it.
struct RequestParameters {
  /// The object without `timeout_seconds`; empty: none given.
  private(set) var bytes: [UInt8] = []
  private(set) var timeoutSeconds: Double?

  private static let timeoutError = ControlError(
    .invalidParams, "timeout_seconds must be a number above 0 and up to \(Int(timeoutSecondsMax)), given once",
    fields: [FieldError("timeout_seconds", "must be a number above 0 and up to \(Int(timeoutSecondsMax))")])

  /// - Parameter params: where the object stands in the line, which has been checked.
  init(_ line: Span<UInt8>, params: Range<Int>?) throws(ControlError) {
    guard let params else { return }
    var kept: [Range<Int>] = []
    do {
      var members = try JSONScanner.MemberCursor(line, at: params.lowerBound, depth: 1)
      while let member = try members.next(line) {
        guard Self.isTimeout(line, member) else {
          kept.append(member.name.lowerBound - 1..<member.value.upperBound)
          continue
        }
        guard timeoutSeconds == nil, let seconds = Self.seconds(line, member.value) else { throw Self.timeoutError }
        timeoutSeconds = seconds
      }
    } catch let error as ControlError {
      throw error
    } catch {
      throw ControlAnswer.error(for: .malformed(at: params.lowerBound))
    }
    bytes.reserveCapacity(params.count)
    bytes.append(UInt8(ascii: "{"))
    for (i, range) in kept.enumerated() {
      if i > 0 { bytes.append(UInt8(ascii: ",")) }
      for at in range { bytes.append(line[at]) }
    }
    bytes.append(UInt8(ascii: "}"))
  }

  private static func isTimeout(_ line: Span<UInt8>, _ member: JSONScanner.Member) -> Bool {
    member.nameHasEscapes
      ? JSONScanner.text(line, member.name) == "timeout_seconds"
      : JSONScanner.matches("timeout_seconds", line, member.name)
  }

  private static func seconds(_ line: Span<UInt8>, _ value: Range<Int>) -> Double? {
    guard let seconds = Double(JSONScanner.text(line, value)), seconds > 0, seconds <= timeoutSecondsMax else {
      return nil
    }
    return seconds
  }
}
