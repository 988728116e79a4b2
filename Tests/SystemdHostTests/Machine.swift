/// Real sockets, pipes and mounts for these tests.
import Foundation
import Glibc
import Testing

/// A directory of its own in /tmp: a Unix socket's path has room for 107 bytes.
func makeDirectory() throws -> String {
  var template = Array("/tmp/fhird-host-XXXXXX".utf8CString)
  try #require(mkdtemp(&template) != nil)
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

func removeDirectory(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

/// A Unix socket bound to the path.
func boundSocket(_ type: __socket_type, _ path: String) throws -> Int32 {
  let number = socket(AF_UNIX, Int32(type.rawValue), 0)
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
  let bound = withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  try #require(bound == 0, "bind \(path)")
  return number
}

/// The next datagram, or what stands in a pipe; nil: nothing comes within the deadline.
func received(_ descriptor: Int32, deadlineMilliseconds: Int32 = 10_000) -> [UInt8]? {
  var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
  guard poll(&entry, 1, deadlineMilliseconds) == 1 else { return nil }
  var bytes = [UInt8](repeating: 0, count: 1 << 18)
  let count = read(descriptor, &bytes, bytes.count)
  return count < 0 ? nil : Array(bytes.prefix(count))
}

func receivedText(_ descriptor: Int32, deadlineMilliseconds: Int32 = 10_000) -> String? {
  received(descriptor, deadlineMilliseconds: deadlineMilliseconds).map { String(decoding: $0, as: UTF8.self) }
}

func isOpen(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFD) >= 0 }

/// Mounts that only the calling thread sees. Glibc's Swift module has neither function.
enum PrivateMounts {
  /// Mounts need CAP_SYS_ADMIN, which root in a container may lack.
  static let arePossible: Bool = {
    guard geteuid() == 0 else { return false }
    let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = status?.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    let capabilities = line.flatMap { UInt64($0.dropFirst("CapEff:".count).trimmingPrefix { $0 == "\t" }, radix: 16) }
    return (capabilities ?? 0) & (1 << 21) != 0
  }()

  private typealias Unshare = @convention(c) (Int32) -> Int32
  private typealias Mount =
    @convention(c) (UnsafePointer<CChar>?, UnsafePointer<CChar>, UnsafePointer<CChar>?, UInt, UnsafeRawPointer?) ->
    Int32
  private static let newNamespace: Int32 = 0x20000
  private static let bind: UInt = 4096
  private static let recursivePrivate: UInt = 16384 | (1 << 18)

  private static func mount(_ source: String?, on target: String, type: String?, _ flags: UInt) throws {
    let function = unsafeBitCast(try #require(dlsym(nil, "mount")), to: Mount.self)
    try #require(
      function(source, target, type, flags, nil) == 0, "mount \(target): \(String(cString: strerror(errno)))")
  }

  /// The calling thread leaves the mounts of its process; no `await` may follow.
  static func begin() throws {
    let function = unsafeBitCast(try #require(dlsym(nil, "unshare")), to: Unshare.self)
    try #require(function(newNamespace) == 0)
    try mount(nil, on: "/", type: nil, recursivePrivate)
  }

  static func emptyDirectory(_ path: String) throws { try mount("none", on: path, type: "tmpfs", 0) }
  static func file(_ source: String, on target: String) throws { try mount(source, on: target, type: nil, bind) }
}
