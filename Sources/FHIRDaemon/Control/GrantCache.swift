/// The grants that one client asked for lately: from the names as written to the key's bytes. Dropped when rules,
/// names or connections change.
import ConnectionCore

/// A few entries: a program asks for one grant, or goes round a few. No hash table pays for itself at this size.
struct GrantCache {
  private struct Entry {
    let key: [UInt8]
    let connectionBytes: Int
    /// Connection and subject, one behind the other.
    let names: [UInt8]
  }

  static let entriesMax = 4

  private var epoch: UInt64 = 0
  private var entries: [Entry] = []
  private var nextVictim = 0

  /// The bytes of the grant's key, if this client asked for it since `epoch` moved last.
  mutating func key(_ line: Span<UInt8>, _ request: HotRequest, epoch: UInt64) -> [UInt8]? {
    guard epoch == self.epoch else {
      entries.removeAll(keepingCapacity: true)
      return nil
    }
    for entry in entries where Self.matches(entry, line, request) { return entry.key }
    return nil
  }

  /// - Parameter epoch: as it was before the key was looked up, so that a change in between drops the entry.
  mutating func insert(_ key: GrantKey, _ line: Span<UInt8>, _ request: HotRequest, epoch: UInt64) -> [UInt8] {
    if epoch != self.epoch { entries.removeAll(keepingCapacity: true) }
    self.epoch = epoch
    var names: [UInt8] = []
    names.reserveCapacity(request.connection.count + request.subject.count)
    for i in request.connection { names.append(line[i]) }
    for i in request.subject { names.append(line[i]) }
    let entry = Entry(key: key.bytes, connectionBytes: request.connection.count, names: names)
    if entries.count < Self.entriesMax {
      entries.append(entry)
    } else {
      entries[nextVictim] = entry
      nextVictim = (nextVictim + 1) % Self.entriesMax
    }
    return entry.key
  }

  private static func matches(_ entry: Entry, _ line: Span<UInt8>, _ request: HotRequest) -> Bool {
    let names = entry.names.span
    guard entry.connectionBytes == request.connection.count,
      names.count == request.connection.count + request.subject.count
    else { return false }
    for i in 0..<request.connection.count where names[i] != line[request.connection.lowerBound + i] { return false }
    let rest = entry.connectionBytes
    for i in 0..<request.subject.count where names[rest + i] != line[request.subject.lowerBound + i] { return false }
    return true
  }
}
