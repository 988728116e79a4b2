/// Owners of LMDB's transactions and cursors: each ends its handle exactly once, on the thread that began it.
import CLMDB
import ConnectionCore

extension Table {
  /// LMDB numbers tables as they are opened, behind its two core tables; every environment opens them in this order, so
  /// a handle is a constant (`openTable` refuses another number). `meta` comes first: the format number is in it.
  static let openingOrder: [Table] = [
    .meta, .connections, .names, .grants, .tokens, .inflight, .pending, .capabilities, .jobs, .audit, .access, .keys,
    .refresh, .health,
  ]

  @inline(__always)
  var handle: MDB_dbi {
    switch self {
    case .meta: 2
    case .connections: 3
    case .names: 4
    case .grants: 5
    case .tokens: 6
    case .inflight: 7
    case .pending: 8
    case .capabilities: 9
    case .jobs: 10
    case .audit: 11
    case .access: 12
    case .keys: 13
    case .refresh: 14
    case .health: 15
    }
  }
}

/// A view of one committed state. It does not own its handle: a reader slot does, and renews it.
@safe struct ReadTransaction {
  private let handle: OpaquePointer

  init(renewed handle: OpaquePointer) { unsafe self.handle = handle }

  /// The mapped bytes of one value, valid until the transaction is reset.
  func value(of table: Table, key: UnsafeRawBufferPointer) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
    try unsafe get(handle, table, key)
  }

  func count(of table: Table) throws(LMDBFailure) -> Int {
    var stat = MDB_stat()
    try check(unsafe mdb_stat(handle, table.handle, &stat), "count records")
    return stat.ms_entries
  }

  func bytesInUse() throws(LMDBFailure) -> Int { try unsafe LMDBStore.bytesInUse(handle) }

  func page(of table: Table, prefix: [UInt8], after: [UInt8]?, limit: Int) throws(LMDBFailure) -> [StoredRecord] {
    var records: [StoredRecord] = []
    try walk(table, prefix: prefix, after: after, limit: limit) { entry in
      records.append(unsafe StoredRecord(key: [UInt8](entry.key), value: [UInt8](entry.value)))
    }
    return records
  }

  func keys(of table: Table, prefix: [UInt8], after: [UInt8]?, limit: Int) throws(LMDBFailure) -> [[UInt8]] {
    var keys: [[UInt8]] = []
    try walk(table, prefix: prefix, after: after, limit: limit) { keys.append(unsafe [UInt8]($0.key)) }
    return keys
  }

  private func walk(
    _ table: Table, prefix: [UInt8], after: [UInt8]?, limit: Int, _ visit: (Cursor.Entry) -> Void
  ) throws(LMDBFailure) {
    let cursor = try unsafe Cursor(handle, table)
    // A key below the prefix leaves nothing out: the page starts at the prefix then.
    let start = if let after, prefix.lexicographicallyPrecedes(after) { after } else { prefix }
    var current = try cursor.seek(start)
    if let entry = current, let after, unsafe entry.key.elementsEqual(after) { current = try cursor.next() }
    var left = limit
    while let entry = current, left > 0, unsafe entry.key.starts(with: prefix) {
      visit(entry)
      left -= 1
      current = try cursor.next()
    }
  }
}

extension LMDBStore {
  /// Pages that hold something, of every table, of LMDB's own two and of the file's head; in bytes. What it costs does
  /// not grow with the store.
  fileprivate static func bytesInUse(_ transaction: OpaquePointer) throws(LMDBFailure) -> Int {
    var stat = MDB_stat()
    var pages = 2
    // LMDB's own tables have the handles 0 and 1.
    for handle in [0, 1] + Table.openingOrder.map(\.handle) {
      try check(unsafe mdb_stat(transaction, handle, &stat), "count pages")
      pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages
    }
    return pages * Int(stat.ms_psize)
  }
}

/// The one write transaction. Begun, filled and committed by one thread without a suspension between: lmdb.h says
/// "a transaction and its cursors must only be used by a single thread", and a commit from another thread returns 0
/// and keeps the writer's lock.
@safe struct WriteTransaction: ~Copyable {
  private let handle: OpaquePointer

  init(in environment: OpaquePointer) throws(LMDBFailure) {
    var begun: OpaquePointer?
    try check(unsafe mdb_txn_begin(environment, nil, 0, &begun), "begin a write")
    guard let begun = unsafe begun else { throw LMDBFailure(code: MDB_BAD_TXN, operation: "begin a write") }
    unsafe handle = begun
  }

  deinit { unsafe mdb_txn_abort(handle) }

  consuming func commit() throws(LMDBFailure) {
    let handle = unsafe handle
    // lmdb.h: "the transaction handle is freed" by mdb_txn_commit, also when it fails: no abort after it.
    discard self
    try check(unsafe mdb_txn_commit(handle), "commit")
  }

  borrowing func bytesInUse() throws(LMDBFailure) -> Int { try unsafe LMDBStore.bytesInUse(handle) }

  borrowing func open(_ table: Table) throws(LMDBFailure) {
    try unsafe openTable(handle, table, flags: UInt32(MDB_CREATE))
  }

