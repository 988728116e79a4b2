/// Compaction on demand: a copy without free pages is written beside the data file, checked, and takes its place.
///
/// A process that ends anywhere in here leaves the old file or the new one under the data file's name, each whole and with
/// the same records: the copy is synced before it gets the name, and nothing is committed until the name is durable. A copy
/// without a name is removed by the next start.
package import ConnectionCore
import FHIRControl
import Glibc
import Synchronization

extension LMDBStore: StoreMaintenance {
  /// Room on the disk beside what the copy takes, in bytes: others write there too.
  private static let roomBytes = 1 << 20

  package func compact() async throws(StoreError) -> Compaction {
    // Whoever calls holds the store until this returns. The queue must not: its release could be the last one, and the
    // store's end waits for the queue.
    try await writer.alone { [unowned self] () throws(StoreError) in try compactNow() }
  }

  /// On the writer's queue. Readers read on until the swap, and then wait for its microseconds.
  private func compactNow() throws(StoreError) -> Compaction {
    let bytesBefore = try fileBytes()
    let facts = try facts()
    try checkRoom(for: facts.bytesInUse)
    do throws(StoreError) {
      try writeCopy()
      try DataFile.check("\(path)/\(StoreDirectory.newDataName)")
      try swap()
    } catch {
      directory.withLock { $0?.remove(StoreDirectory.newDataName) }
      throw error
    }
    return Compaction(bytesBefore: bytesBefore, bytesAfter: try fileBytes(), records: facts.records)
  }

  private func writeCopy() throws(StoreError) {
    let made = try directory.withLock { (directory) throws(StoreError) in try directory?.makeNewData() }
    guard let descriptor = made else { throw .closed }
    defer { Glibc.close(descriptor) }
    try failing { () throws(LMDBFailure) in
      try environment.copyCompacted(to: descriptor)
      guard fsync(descriptor) == 0 else { throw LMDBFailure(code: errno, operation: "sync the copy") }
    }
  }

  private func swap() throws(StoreError) {
    try failing { () throws(LMDBFailure) in
      // A file that nobody has open is freed where its name goes: for a large one that takes longer than readers like.
      let former = fcntl(try environment.dataDescriptor(), F_DUPFD_CLOEXEC, 0)
      defer { Glibc.close(former) }
      try gate.whileShut { () throws(LMDBFailure) in
        try environment.reopen { () throws(LMDBFailure) in
          try directory.withLock { (directory) throws(LMDBFailure) -> Void? in try directory?.replaceData() }
        }
      }
    }
  }

  private func checkRoom(for bytes: Int) throws(StoreError) {
    let descriptor = try failing { () throws(LMDBFailure) in try environment.dataDescriptor() }
    var status = statvfs()
    guard unsafe fstatvfs(descriptor, &status) == 0 else {
      throw LMDBFailure(code: errno, operation: "look at the file system").storeError(path: path)
    }
    let free = Int(status.f_bavail) * Int(status.f_frsize)
    guard free >= bytes + Self.roomBytes else {
      throw .full(
        detail:
          "\(path): a compacted copy takes \(bytes) bytes beside the store, and this file system has \(free); the "
          + "store is as it was")
    }
  }

  private func fileBytes() throws(StoreError) -> Int {
    try failing { () throws(LMDBFailure) in
      var status = stat()
      guard unsafe fstat(try environment.dataDescriptor(), &status) == 0 else {
        throw LMDBFailure(code: errno, operation: "look at the data file")
      }
      return Int(status.st_size)
    }
  }

  private func failing<R>(_ body: () throws(LMDBFailure) -> R) throws(StoreError) -> R {
    do throws(LMDBFailure) { return try body() } catch { throw error.storeError(path: path) }
  }
}
