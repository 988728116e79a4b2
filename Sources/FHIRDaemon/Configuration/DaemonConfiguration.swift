/// The daemon's settings, read and checked as a whole: command line, environment, file, in this order. All problems
/// are told at once, each with where it stands, what was found and what is allowed.
package import ConnectionCore
package import SMARTProtocol

/// One thing that is wrong with the configuration.
package struct ConfigurationProblem: Error, Sendable, Hashable, CustomStringConvertible {
  /// `environment`, `command line`, `/etc/fhird/fhird.env` or `/etc/fhird/fhird.env:12`.
  package var source: String
  /// nil: the file itself, or a line of it, cannot be read.
  package var key: String?
  /// What is wrong; names what was found (never for unknown keys: the value might be a secret) and what is allowed.
  package var sentence: String
  package var description: String { ([source, key].compactMap { $0 } + [sentence]).joined(separator: ": ") }
}

package struct ConfigurationErrors: Error, Sendable, Hashable, CustomStringConvertible {
  package var problems: [ConfigurationProblem]
  package var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// What became of reading a configuration file.
package enum ConfigurationFileText: Sendable, Hashable {
  case absent
  case text(String)
  /// Why it cannot be read: lower case, no full stop.
  case unreadable(String)
}

package struct DaemonConfiguration: Sendable, Hashable {
  package static let defaultFile = "/etc/fhird/fhird.env"

  package var publicURL: FHIRBaseURL?
  package var tokenRefreshInterval: Instant.Span
  package var tokenExpiryBuffer: Instant.Span
  package var refreshConcurrency: Int
  package var refreshConcurrencyPerHost: Int
  package var healthInterval: Instant.Span
  package var connectTimeout: Instant.Span
  package var requestTimeout: Instant.Span
  package var responseBytesMax: Int
  package var capabilityTTL: Instant.Span
  package var storeBytesMax: Int
  package var auditRetentionDays: Int
  package var clientsMax: Int
  package var logLevel: LogLevel
  package var allowInsecureLoopback: Bool
  /// `--socket` or `FHIRD_SOCKET`; nil: systemd's socket, or the default place.
  package var socketPath: String?
  /// `--state-dir`; nil: `$STATE_DIRECTORY`, or the default place.
  package var stateDirectory: String?
  /// `--master-key`; nil: the systemd credential, or the default place.
  package var masterKeyFile: String?
  /// The file that was read, for `reload` and for messages; nil: there is none.
  package var file: String?

  /// What an operator must know of in every status.
  package var warnings: [String] {
    allowInsecureLoopback ? ["http:// to loopback addresses is allowed (FHIRD_ALLOW_INSECURE_LOOPBACK)"] : []
  }

  /// - Parameter readFile: the text of a file; `ConfigurationFileText.read` in the daemon.
  package static func load(
    arguments: DaemonArguments, environment: [String: String], readFile: (String) -> ConfigurationFileText
  ) throws(ConfigurationErrors) -> DaemonConfiguration {
    var reader = ConfigurationReader()
    reader.addCommandLine(arguments)
    reader.addEnvironment(environment)
    reader.addFile(arguments.config ?? defaultFile, isRequired: arguments.config != nil, readFile)
    let configuration = reader.configuration(arguments)
    guard reader.problems.isEmpty else { throw ConfigurationErrors(problems: reader.problems) }
    return configuration
  }
}
