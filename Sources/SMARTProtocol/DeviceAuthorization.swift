/// Reads the answer of a device authorization endpoint. Source: RFC 8628 section 3.2.

package struct DeviceAuthorization: Sendable {
  /// Secret: whoever has it gets the tokens.
  package var deviceCode: SecretText
  /// What a person types at `verificationURI`.
  package var userCode: String
  package var verificationURI: String
  /// With the code in it.
  package var verificationURIComplete: String?
  package var lifetime: Instant.Span
  package var interval: Instant.Span

  /// Source: RFC 8628 section 3.2: 5 s where the server says nothing.
  package static let intervalDefault = Instant.Span.seconds(5)
  package static let intervalMax = Instant.Span.seconds(120)
  package static let lifetimeMax = Instant.Span.seconds(3600)
  package static let codeBytesMax = 8 << 10
  package static let userCodeBytesMax = 128

  /// - Parameters:
  ///   - header: looks a header up without regard to case.
  ///   - allowInsecureLoopback: `http:` to a loopback address may be shown to a person.
  package static func read(
    status: Int, header: (String) -> String?, body: [UInt8], allowInsecureLoopback: Bool
  ) -> Result<DeviceAuthorization, TokenRefusal> {
    let answer = NeighbourAnswer(
      endpoint: "device authorization endpoint", field: "the server's metadata", status: status, header: header,
      body: body, lifting: ["device_code"])
    guard answer.isSuccess, answer.oauth == nil else { return .failure(answer.refusal()) }
    func useless(_ detail: String) -> Result<DeviceAuthorization, TokenRefusal> {
      .failure(
        TokenRefusal(
          status: status, sentence: "the device authorization endpoint's \(status) begins no login: \(detail)"))
    }
    guard let document = answer.document else { return useless(answer.fault ?? "it is not JSON") }
    guard let code = document.lifted["device_code"], !code.isEmpty, code.count <= codeBytesMax else {
      return useless("device_code is missing")
    }
    let root = document.root
    guard let user = root["user_code"]?.string, !user.isEmpty, user.utf8.count <= userCodeBytesMax else {
      return useless("user_code is missing")
    }
    func url(_ name: String) -> String? {
      root[name]?.string.flatMap { try? EndpointURL($0, allowInsecureLoopback: allowInsecureLoopback).text }
    }
    // verification_url is what Google and older drafts of the RFC say.
    guard let address = url("verification_uri") ?? url("verification_url") else {
      return useless("verification_uri is missing or no https URL")
    }
    return .success(
      DeviceAuthorization(
        deviceCode: SecretText(code), userCode: Words.clean(user, max: userCodeBytesMax), verificationURI: address,
        verificationURIComplete: url("verification_uri_complete"),
        lifetime: min(span(root["expires_in"]) ?? lifetimeMax, lifetimeMax),
        interval: min(span(root["interval"]) ?? intervalDefault, intervalMax)))
  }

  /// Seconds, as a number or as text; nil: absent or not positive.
  private static func span(_ value: JSON?) -> Instant.Span? {
    let seconds: Double?
    switch value {
    case .integer(let n)?: seconds = Double(n)
    case .number(let n)?: seconds = n
    case .string(let text)?: seconds = Double(text)
    case .null?, .bool?, .array?, .object?, nil: seconds = nil
    }
    guard let seconds, seconds > 0, seconds.isFinite else { return nil }
    return .seconds(Int64(min(seconds, 1e6).rounded(.up)))
  }
}
