/// Rules of the house that people forget, checked over the source tree.
import Foundation
import Testing

@Suite("the source tree")
struct TidyTests {
  private func matches(_ pattern: String, _ text: String) -> Bool {
    text.range(of: pattern, options: .regularExpression) != nil
  }

  private func expectNone(_ found: [some CustomStringConvertible], _ rule: Comment) {
    #expect(found.isEmpty, "\(rule):\n\(found.map(\.description).joined(separator: "\n"))")
  }

  @Test func `the tree is found`() {
    #expect(SourceTree.sources.count > 20)
    #expect(SourceTree.swift.contains { $0.path == "Tests/TidyTests/TidyTests.swift" })
  }

  // Imports -----------------------------------------------------------------------------------------------------------

  /// What each target may import of ours: the table of the architecture, every arrow downwards.
  private static let ours: [String: Set<String>] = [
    "FHIRControl": [],
    "SMARTProtocol": [],
    "FHIRSchema": ["SMARTProtocol"],
    "FHIRInteraction": ["SMARTProtocol", "FHIRSchema"],
    "ConnectionCore": ["FHIRControl", "SMARTProtocol", "FHIRSchema", "FHIRInteraction"],
    "DispatchSupport": ["CLinux"],
    "LMDBStore": ["CLMDB", "ConnectionCore", "FHIRControl", "SMARTProtocol"],
    "CurlHTTP": ["CCurl", "ConnectionCore", "FHIRControl", "SMARTProtocol"],
    // Crypto: swift-crypto's own modules.
    "JWTSigner": ["Crypto", "CryptoExtras", "ConnectionCore", "FHIRControl", "SMARTProtocol"],
    "SodiumVault": ["CSodium", "ConnectionCore", "FHIRControl", "SMARTProtocol"],
    "SystemdHost": ["CSystemd", "CLinux", "ConnectionCore", "FHIRControl", "SMARTProtocol"],
    "FHIRDaemon": [
      "FHIRControl", "SMARTProtocol", "FHIRSchema", "ConnectionCore", "DispatchSupport", "LMDBStore", "CurlHTTP",
      "JWTSigner", "SodiumVault", "SystemdHost", "CLinux", "Configuration", "ArgumentParser",
    ],
    "fhird": ["FHIRDaemon"],
    "FHIRClient": ["FHIRControl"],
    // CLinux: `exec` hands the token over in a memfd.
    "fhirctl": ["FHIRClient", "FHIRControl", "ArgumentParser", "CLinux"],
    "FHIRGateway": [
      "FHIRClient", "FHIRControl", "ArgumentParser", "HummingbirdCore", "HTTPTypes", "Logging", "NIOCore", "NIOExtras",
      "NIOHTTPTypes", "NIOPosix",
    ],
    "fhird-gateway": ["FHIRGateway"],
  ]
  /// No clock, no socket, no queue, no file, no global.
  private static let pure: Set<String> = [
    "FHIRControl", "SMARTProtocol", "FHIRSchema", "FHIRInteraction", "ConnectionCore",
  ]
  /// The toolchain's own modules: what pure targets may import, and everybody else on top.
  private static let systemPure: Set<String> = ["FoundationEssentials", "Synchronization"]
  private static let systemOther: Set<String> = ["Glibc", "Dispatch"]

  @Test func `every target imports only what the architecture allows`() {
    var found: [String] = []
    for file in SourceTree.sources {
      guard let ours = Self.ours[file.target] else {
        found.append("\(file.path): target \(file.target) is not in the table")
        continue
      }
      let allowed = ours.union(Self.systemPure).union(Self.pure.contains(file.target) ? [] : Self.systemOther)
      for name in file.imports where !allowed.contains(name) { found.append("\(file.path): import \(name)") }
    }
    expectNone(found, "imports against the direction of dependencies")
  }

  @Test func `no source imports full Foundation`() {
    // It brings 40 MB of ICU into every program; FoundationEssentials does not.
    expectNone(
      SourceTree.sources.filter { $0.imports.contains("Foundation") }.map(\.path), "import FoundationEssentials instead"
    )
  }

  @Test func `DispatchSource is used in DispatchSupport only`() {
    let found = SourceTree.sources.filter { $0.target != "DispatchSupport" }.flatMap(\.lines)
      .filter { $0.code.contains("DispatchSource") }
    // Its handlers are not @Sendable: written inside an actor they compile, and trap at run time.
    expectNone(found, "wrap it in DispatchSupport")
  }

  @Test func `pure targets touch no clock, file, environment or queue`() {
    let calls =
      #"\b(Date\(\)|Date\.now|ContinuousClock|SuspendingClock|getenv\(|ProcessInfo|FileManager|\.random\(|Task\.sleep|UUID\(\))"#
    let found = SourceTree.sources.filter { Self.pure.contains($0.target) }.flatMap(\.lines)
      .filter { matches(calls, $0.code) }
    expectNone(found, "the caller brings the time and the randomness")
  }

  // Size and shape ----------------------------------------------------------------------------------------------------

  /// Lines of a file: this is where it stays readable.
  private static let linesMax = 400
  /// Files that may be longer, how long, and why.
  private static let longer: [String: Int] = [:]

  @Test func `files are not too long`() {
    let found = SourceTree.swift.filter { $0.lines.count > Self.longer[$0.path, default: Self.linesMax] }
      .map { "\($0.path): \($0.lines.count) lines" }
    expectNone(found, "split them")
    let stale = Self.longer.keys.filter { path in
      (SourceTree.swift.first { $0.path == path }?.lines.count ?? Self.linesMax + 1) <= Self.linesMax
    }
    expectNone(stale, "these need no exception any more")
  }

