/// `fhirctl login`: sends a person to the server's login page and waits until there is a grant.
import ArgumentParser
import FHIRClient
import FHIRControl
import Glibc

struct LoginCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "login",
    abstract: "Log in at a server by browser, for a connection's grant.",
    discussion: """
      Prints an address, opens it where there is a browser, and waits until the server has sent the browser back. Where \
      it is sent back to is the redirect URI, which must be registered at the server:

        http://127.0.0.1:PORT/…   fhirctl itself waits there. On another machine than the browser's, forward the port \
      first: ssh -L PORT:127.0.0.1:PORT server
        https://…                 the gateway waits there (FHIRD_PUBLIC_URL).

      With --device no browser comes back: the person opens a page of the server on any device and types a code there \
      (RFC 8628, where the server has it).

      With --paste nobody waits: paste the address that the browser ends at, even if it shows an error page.

      Examples:
        fhirctl login epic
        fhirctl login epic --subject patient-7 --no-browser
        fhirctl login epic --paste
        fhirctl login epic --device
        fhirctl login epic --redirect-uri http://127.0.0.1:8765/callback
      """)

  @OptionGroup var grant: GrantOptions

  @Option(help: ArgumentHelp("What to ask for; else the connection's scope.", valueName: "scopes"))
  var scope: String?

  @Option(
    name: .customLong("redirect-uri"),
    help: ArgumentHelp("Where the browser is sent back to; else the connection's, else the gateway.", valueName: "url"))
  var redirectURI: String?

  @Flag(help: "Do not open a browser.")
  var noBrowser = false

  @Flag(help: "Take the address that the browser ends at from standard input.")
  var paste = false

  @Flag(help: "Type a code on any device instead of coming back by browser.")
  var device = false

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    if device, paste || redirectURI != nil { throw ValidationError("--device goes without --paste and --redirect-uri") }
  }

  func run() throws {
    let client = globals.client
    let login = try client.startLogin(
      AuthorizationStartParameters(
        connection: grant.name, subject: grant.subject, scope: scope, redirectURI: redirectURI,
        flow: device ? "device" : nil),
      timeoutSeconds: globals.timeout)
    let status: AuthorizationStatus
    do {
      status = try wait(for: login, client)
    } catch {
      // Nobody waits any more: what comes now should not find an open door.
      _ = try? client.cancelLogin(state: login.state)
      throw error
    }
    guard status.progress == .completed else { throw Self.failure(status, grant) }
    try globals.show(status) { $0.text(at: Moment.now) }
  }

  private func wait(for login: AuthorizationStart, _ client: FHIRClient) throws -> AuthorizationStatus {
    guard let redirectURI = login.redirectURI else { return try waitForDevice(login, client) }
    let listener = paste ? nil : try LoopbackListener(redirectURI: redirectURI)
    let form = listener == nil ? nil : login.authorizationPost
    let address = form == nil ? login.authorizationURL : listener?.startURL ?? login.authorizationURL
    // In front of everything else: with --json, standard output is for the result alone.
    let text = "open this address in a browser:\n\n  \(Text.printable(address))\n\n"
    if globals.json { Console.complain(text) } else { Console.write(text) }
    if !noBrowser { Browser.open(address) }
    let deadline = login.expiresAt
    Console.complain(Self.advice(login, redirectURI, paste: paste, listens: listener != nil))
    if paste {
      let address = try PastedAddress.read(until: deadline)
      return try client.completeLogin(AuthorizationCompleteParameters(redirectURL: address))
    }
    if let listener {
      return try listener.answer(until: deadline, form: form) { address in
        try client.completeLogin(AuthorizationCompleteParameters(redirectURL: address))
      }
    }
    return try Self.poll(client, login)
  }

  /// The daemon asks the server; the person types the code.
  private func waitForDevice(_ login: AuthorizationStart, _ client: FHIRClient) throws -> AuthorizationStatus {
    var text = "open this address on any device:\n\n  \(Text.printable(login.authorizationURL))\n\n"
    text += "and type the code:\n\n  \(Text.printable(login.userCode ?? ""))\n\n"
    if let whole = login.authorizationURLComplete { text += "or open:\n\n  \(Text.printable(whole))\n\n" }
    if globals.json { Console.complain(text) } else { Console.write(text) }
    if !noBrowser { Browser.open(login.authorizationURLComplete ?? login.authorizationURL) }
    Console.complain("waiting until that is done; the login ends \(Moment.relative(login.expiresAt))\n")
    return try Self.poll(client, login)
  }

  private static func advice(_ login: AuthorizationStart, _ redirectURI: String, paste: Bool, listens: Bool) -> String {
    let time = Moment.relative(login.expiresAt)
    if paste { return "then paste the address that the browser ends at; the login ends \(time)\n" }
    if listens { return "waiting at \(Text.printable(redirectURI)); the login ends \(time)\n" }
    return "waiting for the gateway at \(Text.printable(redirectURI)); the login ends \(time)\n"
  }

  /// The gateway completes it; the daemon knows when.
  private static func poll(_ client: FHIRClient, _ login: AuthorizationStart) throws -> AuthorizationStatus {
    while true {
      let status = try client.loginStatus(state: login.state)
      switch status.progress {
      case .pending, .redeeming: usleep(pollMicroseconds)
      case .completed, .failed, .cancelled, .expired: return status
      }
    }
  }

  /// Half a second: a person does not notice, and the daemon neither.
  private static let pollMicroseconds: UInt32 = 500_000

  private static func failure(_ status: AuthorizationStatus, _ grant: GrantOptions) -> Failure {
    let words = status.error?.message ?? "the login was \(status.progress.rawValue)"
    return Failure(words, hint: "begin again: fhirctl login \(grant.name)", exitStatus: 3)
  }
}

