/// The store's directory: made when missing, refused when others could touch it, locked for one process.
import ConnectionCore
import Glibc

/// Holds the lock while it lives. The lock belongs to the open file, so the kernel drops it however the process ends.
struct StoreDirectory: ~Copyable {
  static let dataName = "data.mdb"
  static let lmdbLockName = "lock.mdb"
  static let lockName = "fhird.lock"
  /// A store that is being made, or a compacted copy; it gets the data file's name when it is whole.
  static let newDataName = "data.mdb.new"

  /// Absolute, without symbolic links.
  let path: String
  private let directory: Int32
  private let lock: Int32

  deinit {
    // Closing is not enough: a child that was forked a moment ago shares the open file, and with it the lock, until its
    // exec.
    flock(lock, LOCK_UN)
    close(lock)
    close(directory)
  }

  static func restoreCure(path: String) -> String {
    "stop fhird, keep a copy of \(path), put the newest backup of the directory in its place, start fhird"
  }

  static func open(_ wanted: String) throws(StoreError) -> StoreDirectory {
    try makeMissing(wanted)
    let directory = unsafe Glibc.open(wanted, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard directory >= 0 else {
      if errno == ELOOP || errno == ENOTDIR {
        throw .unsafePermissions(
          path: wanted, detail: "is a symbolic link or not a directory; name the directory itself")
      }
      throw failed("open the store's directory", wanted)
    }
    do throws(StoreError) {
      let path = resolved(wanted)
      try checkMode(of: directory, path: path, kind: S_IFDIR)
      try checkParents(of: path)
      let lock = try takeLock(in: directory, path: path)
      return StoreDirectory(path: path, directory: directory, lock: lock)
    } catch {
      close(directory)
      throw error
    }
  }

  private init(path: String, directory: Int32, lock: Int32) {
    self.path = path
    self.directory = directory
    self.lock = lock
  }

  borrowing func file(_ name: String) -> String { "\(path)/\(name)" }

  borrowing func hasFile(_ name: String) -> Bool {
    var status = stat()
    return unsafe fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0
  }

  borrowing func remove(_ name: String) { unsafe unlinkat(directory, name, 0) }

  /// Gives a finished file its name; both names are durable or neither is.
  borrowing func rename(_ old: String, to new: String) throws(StoreError) {
    guard unsafe renameat(directory, old, directory, new) == 0, fsync(directory) == 0 else {
      throw Self.failed("name the data file", file(new))
    }
  }

  /// Makes a new file of mode 0600 for a copy of the data.
  borrowing func makeNewData() throws(StoreError) -> Int32 {
    remove(Self.newDataName)
    let path = file(Self.newDataName)
    let descriptor = unsafe openat(
      directory, Self.newDataName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Self.failed("make a file", path) }
    guard fchmod(descriptor, 0o600) == 0 else {
      close(descriptor)
      throw Self.failed("set the mode of a file", path)
    }
    return descriptor
  }

  /// Puts the copy in the data file's place, while LMDB is closed here. The reader table belongs to the old file: another
  /// process that has it open would go on with the number of a transaction that the new file does not know. LMDB's own
  /// lock on the table keeps others out meanwhile; a process that ends here leaves no lock.
  borrowing func replaceData() throws(LMDBFailure) {
    let table = unsafe openat(directory, Self.lmdbLockName, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
    guard table >= 0 else { throw LMDBFailure(code: errno, operation: "open the lock file") }
    // Closing lets go of the lock, and of nothing else: LMDB has closed its own descriptor.
    defer { close(table) }
    // mdb.c: mdb_env_excl_lock locks the first byte.
    var lock = flock(l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: 0, l_len: 1, l_pid: 0)
    guard unsafe fcntl(table, F_SETLK, &lock) == 0 else {
      throw LMDBFailure(
        code: errno == EACCES ? EAGAIN : errno, operation: "compact while another process reads the store")
    }
    guard unsafe renameat(directory, Self.newDataName, directory, Self.dataName) == 0 else {
      throw LMDBFailure(code: errno, operation: "name the data file")
    }
    // Before anything can be committed to it.
    guard fsync(directory) == 0 else { throw LMDBFailure(code: errno, operation: "sync the store's directory") }
  }

  /// Makes names durable.
  borrowing func sync() throws(StoreError) {
    guard fsync(directory) == 0 else { throw Self.failed("sync the store's directory", path) }
  }

  /// Makes a file of mode 0600 whatever the umask is, or checks the one that is there. `bytes`: room on the disk that
  /// the file has afterwards, so that nothing written through a map of it can fail.
  borrowing func prepare(_ name: String, bytes: Int = 0) throws(StoreError) {
    let descriptor = try Self.openOrMake(name, in: directory, path: file(name))
    defer { close(descriptor) }
    guard bytes > 0 else { return }
    let code = posix_fallocate(descriptor, 0, bytes)
    if code != 0 { throw LMDBFailure(code: code, operation: "make room for the lock file").storeError(path: path) }
  }

  private static func openOrMake(_ name: String, in directory: Int32, path: String) throws(StoreError) -> Int32 {
    var descriptor = unsafe openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    if descriptor >= 0 {
      guard fchmod(descriptor, 0o600) == 0 else {
        close(descriptor)
        throw failed("set the mode of a file", path)
      }
      return descriptor
    }
    guard errno == EEXIST else { throw failed("make a file", path) }
    descriptor = unsafe openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ELOOP {
        throw .unsafePermissions(path: path, detail: "is a symbolic link; remove it")
      }
      throw failed("open a file", path)
    }
    do throws(StoreError) {
      try checkMode(of: descriptor, path: path, kind: S_IFREG)
    } catch {
      close(descriptor)
      throw error
    }
    return descriptor
  }

  // MARK: - Lock

  private static func takeLock(in directory: Int32, path: String) throws(StoreError) -> Int32 {
    let lock = try openOrMake(lockName, in: directory, path: "\(path)/\(lockName)")
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = holder(lock)
      close(lock)
      if code == EWOULDBLOCK { throw .alreadyOpen(path: path, pid: holder) }
      throw .io(operation: "lock the store", detail: "\(path): \(text(code))")
    }
    // The number is for the message that another process gives; on a full disk it is missing, and nothing else.
    let line = "\(getpid())\n"
    if ftruncate(lock, 0) == 0 { _ = unsafe pwrite(lock, line, line.utf8.count, 0) }
    return lock
  }

