/// The program: command line, configuration, start, signals, end.
import ArgumentParser
import ConnectionCore
import DispatchSupport
import FHIRControl
import FoundationEssentials
import Glibc
import SMARTProtocol
import SystemdHost

package enum Program {
  /// Runs the daemon until it is told to stop. Never returns.
  /// - Parameter say: writes one line to standard output.
  package static func main(_ words: [String], say: (String) -> Void) async -> Never {
    let hardening = ProcessHardening.apply()
    let arguments: DaemonArguments
    do { arguments = try DaemonArguments.parsing(words) } catch {
      // Prints the help to standard output, or what is wrong to standard error; EX_USAGE then.
      DaemonArguments.exit(withError: error)
    }
    if arguments.version {
      say("fhird \(productVersion)")
      exit(EXIT_SUCCESS)
    }
    let environment = ProcessInfo.processInfo.environment
    let configuration: DaemonConfiguration
    do throws(ConfigurationErrors) { configuration = try load(arguments, environment) } catch {
      // As text: systemctl shows a control process's lines, not its journal fields.
      report(error, to: JournalLog(minimum: .info, destination: arguments.checkConfig ? .standardError : .automatic))
      exit(EX_CONFIG)
    }
    if arguments.checkConfig {
      say("the configuration is well" + (configuration.file.map { " (\($0))" } ?? ""))
      exit(EXIT_SUCCESS)
    }
    let log = JournalLog(minimum: configuration.logLevel)
    for warning in hardening + configuration.warnings {
      log.record(.warning, "a warning about how fhird is run", [.event: "warning", .detail: warning])
    }
    do throws(StartFailure) {
      let daemon = try await start(configuration, environment, log)
      await serve(daemon, arguments, environment)
      exit(EXIT_SUCCESS)
    } catch {
      log.record(
        .critical, "fhird cannot start", [.event: "start_failed", .detail: error.reason, .cure: error.cure])
      exit(error.status)
    }
  }

  private static func load(
    _ arguments: DaemonArguments, _ environment: [String: String]
  ) throws(ConfigurationErrors) -> DaemonConfiguration {
    try DaemonConfiguration.load(arguments: arguments, environment: environment, readFile: ConfigurationFileText.read)
  }

  private static func report(_ errors: ConfigurationErrors, to log: JournalLog) {
    for problem in errors.problems {
      log.record(
        .error, "a setting cannot be used",
        [.event: "configuration_invalid", .detail: problem.description, .cure: "fhird --help lists the settings"])
    }
  }

  private static func start(
    _ configuration: DaemonConfiguration, _ environment: [String: String], _ log: JournalLog
  ) async throws(StartFailure) -> Daemon {
    let sockets: ListenSockets
    do throws(ListenSockets.Failure) { sockets = try ListenSockets.take() } catch {
      throw StartFailure(error.detail, cure: error.cure, status: EX_CONFIG)
    }
    for name in sockets.closed {
      log.record(.warning, "systemd passed a socket that nobody here knows", [.event: "warning", .detail: name])
    }
    let places = Places(
      directories: ServiceDirectories(environment: environment), configuration: configuration,
      passedSockets: sockets.control)
    let seams = try Seams(environment, log)
    let daemon = try await Daemon(configuration, places: places, seams: seams, log: log, notifier: Notifier())
    try await daemon.start()
    return daemon
  }

  // MARK: Signals

  private enum Signal: Sendable { case stop, reload }

  /// Reloads on SIGHUP, returns when SIGTERM or SIGINT have stopped the daemon.
  private static func serve(_ daemon: Daemon, _ arguments: DaemonArguments, _ environment: [String: String]) async {
    let (signals, arrived) = AsyncStream.makeStream(of: Signal.self)
    let executor = QueueExecutor(label: "fhird.signals")
    do throws(LinuxError) {
      let terminate = try SignalSource(SIGTERM, on: executor) { arrived.yield(.stop) }
      let interrupt = try SignalSource(SIGINT, on: executor) { arrived.yield(.stop) }
      let hangUp = try SignalSource(SIGHUP, on: executor) { arrived.yield(.reload) }
      loop: for await signal in signals {
        switch signal {
        case .stop: break loop
        case .reload: await reload(daemon, arguments, environment)
        }
      }
      await daemon.stop()
      _ = consume terminate
      _ = consume interrupt
      _ = consume hangUp
    } catch {
      daemon.log.record(.critical, "signals cannot be caught", [.event: "start_failed", .detail: "\(error)"])
      await daemon.stop()
    }
  }

  /// All or nothing: a file with one bad line changes nothing.
  private static func reload(_ daemon: Daemon, _ arguments: DaemonArguments, _ environment: [String: String]) async {
    daemon.notifier.reloading()
    do throws(ConfigurationErrors) {
      await daemon.apply(try load(arguments, environment))
      daemon.log.record(.notice, "the configuration was read again", [.event: "reloaded"])
    } catch {
      report(error, to: daemon.log)
      daemon.log.record(
        .error, "the configuration was not changed: it cannot be used as it is", [.event: "reload_failed"])
    }
    await daemon.reloaded()
  }
}
