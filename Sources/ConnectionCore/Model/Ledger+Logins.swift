/// Typed access to what logins need: refresh tokens, and authorizations under way.
import SMARTProtocol

extension Ledger {
  /// The refresh token in force; nil: there is none. Whoever takes it wipes it.
  package func refreshToken(_ key: GrantKey) throws(LedgerError) -> RefreshTokenRecord? {
    let address = Self.refreshAddress(key)
    return try open(at: address, RefreshTokenRecord.recordVersion) { (_, bytes) in
      Result { () throws(RecordMalformed) in try RefreshTokenRecord(bytes) }
    }.map { result throws(LedgerError) in try Self.unwrap(result, at: address) }
  }

  /// Tells one refresh token from another in records that hold none.
  package func fingerprint(_ token: [UInt8]) -> KeyedHash { vault.hash(.tokenFingerprint, token) }

  /// A login is found by the keyed hash of its state: looking it up compares nothing byte by byte.
  package func pendingAddress(state: String) -> RecordAddress {
    RecordAddress(.pending, vault.hash(.authorizationState, Array(state.utf8)).bytes)
  }

  package func pending(at address: RecordAddress) throws(LedgerError) -> Versioned<PendingAuthorization>? {
    try json(at: address, PendingAuthorization.recordVersion)
  }

  package func pending(in stored: StoredRecord) throws(LedgerError) -> Versioned<PendingAuthorization> {
    try json(stored.value, at: RecordAddress(.pending, stored.key), PendingAuthorization.recordVersion)
  }
}
