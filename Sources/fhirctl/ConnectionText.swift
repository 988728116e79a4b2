/// What `connection show` and `connection test` print.
import FHIRControl
import FoundationEssentials

extension ConnectionSummary {
  /// Every saved connection has a name; an answer without one is shown by its id.
  var name: String { fields.connectionName ?? id }

  var findingsText: String {
    (findings ?? []).map { "finding: \(Text.printable($0))\n" }.joined()
  }

  func text(at now: Timestamp) -> String {
    var facts = Facts()
    facts.add("name", name)
    facts.add("id", id)
    for (name, value) in fields.shown { facts.add(name, value) }
    facts.add("client secret", hasClientSecret ? "stored" : nil)
    for (name, endpoint) in endpoints.sorted(by: { $0.key < $1.key }) {
      facts.add(spaced(name), "\(endpoint.url) (\(spaced(endpoint.source)))")
    }
    facts.add("created", Moment.relative(createdAt, to: now))
    facts.add("updated", Moment.relative(updatedAt, to: now))
    facts.add("generation", "\(generation)")
    facts.add("grants", "\(grants)")
    return facts.rendered() + "\n" + token.facts(at: now).rendered() + "\n" + serverHealth.facts(at: now).rendered()
      + findingsText
  }
}

extension ConnectionFields {
  /// The fields that are set, as they are on the wire, in a steady order; endpoints are told with their sources.
  fileprivate var shown: [(name: String, value: String)] {
    guard let json = try? JSONEncoder().encode(self),
      case .object(var members) = try? JSONDecoder().decode(JSONValue.self, from: json)
    else { return [] }
    members["connection_name"] = nil
    for name in Self.endpoints { members[name] = nil }
    let first = Self.order.compactMap { name in members.removeValue(forKey: name).map { (name, $0) } }
    let rest = members.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    return (first + rest).map { (spaced($0.0), Self.words($0.1)) }
  }

  private static let order = ["fhir_base_url", "auth_method", "client_authentication", "client_id", "scope"]
  private static let endpoints = ["auth_url", "token_url", "revocation_url", "introspection_url"]

  private static func words(_ value: JSONValue) -> String {
    switch value {
    case .null: return ""
    case .bool(let flag): return flag ? "yes" : "no"
    case .integer(let number): return "\(number)"
    case .number(let number): return "\(number)"
    case .string(let text): return text
    case .array(let values): return values.map(words).joined(separator: ", ")
    case .object(let members):
      return members.sorted { $0.key < $1.key }.map { "\(spaced($0.key)) \(words($0.value))" }.joined(separator: ", ")
    }
  }
}

extension ConnectionTestResult {
  var text: String {
    let rows = steps.map { step in
      [
        Cell(spaced(step.name)), outcomeCell(step.outcome),
        Cell(step.outcome == "skipped" ? "" : Moment.milliseconds(step.milliseconds)), Cell(step.detail),
      ]
    }
    let failed = steps.count { $0.outcome == "failed" }
    let verdict = failed == 0 ? Cell("passed", .good) : Cell("\(counted(failed, "step")) failed", .bad)
    let name = Text.printable(connectionName ?? fhirBaseURL)
    return Table(header: ["STEP", "OUTCOME", "TIME", "DETAIL"], rows: rows).rendered()
      + "\(name): \(verdict.rendered(colours: Console.colours))\n"
  }
}