  borrowing func generation(at address: RecordAddress) throws(LMDBFailure) -> StoredGeneration {
    try unsafe address.key.withBytes { (key) throws(LMDBFailure) in
      guard let value = try unsafe get(handle, address.table, key) else { return .absent }
      guard let header = unsafe SealedHeader(value) else { return .unreadable }
      return .generation(header.generation)
    }
  }

  borrowing func put(_ address: RecordAddress, _ value: [UInt8]) throws(LMDBFailure) {
    try unsafe address.key.withBytes { (key) throws(LMDBFailure) in
      try unsafe value.withBytes { (value) throws(LMDBFailure) in
        var key = unsafe MDB_val(key)
        var value = unsafe MDB_val(value)
        try check(unsafe mdb_put(handle, address.table.handle, &key, &value, 0), "put")
      }
    }
  }

  borrowing func delete(_ address: RecordAddress) throws(LMDBFailure) {
    try unsafe address.key.withBytes { (key) throws(LMDBFailure) in
      var key = unsafe MDB_val(key)
      _ = try checkFound(unsafe mdb_del(handle, address.table.handle, &key, nil), "delete")
    }
  }

  borrowing func deletePrefix(_ table: Table, _ prefix: [UInt8]) throws(LMDBFailure) {
    if prefix.isEmpty { return try check(unsafe mdb_drop(handle, table.handle, 0), "empty a table") }
    let cursor = try unsafe Cursor(handle, table)
    // Seeks again after each deletion: where a cursor stands after mdb_cursor_del across a page merge is subtle.
    while let entry = try cursor.seek(prefix), unsafe entry.key.starts(with: prefix) { try cursor.delete() }
  }
}

/// What a condition compares with.
enum StoredGeneration: Equatable {
  case absent
  /// There is a value, but without a header that could be read: no condition holds for it.
  case unreadable
  case generation(Generation)
}

@safe private struct Cursor: ~Copyable {
  @safe struct Entry {
    let key: UnsafeRawBufferPointer
    let value: UnsafeRawBufferPointer
  }

  private let handle: OpaquePointer

  init(_ transaction: OpaquePointer, _ table: Table) throws(LMDBFailure) {
    var opened: OpaquePointer?
    try check(unsafe mdb_cursor_open(transaction, table.handle, &opened), "open a cursor")
    guard let opened = unsafe opened else { throw LMDBFailure(code: MDB_BAD_TXN, operation: "open a cursor") }
    unsafe handle = opened
  }

  // lmdb.h: a cursor in a write transaction may be closed "before its transaction ends", in a read-only one it must be.
  deinit { unsafe mdb_cursor_close(handle) }

  /// The first entry whose key is `key` or comes after it.
  borrowing func seek(_ key: [UInt8]) throws(LMDBFailure) -> Entry? {
    if key.isEmpty { return try step(MDB_FIRST) }
    return try unsafe key.withBytes { (bytes) throws(LMDBFailure) in
      var key = unsafe MDB_val(bytes)
      return try unsafe step(MDB_SET_RANGE, &key)
    }
  }

  borrowing func next() throws(LMDBFailure) -> Entry? { try step(MDB_NEXT) }

  borrowing func delete() throws(LMDBFailure) { try check(unsafe mdb_cursor_del(handle, 0), "delete") }

  private borrowing func step(_ operation: MDB_cursor_op) throws(LMDBFailure) -> Entry? {
    var key = unsafe MDB_val()
    return try unsafe step(operation, &key)
  }

  private borrowing func step(_ operation: MDB_cursor_op, _ key: inout MDB_val) throws(LMDBFailure) -> Entry? {
    var value = unsafe MDB_val()
    guard try checkFound(unsafe mdb_cursor_get(handle, &key, &value, operation), "walk a table") else { return nil }
    return unsafe Entry(key: key.bytes, value: value.bytes)
  }
}

@inline(__always)
func get(
  _ transaction: OpaquePointer, _ table: Table, _ key: UnsafeRawBufferPointer
) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
  var key = unsafe MDB_val(key)
  var value = unsafe MDB_val()
  guard try checkFound(unsafe mdb_get(transaction, table.handle, &key, &value), "read") else { return nil }
  return unsafe value.bytes
}

/// Opens one table and makes sure that LMDB gave it the handle that `Table.handle` says.
func openTable(_ transaction: OpaquePointer, _ table: Table, flags: UInt32) throws(LMDBFailure) {
  var given: MDB_dbi = 0
  try check(unsafe mdb_dbi_open(transaction, table.rawValue, flags, &given), "open a table")
  guard given == table.handle else { throw LMDBFailure(code: MDB_BAD_DBI, operation: "open a table") }
}

extension [UInt8] {
  /// `withUnsafeBytes` with typed errors.
  @inline(__always)
  func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try unsafe withUnsafeBufferPointer { (bytes) throws(E) in try unsafe body(UnsafeRawBufferPointer(bytes)) }
  }
}

extension MDB_val {
  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.init(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
  }

  @inline(__always)
  var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: mv_data, count: mv_size) }
}
