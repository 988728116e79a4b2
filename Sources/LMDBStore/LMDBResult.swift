/// Turns LMDB's result codes into errors: nobody else reads a code.
import CLMDB
import ConnectionCore
import Glibc

/// What an LMDB call answered instead of success. Stays inside this target; the port speaks `StoreError`.
struct LMDBFailure: Error {
  let code: Int32
  let operation: StaticString

  var detail: String { unsafe String(cString: mdb_strerror(code)) }

  /// The write did not fit: into the map, the disk, a quota or the process's file size limit.
  var isFull: Bool {
    switch code {
    case MDB_MAP_FULL, ENOSPC, EDQUOT, EFBIG: true
    default: false
    }
  }

  func storeError(path: String) -> StoreError {
    switch code {
    case MDB_MAP_FULL:
      return .full(
        detail: "the data file is at its limit; delete connections that are not needed, then run fhirctl server compact"
      )
    case ENOSPC, EDQUOT, EFBIG:
      return .full(detail: "\(path): \(detail); make room on this file system or raise the limit")
    case EROFS, EACCES, EPERM:
      return .readOnly(path: path)
    case MDB_INVALID, MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_VERSION_MISMATCH, MDB_INCOMPATIBLE:
      return .corrupt(detail: "\(path): \(operation): \(detail)", cure: StoreDirectory.restoreCure(path: path))
    default:
      return .io(operation: "\(operation)", detail: "\(path): \(detail)")
    }
  }
}

/// The only reader of LMDB's result codes.
@inline(__always)
func check(_ code: Int32, _ operation: StaticString) throws(LMDBFailure) {
  if code != MDB_SUCCESS { throw LMDBFailure(code: code, operation: operation) }
}

/// `check` for calls that look something up: false when there is no such record.
@inline(__always)
func checkFound(_ code: Int32, _ operation: StaticString) throws(LMDBFailure) -> Bool {
  if code == MDB_NOTFOUND { return false }
  try check(code, operation)
  return true
}
