/// Takes out of a server's words what we sent it: some repeat the request in their errors (`error_description`, pages).
import FHIRControl
import SMARTProtocol

struct Redaction: Sendable {
  private static let replacement = Array("[secret]".utf8)
  /// Shorter ones would take ordinary words apart, in bytes.
  private static let needleBytesMin = 4
  /// So much of a secret at the end of a text that was cut off counts as the secret, in bytes.
  private static let prefixBytesMin = 4

  private let needles: [SharedSecret]

  /// - Parameter needles: each form in which a secret went over the wire.
  init(_ needles: [SharedSecret]) { self.needles = needles.filter { $0.count >= Self.needleBytesMin } }

  func clean(_ error: ControlError) -> ControlError {
    var error = error
    error.message = clean(error.message)
    error.data.detail = clean(error.data.detail)
    error.data.hint = error.data.hint.map(clean)
    if let oauth = error.data.oauth {
      error.data.oauth = OAuthErrorBody(
        error: clean(oauth.error), errorDescription: oauth.errorDescription.map(clean),
        errorURI: oauth.errorURI.map(clean))
    }
    return error
  }

  func clean(_ text: String) -> String {
    var bytes = Array(text.utf8)
    for needle in needles { needle.withBytes { bytes = Self.without($0, in: bytes) } }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func without(_ needle: UnsafeRawBufferPointer, in text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var i = 0
    while i < text.count {
      let matching = zip(text[i...], needle).prefix { $0 == $1 }.count
      // A text that was shortened may end in the middle of the secret, before the sign that says so.
      let isCut = matching >= prefixBytesMin && text.count - (i + matching) <= "…".utf8.count
      if matching == needle.count || isCut {
        result += replacement
        i += matching
      } else {
        result.append(text[i])
        i += 1
      }
    }
    return result
  }
}
