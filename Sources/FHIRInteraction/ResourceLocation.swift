/// `Location` and `Content-Location`: which resource they name, however the server spells the address.
package import SMARTProtocol

package struct ResourceLocation: Sendable, Hashable {
  /// Absolute where the base is known; where to ask for the state of asynchronous work.
  package let url: String
  /// nil for all three: the address names no resource (`…/$export-poll-status?id=…`).
  package let type: String?
  package let id: String?
  package let version: String?
  /// Its origin is not the base's: a server behind a proxy says so (quirk 17). Never sent a token by itself.
  package let isElsewhere: Bool

  /// An address longer than this is not kept, in bytes.
  private static let bytesMax = 4096

  /// nil: empty, too long, or with characters that no header may have.
  package init?(_ text: String, base: FHIRBaseURL?) {
    let bytes = Array(text.utf8.prefix(Self.bytesMax + 1))
    guard !bytes.isEmpty, bytes.count <= Self.bytesMax, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      return nil
    }
    let resolved: String
    if URLReference.isAbsolute(text) {
      resolved = text
    } else {
      // `Patient/1` belongs to the base, `/r4/Patient/1` to its host.
      resolved = base.map { URLReference.resolve(text, against: $0.text + "/") } ?? text
    }
    url = resolved
    let page = try? FHIRPageURL(resolved)
    isElsewhere = base.map { page?.origin != $0.origin } ?? false
    // Of an absolute URL the path alone: a host could be called Patient.
    let path = (page?.path ?? text).utf8.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
    let segments = path.split(separator: UInt8(ascii: "/")).map {
      String(decoding: PathParts.unescaped(Array($0)), as: UTF8.self)
    }
    (type, id, version) = Self.parts(segments[...])
  }

  private static func parts(_ segments: ArraySlice<String>) -> (String?, String?, String?) {
    var rest = segments
    var version: String?
    if rest.count >= 4, rest[rest.endIndex - 2] == "_history" {
      version = rest.last.flatMap { isPlain($0) ? $0 : nil }
      rest = rest.dropLast(2)
    }
    guard rest.count >= 2, let id = rest.last, isPlain(id), PathParts.isResourceType(rest[rest.endIndex - 2]) else {
      return (nil, nil, nil)
    }
    return (rest[rest.endIndex - 2], id, version)
  }

  private static func isPlain(_ id: String) -> Bool {
    !id.isEmpty && id.utf8.count <= PathParts.idBytesMax
      && id.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && !#"/\%$"#.utf8.contains($0) }
  }
}
