/// Users and groups by the C library, which also asks directory services (nsswitch.conf) and may wait for them.
import ConnectionCore
import Glibc

package struct SystemNames: NameService {
  private static let bufferBytesUsual = 4096
  /// Room for a group of a million members.
  private static let bufferBytesMax = 1 << 24

  package init() {}

  package func uid(ofUser name: String) -> UInt32? {
    guard Self.isName(name) else { return nil }
    return unsafe Self.find(
      passwd(), { entry, buffer, size, found in unsafe getpwnam_r(name, &entry, buffer, size, &found) },
      { unsafe $0.pw_uid })
  }

  package func gid(ofGroup name: String) -> UInt32? {
    guard Self.isName(name) else { return nil }
    return unsafe Self.find(
      group(), { entry, buffer, size, found in unsafe getgrnam_r(name, &entry, buffer, size, &found) },
      { unsafe $0.gr_gid })
  }

  package func userName(of uid: UInt32) -> String? {
    unsafe Self.find(
      passwd(), { entry, buffer, size, found in unsafe getpwuid_r(uid, &entry, buffer, size, &found) },
      { unsafe $0.pw_name.map { unsafe String(cString: $0) } })
  }

  package func groupName(of gid: UInt32) -> String? {
    unsafe Self.find(
      group(), { entry, buffer, size, found in unsafe getgrgid_r(gid, &entry, buffer, size, &found) },
      { unsafe $0.gr_name.map { unsafe String(cString: $0) } })
  }

  /// The home directory that the user database gives.
  func home(of uid: UInt32) -> String? {
    unsafe Self.find(
      passwd(), { entry, buffer, size, found in unsafe getpwuid_r(uid, &entry, buffer, size, &found) },
      { unsafe $0.pw_dir.map { unsafe String(cString: $0) } })
  }

  /// The C library would look up what stands before a NUL: another name than the one that was asked for.
  private static func isName(_ name: String) -> Bool { !name.isEmpty && !name.utf8.contains(0) }

  /// - Parameter look: fills the entry with pointers into the buffer; gives 0 or an errno.
  private static func find<Entry, Value>(
    _ empty: Entry,
    _ look: (inout Entry, UnsafeMutablePointer<CChar>, Int, inout UnsafeMutablePointer<Entry>?) -> Int32,
    _ read: (Entry) -> Value?
  ) -> Value? {
    var capacity = bufferBytesUsual
    while capacity <= bufferBytesMax {
      let (status, value) = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
        var entry = empty
        var found: UnsafeMutablePointer<Entry>?
        let status = unsafe buffer.baseAddress.map { unsafe look(&entry, $0, buffer.count, &found) } ?? ENOMEM
        return (status, unsafe found == nil ? nil : read(entry))
      }
      switch status {
      case 0: return value
      case EINTR: continue
      case ERANGE: capacity *= 4
      default: return nil  // EIO, EMFILE, a directory service that does not answer: not known now
      }
    }
    return nil
  }
}
