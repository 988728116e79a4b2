/// The master key's files, and the key ring that it wraps.
import ConnectionCore
import Foundation
import LMDBStore
import SodiumVault
import Testing

@Suite struct `the master key` {
  let place: VaultPlace
  private static let ring = RecordAddress(.meta, Array("keyring".utf8))
  private let raw = (0..<32).map { UInt8($0 * 5 + 1) }

  init() throws { place = try VaultPlace() }

  @Test func `is made once, for its owner alone, and stays`() throws {
    let first = try MasterKey.load(.createIfMissing(path: place.keyPath))
    let wasCreated = first.wasCreated
    #expect(wasCreated)
    var status = stat()
    #expect(lstat(place.keyPath, &status) == 0 && status.st_mode & 0o7777 == 0o400)
    let text = try String(contentsOfFile: place.keyPath, encoding: .utf8)
    let again = try MasterKey.load(.createIfMissing(path: place.keyPath))
    let wasCreatedAgain = again.wasCreated
    #expect(!wasCreatedAgain)
    #expect(try String(contentsOfFile: place.keyPath, encoding: .utf8) == text)
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.root + "/keys") == ["master.key"])
  }

  @Test func `has three forms that mean the same`() async throws {
    let base64 = "FHIRD-MASTER-KEY-1 \(Data(raw).base64EncodedString())\n"
    let hex = raw.map { String(format: "%02x", $0) }.joined() + "\n"
    for bytes in [raw, Array(base64.utf8), Array(hex.utf8)] {
      let path = try place.write(bytes)
      #expect(try await place.openFailure(.file(path: path)) == nil)
    }
    let credential = try place.write(raw, mode: 0o440, to: MasterKey.credentialName)
    #expect(FileManager.default.fileExists(atPath: credential))
    #expect(try await place.openFailure(.credential(directory: place.root)) == nil)
  }

  @Test func `of another size or form is refused, without a word of its bytes`() throws {
    let base64 = Data(raw).base64EncodedString()
    let wrong: [[UInt8]] = [
      [], Array(raw.dropLast()), raw + [1], raw + raw, [UInt8](repeating: 0, count: 32), Array(base64.utf8),
      Array("FHIRD-MASTER-KEY-1 \(base64.dropLast(4))".utf8), Array("FHIRD-MASTER-KEY-2 \(base64)".utf8),
      Array("FHIRD-MASTER-KEY-1 \(base64) x".utf8), Array(String(repeating: "g", count: 64).utf8),
      [UInt8](repeating: 65, count: 5_000),
    ]
    for bytes in wrong {
      let failure = VaultPlace.failure(.file(path: try place.write(bytes)))
      #expect(failure?.detail.contains("is not a master key") == true, "\(bytes.count) bytes")
      #expect(failure?.detail.contains(base64.prefix(8)) == false)
    }
  }

  @Test(arguments: [0o644, 0o440, 0o404, 0o420, 0o777] as [mode_t])
  func `that others can reach is refused`(_ mode: mode_t) throws {
    let path = try place.write(raw, mode: mode)
    let failure = VaultPlace.failure(.file(path: path))
    #expect(failure?.cure == "run: chmod 0400 \(path)")
    #expect(VaultPlace.failure(.createIfMissing(path: path))?.cure == "run: chmod 0400 \(path)")
  }

  @Test func `behind a link, or not a file, or not there, is refused`() throws {
    let path = try place.write(raw)
    symlink(path, place.root + "/link")
    #expect(VaultPlace.failure(.file(path: place.root + "/link")) != nil)
    #expect(VaultPlace.failure(.file(path: place.root)) != nil)
    mkfifo(place.root + "/pipe", 0o400)
    #expect(VaultPlace.failure(.file(path: place.root + "/pipe")) != nil)
    #expect(VaultPlace.failure(.file(path: place.root + "/none"))?.detail.contains("no master key") == true)
    #expect(VaultPlace.failure(.credential(directory: place.root)) != nil)
  }

  @Test func `in a directory that others can write is not made`() throws {
    mkdir(place.root + "/open", 0o700)
    chmod(place.root + "/open", 0o777)
    #expect(VaultPlace.failure(.createIfMissing(path: place.root + "/open/key"))?.cure.contains("chmod go-w") == true)
  }

  @Test func `that is not the store's is told from a damaged ring`() async throws {
    _ = try await place.vault()
    let stored = try #require(try place.store().value(at: Self.ring))
    guard case .vault(.masterKey(let detail, let cure)) = try await place.openFailure(.file(path: place.write(raw)))
    else {
      Issue.record("another key opened the store")
      return
    }
    #expect(detail.contains("does not open this store"))
    #expect(cure.contains("the master key that this store was made with"))
    #expect(try place.store().value(at: Self.ring) == stored)
    #expect(try await place.openFailure(.file(path: place.keyPath)) == nil)

    var damaged = stored
    damaged[damaged.count - 20] ^= 1
    try await place.store().commit(RecordBatch(writes: [.put(Self.ring, damaged)]))
    guard case .vault(.keyRing(_, let cure)) = try await place.openFailure(.file(path: place.keyPath)) else {
      Issue.record("a damaged ring opened")
      return
    }
    #expect(cure.contains("backup"))
  }

  @Test func `a ring opens what it sealed before the restart`() async throws {
    let address = RecordAddress(.tokens, [1, 2, 3])
    #expect(try SodiumVault.hasKeyRing(place.store()) == false)
    let first = try await place.vault()
    let value = [UInt8]("kept".utf8).withUnsafeBytes { first.seal($0, at: address, recordVersion: 1, generation: 1) }
    #expect(try SodiumVault.hasKeyRing(place.store()))
    place.close()
    let vault = try await place.vault()
    let text = try vault.withOpened(value, at: address) { (_, bytes) throws(VaultError) in
      String(decoding: bytes, as: UTF8.self)
    }
    #expect(text == "kept")
  }

  @Test func `no new ring is made where records are sealed under a lost one`() async throws {
    let vault = try await place.vault()
    let address = RecordAddress(.grants, [1])
    let value = [UInt8]("x".utf8).withUnsafeBytes { vault.seal($0, at: address, recordVersion: 1, generation: 1) }
    let store = try place.store()
    try await store.commit(RecordBatch(writes: [.put(address, value), .delete(Self.ring)]))
    guard case .vault(.keyRing(let detail, _)) = try await place.openFailure(.file(path: place.keyPath)) else {
      Issue.record("a new ring was made")
      return
    }
    #expect(detail.contains("grants"))
    #expect(try store.value(at: Self.ring) == nil)
  }
}
