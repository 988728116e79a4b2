/// A successful answer of a token endpoint: tokens as bytes that cannot be printed, lifetime, scope, launch context.

/// A token or another text that no description shows. The bytes have one owner as long as nobody copies them.
package struct SecretText: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
  package private(set) var bytes: [UInt8]
  package init(_ bytes: [UInt8]) { self.bytes = bytes }
  package mutating func wipe() { SMARTProtocol.wipe(&bytes) }
  package var description: String { "secret(\(bytes.count) bytes)" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}

package struct TokenResponse: Sendable, Hashable {
  /// Opaque, never parsed; visible ASCII, so it can stand in a header. Source: RFC 6749 appendix A.12, R6.07.
  package var accessToken: SecretText
  /// As the server spelled it: `Bearer`, `bearer`.
  package var tokenType: String
  /// From the time the request was sent; between `lifetimeMin` and `lifetimeMax`.
  package var expiresIn: Instant.Span
  /// false: the server gave none that could be used, and `expiresIn` is `lifetimeDefault`.
  package var expiresInWasGiven: Bool
  /// nil: the answer had none; the old one stays in force. Source: RFC 6749 section 6, R7.04.
  package var refreshToken: SecretText?
  package var idToken: SecretText?
  /// What was granted: the server's word, or else the requested scope. Source: RFC 6749 section 5.1.
  package var scope: String
  package var scopeWasGiven: Bool
  /// Every member that is none of the above: SMART launch context and vendors' own. Nulls are left out.
  package var context: [String: JSON]
  /// What the server did not do as the specifications say.
  package var findings: [Finding]

  /// A server that says nothing of the lifetime: short enough to notice soon when it is over. R6.02.
  package static let lifetimeDefault = Instant.Span.seconds(300)
  package static let lifetimeMin = Instant.Span.seconds(1)
  /// 400 days: the longest that anybody issues; longer is a mistake in units.
  package static let lifetimeMax = Instant.Span.seconds(400 * 86400)
  /// 128 KiB: tokens of 8 kB and more are seen; nothing that fits in a header is longer.
  package static let tokenBytesMax = 128 << 10
  /// Members and bytes of the context that are kept: it is sent with every `token.get`.
  package static let contextMembersMax = 64
  package static let contextBytesMax = 32 << 10

  package mutating func wipe() {
    accessToken.wipe()
    refreshToken?.wipe()
    idToken?.wipe()
  }

  /// `"context":{…}`'s value as JSON text: the members that are strings, numbers or booleans. nil: there are none.
  package var renderedContext: [UInt8]? {
    let plain = context.filter { _, value in
      switch value {
      case .string, .integer, .number, .bool: true
      case .null, .array, .object: false
      }
    }
    guard !plain.isEmpty else { return nil }
    var bytes: [UInt8] = []
    JSON.object(plain).append(to: &bytes)
    return bytes
  }
}
