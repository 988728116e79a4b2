/// Damage done on purpose to an LMDB data file, with the little of its format that this takes.
import FoundationEssentials
import Glibc
import TestSupport

enum LMDBDamage {
  /// The data files below a directory: large enough to hold two meta pages, and named as LMDB names them.
  static func dataFiles(below directory: String) -> [String] {
    TestMachine.files(below: directory).filter { !$0.path.contains("lock") && $0.bytes.count >= 8192 }.map(\.path)
  }

  /// The sixteen bytes of a UUID's text.
  static func bytes(ofUUID text: String) -> [UInt8]? {
    let digits = text.filter { $0 != "-" }
    guard digits.count == 32 else { return nil }
    var result: [UInt8] = []
    var rest = digits[...]
    while !rest.isEmpty {
      guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
      result.append(byte)
      rest = rest.dropFirst(2)
    }
    return result
  }

  /// Whether a leaf page lists a node at this place; others are leftovers between the nodes of a page that was used anew.
  ///
  /// mdb.c, struct MDB_page: mp_pgno (8 bytes), mp_pad, mp_flags (2: P_LEAF), mp_lower, mp_upper, then the nodes' offsets.
  private static func isNode(_ place: Int, in bytes: [UInt8]) -> Bool {
    let page = place / 4096 * 4096
    func short(_ offset: Int) -> Int { Int(bytes[page + offset]) | Int(bytes[page + offset + 1]) << 8 }
    guard short(10) & 2 != 0, (16...4096).contains(short(12)) else { return false }
    return stride(from: 16, to: short(12), by: 2).contains { short($0) == place - page }
  }

  /// Flips one bit near the end of every value that is stored under exactly this key, in old pages too.
  ///
  /// lmdb.h and mdb.c, struct MDB_node: unsigned short mn_lo, mn_hi (the size of the value), mn_flags, mn_ksize, then
  /// the key, then the value.
  /// - Returns: how many values were altered.
  static func flipValues(below directory: String, key: [UInt8]) throws -> Int {
    var altered = 0
    for path in dataFiles(below: directory) {
      guard var bytes = TestMachine.bytes(of: path) else { continue }
      var changed = false
      for at in bytes.indices.dropFirst(8) where bytes[at] == key[0] && at + key.count < bytes.count {
        guard bytes[at..<at + key.count].elementsEqual(key) else { continue }
        func short(_ offset: Int) -> Int { Int(bytes[at - offset]) | Int(bytes[at - offset + 1]) << 8 }
        let size = short(8) | short(6) << 16
        let value = at + key.count
        // Not a node of this key, or (flag 1, F_BIGDATA) one whose value is on pages of its own.
        guard short(2) == key.count, short(4) == 0, size > 32, value + size <= bytes.count,
          isNode(at - 8, in: bytes)
        else { continue }
        bytes[value + size - 5] ^= 0x10
        altered += 1
        changed = true
      }
      if changed { try TestMachine.replace(path, with: bytes, mode: 0o600) }
    }
    return altered
  }
}

extension TestMachine {
  static func bytes(of path: String) -> [UInt8]? {
    FileManager.default.contents(atPath: path).map(Array.init)
  }

  /// Writes a file anew, in place where it exists: owner and links stay.
  static func replace(_ path: String, with bytes: [UInt8], mode: mode_t) throws {
    chmod(path, 0o600)
    let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw IntegrationFailure("cannot write \(path): \(String(cString: strerror(errno)))") }
    defer { close(fd) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let n = rest.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
      guard n > 0 else { throw IntegrationFailure("cannot write \(path): \(String(cString: strerror(errno)))") }
      rest = rest.dropFirst(n)
    }
    chmod(path, mode)
  }
}
