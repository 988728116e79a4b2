/// The master key: where it comes from, who may be able to read it, and what a key file looks like.
import CSodium
package import ConnectionCore
import Glibc

/// Where the master key is.
package enum MasterKeySource: Sendable, Equatable {
  /// `$CREDENTIALS_DIRECTORY` of a systemd unit with `LoadCredential[Encrypted]=fhird.key`.
  case credential(directory: String)
  /// A key file, of mode 0400 or 0600, of this user or root.
  case file(path: String)
  /// The same, made with a random key when there is none.
  case createIfMissing(path: String)
}

/// Thirty-two bytes with one owner, in locked memory, wiped when it goes.
///
/// A key file holds one line `FHIRD-MASTER-KEY-1 ` and the key in base64, or 64 hexadecimal digits, or the 32 bytes.
package struct MasterKey: ~Copyable, Sendable {
  package static let credentialName = "fhird.key"
  private static let filePrefix = "FHIRD-MASTER-KEY-1 "
  /// Longer than every form of a key, in bytes: what is longer is another file.
  private static let fileBytesMax = 256

  private let memory: LockedMemory
  /// The key was made just now; whoever runs fhird should keep a copy.
  package let wasCreated: Bool

  private init(memory: LockedMemory, wasCreated: Bool) {
    self.memory = memory
    self.wasCreated = wasCreated
  }

  borrowing func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { unsafe memory.withBytes(body) }

  package static func load(_ source: MasterKeySource) throws(VaultError) -> MasterKey {
    switch source {
    case .credential(let directory):
      // systemd lets the unit's user in by an access control list, which shows as group bits of the mode.
      try read("\(directory)/\(credentialName)", refusedBits: 0o027)
    case .file(let path):
      try read(path, refusedBits: 0o077)
    case .createIfMissing(let path):
      try createIfMissing(path)
    }
  }

  // MARK: - Reading

  private static func read(_ path: String, refusedBits: mode_t) throws(VaultError) -> MasterKey {
    let descriptor = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw cannotOpen(path, errno) }
    defer { close(descriptor) }
    try check(descriptor, path, refusedBits: refusedBits)
    let text = LockedMemory(count: fileBytesMax)
    var count = 0
    while count < fileBytesMax {
      let more = unsafe Glibc.read(descriptor, text.bytes.baseAddress! + count, fileBytesMax - count)
      if more == 0 { break }
      guard more > 0 else {
        if errno == EINTR { continue }
        throw .masterKey(detail: "cannot read \(path): \(explain(errno))", cure: "look at the disk that holds it")
      }
      count += more
    }
    let parsed = unsafe text.withMutableBytes { unsafe parse(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
    guard let key = parsed else {
      throw .masterKey(
        detail: "\(path) is not a master key: \(count == fileBytesMax ? "\(count) bytes or more" : "\(count) bytes")",
        cure: "put the key back from its backup: one line \"\(filePrefix)\" and 32 bytes in base64, or 64 hexadecimal "
          + "digits, or 32 bytes")
    }
    return MasterKey(memory: key, wasCreated: false)
  }

  private static func check(_ descriptor: Int32, _ path: String, refusedBits: mode_t) throws(VaultError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw cannotOpen(path, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw .masterKey(detail: "\(path) is not a regular file", cure: "name the key file itself")
    }
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      throw .masterKey(
        detail: "\(path) belongs to uid \(status.st_uid), who could read and change it",
        cure: "run: chown \(geteuid()) \(path)")
    }
    guard status.st_mode & refusedBits == 0 else {
      throw .masterKey(
        detail: "\(path) has mode 0\(String(status.st_mode & 0o7777, radix: 8)), others must not reach it",
        cure: "run: chmod 0400 \(path)")
    }
  }

  private static func cannotOpen(_ path: String, _ code: Int32) -> VaultError {
    switch code {
    case ENOENT:
      .masterKey(
        detail: "there is no master key at \(path)",
        cure: "put the key that this store was made with there, mode 0400; for a new store make one: "
          + "(umask 077; echo \"\(filePrefix)$(head -c 32 /dev/urandom | base64)\" > \(path); chmod 0400 \(path))")
    case ELOOP:
      .masterKey(detail: "\(path) is a symbolic link", cure: "name the key file itself")
    case EACCES, EPERM:
      .masterKey(detail: "\(path) cannot be read by uid \(geteuid())", cure: "run: chown \(geteuid()) \(path)")
    default:
      .masterKey(detail: "cannot open \(path): \(explain(code))", cure: "look at the path and the disk that holds it")
    }
  }

  private static func explain(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

  /// nil: none of the three forms, or a key of zeros, which only a mishap makes.
  private static func parse(_ text: UnsafeRawBufferPointer) -> LockedMemory? {
    let key = LockedMemory(count: Cipher.keyBytes)
    if text.count == Cipher.keyBytes {
      unsafe key.bytes.copyMemory(from: text)
    } else {
      var line = unsafe text[...]
      while let last = unsafe line.last, last == 0x0A || last == 0x0D || last == 0x20 { unsafe line.removeLast() }
      guard unsafe decode(UnsafeRawBufferPointer(rebasing: line), into: key.bytes) else { return nil }
    }
    let isZero = unsafe sodium_is_zero(key.bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), key.count) != 0
    return isZero ? nil : key
  }

  private static func decode(_ line: UnsafeRawBufferPointer, into key: UnsafeMutableRawBufferPointer) -> Bool {
    var written = 0
    let out = unsafe key.baseAddress!.assumingMemoryBound(to: UInt8.self)
    var end: UnsafePointer<CChar>?
    let result: Int32
    let input: UnsafeRawBufferPointer
    if unsafe line.starts(with: filePrefix.utf8) {
      unsafe input = UnsafeRawBufferPointer(rebasing: line[filePrefix.utf8.count...])
      result = unsafe sodium_base642bin(
        out, key.count, input.baseAddress?.assumingMemoryBound(to: CChar.self), input.count, nil, &written, &end,
        Int32(sodium_base64_VARIANT_ORIGINAL))
    } else {
      unsafe input = line
      result = unsafe sodium_hex2bin(
        out, key.count, input.baseAddress?.assumingMemoryBound(to: CChar.self), input.count, nil, &written, &end)
    }
    guard result == 0, written == key.count, let end = unsafe end, let start = input.baseAddress else {
      return false
    }
    return unsafe UnsafeRawPointer(end) == start + input.count
  }

  // MARK: - Making

  private static func createIfMissing(_ path: String) throws(VaultError) -> MasterKey {
    let parent = parent(of: path)
    try checkParent(parent)
    let unfinished = path + ".new"
    unsafe unlink(unfinished)
    var status = stat()
    if unsafe lstat(path, &status) == 0 { return try read(path, refusedBits: 0o077) }

    let text = LockedMemory(count: filePrefix.utf8.count + base64Bytes + 1)
    unsafe fillWithFreshKey(text.bytes)
    guard write(text, to: unfinished) else { throw cannotMake(path, errno) }
    // link(2) gives the finished file its name or fails when there is one: a half-written key is never there.
    let linked = unsafe link(unfinished, path) == 0
    let code = errno
    unsafe unlink(unfinished)
    guard linked || code == EEXIST else { throw cannotMake(path, code) }
    guard syncDirectory(parent) else { throw cannotMake(path, errno) }
    let key = try read(path, refusedBits: 0o077)
    return MasterKey(memory: key.memory, wasCreated: linked)
  }

  /// 32 bytes in base64, with its padding.
  private static let base64Bytes = 44

  private static func fillWithFreshKey(_ text: UnsafeMutableRawBufferPointer) {
    let key = LockedMemory(count: Cipher.keyBytes)
    unsafe randombytes_buf(key.bytes.baseAddress!, key.count)
    unsafe text.copyBytes(from: filePrefix.utf8)
    let base64 = unsafe text.baseAddress! + filePrefix.utf8.count
    // Writes 44 digits and a zero byte, in whose place the newline goes.
    unsafe sodium_bin2base64(
      base64.assumingMemoryBound(to: CChar.self), base64Bytes + 1,
      key.bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), key.count, Int32(sodium_base64_VARIANT_ORIGINAL))
    unsafe text[text.count - 1] = 0x0A
  }

  private static func write(_ text: LockedMemory, to path: String) -> Bool {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o400)
    guard descriptor >= 0 else { return false }
    let written = unsafe Glibc.write(descriptor, text.bytes.baseAddress!, text.count)
    let isWhole = written == text.count && fchmod(descriptor, 0o400) == 0 && fsync(descriptor) == 0
    let code = written >= 0 && written < text.count ? ENOSPC : errno
    close(descriptor)
    if !isWhole {
      unsafe unlink(path)
      errno = code
    }
    return isWhole
  }

  private static func syncDirectory(_ path: String) -> Bool {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return fsync(descriptor) == 0
  }

  private static func cannotMake(_ path: String, _ code: Int32) -> VaultError {
    .masterKey(
      detail: "cannot make a master key at \(path): \(explain(code))",
      cure: "make \(parent(of: path)) writable for uid \(geteuid()), or name another place for the key")
  }

  /// Whoever may write to the key's directory may put another key in its place.
  private static func checkParent(_ path: String) throws(VaultError) {
    if unsafe mkdir(path, 0o700) == 0 { unsafe chmod(path, 0o700) }
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw .masterKey(detail: "\(path) is not a directory", cure: "run: mkdir -m 0700 -p \(path)")
    }
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      throw .masterKey(
        detail: "\(path) belongs to uid \(status.st_uid), who could replace the key",
        cure: "run: chown \(geteuid()) \(path)")
    }
    guard status.st_mode & 0o022 == 0 || status.st_mode & S_ISVTX != 0 else {
      throw .masterKey(
        detail: "\(path) has mode 0\(String(status.st_mode & 0o7777, radix: 8)), others could replace the key",
        cure: "run: chmod go-w \(path)")
    }
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
