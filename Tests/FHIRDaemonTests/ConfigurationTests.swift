/// The daemon's settings: three sources in their order, types and bounds, and refusals that help.
import ConnectionCore
import FHIRDaemon
import Foundation
import SMARTProtocol
import Testing

@Suite struct ConfigurationTests {
  private func load(
    _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil
  ) throws -> DaemonConfiguration {
    try DaemonConfiguration.load(
      arguments: DaemonArguments.parsing(arguments), environment: environment,
      readFile: { _ in file.map { .text($0) } ?? .absent })
  }

  private func problems(
    _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil
  ) -> [String] {
    do {
      _ = try load(arguments, environment: environment, file: file)
      return []
    } catch let errors as ConfigurationErrors {
      return errors.problems.map(\.description)
    } catch {
      return ["another error: \(error)"]
    }
  }

  @Test func `with nothing set everything has its documented default`() throws {
    let c = try load()
    #expect(c.publicURL == nil)
    #expect(c.tokenRefreshInterval == .seconds(300))
    #expect(c.tokenExpiryBuffer == .seconds(600))
    #expect(c.refreshConcurrency == 256)
    #expect(c.refreshConcurrencyPerHost == 8)
    #expect(c.healthInterval == .seconds(300))
    #expect(c.connectTimeout == .seconds(10))
    #expect(c.requestTimeout == .seconds(60))
    #expect(c.responseBytesMax == 64 << 20)
    #expect(c.capabilityTTL == .seconds(86400))
    #expect(c.storeBytesMax == 64 << 30)
    #expect(c.auditRetentionDays == 400)
    #expect(c.clientsMax == 10240)
    #expect(c.logLevel == .notice)
    #expect(!c.allowInsecureLoopback)
    #expect(c.warnings.isEmpty)
    #expect(c.file == nil)
  }

  @Test func `the command line goes before the environment and that before the file`() throws {
    let file = "FHIRD_LOG_LEVEL=error\nFHIRD_SOCKET=/file\nFHIRD_CLIENTS_MAX=7\n"
    let environment = ["FHIRD_LOG_LEVEL": "info", "FHIRD_SOCKET": "/env"]
    #expect(try load(file: file).logLevel == .error)
    #expect(try load(environment: environment, file: file).logLevel == .info)
    let all = try load(["--log-level", "debug", "--socket", "/arg"], environment: environment, file: file)
    #expect(all.logLevel == .debug)
    #expect(all.socketPath == "/arg")
    #expect(all.clientsMax == 7)
    #expect(all.file == DaemonConfiguration.defaultFile)
  }

  @Test func `the options of the command line are taken`() throws {
    let arguments = try DaemonArguments.parsing([
      "--state-dir", "/s", "--socket", "/k", "--master-key", "/m", "--config", "/c", "--check-config", "--version",
    ])
    #expect(arguments.checkConfig && arguments.version)
    let c = try DaemonConfiguration.load(
      arguments: arguments, environment: [:], readFile: { $0 == "/c" ? .text("FHIRD_CLIENTS_MAX=5") : .absent })
    #expect(c.stateDirectory == "/s")
    #expect(c.masterKeyFile == "/m")
    #expect(c.socketPath == "/k")
    #expect(c.file == "/c")
    #expect(c.clientsMax == 5)
  }

