/// The other process in the store's tests: it writes until it is killed, holds the lock, or plays a reader or a later
/// release by going to LMDB directly. One line on standard output for each thing that is done.
import CLMDB
import ConnectionCore
import Glibc
import LMDBStore

/// The whole line in one write, so that a kill cannot cut it.
func say(_ line: String) {
  let line = line + "\n"
  _ = unsafe write(STDOUT_FILENO, line, line.utf8.count)
}

func fail(_ what: String) -> Never {
  say("failed \(what)")
  exit(1)
}

/// Waits until the test closes our standard input.
func waitForEnd() {
  var byte: UInt8 = 0
  while unsafe read(STDIN_FILENO, &byte, 1) > 0 {}
}

// MARK: - What a torture run writes; the test computes the same

/// Batches of one lane that stay in the store; older ones are deleted by the batch that follows them.
let kept = 20

func value(_ lane: Int, _ number: Int, _ part: Int) -> [UInt8] {
  let count = number * 7919 % 9_000 + part * 13
  let seed = UInt8(truncatingIfNeeded: lane &* 31 &+ number &* 7 &+ part)
  return (0..<count).map { seed &+ UInt8(truncatingIfNeeded: $0) }
}

func key(_ lane: Int, _ number: Int, _ part: Int) -> [UInt8] { Array("\(lane)/\(number)/\(part)".utf8) }

func batch(_ lane: Int, _ number: Int) -> RecordBatch {
  var batch = RecordBatch()
  for part in 0..<3 {
    batch.writes.append(.put(RecordAddress(.tokens, key(lane, number, part)), value(lane, number, part)))
  }
  batch.writes.append(.deletePrefix(.tokens, Array("\(lane)/\(number - kept)/".utf8)))
  batch.writes.append(.put(RecordAddress(.jobs, Array("\(lane)".utf8)), Array("\(number)".utf8)))
  return batch
}

/// - Parameter compacting: between and during the batches, without end.
func torture(_ directory: String, compacting: Bool) async {
  var options = LMDBStore.Options()
  // Small, so that growing is among the moments of a kill.
  options.mapBytes = 1 << 20
  let store: LMDBStore
  do { store = try LMDBStore.open(directory: directory, options: options) } catch { fail("\(error)") }
  await withTaskGroup(of: Void.self) { group in
    if compacting {
      group.addTask {
        do throws(StoreError) {
          while true {
            _ = try await store.compact()
            say("compacted")
          }
        } catch { fail("\(error)") }
      }
    }
    for lane in 0..<4 {
      group.addTask {
        do throws(StoreError) {
          let last = try store.value(at: RecordAddress(.jobs, Array("\(lane)".utf8))) ?? Array("0".utf8)
          var number = Int(String(decoding: last, as: UTF8.self)) ?? 0
          while true {
            number += 1
            try await store.commit(batch(lane, number))
            say("\(lane) \(number)")
          }
        } catch { fail("\(error)") }
      }
    }
  }
}

// MARK: - Directly

func must(_ code: Int32) { if code != 0 { unsafe fail(String(cString: mdb_strerror(code))) } }

func withEnvironment(_ directory: String, _ body: (OpaquePointer) -> Void) {
  var environment: OpaquePointer?
  must(unsafe mdb_env_create(&environment))
  must(unsafe mdb_env_set_maxdbs(environment, 16))
  must(unsafe mdb_env_open(environment, directory, UInt32(MDB_NOTLS), 0o600))
  unsafe body(environment!)
  unsafe mdb_env_close(environment)
}

/// Begins a read and keeps it until it is killed.
func holdRead(_ directory: String) {
  unsafe withEnvironment(directory) { environment in
    var transaction: OpaquePointer?
    must(unsafe mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction))
    say("reading")
    waitForEnd()
  }
}

/// Writes another format number, as a later release would.
func setFormat(_ directory: String, _ number: UInt32) {
  unsafe withEnvironment(directory) { environment in
    var transaction: OpaquePointer?
    must(unsafe mdb_txn_begin(environment, nil, 0, &transaction))
    var table: MDB_dbi = 0
    must(unsafe mdb_dbi_open(transaction, "meta", 0, &table))
    var name = Array("format".utf8)
    var bytes = number.littleEndianBytes
    unsafe name.withUnsafeMutableBytes { name in
      unsafe bytes.withUnsafeMutableBytes { bytes in
        var key = unsafe MDB_val(mv_size: name.count, mv_data: name.baseAddress)
        var value = unsafe MDB_val(mv_size: bytes.count, mv_data: bytes.baseAddress)
        must(unsafe mdb_put(transaction, table, &key, &value, 0))
      }
    }
    must(unsafe mdb_txn_commit(transaction))
  }
  say("done")
}

let arguments = CommandLine.arguments
guard arguments.count >= 3 else { fail("usage: torture|compact|hold|read|open DIRECTORY, format DIRECTORY NUMBER") }
switch arguments[1] {
case "torture": await torture(arguments[2], compacting: false)
case "compact": await torture(arguments[2], compacting: true)
case "read": holdRead(arguments[2])
case "format": setFormat(arguments[2], UInt32(arguments.last ?? "") ?? 0)
case "hold":
  do {
    let store = try LMDBStore.open(directory: arguments[2])
    say("open")
    waitForEnd()
    store.close()
  } catch { fail("\(error)") }
case "open":
  // As bad as it gets: every mode comes from the store itself. Not in the test's own process, where others make files.
  umask(0)
  do {
    try LMDBStore.open(directory: arguments[2]).close()
    say("opened")
  } catch { fail("\(error)") }
default: fail("no mode \(arguments[1])")
}
