/// Collects the findings of one statement. A server makes the same slip in every resource, so a finding is told once,
/// with how often and where.
import SMARTProtocol

struct FindingList {
  private var order: [String] = []
  private var byID: [String: SchemaFinding] = [:]

  /// Places that are kept of one finding: enough to find the others.
  static let placesMax = 5
  /// Different findings of one statement; there are fewer kinds than this.
  static let findingsMax = 100

  mutating func note(
    _ id: String, _ severity: SchemaFinding.Severity, _ sentence: @autoclosure () -> String, at place: String? = nil
  ) {
    if var finding = byID.removeValue(forKey: id) {
      finding.count += 1
      if let place, finding.places.count < Self.placesMax, !finding.places.contains(place) {
        finding.places.append(place)
      }
      byID[id] = finding
    } else if order.count < Self.findingsMax {
      order.append(id)
      byID[id] = SchemaFinding(
        id: id, severity: severity, sentence: sentence(), count: 1, places: place.map { [$0] } ?? [])
    }
  }

  /// The grave ones first, each kind in the order of the statement.
  var all: [SchemaFinding] {
    let found = order.compactMap { byID[$0] }
    return [.error, .warning, .information].flatMap { severity in found.filter { $0.severity == severity } }
  }
}
