/// What this machine offers to the integration tests: programs, directories, rights.
import FoundationEssentials
import Glibc

package enum TestMachine {
  /// The top of the source tree.
  package static let sourceRoot: String = {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(3)  // Tests/TestSupport/IntegrationMachine.swift
    return parts.joined(separator: "/")
  }()

  package static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// In continuous integration a suite that cannot run has failed.
  package static let isCI = environment("CI") == "true"
  package static let isRoot = geteuid() == 0

  /// The environment for programs that need nothing of ours.
  package static var plainEnvironment: [String: String] {
    var result = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"]
    for name in ["HOME", "PEERS_VENV_DIR", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "http_proxy", "https_proxy"] {
      result[name] = environment(name)
    }
    return result
  }

  /// The first executable of that name on the usual path, or nil.
  package static func program(_ name: String) -> String? {
    for directory in ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"] {
      if access("\(directory)/\(name)", X_OK) == 0 { return "\(directory)/\(name)" }
    }
    return nil
  }

  package static let python3 = program("python3")
  package static let setpriv = program("setpriv")
  package static let cCompiler = program("cc") ?? program("gcc") ?? program("clang")

  /// A program of ours: the variable's, else beside the running test binary, else the debug build's.
  package static func built(_ name: String, variable: String) -> String? {
    if let named = environment(variable) { return named }
    var candidates: [String] = []
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    if count > 0 {
      let exe = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      candidates.append(exe.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/"))
    }
    candidates.append(sourceRoot + "/.build/debug")
    return candidates.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }

  package static let fhird = built("fhird", variable: "FHIRD_BIN")
  package static let fhirctl = built("fhirctl", variable: "FHIRCTL_BIN")
  package static let gateway = built("fhird-gateway", variable: "FHIRD_GATEWAY_BIN")

  /// A new empty directory, 0700, with a short path: a Unix socket's has room for 107 bytes.
  package static func makeDirectory(in parent: String = "/tmp") throws -> String {
    var template = Array("\(parent)/fhird-t-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw IntegrationFailure("no directory in \(parent): \(String(cString: strerror(errno)))")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Removes a directory of ours, unless FHIRD_TEST_KEEP asks to keep it for a look.
  package static func remove(_ directory: String) {
    guard environment("FHIRD_TEST_KEEP") == nil else { return }
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// Every regular file below, with its bytes.
  package static func files(below directory: String) -> [(path: String, bytes: [UInt8])] {
    let names = (try? FileManager.default.subpathsOfDirectory(atPath: directory)) ?? []
    return names.compactMap { name in
      let path = "\(directory)/\(name)"
      var info = stat()
      guard lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFREG,
        let data = FileManager.default.contents(atPath: path)
      else { return nil }
      return (path, Array(data))
    }
  }
}

/// Searches bytes for texts: the secret hunt.
package struct Hunt: Sendable {
  private let needles: [(text: String, bytes: [UInt8])]

  /// - Parameter needles: texts shorter than six characters would be found by chance and are refused.
  package init(_ needles: [String]) {
    precondition(needles.allSatisfy { $0.utf8.count >= 6 }, "a needle is too short to prove anything")
    self.needles = Set(needles).sorted().map { ($0, Array($0.utf8)) }
  }

  package var count: Int { needles.count }
  package var texts: [String] { needles.map(\.text) }

  /// Which needles stand in these bytes.
  package func found(in bytes: [UInt8]) -> [String] {
    bytes.withUnsafeBytes { hay in needles.filter { Self.contains(hay, $0.bytes) }.map(\.text) }
  }

  package static func contains(_ hay: [UInt8], _ needle: [UInt8]) -> Bool {
    hay.withUnsafeBytes { contains($0, needle) }
  }

  private static func contains(_ hay: UnsafeRawBufferPointer, _ needle: [UInt8]) -> Bool {
    guard let base = hay.baseAddress else { return false }
    var at = 0
    while hay.count - at >= needle.count {
      guard let hit = memchr(base + at, Int32(needle[0]), hay.count - at - needle.count + 1) else { return false }
      if memcmp(hit, needle, needle.count) == 0 { return true }
      at = base.distance(to: hit) + 1
    }
    return false
  }

  package func found(in text: String) -> [String] { found(in: Array(text.utf8)) }
}
