/// What the store does with directories and files that are not as it left them.
import ConnectionCore
import Foundation
import LMDBStore
import Testing

@Suite struct `the store's files` {
  let place: StorePlace

  init() throws { place = try StorePlace() }

  private func isCorrupt(_ error: StoreError?) -> Bool {
    if case .corrupt(_, let cure) = error { cure.contains("backup") } else { false }
  }

  private func fill() async throws {
    let store = try place.open()
    var batch = RecordBatch()
    for number in 0..<400 {
      let value = [UInt8](repeating: UInt8(number & 255), count: number * 37 % 6000)
      batch.writes.append(.put(RecordAddress(number % 2 == 0 ? .grants : .tokens, "\(number)"), value))
    }
    try await store.commit(batch)
    try await store.commit(RecordBatch(writes: [.deletePrefix(.grants, Array("1".utf8))]))
    store.close()
  }

  @Test func `are their owner's alone, whatever the umask is`() throws {
    let other = try OtherProcess("open", place.path)
    #expect(try other.line() == "opened")
    other.finish()
    #expect(try StorePlace.mode(place.path) == 0o700)
    let names = try FileManager.default.contentsOfDirectory(atPath: place.path)
    #expect(names.sorted() == ["data.mdb", "fhird.lock", "lock.mdb"])
    for name in names { #expect(try StorePlace.mode("\(place.path)/\(name)") == 0o600, "\(name)") }
  }

  @Test(arguments: [0o777, 0o770, 0o720, 0o701, 0o740] as [mode_t])
  func `a directory that others can reach is refused`(_ mode: mode_t) throws {
    try place.open().close()
    chmod(place.path, mode)
    let failure = place.openFailure()
    guard case .unsafePermissions(_, let detail) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(detail.contains("chmod 0700"))
    chmod(place.path, 0o700)
    #expect(place.openFailure() == nil)
  }

  @Test(arguments: ["data.mdb", "lock.mdb", "fhird.lock"])
  func `a file that others can reach is refused`(_ name: String) throws {
    try place.open().close()
    let path = "\(place.path)/\(name)"
    chmod(path, 0o644)
    let failure = place.openFailure()
    guard case .unsafePermissions(path: path, _) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    chmod(path, 0o600)
    try FileManager.default.moveItem(atPath: path, toPath: path + ".moved")
    symlink(path + ".moved", path)
    guard case .unsafePermissions(path: path, _) = place.openFailure() else {
      Issue.record("followed a link")
      return
    }
  }

  @Test(.enabled(if: geteuid() == 0, "needs root to give a directory away"))
  func `a directory of somebody else is refused`() throws {
    try place.open().close()
    chown(place.path, 12_345, 12_345)
    let failure = place.openFailure()
    guard case .unsafePermissions(_, let detail) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(detail.contains("12345"))
  }

  @Test func `a second opener is told who has the store`() throws {
    let store = try place.open()
    #expect(place.openFailure() == .alreadyOpen(path: store.path, pid: getpid()))
    let other = try OtherProcess("open", place.path)
    #expect(try other.line() == "failed alreadyOpen(path: \"\(store.path)\", pid: Optional(\(getpid())))")
    other.finish()
    store.close()
    let holder = try OtherProcess("hold", place.path)
    #expect(try holder.line() == "open")
    #expect(place.openFailure() == .alreadyOpen(path: store.path, pid: holder.pid))
    holder.kill()
    #expect(place.openFailure() == nil)
  }

  @Test func `a reader that was killed gives its place back`() throws {
    let store = try place.open()
    let reader = try OtherProcess("read", place.path)
    #expect(try reader.line() == "reading")
    #expect(try store.clearStaleReaders() == 0)
    reader.kill()
    #expect(try store.clearStaleReaders() == 1)
    #expect(try store.clearStaleReaders() == 0)
  }

  @Test func `an unknown format refuses to start`() throws {
    try place.open().close()
    let other = try OtherProcess("format", place.path, "7")
    #expect(try other.line() == "done")
    other.finish()
    #expect(place.openFailure() == .unknownFormat(found: 7, supported: 1))
    #expect(place.openFailure() == .unknownFormat(found: 7, supported: 1))
  }

  @Test func `what is no store is refused with a cure`() async throws {
    try await fill()
    for bytes in [
      [], [UInt8](repeating: 0, count: 100_000), Array("SQLite format 3\0".utf8) + [UInt8](repeating: 1, count: 20_000),
    ] {
      try place.overwrite(bytes)
      #expect(isCorrupt(place.openFailure()))
    }
  }

  @Test func `a file that was cut short is refused, not a crash`() async throws {
    try await fill()
    let whole = try place.bytes
    for pages in 0..<(whole.count / 4096) {
      for count in [pages * 4096, pages * 4096 + 100] {
        try place.overwrite(Array(whole[..<count]))
        guard let failure = place.openFailure() else {
          // Only pages that no tree reaches are gone: everything must be readable.
          let store = try place.open()
          for table in [Table.grants, .tokens] {
            let page = try store.page(of: table, prefix: [], after: nil, limit: 1000)
            #expect(page.count == (try store.count(of: table)))
          }
          continue
        }
        #expect(isCorrupt(failure), "\(count) bytes: \(failure)")
      }
    }
    try place.overwrite(whole)
    #expect(place.openFailure() == nil)
  }

  @Test func `a page of zeros is refused, or nothing uses it`() async throws {
    try await fill()
    let whole = try place.bytes
    var refused = 0
    for page in 0..<(whole.count / 4096) {
      var bytes = whole
      for index in page * 4096..<(page + 1) * 4096 { bytes[index] = 0 }
      try place.overwrite(bytes)
      if let failure = place.openFailure() {
        refused += 1
        #expect(isCorrupt(failure), "page \(page): \(failure)")
      } else {
        try readAll()
      }
    }
    #expect(refused > 10)
  }

  @Test func `random damage never crashes`() async throws {
    try await fill()
    let whole = try place.bytes
    var random = SplitMix(seed: 0x5EED)
    for _ in 0..<600 {
      var bytes = whole
      // Half of the blows at page headers and slots, where the structure is.
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let page = Int.random(in: 0..<(whole.count / 4096), using: &random) * 4096
        let offset = Int.random(in: 0..<(Bool.random(using: &random) ? 160 : 4096), using: &random)
        bytes[page + offset] = UInt8.random(in: 0...255, using: &random)
      }
      try place.overwrite(bytes)
      guard let failure = place.openFailure() else {
        try readAll()
        continue
      }
      switch failure {
      case .corrupt, .unknownFormat: break
      default: Issue.record("\(failure)")
      }
    }
  }

  /// Damage inside of keys and values is the vault's to find: here nothing may crash.
  private func readAll() throws {
    let store = try place.open()
    defer { store.close() }
    for table in Table.allCases { _ = try store.page(of: table, prefix: [], after: nil, limit: 1000) }
  }

  @Test(.enabled(if: geteuid() == 0, "needs root to mount")) func `a read-only file system is said to be one`()
    async throws
  {
    try await fill()
    func run(_ arguments: String...) throws -> Bool {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/mount")
      if arguments[0] == "-u" { process.executableURL = URL(fileURLWithPath: "/bin/umount") }
      process.arguments = arguments[0] == "-u" ? Array(arguments.dropFirst()) : arguments
      process.standardError = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      return process.terminationStatus == 0
    }
    guard try run("--bind", place.path, place.path) else { try Test.cancel("this machine does not let us mount") }
    defer { _ = try? run("-u", place.path) }
    guard try run("-o", "remount,bind,ro", place.path) else { try Test.cancel("no read-only bind mount here") }
    guard case .readOnly = place.openFailure() else {
      Issue.record("\(String(describing: place.openFailure()))")
      return
    }
  }
}

/// The same numbers in every run.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
