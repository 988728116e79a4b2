/// `fhirctl exec`: runs a command with a token in a sealed, inherited descriptor.
import ArgumentParser
import CLinux
import FHIRClient
import FHIRControl
import Glibc

struct ExecCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec",
    abstract: "Run a command that finds a token in a file.",
    discussion: """
      The command gets two environment variables: FHIR_BASE_URL, and FHIR_ACCESS_TOKEN_FILE, the path of a file that \
      holds the access token alone, without a newline. The file is a descriptor that only this command and its children \
      have; the token is neither in the environment nor in the arguments, and goes away with them. The exit status is \
      the command's; 127 when it is not found, 126 when it cannot be run.

      Examples:
        fhirctl exec epic -- ./nightly-import --since yesterday
        fhirctl exec epic --min-valid 600 -- sh -c 'wc -c < "$FHIR_ACCESS_TOKEN_FILE"'
      """)

  /// Above the descriptors that shells and scripts give numbers to by hand; below every usual limit (1024).
  static let descriptorMin: Int32 = 64

  @OptionGroup var grant: GrantOptions
  @OptionGroup var validity: MinValidOption

  // In front of the command, so that the usage line says where they go: behind -- everything is the command's.
  @OptionGroup var globals: GlobalOptions

  @Argument(parsing: .postTerminator, help: "The command and its arguments, after --.")
  var command: [String]

  func validate() throws {
    if globals.json { throw ValidationError("exec prints nothing of its own, so it has no --json") }
  }

  func run() throws {
    let result = try globals.client.token(
      grant.name, subject: grant.subject, minValidSeconds: validity.minValid, timeoutSeconds: globals.timeout)
    var bytes = Array(try result.checkedToken.utf8)
    let descriptor = clinux_sealed_file("fhir-access-token", bytes, bytes.count, Self.descriptorMin)
    let failure = errno
    wipe(&bytes)
    guard descriptor >= 0 else {
      throw Failure("no file can be made for the token: \(String(cString: strerror(failure)))", exitStatus: 1)
    }
    setenv("FHIR_BASE_URL", result.fhirBaseURL, 1)
    setenv("FHIR_ACCESS_TOKEN_FILE", "/proc/self/fd/\(descriptor)", 1)
    throw Self.replaceProcess(command)
  }

  /// Returns only where the command could not be started.
  private static func replaceProcess(_ command: [String]) -> Failure {
    var arguments = command.map { strdup($0) }
    arguments.append(nil)
    execvp(command[0], arguments)
    let failure = errno
    for case let argument? in arguments { free(argument) }
    // POSIX, Shell Command Language 2.8.2: 127 not found, 126 found but not to be run.
    let words = failure == ENOENT ? "command not found" : String(cString: strerror(failure))
    return Failure("\(command[0]): \(words)", exitStatus: failure == ENOENT ? 127 : 126)
  }
}
