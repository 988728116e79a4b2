/// Checks a data file's structure before LMDB maps it: LMDB trusts what it finds, so a file that was cut short would be
/// a SIGBUS and a garbled page an abort() or worse.
import ConnectionCore
import Glibc

enum DataFile {
  /// Maps the whole file as it is, walks it, lets go of it.
  static func check(_ path: String) throws(StoreError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      throw LMDBFailure(code: errno, operation: "open the data file").storeError(path: path)
    }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw LMDBFailure(code: errno, operation: "look at the data file").storeError(path: path)
    }
    let count = Int(status.st_size)
    guard count >= 2 * Layout.pageBytesMin else { throw corrupt(path, "\(count) bytes are too few for a store") }
    guard let map = unsafe mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), unsafe map != MAP_FAILED else {
      throw LMDBFailure(code: errno, operation: "map the data file").storeError(path: path)
    }
    defer { unsafe munmap(map, count) }
    do throws(Damage) {
      try unsafe DataFileWalk.check(UnsafeRawBufferPointer(start: map, count: count))
    } catch {
      throw corrupt(path, error.detail)
    }
  }

  private static func corrupt(_ path: String, _ detail: String) -> StoreError {
    .corrupt(detail: "\(path): \(detail)", cure: StoreDirectory.restoreCure(path: path))
  }
}

/// What the file says that cannot be.
struct Damage: Error {
  let detail: String
}

/// Offsets and flags of LMDB 0.9's file (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta), 64 bit, little endian.
private enum Layout {
  static let pageBytesMin = 512
  static let pageBytesMax = 65_536
  static let pageHeader = 16
  static let nodeHeader = 8
  static let metaMagic: UInt32 = 0xBEEF_C0DE
  static let metaVersion: UInt32 = 1
  static let dbBytes = 48
  static let noRoot = UInt64.max
  /// The deepest tree that LMDB walks (CURSOR_STACK).
  static let depthMax = 32

  static let branch: UInt16 = 0x01
  static let leaf: UInt16 = 0x02
  static let overflow: UInt16 = 0x04
  static let meta: UInt16 = 0x08

  static let bigData: UInt16 = 0x01
  static let subTree: UInt16 = 0x02
}

/// Walks every tree: each page that can be reached must lie inside the file, be reached once, and hold nodes that lie
/// inside the page; no free page may be in use. The file may be shorter than its last page number says: LMDB does not
/// write pages that were taken and given back within one transaction.
@safe private struct DataFileWalk {
  private let file: UnsafeRawBufferPointer
  private let fileBytes: Int
  private let pageBytes: Int
  private let pageCount: UInt64
  private let lastPage: UInt64
  private var seen: [UInt64]

  private enum Kind { case main, table, free }

  private struct Tree {
    let root: UInt64
    let depth: Int
    let entries: UInt64
  }

  static func check(_ file: UnsafeRawBufferPointer) throws(Damage) {
    let pageBytes = Int(try unsafe meta(in: file, at: 0).pageBytes)
    let metas = (try unsafe meta(in: file, at: 0), try unsafe meta(in: file, at: pageBytes))
    guard metas.0.pageBytes == metas.1.pageBytes else { throw Damage(detail: "the two meta pages disagree") }
    // LMDB's own choice (mdb_env_pick_meta).
    let newest = metas.0.transaction < metas.1.transaction ? metas.1 : metas.0
    var walk = unsafe DataFileWalk(file: file, pageBytes: pageBytes, lastPage: newest.lastPage)
    try walk.check(walk.tree(at: newest.mainOffset), .main)
    try walk.check(walk.tree(at: newest.freeOffset), .free)
  }

  private init(file: UnsafeRawBufferPointer, pageBytes: Int, lastPage: UInt64) {
    unsafe self.file = file
    fileBytes = file.count
    self.pageBytes = pageBytes
    self.lastPage = lastPage
    pageCount = min(UInt64(file.count / pageBytes), lastPage &+ 1)
    // Free page numbers may lie beyond the file's end, not beyond the last page; the bits are for pages in the file.
    seen = [UInt64](repeating: 0, count: Int(pageCount / 64) + 1)
    seen[0] = 0b11
  }

