/// Gathers the three sources of settings and turns them into typed values, collecting what is wrong.
import Configuration
import ConnectionCore
import SMARTProtocol
import Synchronization

struct ConfigurationReader {
  private(set) var problems: [ConfigurationProblem] = []

  /// One source: what it sets, and what to call it in messages.
  private struct Source {
    var name: String
    var values: [String: String]
    /// Where in the source a key stands, if that is more than its name.
    var places: [String: String] = [:]
  }
  private var sources: [Source] = []
  private var file: String?

  mutating func addCommandLine(_ arguments: DaemonArguments) {
    var source = Source(name: "command line", values: [:])
    if let level = arguments.logLevel {
      source.values[ConfigurationKey.logLevel.name] = level
      source.places[ConfigurationKey.logLevel.name] = "command line --log-level"
    }
    if let socket = arguments.socket {
      source.values[ConfigurationKey.socket.name] = socket
      source.places[ConfigurationKey.socket.name] = "command line --socket"
    }
    sources.append(source)
    for (option, value) in [("--state-dir", arguments.stateDir), ("--master-key", arguments.masterKey)]
    where value?.isEmpty == true {
      problems.append(
        ConfigurationProblem(source: "command line \(option)", key: nil, sentence: "is empty; allowed: a path"))
    }
  }

  mutating func addEnvironment(_ environment: [String: String]) {
    let ours = environment.filter { $0.key.hasPrefix("FHIRD_") }
    add(Source(name: "environment", values: ours))
  }

  mutating func addFile(_ path: String, isRequired: Bool, _ read: (String) -> ConfigurationFileText) {
    switch read(path) {
    case .absent:
      if isRequired { problems.append(ConfigurationProblem(source: path, key: nil, sentence: "there is no such file")) }
    case .unreadable(let why):
      problems.append(ConfigurationProblem(source: path, key: nil, sentence: "cannot be read: \(why)"))
    case .text(let text):
      file = path
      let parsed = EnvironmentFile(text)
      for problem in parsed.problems {
        problems.append(
          ConfigurationProblem(source: "\(path):\(problem.line)", key: nil, sentence: problem.sentence))
      }
      var source = Source(name: path, values: [:])
      // As in systemd, of two assignments the later one counts.
      for assignment in parsed.assignments where assignment.name.hasPrefix("FHIRD_") {
        source.values[assignment.name] = assignment.value
        source.places[assignment.name] = "\(path):\(assignment.line)"
      }
      add(source)
    }
  }

  /// Refuses what is unknown; an empty value counts as not set.
  private mutating func add(_ source: Source) {
    for name in source.values.keys.sorted() where !ConfigurationKey.foreignNames.contains(name) {
      guard ConfigurationKey(rawValue: name) == nil else { continue }
      let hint =
        ConfigurationKey.nearest(to: name).map { "did you mean \($0)?" } ?? "fhird --help lists the settings that exist"
      problems.append(
        ConfigurationProblem(
          source: source.places[name] ?? source.name, key: name, sentence: "there is no such setting; \(hint)"))
    }
    var source = source
    source.values = source.values.filter { !$0.value.isEmpty }
    sources.append(source)
  }

  // MARK: Typed values

  /// Which source answered, told by swift-configuration for each key that is read.
  private final class Answers: AccessReporter {
    private let sources = Mutex<[String: Int]>([:])

    func report(_ event: AccessEvent) {
      let index = event.providerResults.firstIndex { result in
        guard case .success(let found) = result.result else { return false }
        return found.value != nil
      }
      sources.withLock { $0[event.metadata.key.description] = index }
    }

    func source(of key: ConfigurationKey) -> Int? { sources.withLock { $0[key.name] } }
  }