extension AuthorizationStatus {
  func text(at now: Timestamp) -> String {
    var text = "logged in: \(Text.printable(connectionName))"
    if let subject { text += ", subject \(Text.printable(subject))" }
    text += "\n"
    if let token {
      text += token.facts(at: now).rendered()
      if token.hasRefreshToken == false {
        text +=
          "the server gave no refresh token: the grant ends with its access token; "
          + "ask for the scope offline_access\n"
      }
    }
    return text
  }
}

/// What a person pastes.
enum PastedAddress {
  /// The longest address that is read, in bytes: browsers end at less.
  static let bytesMax = 64 << 10

  static func read(until deadline: Timestamp) throws(Failure) -> String {
    var bytes: [UInt8] = []
    while bytes.count <= bytesMax {
      let left = deadline.milliseconds - Moment.now.milliseconds
      guard left > 0 else { throw Failure("the login has expired", hint: "begin again", exitStatus: 3) }
      var item = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      guard poll(&item, 1, Int32(min(left, 60_000))) > 0 else { continue }
      var byte: UInt8 = 0
      let count = Glibc.read(STDIN_FILENO, &byte, 1)
      if count == 0 || byte == UInt8(ascii: "\n") {
        let text = String(decoding: bytes, as: UTF8.self)
        // An empty line is a slip of the finger.
        if !text.allSatisfy(\.isWhitespace) { return text }
        guard count > 0 else {
          throw .usage("standard input ended without an address", hint: "paste the address that the browser ends at")
        }
        bytes = []
      } else if count > 0 {
        bytes.append(byte)
      } else if errno != EINTR {
        throw Failure("standard input cannot be read: \(String(cString: strerror(errno)))", exitStatus: 1)
      }
    }
    throw .usage("that is longer than any address", hint: "paste the address that the browser ends at, and no more")
  }
}

/// The desktop's browser, where there is a desktop.
enum Browser {
  static func open(_ url: String) {
    let hasDesktop = ["DISPLAY", "WAYLAND_DISPLAY"].contains { !(Console.environment($0) ?? "").isEmpty }
    guard hasDesktop else { return }
    var words: [UnsafeMutablePointer<CChar>?] = [strdup("xdg-open"), strdup(url)]
    words.append(nil)
    defer { for case let word? in words { free(word) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    var child: pid_t = 0
    // Without a browser the address on the screen is all there is, as it says.
    _ = posix_spawnp(&child, "xdg-open", &actions, nil, words, environ)
  }
}
