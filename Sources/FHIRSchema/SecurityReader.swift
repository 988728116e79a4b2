/// Reads `rest.security`: services, and SMART's extensions in both their forms.
import SMARTProtocol

struct SecurityReader {
  var fields: FieldReader
  private var security: Schema.Security

  init(_ security: Schema.Security, fields: FieldReader) {
    self.security = security
    self.fields = fields
  }

  mutating func take(_ item: JSON) -> Schema.Security {
    security.cors = security.cors ?? fields.bool(item["cors"], "security.cors")
    security.description =
      security.description
      ?? fields.text(item["description"], "security.description", max: FieldReader.documentationMax)
    for service in fields.objects(item["service"], "security.service").prefix(FieldReader.fewMax) {
      let read = self.service(service)
      if !security.services.contains(read) { security.services.append(read) }
    }
    for (name, url) in OAuthURIs.declared(in: item).prefix(FieldReader.fewMax) {
      guard !url.isEmpty else {
        fields.note("oauth-empty", .warning, "an address among the oauth-uris is empty", Words.clean(name, max: 40))
        continue
      }
      let uri = Schema.Security.OAuthURI(
        name: Words.clean(name, max: FieldReader.textMax), url: Words.clean(url, max: FieldReader.uriMax))
      if !security.oauthURIs.contains(uri) { security.oauthURIs.append(uri) }
    }
    readCapabilities(item["extension"])
    check()
    return security
  }

  private mutating func service(_ item: JSON) -> Schema.Security.Service {
    let codings = fields.objects(item["coding"], "security.service.coding").map { coding in
      Schema.Security.Coding(
        system: fields.uri(coding["system"], "coding.system"), code: fields.text(coding["code"], "coding.code"),
        display: fields.text(coding["display"], "coding.display"))
    }
    if codings.contains(where: { $0.system == nil }) {
      fields.note("service-no-system", .warning, "the code of a security service has no system")
    }
    return Schema.Security.Service(codings: codings, text: fields.text(item["text"], "security.service.text"))
  }

  private mutating func readCapabilities(_ value: JSON?) {
    for item in fields.objects(value, "security.extension").prefix(FieldReader.fewMax) {
      guard let url = item["url"]?.string else { continue }
      if url.hasSuffix("oauth-uris"), security.oauthURIs.isEmpty {
        fields.note("oauth-uris-empty", .warning, "the extension oauth-uris is there and names no endpoint")
      }
      guard url.hasSuffix("/capabilities") else { continue }
      guard let code = fields.text(item["valueCode"] ?? item["valueString"], "capabilities") else { continue }
      if !security.capabilities.contains(code) { security.capabilities.append(code) }
    }
  }

  private mutating func check() {
    if security.isEmpty {
      fields.note("security-empty", .warning, "security is there and says nothing")
    } else if security.services.isEmpty, security.oauthURIs.isEmpty {
      fields.note("security-no-service", .information, "security does not say how to authorize")
    }
    let names = Set(security.oauthURIs.map(\.name))
    let saysSMART = security.services.contains { service in
      service.codings.contains { $0.code?.lowercased() == "smart-on-fhir" }
        || service.text?.lowercased().contains("smart-on-fhir") == true
    }
    if saysSMART, names.isEmpty {
      fields.note(
        "smart-no-oauth-uris", .warning, "the service SMART-on-FHIR is named, and its oauth-uris are not")
    }
    if !names.isEmpty {
      if !saysSMART {
        fields.note("smart-no-service", .information, "oauth-uris are there, and no service SMART-on-FHIR")
      }
      for uri in security.oauthURIs where !uri.url.hasPrefix("https://") {
        fields.note(
          "oauth-not-https", .warning, "an address among the oauth-uris is not https", Words.clean(uri.name, max: 40))
      }
      if !names.contains("token") { fields.note("oauth-no-token", .warning, "oauth-uris have no token") }
    }
  }
}