  private static func holder(_ lock: Int32) -> Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = unsafe pread(lock, &bytes, bytes.count, 0)
    guard count > 1 else { return nil }
    return Int32(String(decoding: bytes[..<(count - 1)], as: UTF8.self))
  }

  // MARK: - Checks

  private static func makeMissing(_ path: String) throws(StoreError) {
    var status = stat()
    if unsafe lstat(path, &status) == 0 { return }
    guard errno == ENOENT else { throw failed("look at the store's directory", path) }
    let parent = parent(of: path)
    if parent != path, parent != "." { try makeMissing(parent) }
    guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failed("make the store's directory", path) }
    // mkdir(2) takes the umask's bits away; a directory without its owner's bits would be of no use.
    guard unsafe chmod(path, 0o700) == 0 else { throw failed("set the mode of the store's directory", path) }
  }

  /// Everything of the store is its owner's alone, who is the user that fhird runs as.
  private static func checkMode(of descriptor: Int32, path: String, kind: mode_t) throws(StoreError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw failed("look at the store", path) }
    let isDirectory = kind == S_IFDIR
    guard status.st_mode & S_IFMT == kind else {
      throw .unsafePermissions(path: path, detail: "is not a regular file; remove it")
    }
    guard status.st_uid == geteuid() else {
      throw .unsafePermissions(
        path: path,
        detail: "belongs to uid \(status.st_uid), fhird runs as uid \(geteuid()); chown it or change the user")
    }
    let mode = status.st_mode & 0o7777
    guard mode & 0o077 == 0 else {
      throw .unsafePermissions(
        path: path,
        detail: "has mode 0\(String(mode, radix: 8)), others must not reach it; run: chmod "
          + "\(isDirectory ? "0700" : "0600") \(path)")
    }
    guard isDirectory || status.st_nlink == 1 else {
      throw .unsafePermissions(path: path, detail: "has a second name (hard link); remove the other one")
    }
  }

  /// Where anyone may rename what is not theirs, anyone may put another directory in this one's place.
  private static func checkParents(of path: String) throws(StoreError) {
    var current = path
    while current != "/", current != "." {
      current = parent(of: current)
      var status = stat()
      guard unsafe stat(current, &status) == 0 else { throw failed("look at a parent directory", current) }
      if status.st_mode & S_IWOTH != 0, status.st_mode & S_ISVTX == 0 {
        throw .unsafePermissions(
          path: current, detail: "everyone may write here, so everyone may replace the store; run: chmod o-w \(current)"
        )
      }
    }
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private static func resolved(_ path: String) -> String {
    guard let real = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(real) }
    return unsafe String(cString: real)
  }

  /// The error for `errno`.
  private static func failed(_ operation: StaticString, _ path: String) -> StoreError {
    LMDBFailure(code: errno, operation: operation).storeError(path: path)
  }

  private static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
