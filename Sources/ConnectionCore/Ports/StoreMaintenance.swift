/// The store as its operator sees it: how full it is, and compaction.
package import FHIRControl

/// What a compaction did to the data file.
package struct Compaction: Sendable, Equatable {
  package var bytesBefore: Int
  package var bytesAfter: Int
  package var records: Int
  package init(bytesBefore: Int, bytesAfter: Int, records: Int) {
    self.bytesBefore = bytesBefore
    self.bytesAfter = bytesAfter
    self.records = records
  }
}

package protocol StoreMaintenance: Sendable {
  func facts() throws(StoreError) -> StoreFacts

  /// Gives the free pages back to the file system. Batches wait until it is done; readers do not.
  func compact() async throws(StoreError) -> Compaction
}

extension RecordBatch {
  /// What a batch is for, which says who is refused first when the store comes near its limit. The raw value is the
  /// share of the limit, in percent, that such batches may fill: what is above it is kept for the others.
  package enum Purpose: Int, Sendable, CaseIterable {
    /// What a server can be asked for again.
    case cache = 90
    /// Connections, rules, keys.
    case ordinary = 95
    /// Tokens and the grants that they belong to: a server counts them as given. And what only deletes.
    case essential = 100
  }

  package var purpose: Purpose {
    var purpose: Purpose?
    for case .put(let address, _) in writes {
      switch address.table {
      // One of these decides for the whole batch.
      case .connections, .names, .access, .keys: return .ordinary
      // A login's end stands beside its tokens, discovery beside a refresh.
      // Of logins there are few, and what a login under way brings is given once.
      case .grants, .tokens, .refresh, .inflight, .pending, .meta: purpose = .essential
      case .jobs, .audit, .health: purpose = purpose == .essential ? .essential : .ordinary
      case .capabilities: purpose = purpose ?? .cache
      }
    }
    return purpose ?? .essential
  }
}
