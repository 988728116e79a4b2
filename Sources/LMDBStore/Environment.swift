/// The open LMDB environment: made, grown and reopened by the writer alone, while no reader is inside.
import CLMDB
import ConnectionCore
import Glibc

/// One handle on the data file.
///
/// `@unchecked`: LMDB's environment is thread-safe; `handle` changes only inside `ReaderGate.whileShut` (or before the
/// store is handed out), and whoever reads it is inside the gate or is the writer's queue itself.
@safe final class Environment: @unchecked Sendable {
  /// The number under `meta`/`format`: what the tables and their values look like. It is the one value that is not
  /// sealed: it must be readable before there is a key. 4 bytes, little endian.
  static let format: UInt32 = 1
  static let formatAddress = RecordAddress(.meta, Array("format".utf8))

  /// Slots of LMDB's reader table: the pool, the hot readers, and room. LMDB takes the number from the lock file's size.
  static let readerSlotsMax: UInt32 = 504
  /// The lock file's size, in bytes: a header of at most 256 and 64 for each reader slot.
  static let lockFileBytes = 32_768

  let path: String
  private(set) var handle: OpaquePointer?
  private(set) var mapBytes: Int
  /// What the store says of itself; nil: nothing.
  private(set) var formatFound: UInt32?

  /// - Parameter directory: absolute path of a directory that has been checked and locked.
  init(directory: String, mapBytes: Int) throws(LMDBFailure) {
    path = directory
    self.mapBytes = 0
    try open(mapBytes: mapBytes, orLess: true)
  }

  deinit { close() }

  /// Every transaction must have ended.
  func close() {
    guard let open = unsafe handle else { return }
    unsafe handle = nil
    unsafe mdb_env_close(open)
  }

  /// Opens again with at least this much address space, or with as much as before when that cannot be had.
  func reopen(mapBytes wanted: Int) throws(LMDBFailure) {
    let before = mapBytes
    close()
    do {
      try open(mapBytes: wanted, orLess: false)
    } catch {
      try open(mapBytes: before, orLess: true)
    }
  }

  /// Closes, lets `swap` put another data file in place, and opens what is there then, whatever became of it.
  func reopen(swapping swap: () throws(LMDBFailure) -> Void) throws(LMDBFailure) {
    let before = mapBytes
    close()
    let outcome: Result<Void, LMDBFailure>
    do throws(LMDBFailure) { outcome = .success(try swap()) } catch { outcome = .failure(error) }
    try open(mapBytes: before, orLess: true)
    try outcome.get()
  }

  private func open(mapBytes wanted: Int, orLess: Bool) throws(LMDBFailure) {
    let environment =
      orLess
      ? try unsafe openEnvironment(path, mapBytes: wanted, flags: 0)
      : try unsafe openOnce(path, mapBytes: wanted, flags: 0)
    do {
      formatFound = try unsafe openTables(environment)
    } catch {
      unsafe mdb_env_close(environment)
      throw error
    }
    unsafe handle = environment
    mapBytes = try info().mapBytes
  }

  struct Info {
    let mapBytes: Int
    let usedBytes: Int
    let lastTransaction: UInt64
  }

  func info() throws(LMDBFailure) -> Info {
    var info = unsafe MDB_envinfo()
    try check(unsafe mdb_env_info(handle, &info), "look at the store")
    var stat = MDB_stat()
    try check(unsafe mdb_env_stat(handle, &stat), "look at the store")
    return unsafe Info(
      mapBytes: info.me_mapsize, usedBytes: (info.me_last_pgno + 1) * Int(stat.ms_psize),
      lastTransaction: UInt64(info.me_last_txnid))
  }

  /// Writes every record, and no free page, to the file.
  func copyCompacted(to descriptor: Int32) throws(LMDBFailure) {
    let code = unsafe mdb_env_copyfd2(handle, descriptor, UInt32(MDB_CP_COMPACT))
    // mdb.c: "page leak or corrupt DB". It is not about the format, and nothing has been lost.
    guard code != MDB_INCOMPATIBLE else {
      throw LMDBFailure(code: EUCLEAN, operation: "compact: the store's pages do not add up")
    }
    try check(code, "copy the store")
  }

  func dataDescriptor() throws(LMDBFailure) -> Int32 {
    var descriptor: Int32 = -1
    try check(unsafe mdb_env_get_fd(handle, &descriptor), "look at the data file")
    return descriptor
  }

  /// Frees the slots of readers whose process has died. One process at a time makes this a second line of defence.
  func clearStaleReaders() throws(LMDBFailure) -> Int {
    var dead: Int32 = 0
    try check(unsafe mdb_reader_check(handle, &dead), "clear stale readers")
    return Int(dead)
  }

