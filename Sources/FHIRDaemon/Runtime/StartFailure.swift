/// Why the daemon cannot start: the reason, what to do, and the exit status.
import ConnectionCore
import Glibc
import LMDBStore
import SodiumVault

struct StartFailure: Error, Sendable {
  let reason: String
  let cure: String
  /// Of sysexits.h. Statuses that a restart cannot help are in `RestartPreventExitStatus=` of the unit.
  let status: Int32

  init(_ reason: String, cure: String, status: Int32) {
    self.reason = reason
    self.cure = cure
    self.status = status
  }

  init(_ error: StoreError) {
    let status: Int32 =
      switch error {
      case .alreadyOpen: EX_TEMPFAIL
      case .full, .nearlyFull, .io, .conflict, .closed: EX_IOERR
      case .readOnly, .corrupt, .unknownFormat, .unsafePermissions: EX_CONFIG
      }
    self.init(error.sentence, cure: error.cure, status: status)
  }

  init(_ error: VaultError) { self.init(error.sentence, cure: error.cure, status: EX_CONFIG) }

  init(_ error: LedgerError) {
    switch error {
    case .store(let error): self.init(error)
    case .vault(let error): self.init(error)
    case .malformed: self.init(error.sentence, cure: "restore the store from a backup", status: EX_CONFIG)
    }
  }

  static func store(in directory: String, _ options: LMDBStore.Options) throws(StartFailure) -> LMDBStore {
    try wrap { () throws(StoreError) in try LMDBStore.open(directory: directory, options: options) }
  }

  static func wrap<R>(_ body: () throws(StoreError) -> R) throws(StartFailure) -> R {
    do { return try body() } catch { throw StartFailure(error) }
  }

  static func wrap<R: ~Copyable>(_ body: () throws(VaultError) -> R) throws(StartFailure) -> R {
    do { return try body() } catch { throw StartFailure(error) }
  }

  static func wrap<R>(_ body: () throws(LedgerError) -> R) throws(StartFailure) -> R {
    do { return try body() } catch { throw StartFailure(error) }
  }

  static func vault(_ store: LMDBStore, _ key: consuming MasterKey) async throws(StartFailure) -> SodiumVault {
    do throws(VaultOpenError) { return try await SodiumVault.open(store: store, masterKey: key) } catch {
      switch error {
      case .store(let error): throw StartFailure(error)
      case .vault(let error): throw StartFailure(error)
      }
    }
  }
}
