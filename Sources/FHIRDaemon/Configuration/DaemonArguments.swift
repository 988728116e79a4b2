/// The command line of fhird. Under systemd it is empty.
package import ArgumentParser

package struct DaemonArguments: ParsableCommand, Sendable {
  package static let configuration = CommandConfiguration(
    commandName: "fhird", abstract: "Owns FHIR API connections and serves their tokens to local programs.",
    discussion: ConfigurationKey.helpText)

  @Option(help: ArgumentHelp("The directory of the store.", valueName: "dir"))
  package var stateDir: String?

  @Option(help: ArgumentHelp("The control socket.", valueName: "path"))
  package var socket: String?

  @Option(help: ArgumentHelp("The file of the master key, mode 0400.", valueName: "file"))
  package var masterKey: String?

  @Option(help: ArgumentHelp("Settings as KEY=VALUE (default: \(DaemonConfiguration.defaultFile)).", valueName: "file"))
  package var config: String?

  @Flag(help: "Check the configuration, say what is wrong, and exit.")
  package var checkConfig = false

  @Option(help: ArgumentHelp("critical, error, warning, notice, info or debug.", valueName: "level"))
  package var logLevel: String?

  @Flag(help: "Show the version and exit.")
  package var version = false

  package init() {}

  /// - Throws: ArgumentParser's own error; `DaemonArguments.exit(withError:)` shows it, or the help.
  package static func parsing(_ arguments: [String]) throws -> DaemonArguments { try parse(arguments) }
}
