/// Decides who may call what. Pure: names were resolved to numbers when the rules were loaded.
package import FHIRControl

/// A rule as it is evaluated.
package struct ResolvedRule: Sendable {
  package enum Who: Sendable, Hashable {
    case uid(UInt32)
    case gid(UInt32)
    case unit(Glob)
    case everyone
    /// A user or group that this machine does not know (yet): matches nobody.
    case nobody
  }
  package var who: Who
  package var methods: [Glob]
  package var connections: [Glob]
  package var subjects: [Glob]

  package init(who: Who, methods: [Glob], connections: [Glob], subjects: [Glob]) {
    self.who = who
    self.methods = methods
    self.connections = connections
    self.subjects = subjects
  }

  package func applies(to caller: Caller) -> Bool {
    switch who {
    case .uid(let uid): caller.uid == uid
    case .gid(let gid): caller.gid == gid || caller.groups.contains(gid)
    case .unit(let glob): caller.unit.map(glob.matches) ?? false
    case .everyone: true
    case .nobody: false
    }
  }
}

/// The rules in force: an immutable snapshot, replaced whole when a rule changes.
package struct AccessPolicy: Sendable {
  /// Who may do everything without a rule: root, fhird's own user, the group fhird-admin.
  package struct Administrators: Sendable, Equatable {
    package var uids: Set<UInt32>
    package var gid: UInt32?
    package init(uids: Set<UInt32>, gid: UInt32?) {
      self.uids = uids
      self.gid = gid
    }
  }

  /// What one caller may do with one method.
  package enum Reach: Sendable {
    case everything
    case nothing
    /// Only what one of these rules covers.
    case some([ResolvedRule])

    package func covers(connection id: ConnectionID, named name: String, subject: String) -> Bool {
      switch self {
      case .everything: true
      case .nothing: false
      case .some(let rules):
        rules.contains { rule in
          rule.connections.contains { $0.matches(name) || $0.matches(id.description) }
            && rule.subjects.contains { $0.matches(subject) || (subject.isEmpty && $0.matchesEverything) }
        }
      }
    }

    /// For a connection of which only the caller's own spelling is known.
    package func covers(spelled reference: String) -> Bool {
      switch self {
      case .everything: true
      case .nothing: false
      case .some(let rules): rules.contains { $0.connections.contains { $0.matches(reference) } }
      }
    }

    /// Every connection and every subject.
    package var isWhole: Bool {
      switch self {
      case .everything: true
      case .nothing: false
      case .some(let rules):
        rules.contains {
          $0.connections.contains(where: \.matchesEverything) && $0.subjects.contains(where: \.matchesEverything)
        }
      }
    }
  }

  package let administrators: Administrators
  package let rules: [ResolvedRule]

  package init(administrators: Administrators, rules: [ResolvedRule]) {
    self.administrators = administrators
    self.rules = rules
  }

  package func isAdministrator(_ caller: Caller) -> Bool {
    if administrators.uids.contains(caller.uid) { return true }
    guard let gid = administrators.gid else { return false }
    return caller.gid == gid || caller.groups.contains(gid)
  }

  package func reach(of caller: Caller, method: ControlMethod) -> Reach {
    if isAdministrator(caller) || method == .serverInfo { return .everything }
    let matching = rules.filter { rule in
      rule.applies(to: caller) && rule.methods.contains { $0.matches(method.rawValue) }
    }
    return matching.isEmpty ? .nothing : .some(matching)
  }
}
