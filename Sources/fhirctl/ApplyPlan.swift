/// What `fhirctl apply` will do: the differences between a document and what the daemon has.
import FHIRClient
import FHIRControl
import FoundationEssentials

enum ApplyChange {
  case create(ConnectionFields, ApplyReport.Change)
  case update(ConnectionUpdateParameters, ApplyReport.Change)
  case grant(AccessGrantParameters, ApplyReport.Change)
  case unchanged(ApplyReport.Change)

  var summary: ApplyReport.Change {
    switch self {
    case .create(_, let change), .update(_, let change), .grant(_, let change), .unchanged(let change): change
    }
  }

  func carryOut(_ client: FHIRClient, _ timeout: Double?) throws(ClientError) {
    switch self {
    case .create(let fields, _): _ = try client.createConnection(fields, timeoutSeconds: timeout)
    case .update(let parameters, _): _ = try client.updateConnection(parameters, timeoutSeconds: timeout)
    case .grant(let parameters, _): _ = try client.grantAccess(parameters, timeoutSeconds: timeout)
    case .unchanged: break
    }
  }
}

struct ApplyPlan {
  private(set) var changes: [ApplyChange] = []

  mutating func add(_ wanted: ApplyDocument.Connection, replacesSecret: Bool, _ client: FHIRClient) throws {
    var fields = wanted.fields
    let known: ConnectionSummary?
    do throws(ClientError) { known = try client.connection(wanted.name) } catch {
      guard error.controlError?.data.code == .connectionNotFound else { throw error }
      known = nil
    }
    var change = ApplyReport.Change(action: "create", kind: "connection", name: wanted.name)
    if let file = wanted.secretFile, replacesSecret || known?.hasClientSecret != true {
      fields.clientSecret = try SecretReader.file(file)
      change.fields["client_secret"] = .init(
        before: known?.hasClientSecret == true ? "stored" : nil, after: "from \(file)")
    }
    guard let known else {
      for (name, value) in wanted.members { change.fields[name] = .init(before: nil, after: Self.text(value)) }
      changes.append(.create(fields, change))
      return
    }
    let current = try JSONDecoder().decode([String: JSONValue].self, from: JSONEncoder().encode(known.fields))
    for (name, value) in wanted.members where !Self.isSame(name, value, current[name]) {
      change.fields[name] = .init(before: current[name].map(Self.text), after: Self.text(value))
    }
    guard !change.fields.isEmpty else {
      change.action = "unchanged"
      changes.append(.unchanged(change))
      return
    }
    change.action = "update"
    changes.append(
      .update(
        ConnectionUpdateParameters(connection: known.id, ifGeneration: known.generation, fields: fields), change))
  }

  mutating func add(_ rules: [AccessGrantParameters], existing: [AccessRule]) {
    for rule in rules {
      let isThere = existing.contains {
        $0.principal == rule.principal && Set($0.methods) == Set(rule.methods)
          && Self.globs($0.connections) == Self.globs(rule.connections)
          && Self.globs($0.subjects) == Self.globs(rule.subjects)
      }
      var change = ApplyReport.Change(
        action: isThere ? "unchanged" : "grant", kind: "access", name: rule.principal.description)
      if !isThere {
        change.fields["methods"] = .init(before: nil, after: rule.methods.joined(separator: " "))
        change.fields["connections"] = .init(before: nil, after: (rule.connections ?? ["all"]).joined(separator: " "))
      }
      changes.append(isThere ? .unchanged(change) : .grant(rule, change))
    }
  }

  /// Nothing said, and everything said, are the same.
  private static func globs(_ list: [String]?) -> Set<String> {
    let globs = Set(list ?? [])
    return globs.isEmpty || globs.contains("*") ? ["*"] : globs
  }

  /// The daemon keeps base URLs in one spelling, and no empty texts.
  private static func isSame(_ name: String, _ wanted: JSONValue, _ current: JSONValue?) -> Bool {
    if wanted == current { return true }
    switch (wanted, current) {
    case (.string(""), nil), (.null, nil): return true
    case (.string(let a), .string(let b)?) where name.hasSuffix("_url"): return spelled(a) == spelled(b)
    case (.integer(let a), .number(let b)?), (.number(let b), .integer(let a)?): return Double(a) == b
    case (.object(let a), .object(let b)?):
      return Set(a.keys).union(b.keys).allSatisfy { key in isSame("", a[key] ?? .null, b[key]) }
    default: return false  // two values that are not the same
    }
  }

  private static func spelled(_ url: String) -> String {
    let bare = url.hasSuffix("/") ? String(url.dropLast()) : url
    // scheme, nothing, host, path
    let parts = bare.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count >= 3 else { return bare }
    return (parts.prefix(3).map { $0.lowercased() } + parts.dropFirst(3).map(String.init)).joined(separator: "/")
  }

  private static func text(_ value: JSONValue) -> String {
    if case .string(let text) = value { return text.isEmpty ? "taken away" : text }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }
}
