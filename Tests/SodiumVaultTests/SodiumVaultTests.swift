/// Sealing and opening: what opens, and everything that must not.
import ConnectionCore
import Foundation
import LMDBStore
import SodiumVault
import Testing

@Suite struct `the vault` {
  let place: VaultPlace
  let address = RecordAddress(.grants, Array("0123456789abcdef".utf8))

  init() throws { place = try VaultPlace() }

  private func seal(_ vault: SodiumVault, _ text: String, generation: Generation = 5) -> [UInt8] {
    Array(text.utf8).withUnsafeBytes {
      vault.seal($0, at: address, recordVersion: 3, generation: generation)
    }
  }

  private func open(_ vault: SodiumVault, _ value: [UInt8], at place: RecordAddress? = nil) throws(VaultError) -> String
  {
    try vault.withOpened(value, at: place ?? address) { (_, bytes) throws(VaultError) in
      String(decoding: bytes, as: UTF8.self)
    }
  }

  private func hotOpen(_ opener: HotOpener, _ value: [UInt8], at place: RecordAddress? = nil) -> String? {
    let place = place ?? address
    return value.withUnsafeBytes { value in
      place.key.withUnsafeBytes { key in
        opener.open(value, table: place.table, key: key).map { String(decoding: $0, as: UTF8.self) }
      }
    }
  }

  @Test func `what was sealed opens, header and all, at any size`() async throws {
    let vault = try await place.vault()
    let opener = vault.makeHotOpener()
    for count in [0, 1, 15, 1_500, 65_536, 65_537, 300_000] {
      let text = String(repeating: "t", count: count)
      let value = seal(vault, text)
      #expect(value.count == SealedHeader.byteCount + count + SealedHeader.tagBytes)
      #expect(try open(vault, value) == text)
      #expect(hotOpen(opener, value) == text)
      try vault.withOpened(value, at: address) { (header, _) throws(VaultError) in
        #expect(header.recordVersion == 3 && header.generation == 5)
      }
    }
  }

  @Test func `two seals of the same differ`() async throws {
    let vault = try await place.vault()
    let values = (0..<100).map { _ in seal(vault, "the same") }
    #expect(Set(values.map { Array($0[16..<40]) }).count == 100)
    #expect(Set(values.map { Array($0[40...]) }).count == 100)
  }

  @Test func `any single changed bit refuses`() async throws {
    let vault = try await place.vault()
    let opener = vault.makeHotOpener()
    let value = seal(vault, "a secret of some length")
    for index in value.indices {
      for bit in 0..<8 {
        var changed = value
        changed[index] ^= 1 << bit
        #expect(throws: VaultError.self, "byte \(index), bit \(bit)") { try open(vault, changed) }
        #expect(hotOpen(opener, changed) == nil)
      }
    }
    #expect(hotOpen(opener, value) == "a secret of some length")
  }

  @Test func `a value that was cut refuses at every length`() async throws {
    let vault = try await place.vault()
    let opener = vault.makeHotOpener()
    let value = seal(vault, "a secret of some length")
    for count in 0..<value.count {
      let cut = Array(value[..<count])
      let wanted: VaultError =
        count < SealedHeader.byteCount + SealedHeader.tagBytes
        ? .truncated(.grants, key: "30313233343536373839616263646566")
        : .doesNotOpen(.grants, key: "30313233343536373839616263646566")
      #expect(throws: wanted) { try open(vault, cut) }
      #expect(hotOpen(opener, cut) == nil)
    }
    #expect(throws: VaultError.self) { try open(vault, value + [0]) }
  }

  @Test func `a value opens at its place only`() async throws {
    let vault = try await place.vault()
    let opener = vault.makeHotOpener()
    let value = seal(vault, "a secret")
    let others = [
      RecordAddress(.tokens, address.key), RecordAddress(.grants, address.key + [0]),
      RecordAddress(.grants, Array(address.key.dropLast())), RecordAddress(.grants, []),
    ]
    for other in others {
      #expect(throws: VaultError.self) { try open(vault, value, at: other) }
      #expect(hotOpen(opener, value, at: other) == nil)
    }
    #expect(hotOpen(opener, value) == "a secret")
    // A later generation's header on an earlier generation's value, and the other way round.
    let later = seal(vault, "a secret", generation: 6)
    for mixed in [Array(later[..<16]) + value[16...], Array(value[..<16]) + later[16...]] {
      #expect(throws: VaultError.self) { try open(vault, mixed) }
    }
  }

