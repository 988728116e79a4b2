/// How a request is made, apart from what it asks for: media types, conditions, preferences, limits.
package import FHIRSchema
package import SMARTProtocol

package struct RequestOptions: Sendable, Hashable {
  /// What kind of JSON is asked for.
  package enum Format: String, Sendable, Hashable {
    /// FHIR's own media type, by the release.
    case fhir
    /// `application/json`, and `_format=json` for the metadata: for servers that refuse FHIR's, or answer XML.
    case plain
  }

  package enum SearchForm: Sendable, Hashable {
    /// GET, unless the URL would be longer than `urlBytesMax`.
    case byLength
    /// POST to `_search`: values stay out of the logs of proxies and servers.
    case post
    /// GET, or not at all: servers without `_search`.
    case get
  }

  package enum ReturnPreference: String, Sendable, Hashable, CaseIterable {
    case minimal, representation
    case operationOutcome = "OperationOutcome"
  }

  package enum Handling: String, Sendable, Hashable, CaseIterable { case strict, lenient }

  /// nil: not known; treated as R4.
  package var release: FHIRRelease?
  package var format: Format = .fhir
  /// `; fhirVersion=4.0` behind the media type: for servers with several versions at one base.
  package var namesVersion = false
  package var searchForm: SearchForm = .byLength
  /// IIS takes 2,048 bytes of query, Azure's gateway 2 to 4 kB of URL (quirk 19).
  package var urlBytesMax = 2000
  package var ifMatch: EntityTag?
  package var ifNoneMatch: EntityTag?
  /// As the server wrote it in `Last-Modified`.
  package var ifModifiedSince: String?
  package var returns: ReturnPreference?
  package var handling: Handling?
  package var respondsAsync = false
  /// The caller's own; `Accept`, `Content-Type` and `Prefer` among them replace ours.
  package var headers: [FHIRRequest.Header] = []
  /// Origins apart from the base's that a raw request may name.
  package var allowedOrigins: Set<Origin> = []

  package init(release: FHIRRelease? = nil) { self.release = release }

  /// The media type of FHIR's JSON. No charset and no q: some servers compare the whole value (quirk 15).
  var mediaType: String {
    switch format {
    case .plain: return "application/json"
    case .fhir:
      let bare: String
      switch release {
      case .dstu1, .dstu2: bare = "application/json+fhir"
      case .stu3, .r4, .r4b, .r5, .r6, nil: bare = "application/fhir+json"
      }
      guard namesVersion, let release else { return bare }
      return "\(bare); fhirVersion=\(release.mediaTypeVersion)"
    }
  }

  var preference: String? {
    var parts: [String] = []
    if let returns { parts.append("return=\(returns.rawValue)") }
    if let handling { parts.append("handling=\(handling.rawValue)") }
    if respondsAsync { parts.append("respond-async") }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}

extension FHIRRelease {
  /// The parameter `fhirVersion` of the media type. Source: FHIR R5, http.html section 3.2.0.1.14.
  package var mediaTypeVersion: String {
    switch self {
    case .dstu1: "0.0"
    case .dstu2: "1.0"
    case .stu3: "3.0"
    case .r4: "4.0"
    case .r4b: "4.3"
    case .r5: "5.0"
    case .r6: "6.0"
    }
  }
}

/// `ETag` as a server gave it, and as it goes back. Source: RFC 9110 section 8.8.3; R9.14.
package struct EntityTag: Sendable, Hashable, CustomStringConvertible {
  package let isWeak: Bool
  /// Between the quotes; for FHIR the version id.
  package let opaque: String

  /// A tag longer than this is not kept, in bytes.
  package static let bytesMax = 512

  /// Reads `W/"3"` and `"3"`; `w/"3"`, `W/3` and `3` too, because servers write them. nil: empty, too long, or with
  /// characters that a header may not have.
  package init?(_ text: String) {
    guard text.utf8.count <= Self.bytesMax else { return nil }
    var rest = Substring(text)
    while let last = rest.utf8.last, last == 0x20 || last == 0x09 { rest = rest.dropLast() }
    rest = rest.drop { $0 == " " || $0 == "\t" }
    isWeak = rest.hasPrefix("W/") || rest.hasPrefix("w/")
    if isWeak { rest = rest.dropFirst(2) }
    if rest.utf8.count >= 2, rest.utf8.first == 0x22, rest.utf8.last == 0x22 { rest = rest.dropFirst().dropLast() }
    guard !rest.isEmpty, rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x22 }) else { return nil }
    opaque = String(rest)
  }

  /// Of a FHIR version: `W/"3"`.
  package init?(version: String) {
    guard let tag = EntityTag("W/\"\(version)\""), tag.opaque == version else { return nil }
    self = tag
  }

  /// As it stands in `If-Match`.
  package var description: String { (isWeak ? "W/" : "") + "\"\(opaque)\"" }
}
