/// From a statement's JSON to a `Schema`. Total: any object gives a schema and findings.
package import SMARTProtocol

extension Schema {
  /// From a body as it came: JSON, or the XML of servers that speak nothing else.
  package init(body bytes: [UInt8]) throws(StatementProblem) {
    guard BodyKind(bytes) == .xml else {
      try self.init(json: bytes)
      return
    }
    let root: JSON
    do {
      root = try FHIRXML.json(bytes)
    } catch {
      throw .notXML(error.sentence)
    }
    try Self.checkType(root)
    self.init(statement: root)
  }

  package init(json bytes: [UInt8]) throws(StatementProblem) {
    let document: JSONDocument
    switch BodyKind(bytes) {
    case .empty: throw .empty
    case .xml: throw .xml
    case .html: throw .html
    case .json, .text:
      do {
        document = try JSONDocument(bytes, limits: .large)
      } catch {
        throw .notJSON(error.sentence)
      }
    }
    try Self.checkType(document.root)
    self.init(document: document)
  }

  private static func checkType(_ root: JSON) throws(StatementProblem) {
    let found = root["resourceType"]?.string ?? ""
    // A statement that lost its name is a statement with a finding.
    if found.isEmpty, root["rest"] != nil { return }
    guard SchemaReader.resourceTypes.contains(found) else {
      throw .otherResource(found: found.isEmpty ? nil : Words.clean(found, max: 80))
    }
  }

  private init(document: JSONDocument) {
    var reader = SchemaReader(document.root)
    if !document.topLevelDuplicates.isEmpty || document.hasInnerDuplicates {
      reader.fields.note(
        "duplicate-members", .error, "an object of the statement has a member twice; the last one was taken")
    }
    if document.repairedText {
      reader.fields.note("bad-text", .error, "the statement has text that is not UTF-8")
    }
    self = reader.schema(document.root)
  }

  /// Takes what is there, whatever it is: what is no statement has a finding that says so.
  package init(statement root: JSON) {
    var reader = SchemaReader(root)
    self = reader.schema(root)
  }
}

/// The statement itself; its `rest` is read in RestReader.
struct SchemaReader {
  var fields: FieldReader
  private let fhirVersion: String?

  static let resourceTypes: Set<String> = ["CapabilityStatement", "Conformance"]
  private static let kinds: Set<String> = ["instance", "capability", "requirements"]
  /// `deprecated` is no code of this element; servers write it all the same.
  private static let statuses: Set<String> = ["draft", "active", "retired", "unknown", "deprecated"]

  init(_ root: JSON) {
    let version = root["fhirVersion"]?.string.map { Words.clean($0, max: FieldReader.textMax) } ?? ""
    fhirVersion = version.isEmpty ? nil : version
    fields = FieldReader(release: fhirVersion.flatMap { FHIRRelease(version: $0) })
  }

  mutating func schema(_ root: JSON) -> Schema {
    let type = fields.text(root["resourceType"], "resourceType") ?? ""
    checkHead(root, type)
    let status = fields.code(root["status"], "status", of: Self.statuses)
    let isExperimental = fields.bool(root["experimental"], "experimental")
    let kind = fields.code(root["kind"], "kind", of: Self.kinds)
    checkLife(status: status, isExperimental: isExperimental, kind: kind, type)
    var schema = Schema(
      resourceType: type, fhirVersion: fhirVersion, release: fields.release, kind: kind, status: status,
      isExperimental: isExperimental, url: fields.uri(root["url"], "url"),
      version: fields.text(root["version"], "version"), name: fields.text(root["name"], "name"),
      title: fields.text(root["title"], "title"), publisher: fields.text(root["publisher"], "publisher"),
      date: fields.text(root["date"], "date"),
      description: fields.text(root["description"], "description", max: FieldReader.documentationMax),
      software: software(root["software"]), implementation: implementation(root["implementation"]),
      formats: fields.texts(root["format"], "format"), patchFormats: fields.texts(root["patchFormat"], "patchFormat"),
      instantiates: fields.texts(root["instantiates"], "instantiates", max: FieldReader.uriMax),
      imports: fields.texts(root["imports"], "imports", max: FieldReader.uriMax),
      implementationGuides: fields.texts(
        root["implementationGuide"], "implementationGuide", max: FieldReader.uriMax),
      profiles: fields.references(root["profile"], "profile"), rest: [],
      offersMessaging: !fields.objects(root["messaging"], "messaging").isEmpty,
      offersDocuments: !fields.objects(root["document"], "document").isEmpty, findings: [])
    if case nil = root["format"] { fields.note("no-format", .error, "the statement has no format") }
    // R4's rule cpb-14.
    if kind == "instance", schema.implementation == nil, let release = fields.release, release >= .r4 {
      fields.note("no-implementation", .warning, "the statement is of one installation and does not say of which")
    }
    readRest(root["rest"], into: &schema)
    schema.findings = fields.findings.all
    return schema
  }