  @Test func `a key that the ring does not hold is named`() async throws {
    let vault = try await place.vault()
    var value = seal(vault, "a secret")
    value[4] = 9
    #expect(throws: VaultError.unknownKey(.grants, key: "30313233343536373839616263646566", keyID: 9)) {
      try open(vault, value)
    }
  }

  @Test func `no mutation crashes or opens`() async throws {
    let vault = try await place.vault()
    let opener = vault.makeHotOpener()
    let value = seal(vault, String(repeating: "s", count: 200))
    for _ in 0..<2000 {
      var mutated = value
      switch Int.random(in: 0..<4) {
      case 0: mutated.removeSubrange(Int.random(in: 0..<value.count)...)
      case 1: mutated.insert(UInt8.random(in: 0...255), at: Int.random(in: 0...value.count))
      case 2:
        for _ in 0..<Int.random(in: 1...30) { mutated[Int.random(in: 0..<value.count)] &+= UInt8.random(in: 1...255) }
      default: mutated = (0..<Int.random(in: 0...400)).map { _ in UInt8.random(in: 0...255) }
      }
      if mutated == value { continue }
      #expect(throws: VaultError.self) { try open(vault, mutated) }
      #expect(hotOpen(opener, mutated) == nil)
    }
  }

  @Test func `hashes differ by purpose, by bytes and by ring, and stay`() async throws {
    let vault = try await place.vault()
    let purposes: [HashPurpose] = [.connectionName, .subject, .tokenFingerprint]
    let hashes = purposes.map { vault.hash($0, Array("epic".utf8)) }
    #expect(Set(hashes).count == 3)
    #expect(vault.hash(.subject, Array("epic2".utf8)) != hashes[1])
    #expect(vault.hash(.subject, []) == vault.hash(.subject, []))
    place.close()
    let again = try await place.vault()
    #expect(purposes.map { again.hash($0, Array("epic".utf8)) } == hashes)
    let other = try VaultPlace()
    #expect(try await other.vault().hash(.subject, Array("epic".utf8)) != hashes[1])
  }

  @Test func `the plaintext is wiped when the opener is done with it`() async throws {
    let vault = try await place.vault()
    let opener = vault.makeHotOpener()
    let value = seal(vault, "a secret of some length")
    let lent = value.withUnsafeBytes { value in
      address.key.withUnsafeBytes { opener.open(value, table: .grants, key: $0) }
    }
    let bytes = try #require(lent)
    #expect(String(decoding: bytes, as: UTF8.self) == "a secret of some length")
    opener.wipe()
    #expect(bytes.allSatisfy { $0 == 0 })
  }

  @Test func `a secret is locked, kept out of dumps, wiped in the end, and cannot be printed`() async throws {
    let vault = try await place.vault()
    let text = Array("hunter2-hunter2-hunter2".utf8)
    var start: UInt = 0
    do {
      let secret = SharedSecret(vault.makeSecret(count: text.count) { $0.copyBytes(from: text) })
      start = secret.withBytes { bytes in
        #expect(Array(bytes) == text)
        return UInt(bitPattern: bytes.baseAddress)
      }
      #expect(Self.peek(start, text.count) == text)
      let flags = try Self.mappingFlags(start)
      #expect(flags.contains("lo") && flags.contains("dd"), "\(flags)")
      #expect(!"\(secret) \(String(reflecting: secret))".contains("hunter"))
      #expect("\(secret)" == "secret(23 bytes)")
    }
    #expect(Self.peek(start, text.count) != text)
  }

  /// What stands at an address, also one that is no longer mapped (nil).
  private static func peek(_ address: UInt, _ count: Int) -> [UInt8]? {
    let descriptor = Glibc.open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
    defer { Glibc.close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: count)
    return pread(descriptor, &bytes, count, off_t(address)) == count ? bytes : nil
  }

  private static func mappingFlags(_ address: UInt) throws -> [Substring] {
    var isInside = false
    // In one read, Foundation gets the first page of it.
    let smaps = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
    defer { try? smaps.close() }
    var text: [UInt8] = []
    while let more = try smaps.read(upToCount: 4096), !more.isEmpty { text += more }
    for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
      let range = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
      if range.count == 2 { isInside = (range[0]..<range[1]).contains(address) }
      if isInside, line.hasPrefix("VmFlags:") { return line.split(separator: " ") }
    }
    return []
  }
}