  @Test(arguments: [
    ("300", 300_000 as Int64), ("5min", 300_000), ("300s", 300_000), ("1h", 3_600_000), ("1min 30s", 90_000),
    ("1.5min", 90_000), ("2m", 120_000), ("1500ms", 1500), (" 10 s ", 10_000),
  ])
  func `a duration is seconds or has a unit`(text: String, milliseconds: Int64) throws {
    #expect(
      try load(environment: ["FHIRD_TOKEN_REFRESH_INTERVAL": text]).tokenRefreshInterval.milliseconds == milliseconds)
  }

  @Test(arguments: [
    "0", "2h", "-5", "5 parsecs", "5m 3", "1e3", "5,5", "", "s", "1..5s", ".5min", "99999999999999999999s", "five",
    "0x10",
  ])
  func `a duration that does not parse or is out of range is refused`(text: String) throws {
    guard !text.isEmpty else {
      #expect(try load(environment: ["FHIRD_TOKEN_REFRESH_INTERVAL": text]).tokenRefreshInterval == .seconds(300))
      return
    }
    #expect(
      problems(environment: ["FHIRD_TOKEN_REFRESH_INTERVAL": text]) == [
        "environment: FHIRD_TOKEN_REFRESH_INTERVAL: found \"\(text)\", allowed: 1s to 1h "
          + "(seconds, or with a unit: 500ms, 30s, 5min, 1h, 1d)"
      ])
  }

  @Test(arguments: [
    ("67108864", 64 << 20), ("64MiB", 64 << 20), ("64M", 64 << 20), ("1GiB", 1 << 30), ("100kB", 100_000),
    ("1.5MiB", 3 << 19),
  ])
  func `a size is bytes or has a unit`(text: String, bytes: Int) throws {
    #expect(try load(environment: ["FHIRD_RESPONSE_BYTES_MAX": text]).responseBytesMax == bytes)
  }

  @Test(arguments: ["64mib", "1TiB", "1023", "2GiB", "64 MiB x", "-1"])
  func `a size that does not parse or is out of range is refused`(text: String) {
    #expect(problems(environment: ["FHIRD_RESPONSE_BYTES_MAX": text]).count == 1)
  }

  @Test func `all problems are told at once, with place, key, what was found and what is allowed`() {
    let found = problems(
      ["--log-level", "loud"], environment: ["FHIRD_CLIENTS_MAX": "many", "FHIRD_HEALTH_INTERVALL": "1"],
      file: """
        # comment
        FHIRD_REFRESH_CONCURRENCY=0

        this is no assignment
        FHIRD_ALLOW_INSECURE_LOOPBACK='perhaps'
        FHIRD_PASSWORD=hunter2
        FHIRD_PUBLIC_URL="https://u:hunter2@h/"
        """)
    #expect(
      Set(found) == [
        "command line --log-level: FHIRD_LOG_LEVEL: found \"loud\", allowed: critical, error, warning, notice, info or debug",
        "environment: FHIRD_CLIENTS_MAX: found \"many\", allowed: a whole number from 1 to 1000000",
        "environment: FHIRD_HEALTH_INTERVALL: there is no such setting; did you mean FHIRD_HEALTH_INTERVAL?",
        "/etc/fhird/fhird.env:2: FHIRD_REFRESH_CONCURRENCY: found \"0\", allowed: a whole number from 1 to 4096",
        "/etc/fhird/fhird.env:4: the line is no KEY=VALUE",
        "/etc/fhird/fhird.env:5: FHIRD_ALLOW_INSECURE_LOOPBACK: found \"perhaps\", allowed: "
          + "true or false (also yes, no, on, off, 1, 0)",
        "/etc/fhird/fhird.env:6: FHIRD_PASSWORD: there is no such setting; fhird --help lists the settings that exist",
        "/etc/fhird/fhird.env:7: FHIRD_PUBLIC_URL: the URL has a user name or password before the host: use client_id "
          + "and client_secret; allowed: an https: URL without query and fragment (http: to a loopback address too)",
      ])
    #expect(!found.joined().contains("hunter2"))
  }

  @Test func `keys of other programs do not break the start`() throws {
    let c = try load(environment: [
      "FHIRD_SHARED": "/x", "FHIRD_SOCKET": "/run/x.sock", "PATH": "/bin", "STATE_DIRECTORY": "/var/lib/fhird",
    ])
    #expect(c.socketPath == "/run/x.sock")
  }

  @Test func `a file that was named must be there and readable`() {
    #expect(problems(["--config", "/none"]) == ["/none: there is no such file"])
    do {
      _ = try DaemonConfiguration.load(
        arguments: DaemonArguments.parsing([]), environment: [:], readFile: { _ in .unreadable("permission denied") })
      Issue.record("an unreadable file was passed over")
    } catch {
      #expect("\(error)" == "/etc/fhird/fhird.env: cannot be read: permission denied")
    }
  }

  @Test func `a connect timeout beyond the request timeout is refused`() {
    #expect(
      problems(environment: ["FHIRD_CONNECT_TIMEOUT": "2min"]) == [
        "environment: FHIRD_CONNECT_TIMEOUT: found \"2min\", which is longer than FHIRD_REQUEST_TIMEOUT (1min)"
      ])
  }

  @Test func `a socket must have an absolute path that fits`() {
    #expect(problems(["--socket", "fhird.sock"]).count == 1)
    #expect(problems(["--socket", "/" + String(repeating: "a", count: 107)]).count == 1)
    #expect(problems(["--state-dir", ""]) == ["command line --state-dir: is empty; allowed: a path"])
  }

  @Test func `loopback without TLS is a warning in every status`() throws {
    #expect(try load(environment: ["FHIRD_ALLOW_INSECURE_LOOPBACK": "yes"]).warnings.count == 1)
  }

  @Test func `the public URL is normalized and may be loopback`() throws {
    #expect(
      try load(environment: ["FHIRD_PUBLIC_URL": "HTTPS://Fhir.Example.org/"]).publicURL?.text
        == "https://fhir.example.org")
    #expect(try load(environment: ["FHIRD_PUBLIC_URL": "http://127.0.0.1:8080"]).publicURL?.origin.port == 8080)
  }

  @Test func `every default in the table parses and is what the configuration has`() throws {
    let written = ConfigurationKey.allCases.compactMap { key in key.defaultText.map { "\(key.name)=\($0)" } }
    var c = try load(file: written.joined(separator: "\n"))
    c.file = nil
    #expect(try c == load())
  }

  @Test func `the sample file says nothing until a line is uncommented`() throws {
    var c = try load(file: ConfigurationKey.sampleFile)
    c.file = nil
    #expect(try c == load())
    for key in ConfigurationKey.allCases {
      #expect(ConfigurationKey.sampleFile.contains("#\(key.name)="))
      #expect(ConfigurationKey.helpText.contains(key.name))
    }
    #expect(ConfigurationKey.helpText.contains("OAUTH2_REDIRECT_URI"))
  }

  @Test(arguments: [
    ("FHIRD_SOCKET=/a", "/a"), ("FHIRD_SOCKET = /a", "/a"), ("  FHIRD_SOCKET=/a  \r\n", "/a"),
    ("FHIRD_SOCKET=\"/a b\"", "/a b"),
    ("FHIRD_SOCKET='/a\\b'", "/a\\b"), ("FHIRD_SOCKET=\"/a\\\"b\"", "/a\"b"), ("FHIRD_SOCKET=/a\\ b\\ ", "/a b "),
    ("FHIRD_SOCKET=/a\\\nb", "/ab"), ("FHIRD_SOCKET=\"/a\nb\"", "/a\nb"), ("FHIRD_SOCKET=/a#b", "/a#b"),
    ("FHIRD_SOCKET=/1\nFHIRD_SOCKET=/2", "/2"), ("; x\n#FHIRD_SOCKET=/1\n\nFHIRD_SOCKET=/a", "/a"),
    ("FHIRD_SOCKET=/a'b'\"c\"", "/abc"), ("LANG=C\nFHIRD_SOCKET=/a=b", "/a=b"), ("FHIRD_SOCKET=\"/a\\x\"", "/a\\x"),
  ])
  func `the file has systemd's format`(file: String, expected: String) throws {
    #expect(try load(file: file).socketPath == expected)
  }

  @Test(arguments: [
    ("export FHIRD_SOCKET=/a", 1), ("\n\nFHIRD_SOCKET", 3), ("A=1\nFHIRD_SOCKET=\"/a\nB=2", 2), ("1A=x", 1), ("=x", 1),
    ("A='x", 1), ("A=a\u{0}", 1), ("\nA=\"a\u{0}\"", 2), ("A='\u{0}'\nB=1", 1), ("A=\\\u{0}", 1),
  ])
  func `a line that is no assignment is refused by its number`(file: String, line: Int) {
    let found = problems(file: file)
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix("/etc/fhird/fhird.env:\(line): ") == true)
  }

  @Test func `a real file is read, and an absent one is told from an unreadable one`() throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "fhird-configuration-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.appending(path: "fhird.env").path
    #expect(ConfigurationFileText.read(path) == .absent)
    try Data("A=1\n".utf8).write(to: URL(filePath: path))
    #expect(ConfigurationFileText.read(path) == .text("A=1\n"))
    try Data([0xFF, 0xFE]).write(to: URL(filePath: path))
    #expect(ConfigurationFileText.read(path) == .unreadable("it is not UTF-8"))
    #expect(ConfigurationFileText.read(directory.path) != .absent)
  }

  @Test func `of five thousand damaged files none crashes`() throws {
    let original = Array("# x\nFHIRD_LOG_LEVEL=\"info\"\nFHIRD_CLIENTS_MAX='7'\nFHIRD_SOCKET=/a\\\nb\n".utf8)
    var seed: UInt64 = 8
    func below(_ n: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(seed >> 33) % n
    }
    for _ in 0..<5000 {
      var bytes = original
      for _ in 0...below(4) { bytes[below(bytes.count)] = Array("\"'\\\n= #;\u{0}F9".utf8)[below(11)] }
      _ = problems(file: String(decoding: bytes, as: UTF8.self))
    }
  }
}