  private mutating func checkHead(_ root: JSON, _ type: String) {
    if !Self.resourceTypes.contains(type) {
      let found = type.isEmpty ? "the document has no resourceType" : "the document is a resource of type \(type)"
      fields.note("other-resource", .error, "\(found); it was taken for a CapabilityStatement")
    }
    guard let fhirVersion else {
      if fields.text(root["fhirVersion"], "fhirVersion") == nil,
        root["fhirVersion"]?.string != nil || root["fhirVersion"] == nil
      {
        fields.note("no-fhirVersion", .error, "the statement has no fhirVersion")
      }
      return
    }
    guard let release = fields.release else {
      fields.note("fhir-version-unknown", .error, "no FHIR release has version \(fhirVersion)")
      return
    }
    if fhirVersion.first?.isNumber == false {
      fields.note(
        "fhir-version-name", .warning, "fhirVersion is the name of a release, \(release.rawValue), not its number")
    }
    if (type == "Conformance") != (release < .stu3), Self.resourceTypes.contains(type) {
      fields.note(
        "type-of-other-release", .warning, "a resource of type \(type) does not belong to FHIR \(release.rawValue)")
    }
  }

  private mutating func checkLife(status: String?, isExperimental: Bool?, kind: String?, _ type: String) {
    switch status {
    case nil: fields.note("no-status", .warning, "the statement has no status")
    case "retired", "deprecated":
      fields.note("status-retired", .warning, "the statement is out of use: its status is \(status ?? "")")
    default: break
    }
    if isExperimental == true {
      fields.note("experimental", .information, "the statement is for tests: it says that it is experimental")
    }
    if kind == "requirements" {
      fields.note(
        "kind-requirements", .information, "the statement says what servers should do, not what this one does")
    }
    if kind == nil, type == "CapabilityStatement" { fields.note("no-kind", .error, "the statement has no kind") }
  }

  private mutating func software(_ value: JSON?) -> Schema.Software? {
    guard let software = fields.object(value, "software") else { return nil }
    let read = Schema.Software(
      name: fields.text(software["name"], "software.name"),
      version: fields.text(software["version"], "software.version"),
      releaseDate: fields.text(software["releaseDate"], "software.releaseDate"))
    if read.name == nil { fields.note("software-no-name", .warning, "the software has no name") }
    return read
  }

  private mutating func implementation(_ value: JSON?) -> Schema.Implementation? {
    guard let implementation = fields.object(value, "implementation") else { return nil }
    return Schema.Implementation(
      description: fields.text(implementation["description"], "implementation.description"),
      url: fields.uri(implementation["url"], "implementation.url"),
      custodian: fields.uri(implementation["custodian"]?["reference"], "implementation.custodian"))
  }

  private mutating func readRest(_ value: JSON?, into schema: inout Schema) {
    let all = fields.objects(value, "rest")
    if all.isEmpty, schema.offersMessaging || schema.offersDocuments {
      fields.note("no-rest", .information, "the statement has no rest: messages or documents are all that is on offer")
    } else if all.isEmpty {
      fields.note("no-rest", .error, "the statement has no rest: nothing is on offer")
    }
    var byMode: [Schema.Mode: Schema.Rest] = [:]
    if all.count > FieldReader.fewMax {
      fields.note("too-many-entries", .error, "a list has too many entries; the others were left out", "rest")
    }
    for item in all.prefix(FieldReader.fewMax) {
      // Before R4 profiles could be listed for the statement; some list them here.
      if item["profile"] != nil {
        fields.note("rest-profile", .warning, "rest has profiles, which belong to the statement or to a resource")
        schema.profiles.append(contentsOf: fields.references(item["profile"], "profile"))
      }
      let mode = mode(of: item)
      if byMode[mode] != nil {
        fields.note(
          "rest-twice", .information, "several rest entries have mode \(mode.rawValue); they are shown as one")
      }
      var reader = RestReader(byMode.removeValue(forKey: mode) ?? RestReader.empty(mode), fields: fields)
      reader.take(item)
      fields = reader.fields
      byMode[mode] = reader.finished()
    }
    schema.rest = [byMode[.server], byMode[.client]].compactMap(\.self)
    guard !all.isEmpty else { return }
    if schema.rest.allSatisfy(\.resources.isEmpty) {
      fields.note("no-resources", .error, "the statement names no resource type")
    }
    if schema.server == nil {
      fields.note("no-server", .warning, "the statement describes a client only; nothing is on offer")
    } else if schema.server?.security == nil {
      fields.note(
        "no-security", .information, "the statement says nothing of security; endpoints have to come from elsewhere")
    }
  }

  /// A server describes itself, so what has no mode is taken for one.
  private mutating func mode(of rest: JSON) -> Schema.Mode {
    switch fields.text(rest["mode"], "rest.mode") {
    case "client": return .client
    case "server": return .server
    case nil:
      fields.note("rest-no-mode", .warning, "a rest has no mode; it was taken for the server's")
      return .server
    case let other?:
      fields.note(
        "rest-mode-unknown", .warning, "a rest has mode \(Words.clean(other, max: 40)); it was taken for the server's")
      return .server
    }
  }
}
