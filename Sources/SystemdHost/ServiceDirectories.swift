/// Where this daemon's files are: the directories that systemd made for it, or those of a user who runs it by hand.
import Glibc

package struct ServiceDirectories: Sendable, Hashable {
  private static let program = "fhird"
  private static let socketFile = "fhird.sock"

  /// Started by systemd itself, not by a person in a shell that systemd started: that inherits INVOCATION_ID and
  /// JOURNAL_STREAM.
  package let isService: Bool
  /// The store. nil: by hand, and the user has no home.
  package let state: String?
  package let runtime: String
  /// Where the control socket is when nobody says otherwise: where clients look for it.
  package let socketPath: String
  /// nil: systemd passed no credentials.
  package let credentials: String?
  /// nil: not from systemd; the settings file's default place holds.
  package let configuration: String?

  /// - Parameters:
  ///   - home: the user database's; asked only when `HOME` is not set.
  package init(
    environment: [String: String], pid: Int32 = getpid(), uid: UInt32 = geteuid(),
    home: (UInt32) -> String? = { SystemNames().home(of: $0) }
  ) {
    /// systemd.exec(5): several directories stand with colons between them.
    func given(_ name: String) -> String? {
      environment[name]?.split(separator: ":").first.map(String.init)
    }
    /// XDG Base Directory Specification: a path that is not absolute is to be ignored.
    func absolute(_ path: String?) -> String? { path.flatMap { $0.hasPrefix("/") ? $0 : nil } }

    isService = environment["SYSTEMD_EXEC_PID"] == "\(pid)" || given("STATE_DIRECTORY") != nil
    credentials = given("CREDENTIALS_DIRECTORY")
    configuration = given("CONFIGURATION_DIRECTORY")
    let states =
      absolute(environment["XDG_STATE_HOME"])
      ?? (absolute(environment["HOME"]) ?? absolute(home(uid))).map { "\($0)/.local/state" }
    state = given("STATE_DIRECTORY") ?? states.map { "\($0)/\(Self.program)" }
    if let directory = given("RUNTIME_DIRECTORY") {
      runtime = directory
      socketPath = "\(directory)/\(Self.socketFile)"
    } else if let directory = absolute(environment["XDG_RUNTIME_DIR"]) {
      runtime = "\(directory)/\(Self.program)"
      socketPath = "\(directory)/\(Self.socketFile)"
    } else {
      runtime = "/tmp/\(Self.program)-\(uid)"
      socketPath = "\(runtime)/\(Self.socketFile)"
    }
  }
}
