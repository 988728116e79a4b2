/// The command line of `fhird-gateway`, and its life from start to SIGTERM.
package import ArgumentParser
import FHIRControl
import Glibc
import NIOPosix

package struct GatewayCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "fhird-gateway",
    abstract: "Bring browsers back to fhird: login callbacks, EHR launches, the public key set.",
    discussion: """
      fhird-gateway speaks HTTP to the outside and asks the daemon fhird over its Unix socket; it holds no secret. TLS \
      must be in front of it: a reverse proxy that passes these paths on.

        GET /fhir-connections/callback        a login comes back from the authorization server
        GET /fhir-connections/ID/callback     the same, for connections that need an address of their own
        GET /launch                           a launch out of an EHR (iss, launch)
        GET /.well-known/jwks.json            public keys of private_key_jwt clients
        GET /healthz, GET /readyz             the gateway is alive; the daemon answers

      The daemon must let it:
        fhirctl access grant unit:fhird-gateway.service --method authorization.complete \\
          --method authorization.start --method jwks.get --method health.get

      A listening socket that systemd passes is used instead of --listen.

      Exit status: 0 ended by SIGTERM or SIGINT; 64 wrong usage; 69 the address cannot be used; 78 what systemd passed \
      cannot be listened on.
      """,
    version: "fhird-gateway \(productVersion)")

  @Option(
    help: ArgumentHelp(
      "Where to listen: ADDRESS:PORT, or unix:PATH. 127.0.0.1:8480 unless given.", valueName: "address"))
  var listen: String?

  @Option(
    help: ArgumentHelp(
      "The daemon's socket; else $FHIRD_SOCKET, /run/fhird/fhird.sock or $XDG_RUNTIME_DIR/fhird.sock.",
      valueName: "path"), completion: .file())
  var socket: String?

  @Flag(help: "Believe the last address in X-Forwarded-For: every request comes through a proxy that sets it.")
  var trustedProxy = false

  @Flag(help: "Listen also where other machines can connect, without TLS.")
  var listenAnywhere = false

  @Option(help: ArgumentHelp("error, warning, notice, info or debug. No level shows a secret.", valueName: "level"))
  var logLevel = "notice"

  package init() {}

  package mutating func validate() throws {
    if let socket, socket.isEmpty { throw ValidationError("--socket needs a path") }
    guard GatewayLog.Level(name: logLevel) != nil else {
      throw ValidationError("--log-level is error, warning, notice, info or debug")
    }
    guard let listen else { return }
    guard let address = ListenAddress(listen) else {
      throw ValidationError("--listen is a numeric ADDRESS:PORT, localhost:PORT or unix:/PATH")
    }
    guard address.isLocal || listenAnywhere else { throw ValidationError(Self.notLocal) }
  }

  static let notLocal =
    "other machines could connect to this address without TLS; put a proxy in front, or say --listen-anywhere"
}

/// Runs the gateway and ends the process's main thread with its exit status.
package enum GatewayProgram {
  package static func run(_ arguments: [String]) -> Int32 {
    let command: GatewayCommand
    do {
      command = try GatewayCommand.parse(arguments)
    } catch {
      let status = GatewayCommand.exitCode(for: error).rawValue
      if status == 0 {
        GatewayLog.write(GatewayCommand.fullMessage(for: error) + "\n", to: STDOUT_FILENO)
      } else {
        let message = GatewayCommand.message(for: error)
        tell(message.prefix(1).lowercased() + message.dropFirst(), hint: "fhird-gateway --help")
      }
      return status
    }
    do throws(StartFailure) {
      return try run(command)
    } catch {
      tell(error.message, hint: error.cure)
      return error.exitStatus
    }
  }

  private static func tell(_ message: String, hint: String) {
    GatewayLog.toStandardError("fhird-gateway: \(message)\nhint: \(hint)\n")
  }

  private static func run(_ command: GatewayCommand) throws(StartFailure) -> Int32 {
    let passed = try ServiceManager.takeSockets()
    // Blocked before the first thread, so in all of them: only sigwait below takes them.
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT] { unsafe sigaddset(&signals, signal) }
    _ = unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    _ = Glibc.signal(SIGPIPE, SIG_IGN)

    let log = GatewayLog(level: GatewayLog.Level(name: command.logLevel) ?? .notice)
    let gateway = Gateway(socketPath: command.socket, trustsProxy: command.trustedProxy, log: log)
    let places: [Server.Place] =
      passed.isEmpty
      ? [.address(command.listen.flatMap { ListenAddress($0) } ?? .standard)] : passed.map { .descriptor($0) }
    let running = try RunningGateway(places, gateway, allowsAnywhere: command.listenAnywhere)
    for address in running.addresses { log.tell(.notice, "listening", ["address": address]) }
    ServiceManager.notify("READY=1\nSTATUS=listening on \(running.addresses.joined(separator: ", "))")

    var signal: Int32 = 0
    while unsafe sigwait(&signals, &signal) != 0 {}
    log.tell(.notice, "stopping", ["signal": "\(signal)"])
    ServiceManager.notify("STOPPING=1\nSTATUS=answers under way are finished")
    running.stop()
    gateway.stop()
    return 0
  }
}