  // MARK: - Meta pages

  private struct Meta {
    let pageBytes: UInt32
    let freeOffset: Int
    let mainOffset: Int
    let lastPage: UInt64
    let transaction: UInt64
  }

  private static func meta(in file: UnsafeRawBufferPointer, at offset: Int) throws(Damage) -> Meta {
    let start = offset + Layout.pageHeader
    guard start + 136 <= file.count else { throw Damage(detail: "the file ends inside its meta pages") }
    guard unsafe file.loadUnaligned(fromByteOffset: offset + 10, as: UInt16.self) & Layout.meta != 0,
      unsafe file.loadUnaligned(fromByteOffset: start, as: UInt32.self) == Layout.metaMagic,
      unsafe file.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self) == Layout.metaVersion
    else { throw Damage(detail: "no store begins like this") }
    let meta = unsafe Meta(
      pageBytes: file.loadUnaligned(fromByteOffset: start + 24, as: UInt32.self), freeOffset: start + 24,
      mainOffset: start + 24 + Layout.dbBytes,
      lastPage: file.loadUnaligned(fromByteOffset: start + 120, as: UInt64.self),
      transaction: file.loadUnaligned(fromByteOffset: start + 128, as: UInt64.self))
    guard (Layout.pageBytesMin...Layout.pageBytesMax).contains(Int(meta.pageBytes)),
      meta.pageBytes & (meta.pageBytes - 1) == 0, (1...(1 << 40)).contains(meta.lastPage)
    else { throw Damage(detail: "a meta page is garbled") }
    return meta
  }

  // MARK: - Trees

  private func tree(at offset: Int) -> Tree {
    unsafe Tree(
      root: file.loadUnaligned(fromByteOffset: offset + 40, as: UInt64.self),
      depth: Int(file.loadUnaligned(fromByteOffset: offset + 6, as: UInt16.self)),
      entries: file.loadUnaligned(fromByteOffset: offset + 32, as: UInt64.self))
  }

  private mutating func check(_ tree: Tree, _ kind: Kind) throws(Damage) {
    var entries: UInt64 = 0
    if tree.root != Layout.noRoot {
      guard (1...Layout.depthMax).contains(tree.depth) else { throw Damage(detail: "a tree is \(tree.depth) deep") }
      try walk(tree.root, levels: tree.depth, kind, &entries)
    }
    guard entries == tree.entries else {
      throw Damage(detail: "a tree has \(entries) records and says \(tree.entries)")
    }
  }

  private mutating func walk(_ page: UInt64, levels: Int, _ kind: Kind, _ entries: inout UInt64) throws(Damage) {
    try take(page, "page")
    let start = Int(page) * pageBytes
    let flags = unsafe file.loadUnaligned(fromByteOffset: start + 10, as: UInt16.self)
    let lower = Int(unsafe file.loadUnaligned(fromByteOffset: start + 12, as: UInt16.self))
    let upper = Int(unsafe file.loadUnaligned(fromByteOffset: start + 14, as: UInt16.self))
    guard unsafe file.loadUnaligned(fromByteOffset: start, as: UInt64.self) == page,
      flags & 0x0F == (levels == 1 ? Layout.leaf : Layout.branch),
      lower >= Layout.pageHeader, lower <= upper, upper <= pageBytes
    else { throw garbled(page) }
    for index in 0..<(lower - Layout.pageHeader) / 2 {
      let slot = start + Layout.pageHeader + 2 * index
      let node = Int(unsafe file.loadUnaligned(fromByteOffset: slot, as: UInt16.self))
      guard node >= upper, node + Layout.nodeHeader <= pageBytes else { throw garbled(page) }
      if levels > 1 {
        try walk(child(at: start + node), levels: levels - 1, kind, &entries)
      } else {
        try checkLeafNode(at: node, in: page, kind)
        entries += 1
      }
    }
  }

  private func child(at offset: Int) -> UInt64 {
    // A branch node keeps the upper 16 bits of its page number where a leaf node has its flags.
    unsafe UInt64(file.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      | UInt64(file.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self)) << 32
  }

  private mutating func checkLeafNode(at node: Int, in page: UInt64, _ kind: Kind) throws(Damage) {
    let offset = Int(page) * pageBytes + node
    let valueBytes = Int(unsafe file.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    let flags = unsafe file.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self)
    let keyBytes = Int(unsafe file.loadUnaligned(fromByteOffset: offset + 6, as: UInt16.self))
    let inPage = flags & Layout.bigData != 0 ? 8 : valueBytes
    guard node + Layout.nodeHeader + keyBytes + inPage <= pageBytes else { throw garbled(page) }
    let value = offset + Layout.nodeHeader + keyBytes
    switch (flags, kind) {
    case (Layout.subTree, .main):
      guard valueBytes == Layout.dbBytes else { throw garbled(page) }
      try check(tree(at: value), .table)
    case (0, .table):
      break
    case (Layout.bigData, .table):
      _ = try overflow(at: value, bytes: valueBytes)
    case (0, .free):
      try checkFreePages(at: value, bytes: valueBytes)
    case (Layout.bigData, .free):
      try checkFreePages(at: overflow(at: value, bytes: valueBytes), bytes: valueBytes)
    default:
      throw garbled(page)
    }
  }

  /// Where the bytes of a value begin that has pages of its own.
  private mutating func overflow(at offset: Int, bytes: Int) throws(Damage) -> Int {
    let first = unsafe file.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    let pages = UInt64((Layout.pageHeader - 1 + bytes) / pageBytes + 1)
    guard first < pageCount, pages <= pageCount - first else { throw beyond(first, "value") }
    let start = Int(first) * pageBytes
    guard unsafe file.loadUnaligned(fromByteOffset: start, as: UInt64.self) == first,
      unsafe file.loadUnaligned(fromByteOffset: start + 10, as: UInt16.self) & Layout.overflow != 0,
      unsafe file.loadUnaligned(fromByteOffset: start + 12, as: UInt32.self) >= pages
    else { throw garbled(first) }
    for page in first..<first + pages { try take(page, "value") }
    return start + Layout.pageHeader
  }

  /// One entry of the free list: a count and page numbers. The trees have been walked before.
  private mutating func checkFreePages(at offset: Int, bytes: Int) throws(Damage) {
    guard bytes >= 8 else { throw Damage(detail: "the list of free pages is garbled") }
    let count = unsafe file.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    guard count <= UInt64(bytes / 8 - 1) else { throw Damage(detail: "the list of free pages is garbled") }
    for index in 1..<Int(count) + 1 {
      let page = unsafe file.loadUnaligned(fromByteOffset: offset + 8 * index, as: UInt64.self)
      guard page >= 2, page <= lastPage else { throw Damage(detail: "page \(page) is free and beyond the last page") }
      if page < pageCount { try take(page, "free page") }
    }
  }

  // MARK: - Pages

  private mutating func take(_ page: UInt64, _ what: StaticString) throws(Damage) {
    guard page < pageCount else { throw beyond(page, what) }
    let (word, bit) = (Int(page / 64), UInt64(1) << (page % 64))
    guard seen[word] & bit == 0 else { throw Damage(detail: "page \(page) is used twice") }
    seen[word] |= bit
  }

  private func beyond(_ page: UInt64, _ what: StaticString) -> Damage {
    Damage(
      detail: "\(what) \(page) lies beyond the end of the file, which has \(fileBytes) bytes: it was cut short, or "
        + "its pointer is garbled")
  }

  private func garbled(_ page: UInt64) -> Damage { Damage(detail: "page \(page) is garbled") }
}
