/// Decides about the client keys of one connection: which signs, which are published, which go. Pure: the caller brings
/// the time, on the wall clock, because servers and restarts are measured by it.
package import FHIRControl

package struct ClientKeyPlan: Sendable {
  /// The life of a key.
  package enum State: Sendable, Equatable {
    /// Published, so that servers that keep a copy of the key set learn of it. Can become: active.
    case next
    /// Signs. Can become: retired.
    case active
    /// Signs no more; what it signed is still verified. Can become: gone.
    case retired
    /// Published no more; to be erased.
    case gone
  }

  /// How long a key that signs no more stays published: an assertion lives 5 minutes, clocks differ by up to 5, and
  /// what was signed at the last moment may wait in a queue of the server's.
  package static let retiredGraceSeconds: Int64 = 3600
  /// Keys of one connection that are published at a time; each makes the key set longer for every server that reads it.
  package static let keysMax = 8

  package let records: [ClientKeyRecord]
  package let now: Timestamp

  package init(_ records: [ClientKeyRecord], now: Timestamp) {
    self.records = records
    self.now = now
  }

  package static func state(of record: ClientKeyRecord, at now: Timestamp) -> State {
    if let end = record.publishedUntil, now >= end { return .gone }
    if let end = record.signsUntil, now >= end { return .retired }
    return now < record.signsFrom ? .next : .active
  }

  package func state(of record: ClientKeyRecord) -> State { Self.state(of: record, at: now) }

  /// Old and new together. Source: SMART App Launch 2.2, client-confidential-asymmetric, "Registering a client".
  package var published: [ClientKeyRecord] { records.filter { state(of: $0) != .gone } }

  package var erasable: [ClientKeyRecord] { records.filter { state(of: $0) == .gone } }

  package func keys(in state: State, _ algorithm: SigningAlgorithm? = nil) -> [ClientKeyRecord] {
    records.filter { self.state(of: $0) == state && (algorithm == nil || $0.algorithm == algorithm) }
  }

  /// The key that signs now: of the active ones the newest, of several algorithms the preferred one, then the first in
  /// the order of `SigningAlgorithm`. If the clock went back and none is active, the next one signs already: it is
  /// published, and a connection must not stand still for it.
  /// - Parameter supported: what the server lists; nil or empty: it does not say.
  package func signing(algorithms supported: [String]?, preferred: SigningAlgorithm? = nil) -> ClientKeyRecord? {
    var order = SigningAlgorithm.allCases
    if let preferred { order = [preferred] + order.filter { $0 != preferred } }
    if let supported, !supported.isEmpty { order = order.filter { supported.contains($0.rawValue) } }
    for algorithm in order {
      if let key = keys(in: .active, algorithm).max(by: { $0.signsFrom < $1.signsFrom }) { return key }
    }
    for algorithm in order {
      if let key = keys(in: .next, algorithm).min(by: { $0.signsFrom < $1.signsFrom }) { return key }
    }
    return nil
  }

  /// What a rotation changes.
  package struct Rotation: Sendable, Equatable {
    /// Records with other times than they had.
    package var changed: [ClientKeyRecord]
    /// New keys to make, one for each algorithm that has an active key and no next one.
    package var toMake: [SigningAlgorithm]
    /// When the new keys sign, and the old ones stop.
    package var signsFrom: Timestamp
  }

  package enum RotationRefusal: Error, Sendable, Equatable {
    /// There is nothing to rotate.
    case noKey
    /// A new key is published already and signs from then on.
    case underWay(until: Timestamp)
    case tooMany
  }

  /// The new keys are published at once and sign after the overlap; the old ones sign until then, and stay published
  /// for the grace. An overlap of 0 ends a rotation that is under way: the keys that are next sign at once.
  package func rotate(overlapSeconds: Double) throws(RotationRefusal) -> Rotation {
    let waiting = keys(in: .next)
    if overlapSeconds > 0, let until = waiting.map(\.signsFrom).min() { throw .underWay(until: until) }
    let active = keys(in: .active)
    guard !active.isEmpty || !waiting.isEmpty else { throw .noKey }
    let signsFrom = Timestamp(milliseconds: now.milliseconds + Int64(overlapSeconds * 1000))
    var rotation = Rotation(changed: [], toMake: [], signsFrom: signsFrom)
    for var key in active {
      key.signsUntil = signsFrom
      key.publishedUntil = Timestamp(milliseconds: signsFrom.milliseconds + Self.retiredGraceSeconds * 1000)
      rotation.changed.append(key)
    }
    for var key in waiting {
      key.signsFrom = signsFrom
      rotation.changed.append(key)
    }
    rotation.toMake = SigningAlgorithm.allCases.filter { algorithm in
      active.contains { $0.algorithm == algorithm } && !waiting.contains { $0.algorithm == algorithm }
    }
    guard published.count + rotation.toMake.count <= Self.keysMax else { throw .tooMany }
    return rotation
  }
}
