/// Every setting of the daemon, once: name, default, what is allowed, what it is for. Help, the sample file and the
/// manual page are made from this table, and so is the check of what was set.

package enum ConfigurationKey: String, CaseIterable, Sendable {
  case publicURL = "FHIRD_PUBLIC_URL"
  case tokenRefreshInterval = "FHIRD_TOKEN_REFRESH_INTERVAL"
  case tokenExpiryBuffer = "FHIRD_TOKEN_EXPIRY_BUFFER"
  case refreshConcurrency = "FHIRD_REFRESH_CONCURRENCY"
  case refreshConcurrencyPerHost = "FHIRD_REFRESH_CONCURRENCY_PER_HOST"
  case healthInterval = "FHIRD_HEALTH_INTERVAL"
  case connectTimeout = "FHIRD_CONNECT_TIMEOUT"
  case requestTimeout = "FHIRD_REQUEST_TIMEOUT"
  case responseBytesMax = "FHIRD_RESPONSE_BYTES_MAX"
  case capabilityTTL = "FHIRD_CAPABILITY_TTL"
  case storeBytesMax = "FHIRD_STORE_BYTES_MAX"
  case auditRetentionDays = "FHIRD_AUDIT_RETENTION_DAYS"
  case clientsMax = "FHIRD_CLIENTS_MAX"
  case logLevel = "FHIRD_LOG_LEVEL"
  case allowInsecureLoopback = "FHIRD_ALLOW_INSECURE_LOOPBACK"
  case socket = "FHIRD_SOCKET"

  package var name: String { rawValue }

  /// Names that begin like ours and are no settings: the tests' folder of sample data; in a test build the step to die at.
  package static let foreignNames: Set<String> = {
    #if FAULT_POINTS
      ["FHIRD_SHARED", FaultPoints.variable]
    #else
      ["FHIRD_SHARED"]
    #endif
  }()

  /// What a value is and in which bounds.
  enum Shape: Sendable {
    /// Milliseconds; both bounds allowed.
    case duration(ClosedRange<Int64>)
    case bytes(ClosedRange<Int>)
    case count(ClosedRange<Int>)
    case boolean
    case logLevel
    case url
    case path
  }

  var shape: Shape {
    switch self {
    case .publicURL: .url
    case .tokenRefreshInterval: .duration(1000...3_600_000)
    case .tokenExpiryBuffer: .duration(1000...86_400_000)
    case .refreshConcurrency: .count(1...4096)
    case .refreshConcurrencyPerHost: .count(1...256)
    case .healthInterval: .duration(10_000...86_400_000)
    case .connectTimeout: .duration(100...300_000)
    case .requestTimeout: .duration(1000...600_000)
    case .responseBytesMax: .bytes(64 << 10...1 << 30)
    case .capabilityTTL: .duration(60_000...30 * 86_400_000)
    // The least is a few thousand grants; the most is what the store grows to without a limit.
    case .storeBytesMax: .bytes(16 << 20...4 << 40)
    case .auditRetentionDays: .count(1...36_500)
    case .clientsMax: .count(1...1_000_000)
    case .logLevel: .logLevel
    case .allowInsecureLoopback: .boolean
    case .socket: .path
    }
  }

  /// As it would be written in the file; nil: there is none.
  package var defaultText: String? {
    switch self {
    case .publicURL, .socket: nil
    case .tokenRefreshInterval, .healthInterval: "300s"
    case .tokenExpiryBuffer: "600s"
    case .refreshConcurrency: "256"
    case .refreshConcurrencyPerHost: "8"
    case .connectTimeout: "10s"
    case .requestTimeout: "60s"
    case .responseBytesMax: "64MiB"
    case .capabilityTTL: "86400s"
    case .storeBytesMax: "64GiB"
    case .auditRetentionDays: "400"
    case .clientsMax: "10240"
    case .logLevel: "notice"
    case .allowInsecureLoopback: "false"
    }
  }

  /// For people: `1s to 1h (seconds, or 5min, 300s, 1h)`.
  package var allowed: String {
    switch shape {
    case .duration(let range):
      "\(ConfigurationValue.text(duration: range.lowerBound)) to \(ConfigurationValue.text(duration: range.upperBound))"
        + " (seconds, or with a unit: 500ms, 30s, 5min, 1h, 1d)"
    case .bytes(let range):
      "\(ConfigurationValue.text(bytes: range.lowerBound)) to \(ConfigurationValue.text(bytes: range.upperBound))"
        + " (bytes, or with a unit: 512KiB, 64MiB, 1GiB)"
    case .count(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .boolean: "true or false (also yes, no, on, off, 1, 0)"
    case .logLevel: "critical, error, warning, notice, info or debug"
    case .url: "an https: URL without query and fragment (http: to a loopback address too)"
    case .path: "an absolute path"
    }
  }

  package var help: String {
    switch self {
    case .publicURL:
      "what browsers reach the gateway by; the redirect URI is this and /fhir-connections/callback"
    case .tokenRefreshInterval: "the longest time between two looks at what is due"
    case .tokenExpiryBuffer: "the largest margin before a token's expiry; scaled down for short tokens"
    case .refreshConcurrency: "token requests under way at the same time"
    case .refreshConcurrencyPerHost: "token requests under way at the same time to one authorization server"
    case .healthInterval: "time between two probes of one server, jittered"
    case .connectTimeout: "how long a connection to a server may take"
    case .requestTimeout: "how long a whole request to a server may take"
    case .responseBytesMax: "the longest answer that is read from a server, after decompression"
    case .capabilityTTL: "how long discovered endpoints and capabilities are good for"
    case .storeBytesMax:
      "how large the store's file may grow; from 90 % of it on caches are not written, from 95 % on only tokens"
    case .auditRetentionDays: "days that audit entries are kept"
    case .clientsMax: "local programs connected at the same time"
    case .logLevel: "the least urgent entries that are logged"
    case .allowInsecureLoopback: "http: to loopback addresses, for tests; shown in every status"
    case .socket: "the control socket, where systemd passes none"
    }
  }

  /// What the setting was called in the earlier design.
  package var earlierName: String? { self == .publicURL ? "OAUTH2_REDIRECT_URI" : nil }

  /// The table as text, for `--help`.
  package static var helpText: String {
    let lines = allCases.map { key in
      let meaning = key.help + (key.earlierName.map { " (earlier: \($0))" } ?? "")
      return "  \(key.name)\n      \(meaning)\n      default: \(key.defaultText ?? "none"); allowed: \(key.allowed)"
    }
    return "Settings, in the environment or as KEY=VALUE in \(DaemonConfiguration.defaultFile):\n"
      + lines.joined(separator: "\n")
  }

  /// `/etc/fhird/fhird.env` with every setting commented out.
  package static var sampleFile: String {
    let entries = allCases.map { key in
      "# \(key.help).\n# Allowed: \(key.allowed).\n#\(key.name)=\(key.defaultText ?? "")\n"
    }
    return "# Settings of fhird; see fhird.env(5). The format is that of EnvironmentFile= in systemd.exec(5).\n\n"
      + entries.joined(separator: "\n")
  }

  /// The known name that differs least from a mistyped one; nil when none is near.
  static func nearest(to name: String) -> String? {
    // 4: a dropped word's end or two swaps; more is another word.
    allCases.map { ($0.name, distance($0.name, name)) }.filter { $0.1 <= 4 }.min { $0.1 < $1.1 }?.0
  }

  /// Levenshtein's distance.
  private static func distance(_ a: String, _ b: String) -> Int {
    let b = Array(b.utf8.prefix(100))
    var row = Array(0...b.count)
    for (i, x) in a.utf8.enumerated() {
      var previous = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let substituted = previous + (x == y ? 0 : 1)
        previous = row[j + 1]
        row[j + 1] = min(substituted, previous + 1, row[j] + 1)
      }
    }
    return row[b.count]
  }
}