  @Test func `the first line of a file says its job`() {
    let found = SourceTree.swift.filter { !$0.path.hasSuffix("Package.swift") }
      .filter { !matches(#"^/// .{10,}"#, $0.lines.first?.text ?? "") }.map(\.path)
    expectNone(found, "a /// sentence on the first line")
  }

  // Words -------------------------------------------------------------------------------------------------------------

  /// Written apart, so that this file does not find itself.
  private static let unfinished = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]

  @Test func `nothing is left for later`() {
    let found = SourceTree.swift.flatMap(\.lines).filter { line in
      Self.unfinished.contains { matches("\\b\($0)\\b", line.text) }
        || matches(#"//+ To be written"#, line.text)
    }
    expectNone(found.filter { !$0.file.hasPrefix("Tests/TidyTests/") }, "finish it or open an issue")
  }

  @Test func `nothing crashes by an exclamation mark`() {
    let found = SourceTree.swift.flatMap(\.lines).filter { matches(#"\btry!|\bas!"#, $0.code) }
    expectNone(found, "throw, or guard")
    let fatal = SourceTree.sources.flatMap(\.lines).filter { matches(#"\bfatalError\("#, $0.code) }
    expectNone(fatal, "a race is a case; a bug is a precondition")
  }

  @Test func `unit tests do not sleep`() {
    let allowed: Set<String> = ["IntegrationTests", "TestSupport"]
    let found = SourceTree.swift.filter { !$0.isSource && !allowed.contains($0.target) }.flatMap(\.lines)
      // A sleep that is no hope says on its line what it is: the pace of a poll, or something to be cancelled.
      .filter { matches(#"\b(usleep|sleep|nanosleep)\("#, $0.code) && $0.text == $0.code }
    expectNone(found, "poll with a deadline, or drive a clock of your own")
  }

  @Test func `every unchecked promise has its sentence`() {
    for file in SourceTree.sources {
      for (index, line) in file.lines.enumerated()
      where matches(#"@unchecked|nonisolated\(unsafe\)"#, line.code) {
        // On its line, or in the comment right above that speaks of it.
        var above: [String] = []
        var at = index - 1
        while at >= 0, matches(#"^\s*//"#, file.lines[at].text) {
          above.append(file.lines[at].text)
          at -= 1
        }
        let said = line.text != line.code || above.contains { matches(#"unchecked|nonisolated"#, $0) }
        #expect(said, "say why it is safe: \(line)")
      }
    }
  }

  @Test func `state machines switch on every state`() {
    let machines = SourceTree.sources.filter { file in
      file.path.hasPrefix("Sources/ConnectionCore/Engine/") || file.path.hasPrefix("Sources/ConnectionCore/Planning/")
        || ["TokenMachine.swift", "RefreshPolicy.swift"].contains { file.path.hasSuffix("/" + $0) }
        || file.path.hasPrefix("Sources/FHIRInteraction/")
    }
    #expect(!machines.isEmpty)
    for file in machines {
      var subjects: [(indent: Int, text: String)] = []
      for line in file.lines {
        let indent = line.code.prefix { $0 == " " }.count
        if matches(#"\bswitch\b.*\{\s*$"#, line.code) { subjects.append((indent, line.code)) }
        guard matches(#"^\s*default\s*:"#, line.code) else { continue }
        // A switch over somebody else's words (a text, a number) has no last case; its line says so by a comment.
        let subject = subjects.last { $0.indent <= indent }?.text ?? ""
        let open = matches(#"\b(error|status|statusCode|code|rawValue|count|byte)\b"#, subject)
        #expect(open || line.text != line.code, "a new state would pass unseen: \(line)")
      }
    }
  }

  @Test func `no path of a development machine is in the tree`() {
    let banned = ["/wo" + "rk/", "/ho" + "me/", "/tmp/" + "fhird/", "/Us" + "ers/"]
    var found: [String] = []
    for path in SourceTree.paths where path != "Package.resolved" {
      guard let text = SourceTree.text(of: path) else { continue }
      for (number, line) in text.components(separatedBy: "\n").enumerated() {
        for word in banned where line.contains(word) { found.append("\(path):\(number + 1): \(word)") }
      }
    }
    expectNone(found, "it means nothing on another machine")
  }

  @Test func `fault points are in test builds only`() {
    // What `scripts/release` looks for in the program must not be spelled where a release build reads it.
    var found: [SourceLine] = []
    var seen = 0
    for file in SourceTree.sources {
      var isOpen = false
      for line in file.lines {
        if matches(#"^\s*#if FAULT_POINTS$"#, line.text) { isOpen = true }
        if matches(#"^\s*#(else|endif)"#, line.text) { isOpen = false }
        guard matches(#"FaultPoint|FAULT_POINT_|Faulty|\bfaults\b"#, line.text) else { continue }
        if isOpen { seen += 1 } else { found.append(line) }
      }
    }
    #expect(seen > 20)
    expectNone(found, "put it between #if FAULT_POINTS and #endif")
  }

  @Test func `no source prints past the log`() {
    let programs: Set<String> = ["fhirctl", "fhird"]
    let found = SourceTree.sources.filter { !programs.contains($0.target) }.flatMap(\.lines)
      .filter { matches(#"(?<![\w.])(print|debugPrint|dump)\("#, $0.code) }
    expectNone(found, "standard output belongs to the programs, and a secret could be in it")
  }
}
