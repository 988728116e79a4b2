/// Keeps the access rules: in the store, and as the snapshot that every request is judged by.
package import FHIRControl
import SMARTProtocol
import Synchronization

package final class AccessBook: Sendable {
  private struct State {
    var rules: [(rule: AccessRule, resolved: ResolvedRule)] = []
    var unreadable: [UnreadableRecord] = []
    var administrators: AccessPolicy.Administrators
    var policy: AccessPolicy

    mutating func rebuild() {
      policy = AccessPolicy(administrators: administrators, rules: rules.map(\.resolved))
    }
  }
  private let ledger: Ledger
  private let names: any NameService
  private let ownUID: UInt32
  private let adminGroup: String
  private let state: Mutex<State>
  private let epochCounter = Atomic<UInt64>(1)

  /// Rules at the most; each request of a caller without a cached answer looks at all of them.
  package static let rulesMax = 10_000

  package init(ledger: Ledger, names: any NameService, ownUID: UInt32, adminGroup: String = "fhird-admin") {
    self.ledger = ledger
    self.names = names
    self.ownUID = ownUID
    self.adminGroup = adminGroup
    let administrators = AccessPolicy.Administrators(uids: [0, ownUID], gid: nil)
    state = Mutex(
      State(administrators: administrators, policy: AccessPolicy(administrators: administrators, rules: [])))
  }

  /// Grows with every change that can turn a decision: rules, and (told by the engine) names of connections.
  package var epoch: UInt64 { epochCounter.load(ordering: .acquiring) }

  package func bumpEpoch() { epochCounter.wrappingAdd(1, ordering: .acquiringAndReleasing) }

  package var policy: AccessPolicy { state.withLock { $0.policy } }

  package var list: AccessRuleList {
    state.withLock {
      AccessRuleList(rules: $0.rules.map(\.rule), unreadable: $0.unreadable.isEmpty ? nil : $0.unreadable)
    }
  }

  /// Reads all rules. A rule that does not open is left out, told by `list`, and lets nobody in.
  package func load() throws(LedgerError) {
    var rules: [AccessRule] = []
    var unreadable: [UnreadableRecord] = []
    for stored in try ledger.page(of: .access, after: nil, limit: Self.rulesMax) {
      do { rules.append(try ledger.rule(in: stored)) } catch {
        unreadable.append(
          UnreadableRecord(
            id: stored.key.hex, detail: error.sentence,
            hint: "fhirctl access revoke \(stored.key.hex), then grant it again"))
      }
    }
    rules.sort { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    let resolved = rules.map { ($0, resolve($0)) }
    let gid = names.gid(ofGroup: adminGroup)
    state.withLock {
      $0.rules = resolved
      $0.unreadable = unreadable
      $0.administrators.gid = gid
      $0.rebuild()
    }
    bumpEpoch()
  }

  /// Looks names up again: a user or group may have come, gone or changed its number.
  package func resolveAgain() {
    let rules = state.withLock { $0.rules.map(\.rule) }
    let resolved = Dictionary(rules.map { ($0.id, resolve($0)) }, uniquingKeysWith: { first, _ in first })
    let gid = names.gid(ofGroup: adminGroup)
    state.withLock { state in
      for i in state.rules.indices {
        if let again = resolved[state.rules[i].rule.id] { state.rules[i].resolved = again }
      }
      state.administrators.gid = gid
      state.rebuild()
    }
    bumpEpoch()
  }

  private func resolve(_ rule: AccessRule) -> ResolvedRule {
    let who: ResolvedRule.Who =
      switch rule.principal {
      case .uid(let uid): .uid(uid)
      case .user(let name): names.uid(ofUser: name).map { .uid($0) } ?? .nobody
      case .group(let name): names.gid(ofGroup: name).map { .gid($0) } ?? .nobody
      case .unit(let name): Glob(name).map { .unit($0) } ?? .nobody
      case .everyone: .everyone
      }
    return ResolvedRule(
      who: who, methods: rule.methods.compactMap { Glob($0) }, connections: rule.connections.compactMap { Glob($0) },
      subjects: rule.subjects.compactMap { Glob($0) })
  }

  /// Stores the rule, then puts it in force.
  package func grant(_ rule: AccessRule, key: [UInt8]) async throws(LedgerError) {
    let address = RecordAddress(.access, key)
    try await ledger.commit(
      RecordBatch(
        conditions: [.init(address, nil)], writes: [ledger.put(address, json: rule, 1, 1)]))
    let resolved = resolve(rule)
    state.withLock {
      $0.rules.append((rule, resolved))
      $0.rebuild()
    }
    bumpEpoch()
  }

  /// Takes the rule out of the store, then out of force; nil when there is none.
  package func revoke(_ id: String) async throws(LedgerError) -> AccessRule? {
    let (known, isUnreadable) = state.withLock { state in
      (state.rules.first { $0.rule.id == id }?.rule, state.unreadable.contains { $0.id == id })
    }
    guard known != nil || isUnreadable, let key = [UInt8](hex: id) else { return nil }
    try await ledger.commit(RecordBatch(writes: [.delete(RecordAddress(.access, key))]))
    state.withLock {
      $0.rules.removeAll { $0.rule.id == id }
      $0.unreadable.removeAll { $0.id == id }
      $0.rebuild()
    }
    bumpEpoch()
    return known
      ?? AccessRule(
        id: id, principal: .everyone, methods: [], connections: [], subjects: [], note: "unreadable rule",
        createdAt: Timestamp(milliseconds: 0))
  }
}

extension [UInt8] {
  package init?(hex text: String) {
    let digits = text.utf8.map(\.hexDigit)
    guard digits.count % 2 == 0, !digits.isEmpty, !digits.contains(nil) else { return nil }
    let values = digits.compactMap(\.self)
    self = stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
  }
}

extension LedgerError {
  /// What failed, for people; names the table and the key, never the content.
  package var sentence: String {
    switch self {
    case .store(let error): error.sentence
    case .vault(let error): error.sentence
    case .malformed(let table, let key, let detail): "the record \(table.rawValue)/\(key) does not parse: \(detail)"
    }
  }
}

extension StoreError {
  package var sentence: String {
    switch self {
    case .full(let detail): "the store is full: \(detail)"
    case .nearlyFull(let detail): "the store is nearly full: \(detail)"
    case .readOnly(let path): "the store at \(path) cannot be written"
    case .conflict(let table): "a record of \(table.rawValue) was changed meanwhile"
    case .corrupt(let detail, _): "the store is damaged: \(detail)"
    case .alreadyOpen(let path, let pid):
      "another process\(pid.map { " (pid \($0))" } ?? "") has the store at \(path) open"
    case .unknownFormat(let found, let supported):
      "the store has format \(found), this program knows format \(supported)"
    case .unsafePermissions(let path, let detail): "\(path) is not safe: \(detail)"
    case .closed: "the store is closed"
    case .io(let operation, let detail): "\(operation) failed: \(detail)"
    }
  }

  /// What to do about it.
  package var cure: String {
    switch self {
    case .full:
      "free space on the disk of the state directory, or raise FHIRD_STORE_BYTES_MAX; refreshes go on by themselves"
    case .nearlyFull:
      "delete connections that are not needed, or raise FHIRD_STORE_BYTES_MAX and restart fhird; "
        + "fhirctl health shows how full the store is"
    case .readOnly: "make the state directory writable for fhird's user, or remount the file system read-write"
    case .conflict: "read it again and repeat the change"
    case .corrupt(_, let cure): cure
    case .alreadyOpen: "stop the other fhird, or give this one another --state-dir"
    case .unknownFormat: "run the version of fhird that wrote the store, or move the state directory away to begin anew"
    case .unsafePermissions(let path, _): "chown fhird's user and chmod 0700 (files 0600) \(path)"
    case .closed: "try again when fhird has started"
    case .io: "look at the journal and at the disk of the state directory"
    }
  }
}

extension VaultError {
  package var sentence: String {
    switch self {
    case .truncated(let table, let key): "the record \(table.rawValue)/\(key) is cut off"
    case .doesNotOpen(let table, let key):
      "the record \(table.rawValue)/\(key) does not open: it was altered or sealed under another key ring"
    case .unknownKey(let table, let key, let keyID):
      "the record \(table.rawValue)/\(key) is sealed under key \(keyID), which the key ring does not hold"
    case .recordVersion(let table, let key, let found):
      "the record \(table.rawValue)/\(key) has version \(found), which this program does not know"
    case .masterKey(let detail, _): "master key: \(detail)"
    case .keyRing(let detail, _): "key ring: \(detail)"
    }
  }

  package var cure: String {
    switch self {
    case .truncated, .doesNotOpen:
      "restore this record from a backup, or delete the connection and create it again; the others are served on"
    case .unknownKey: "restore the key ring that belongs to this store"
    case .recordVersion: "run the version of fhird that wrote it"
    case .masterKey(_, let cure), .keyRing(_, let cure): cure
    }
  }
}