  mutating func configuration(_ arguments: DaemonArguments) -> DaemonConfiguration {
    let answers = Answers()
    let reader = ConfigReader(
      providers: sources.map { source in
        InMemoryProvider(
          name: source.name,
          values: Dictionary(
            uniqueKeysWithValues: source.values.map {
              (AbsoluteConfigKey([$0]), ConfigValue(.string($1), isSecret: false))
            }
          ))
      }, accessReporter: answers)
    var found: [ConfigurationKey: (text: String, source: String)] = [:]
    for key in ConfigurationKey.allCases {
      guard let text = reader.string(forKey: ConfigKey([key.name])), let index = answers.source(of: key) else {
        continue
      }
      found[key] = (text, sources[index].places[key.name] ?? sources[index].name)
    }
    var configuration = DaemonConfiguration(
      publicURL: url(.publicURL, found),
      tokenRefreshInterval: duration(.tokenRefreshInterval, found),
      tokenExpiryBuffer: duration(.tokenExpiryBuffer, found),
      refreshConcurrency: number(.refreshConcurrency, found),
      refreshConcurrencyPerHost: number(.refreshConcurrencyPerHost, found),
      healthInterval: duration(.healthInterval, found),
      connectTimeout: duration(.connectTimeout, found),
      requestTimeout: duration(.requestTimeout, found),
      responseBytesMax: number(.responseBytesMax, found),
      capabilityTTL: duration(.capabilityTTL, found),
      storeBytesMax: number(.storeBytesMax, found),
      auditRetentionDays: number(.auditRetentionDays, found),
      clientsMax: number(.clientsMax, found),
      logLevel: value(.logLevel, found, otherwise: .notice) { LogLevel(name: $0.lowercased()) },
      allowInsecureLoopback: value(.allowInsecureLoopback, found, otherwise: false) { ConfigurationValue.boolean($0) },
      socketPath: path(.socket, found))
    configuration.stateDirectory = arguments.stateDir
    configuration.masterKeyFile = arguments.masterKey
    configuration.file = file
    if configuration.connectTimeout > configuration.requestTimeout, let at = found[.connectTimeout] {
      problems.append(
        ConfigurationProblem(
          source: at.source, key: ConfigurationKey.connectTimeout.name,
          sentence: "found \"\(at.text)\", which is longer than \(ConfigurationKey.requestTimeout.name) ("
            + "\(ConfigurationValue.text(duration: configuration.requestTimeout.milliseconds)))"))
    }
    return configuration
  }

  private typealias Found = [ConfigurationKey: (text: String, source: String)]

  /// The parsed value; where it does not parse, a problem and the default, so that the rest is checked too.
  private mutating func value<T>(
    _ key: ConfigurationKey, _ found: Found, otherwise: T, _ parse: (String) -> T?
  ) -> T {
    guard let (text, source) = found[key] else { return otherwise }
    if let value = parse(text) { return value }
    problems.append(
      ConfigurationProblem(
        source: source, key: key.name, sentence: "found \"\(Words.clean(text, max: 80))\", allowed: \(key.allowed)"))
    return otherwise
  }

  private mutating func duration(_ key: ConfigurationKey, _ found: Found) -> Instant.Span {
    guard case .duration(let range) = key.shape, let normal = key.defaultText.flatMap(ConfigurationValue.duration)
    else {
      preconditionFailure("\(key.name) is no duration")
    }
    let milliseconds = value(key, found, otherwise: normal) { text in
      ConfigurationValue.duration(text).flatMap { range.contains($0) ? $0 : nil }
    }
    return Instant.Span(milliseconds: milliseconds)
  }

  private mutating func number(_ key: ConfigurationKey, _ found: Found) -> Int {
    switch key.shape {
    case .count(let range):
      let normal = key.defaultText.flatMap(ConfigurationValue.count) ?? range.lowerBound
      return value(key, found, otherwise: normal) { text in
        ConfigurationValue.count(text).flatMap { range.contains($0) ? $0 : nil }
      }
    case .bytes(let range):
      let normal = key.defaultText.flatMap(ConfigurationValue.bytes) ?? range.lowerBound
      return value(key, found, otherwise: normal) { text in
        ConfigurationValue.bytes(text).flatMap { range.contains($0) ? $0 : nil }
      }
    case .duration, .boolean, .logLevel, .url, .path: preconditionFailure("\(key.name) is no number")
    }
  }

  private mutating func path(_ key: ConfigurationKey, _ found: Found) -> String? {
    let text = value(key, found, otherwise: "") { Self.isPath($0) ? $0 : nil }
    return text.isEmpty ? nil : text
  }

  /// The text is not repeated in the problem: a URL may carry a password.
  private mutating func url(_ key: ConfigurationKey, _ found: Found) -> FHIRBaseURL? {
    guard let (text, source) = found[key] else { return nil }
    do {
      return try FHIRBaseURL(text, allowInsecureLoopback: true)
    } catch {
      problems.append(
        ConfigurationProblem(
          source: source, key: key.name, sentence: "the URL \(error.sentence); allowed: \(key.allowed)"))
      return nil
    }
  }

  /// An AF_UNIX path has 107 bytes and a zero; see unix(7).
  private static func isPath(_ text: String) -> Bool { text.hasPrefix("/") && text.utf8.count <= 107 }
}
