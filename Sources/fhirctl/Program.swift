/// Runs one command line and turns whatever it throws into words on standard error and an exit status.
import ArgumentParser
import FHIRClient
import FHIRControl

enum Program {
  static func run(_ arguments: [String]) -> Int32 {
    do {
      try SecretArguments.refuse(in: arguments)
      var command = try Fhirctl.parseAsRoot(arguments)
      try command.run()
      return 0
    } catch let error as ClientError {
      return Failure(error).tell()
    } catch let error as Failure {
      return error.tell()
    } catch {
      return tellParser(error)
    }
  }

  /// The argument parser's own endings: help, version, completions, usage errors, bare exit codes.
  private static func tellParser(_ error: any Error) -> Int32 {
    let status = Fhirctl.exitCode(for: error).rawValue
    if status == 0 {
      Console.write("\(Fhirctl.fullMessage(for: error))\n")
      return 0
    }
    let message = Fhirctl.message(for: error)
    // A bare exit code has said what it had to say.
    guard !message.isEmpty else { return status }
    return Failure(decapitalized(message), hint: usageHint(Fhirctl.fullMessage(for: error)), exitStatus: status).tell()
  }

  private static func decapitalized(_ text: String) -> String {
    text.prefix(1).lowercased() + text.dropFirst()
  }

  /// The parser ends its usage text with `See 'fhirctl token get --help' for more information.`
  private static func usageHint(_ text: String) -> String? {
    guard let line = text.split(separator: "\n").last(where: { $0.contains("See '") }) else { return nil }
    return line.split(separator: "'").dropFirst().first.map(String.init)
  }
}

/// What failed, what to do, and the status to exit with.
struct Failure: Error {
  var message: String
  /// More lines, under the message.
  var details: [String] = []
  var hint: String?
  var exitStatus: Int32

  init(_ message: String, hint: String? = nil, exitStatus: Int32) {
    self.message = message
    self.hint = hint
    self.exitStatus = exitStatus
  }

  /// A wrong command line: 64 is `EX_USAGE` of sysexits.h.
  static func usage(_ message: String, hint: String) -> Failure {
    Failure(message, hint: hint, exitStatus: 64)
  }

  init(_ error: ClientError) {
    message = error.message
    hint = error.hint
    exitStatus = error.exitStatus
    guard let data = error.controlError?.data else { return }
    if data.detail != message, !data.detail.isEmpty { details.append(data.detail) }
    for field in data.fields ?? [] { details.append("\(FieldFlag.name(of: field.field)): \(field.message)") }
    if let oauth = data.oauth, !"\(message) \(data.detail)".contains(oauth.error) {
      let words = [oauth.error, oauth.errorDescription, oauth.errorURI].compactMap { $0 }
      details.append("the authorization server said: \(words.joined(separator: ", "))")
    }
    if let seconds = data.retryAfterSeconds {
      let again = "try again in \(Moment.span(seconds))"
      hint = hint.map { "\($0); \(again)" } ?? again
    }
  }

  /// - Returns: the exit status.
  func tell() -> Int32 {
    var text = "fhirctl: \(Text.printable(message))\n"
    for line in details { text += "  \(Text.printable(line))\n" }
    if let hint { text += "hint: \(Text.printable(hint))\n" }
    Console.complain(text)
    return exitStatus
  }
}

/// Secrets in arguments can be read by every user of the machine (`ps`), so they are refused before anything else looks
/// at them, and never quoted.
enum SecretArguments {
  static func refuse(in arguments: [String]) throws(Failure) {
    for argument in arguments {
      if argument == "--" { return }
      guard argument.hasPrefix("--") else { continue }
      let name = argument.prefix { $0 != "=" }.replacing("_", with: "-")
      guard name == "--client-secret" || name == "--access-token" || name == "--password" else { continue }
      throw .usage(
        "a secret is not taken from the command line, where other users of the machine can read it",
        hint: "leave it out to be asked, or use --client-secret-file FILE or --client-secret-stdin")
    }
  }
}
