/// Which of SMART's two spellings a server understands, and scopes written in it (R3.03). Only what means the same in both
/// is written anew; the rest stays as the operator wrote it.

package enum ScopeVersion: Sendable, Hashable {
  /// `Patient.read`, `Patient.write`, `Patient.*`
  case v1
  /// `Patient.rs`
  case v2

  /// The one that a server names alone among its capabilities; nil: both, or neither.
  package init?(capabilities: [String]) {
    switch (capabilities.contains("permission-v1"), capabilities.contains("permission-v2")) {
    case (true, false): self = .v1
    case (false, true): self = .v2
    case (true, true), (false, false): return nil
    }
  }

  private static let pairs = [("read", "rs"), ("write", "cud"), ("*", "cruds")]

  /// The same scopes in the same order, each in this spelling where it has one there.
  package func spelling(_ text: String) -> String {
    ScopeSet(text).scopes.map(spelled).joined(separator: " ")
  }

  private func spelled(_ scope: String) -> String {
    // With parameters there is no v1 spelling, and v1 knows none.
    guard ResourceScope(scope) != nil, let dot = scope.lastIndex(of: "."), !scope.contains("?") else { return scope }
    let suffix = scope[scope.index(after: dot)...]
    for (v1, v2) in Self.pairs {
      switch self {
      case .v1 where suffix == v2: return scope[...dot] + v1
      case .v2 where suffix == v1: return scope[...dot] + v2
      case .v1, .v2: continue
      }
    }
    return scope
  }
}
