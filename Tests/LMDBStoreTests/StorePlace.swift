/// A directory for one test, gone with it, and the other process that works in it.
import ConnectionCore
import Foundation
import LMDBStore
import Synchronization
import Testing

final class StorePlace: Sendable {
  /// Of the store; it does not exist yet.
  let path: String
  private let root: String

  init() throws {
    var template = Array((NSTemporaryDirectory() + "fhird-store-XXXXXX").utf8CString)
    let made = try #require(mkdtemp(&template))
    root = String(cString: made)
    path = root + "/state"
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  var data: String { path + "/data.mdb" }

  func open(mapBytes: Int = 1 << 20, mapBytesMax: Int = 1 << 34) throws(StoreError) -> LMDBStore {
    var options = LMDBStore.Options()
    options.mapBytes = mapBytes
    options.mapBytesMax = mapBytesMax
    return try LMDBStore.open(directory: path, options: options)
  }

  /// The error with which opening fails.
  func openFailure() -> StoreError? {
    do throws(StoreError) {
      try open().close()
      return nil
    } catch {
      return error
    }
  }

  static func mode(_ path: String) throws -> mode_t {
    var status = stat()
    try #require(lstat(path, &status) == 0)
    return status.st_mode & 0o7777
  }

  var bytes: [UInt8] {
    get throws { try [UInt8](Data(contentsOf: URL(fileURLWithPath: data))) }
  }

  func overwrite(_ bytes: [UInt8]) throws {
    let handle = try #require(FileHandle(forWritingAtPath: data))
    defer { try? handle.close() }
    try handle.truncate(atOffset: UInt64(bytes.count))
    try handle.seek(toOffset: 0)
    try handle.write(contentsOf: Data(bytes))
  }
}

/// `StoreTortureHelper` beside the test program.
final class OtherProcess {
  private let process = Process()
  private let output = Pipe()
  private let input = Pipe()
  private var unread: [UInt8] = []

  init(_ arguments: String...) throws {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    process.executableURL = URL(fileURLWithPath: own).deletingLastPathComponent()
      .appendingPathComponent("StoreTortureHelper")
    process.arguments = arguments
    process.standardOutput = output
    process.standardInput = input
    try process.run()
    try output.fileHandleForWriting.close()
  }

  deinit { if process.isRunning { kill() } }

  var pid: Int32 { process.processIdentifier }

  /// The next line, or nil at the end. The helper answers each thing at once; a minute means that it hangs.
  func line() throws -> String? {
    while true {
      if let end = unread.firstIndex(of: 0x0A) {
        defer { unread.removeFirst(end + 1) }
        return String(decoding: unread[..<end], as: UTF8.self)
      }
      let descriptor = output.fileHandleForReading.fileDescriptor
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      try #require(Glibc.poll(&poll, 1, 60_000) == 1, "the helper says nothing")
      var bytes = [UInt8](repeating: 0, count: 65_536)
      let count = read(descriptor, &bytes, bytes.count)
      if count <= 0 { return nil }
      unread += bytes[..<count]
    }
  }

  func kill() {
    _ = Glibc.kill(pid, SIGKILL)
    process.waitUntilExit()
  }

  func finish() {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }
}

extension RecordAddress {
  init(_ table: Table, _ key: String) { self.init(table, Array(key.utf8)) }
}

/// A value with a header of this generation, as the vault writes it.
func sealed(_ generation: Generation, _ text: String = "") -> [UInt8] {
  SealedHeader(recordVersion: 1, keyID: 1, generation: generation).prefix
    + [UInt8](repeating: 7, count: SealedHeader.byteCount - SealedHeader.nonceOffset + SealedHeader.tagBytes)
    + Array(text.utf8)
}

/// What the tasks of one test tell each other.
final class Progress: Sendable {
  let done = Atomic<Bool>(false)
  let reads = Atomic<Int>(0)
}

extension LMDBStore {
  /// Reads the pair of records that every batch of a test writes with one value: never half of a batch, never an older one.
  /// - Returns: their generation.
  func readTwins(since before: UInt64) throws -> UInt64 {
    let page = try page(of: .tokens, prefix: [], after: nil, limit: 2)
    try #require(page.count == 2)
    #expect(page[0].value == page[1].value)
    let generation = try #require(SealedHeader(page[0].value)).generation
    #expect(generation >= before)
    return generation
  }
}