  /// Makes a complete, empty store at `file`, synced: the caller renames it into place, so that a data file is either
  /// absent or whole, whenever the power fails.
  static func create(file: String, mapBytes: Int) throws(LMDBFailure) {
    let environment = try unsafe openEnvironment(file, mapBytes: mapBytes, flags: UInt32(MDB_NOSUBDIR))
    defer { unsafe mdb_env_close(environment) }
    let write = try unsafe WriteTransaction(in: environment)
    for table in Table.openingOrder { try write.open(table) }
    try write.put(formatAddress, format.littleEndianBytes)
    try write.commit()
  }
}

/// Opens without touching a record. Flags that are deliberately absent: MDB_NOSYNC and its kin (a commit is durable),
/// MDB_WRITEMAP (a stray write would reach the file), MDB_NOMEMINIT (lmdb.h: "applications handling sensitive data
/// which must not be written should not use this flag": unused parts of pages would carry freed memory to the disk).
private func openEnvironment(_ path: String, mapBytes: Int, flags: UInt32) throws(LMDBFailure) -> OpaquePointer {
  var wanted = mapBytes
  while true {
    do throws(LMDBFailure) {
      return try unsafe openOnce(path, mapBytes: wanted, flags: flags)
    } catch {
      // Address space is rationed here (RLIMIT_AS): take less; the map grows when it must. LMDB itself never maps less
      // than the data needs.
      guard error.code == ENOMEM, wanted > 256 << 20 else { throw error }
      wanted /= 4
    }
  }
}

private func openOnce(_ path: String, mapBytes: Int, flags: UInt32) throws(LMDBFailure) -> OpaquePointer {
  var created: OpaquePointer?
  try check(unsafe mdb_env_create(&created), "create an environment")
  guard let environment = unsafe created else { throw LMDBFailure(code: ENOMEM, operation: "create an environment") }
  do throws(LMDBFailure) {
    try check(unsafe mdb_env_set_mapsize(environment, mapBytes), "set the map's size")
    try check(unsafe mdb_env_set_maxreaders(environment, Environment.readerSlotsMax), "set the number of readers")
    try check(unsafe mdb_env_set_maxdbs(environment, UInt32(Table.allCases.count)), "set the number of tables")
    // MDB_NOTLS ties a reader to its transaction, not to its thread: readers come from a pool, on any thread.
    try check(unsafe mdb_env_open(environment, path, flags | UInt32(MDB_NOTLS), 0o600), "open")
  } catch {
    // lmdb.h: "if this function fails, mdb_env_close() must be called to discard the MDB_env handle".
    unsafe mdb_env_close(environment)
    throw error
  }
  return unsafe environment
}

/// Opens every table. A read transaction is enough for a complete store, so a store on a full disk opens; tables of a
/// later release are made where they are missing, but only in a store of a format that is known.
/// - Returns: the format number that the store has, or nil: it has none.
private func openTables(_ environment: OpaquePointer) throws(LMDBFailure) -> UInt32? {
  let found = try unsafe openExistingTables(environment)
  guard found.format == Environment.format, !found.isComplete else { return found.format }
  let write = try unsafe WriteTransaction(in: environment)
  for table in Table.openingOrder { try write.open(table) }
  try write.commit()
  return found.format
}

private func openExistingTables(
  _ environment: OpaquePointer
) throws(LMDBFailure) -> (format: UInt32?, isComplete: Bool) {
  var begun: OpaquePointer?
  try check(unsafe mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &begun), "begin a read")
  guard let read = unsafe begun else { throw LMDBFailure(code: MDB_BAD_TXN, operation: "begin a read") }
  var format: UInt32?
  do throws(LMDBFailure) {
    for table in Table.openingOrder {
      try unsafe openTable(read, table, flags: 0)
      if table == .meta { format = try unsafe storedFormat(read) }
    }
  } catch {
    unsafe mdb_txn_abort(read)
    if error.code == MDB_NOTFOUND { return (format, false) }
    throw error
  }
  // Handles opened in a transaction stay only when it commits, also one that only read.
  try check(unsafe mdb_txn_commit(read), "end a read")
  return (format, true)
}

private func storedFormat(_ transaction: OpaquePointer) throws(LMDBFailure) -> UInt32? {
  let address = Environment.formatAddress
  return try unsafe address.key.withBytes { (key) throws(LMDBFailure) in
    guard let value = try unsafe get(transaction, address.table, key), value.count == 4 else { return nil }
    return unsafe UInt32(littleEndian: value.loadUnaligned(as: UInt32.self))
  }
}
