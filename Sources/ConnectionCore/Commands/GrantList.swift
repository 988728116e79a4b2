/// `token.list`: whose grants a connection has, and how they are.
import FHIRControl
import SMARTProtocol

extension Commands {
  static var grantPageMax: Int { 1000 }
  static var grantPageDefault: Int { 100 }
  /// Grants that one call looks at, however few of them are wanted: it answers in time.
  static var grantsLookedAtMax: Int { 5000 }

  func listGrants(_ parameters: TokenListParameters, _ caller: Caller) async throws(ControlError) -> TokenPage {
    let found = try directory.find(parameters.connection, for: .tokenList, caller)
    let limit = parameters.limit ?? Self.grantPageDefault
    guard (1...Self.grantPageMax).contains(limit) else {
      throw ControlError.validation([FieldError("limit", "must be 1 to \(Self.grantPageMax)")])
    }
    var after: [UInt8]?
    if let cursor = parameters.cursor {
      guard let key = Base64URL.decode(cursor), key.starts(with: found.id.bytes), GrantKey(bytes: key) != nil else {
        throw ControlError.validation([FieldError("cursor", "is not one that token.list gave for this connection")])
      }
      after = key
    }
    let reach = directory.book.policy.reach(of: caller, method: .tokenList)
    var page = TokenPage(grants: [])
    var lookedAt = 0
    while page.grants.count < limit {
      let (from, size) = (after, min(limit, 200))
      let records = try read { () throws(LedgerError) in
        try ledger.page(of: .grants, prefix: found.id.bytes, after: from, limit: size)
      }
      for stored in records {
        after = stored.key
        lookedAt += 1
        // One that does not open is told by token.status and by the journal.
        guard let subject = (try? ledger.grant(in: stored))?.record.subject,
          reach.covers(connection: found.id, named: found.name, subject: subject)
        else { continue }
        let status = await status(of: found.id, found.connection.record, subject: subject)
        guard parameters.state == nil || parameters.state == status.state else { continue }
        page.grants.append(status)
        if page.grants.count == limit { break }
      }
      if records.count < size, after == records.last?.key { return page }
      if records.isEmpty { return page }
      if lookedAt >= Self.grantsLookedAtMax { break }
    }
    page.nextCursor = after.map { Base64URL.encode($0) }
    return page
  }
}
