/// The port `RecordStore` on LMDB: one directory, one process, one writer, any number of readers.
package import ConnectionCore
package import FHIRControl
import Glibc
import Synchronization

/// A store in a directory of its own. Reads see what is committed and never wait for the writer; a batch is durable
/// when `commit` returns.
package final class LMDBStore: RecordStore {
  package struct Options: Sendable {
    /// Address space that is reserved at the start, in bytes. It costs nothing until there is data; moving to a larger
    /// map makes every reader pause. 64 GiB hold 100,000 grants a hundred times.
    package var mapBytes = 64 << 30
    /// Where growth ends, in bytes: far from the 128 TiB that a process can address.
    package var mapBytesMax = 4 << 40
    /// What the data file may grow to, in bytes; the last parts of it are kept for what matters most
    /// (`RecordBatch.Purpose`).
    package var bytesMax = Int.max
    /// Reads at the same time, the hot readers aside; more wait for their turn.
    package var readersMax = 64
    #if FAULT_POINTS
      /// Called on the writer's thread when a batch stands in a transaction that is about to be committed.
      package var written: (@Sendable (RecordBatch) -> Void)?
    #endif
    package init() {}
  }

  /// What an operator wants to know of a store.
  package struct Statistics: Sendable, Equatable {
    /// Address space reserved for the data file.
    package var mapBytes: Int
    /// What the data file's pages come to, free ones included; it does not shrink.
    package var usedBytes: Int
    /// Of these, what is in pages that hold nothing.
    package var freeBytes: Int
    package var recordCounts: [Table: Int]
    /// Number of the last committed transaction.
    package var lastTransaction: UInt64
  }

  /// One value's size, in bytes: a CapabilityStatement of the largest servers is a tenth of it.
  package static let valueBytesMax = 64 << 20
  /// LMDB's limit of a key's length (MDB_MAXKEYSIZE).
  package static let keyBytesMax = 511

  /// The directory, absolute, without symbolic links.
  package var path: String { environment.path }

  let environment: Environment
  let gate: ReaderGate
  private let pool: ReaderPool
  let writer: Writer
  /// Dropped, and with it the lock, when the environment is closed.
  let directory: Mutex<StoreDirectory?>
  private let bytesMax: Int

  /// Opens the store in `directory` (made, with its parents, when missing). A fresh store is complete or absent, also
  /// after a loss of power; an existing one is checked page by page before a byte of it is used.
  package static func open(directory: String, options: Options = Options()) throws(StoreError) -> LMDBStore {
    ignoreFileSizeSignal()
    let directory = try StoreDirectory.open(directory)
    var options = options
    // What is above it is for those who may have it, when they need it.
    options.mapBytes = min(options.mapBytes, options.bytesMax(for: .ordinary))
    try prepareFiles(in: directory, mapBytes: options.mapBytes)
    let environment: Environment
    do throws(LMDBFailure) {
      environment = try Environment(directory: directory.path, mapBytes: options.mapBytes)
    } catch {
      throw error.storeError(path: directory.path)
    }
    try checkFormat(of: environment)
    return LMDBStore(environment: environment, directory: directory, options: options)
  }

  private init(environment: Environment, directory: consuming StoreDirectory, options: Options) {
    self.environment = environment
    self.directory = Mutex(directory)
    bytesMax = min(options.bytesMax, options.mapBytesMax)
    gate = ReaderGate()
    pool = ReaderPool(gate: gate, environment: environment, readersMax: max(1, options.readersMax))
    writer = Writer(environment: environment, gate: gate, options: options)
  }

  deinit { close() }

  /// Commits what was handed in, then lets go of the files and the lock. Everything later fails with `.closed`.
  package func close() {
    writer.close()
    directory.withLock { $0 = nil }
  }

  // MARK: - RecordStore

  package func value(at address: RecordAddress) throws(StoreError) -> [UInt8]? {
    try Self.checkKey(address)
    return try pool.read { (read) throws(LMDBFailure) in
      try unsafe address.key.withBytes { (key) throws(LMDBFailure) in
        try unsafe read.value(of: address.table, key: key).map { unsafe [UInt8]($0) }
      }
    }
  }

  package func page(
    of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int
  ) throws(StoreError) -> [StoredRecord] {
    try pool.read { (read) throws(LMDBFailure) in
      try read.page(of: table, prefix: prefix, after: key, limit: limit)
    }
  }

  package func keys(
    of table: Table, prefix: [UInt8], after key: [UInt8]?, limit: Int
  ) throws(StoreError) -> [[UInt8]] {
    try pool.read { (read) throws(LMDBFailure) in
      try read.keys(of: table, prefix: prefix, after: key, limit: limit)
    }
  }

  package func count(of table: Table) throws(StoreError) -> Int {
    try pool.read { (read) throws(LMDBFailure) in try read.count(of: table) }
  }

  package func commit(_ batch: RecordBatch) async throws(StoreError) {
    for condition in batch.conditions { try Self.checkKey(condition.address) }
    for write in batch.writes { try Self.checkWrite(write) }
    try await writer.commit(batch)
  }

  // MARK: - Beyond the port

  /// A reader for one thread of the hot path.
  package func makeHotReader() -> HotReader { HotReader(gate: gate, environment: environment) }

  /// Writes the format number anew, through everything that a commit goes through.
  package func probeWritable() async throws(StoreError) {
    try await writer.commit(
      RecordBatch(writes: [.put(Environment.formatAddress, Environment.format.littleEndianBytes)]))
  }

  /// The number of dead readers whose places were freed.
  package func clearStaleReaders() throws(StoreError) -> Int {
    // As a reader: LMDB has a lock for it, and the writer may be busy for long.
    try pool.read { (_) throws(LMDBFailure) in try environment.clearStaleReaders() }
  }

  package func statistics() throws(StoreError) -> Statistics {
    try pool.read { (read) throws(LMDBFailure) in
      var counts: [Table: Int] = [:]
      for table in Table.allCases { counts[table] = try read.count(of: table) }
      let info = try environment.info()
      return Statistics(
        mapBytes: info.mapBytes, usedBytes: info.usedBytes, freeBytes: max(0, info.usedBytes - (try read.bytesInUse())),
        recordCounts: counts, lastTransaction: info.lastTransaction)
    }
  }

  package func facts() throws(StoreError) -> StoreFacts {
    let statistics = try statistics()
    return StoreFacts(
      bytes: statistics.usedBytes, bytesFree: statistics.freeBytes, bytesMax: bytesMax,
      records: statistics.recordCounts.values.reduce(0, +))
  }

  // MARK: - Checks

  private static func checkKey(_ address: RecordAddress) throws(StoreError) {
    guard (1...keyBytesMax).contains(address.key.count) else {
      throw .io(
        operation: "use a key of the table \(address.table.rawValue)",
        detail: "\(address.key.count) bytes, allowed are 1 to \(keyBytesMax)")
    }
  }

  private static func checkWrite(_ write: RecordBatch.Write) throws(StoreError) {
    switch write {
    case .put(let address, let value):
      try checkKey(address)
      guard value.count <= valueBytesMax else {
        throw .io(
          operation: "put into the table \(address.table.rawValue)",
          detail: "\(value.count) bytes, allowed are \(valueBytesMax)")
      }
      try checkOwn(address.table, covers: address == Environment.formatAddress)
    case .delete(let address):
      try checkKey(address)
      try checkOwn(address.table, covers: address == Environment.formatAddress)
    case .deletePrefix(let table, let prefix):
      try checkOwn(table, covers: table == .meta && Environment.formatAddress.key.starts(with: prefix))
    }
  }

  private static func checkOwn(_ table: Table, covers: Bool) throws(StoreError) {
    guard covers else { return }
    throw .io(operation: "write to the table \(table.rawValue)", detail: "the format number is the store's own")
  }

  private static func checkFormat(of environment: Environment) throws(StoreError) {
    guard let found = environment.formatFound else {
      throw .corrupt(
        detail: "\(environment.path): there is no format number in it",
        cure: StoreDirectory.restoreCure(path: environment.path))
    }
    guard found == Environment.format else { throw .unknownFormat(found: found, supported: Environment.format) }
  }

  // MARK: - Files

  private static func prepareFiles(in directory: borrowing StoreDirectory, mapBytes: Int) throws(StoreError) {
    // Reader slots are written through a map of this file; a hole in it on a full disk would be a SIGBUS.
    try directory.prepare(StoreDirectory.lmdbLockName, bytes: Environment.lockFileBytes)
    removeUnfinished(in: directory)
    if !directory.hasFile(StoreDirectory.dataName) {
      try directory.prepare(StoreDirectory.newDataName)
      do throws(LMDBFailure) {
        try Environment.create(file: directory.file(StoreDirectory.newDataName), mapBytes: mapBytes)
      } catch {
        removeUnfinished(in: directory)
        throw error.storeError(path: directory.path)
      }
      try directory.rename(StoreDirectory.newDataName, to: StoreDirectory.dataName)
      removeUnfinished(in: directory)
    }
    try directory.prepare(StoreDirectory.dataName)
    // A process that ended between a rename and its sync has left a name that is not durable.
    try directory.sync()
    try DataFile.check(directory.file(StoreDirectory.dataName))
  }

  private static func removeUnfinished(in directory: borrowing StoreDirectory) {
    directory.remove(StoreDirectory.newDataName)
    // LMDB's name for the lock file beside a data file that is not in a directory of its own.
    directory.remove(StoreDirectory.newDataName + "-lock")
  }

  /// A write beyond RLIMIT_FSIZE is a full disk (`.full`), not the end of the process: without this the kernel sends
  /// SIGXFSZ before write(2) can answer EFBIG. A handler that somebody set stays.
  private static func ignoreFileSizeSignal() {
    var current = sigaction()
    guard unsafe sigaction(SIGXFSZ, nil, &current) == 0, unsafe current.__sigaction_handler.sa_handler == nil
    else { return }
    signal(SIGXFSZ, SIG_IGN)
  }
}
