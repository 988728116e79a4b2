/// Where a secret comes from: a file, standard input, or a person who types it unseen. Never an argument.
import ArgumentParser
import Glibc

struct SecretFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp("Read the client secret from a file; - is standard input.", valueName: "file"),
    completion: .file())
  var clientSecretFile: String?

  @Flag(help: "Read the client secret from standard input.")
  var clientSecretStdin = false

  @Flag(help: "Ask for the client secret on the terminal, without echo.")
  var clientSecretPrompt = false

  func validate() throws {
    let sources = [clientSecretFile != nil, clientSecretStdin, clientSecretPrompt]
    guard sources.count(where: { $0 }) <= 1 else {
      throw ValidationError("give one of --client-secret-file, --client-secret-stdin and --client-secret-prompt")
    }
  }

  /// - Parameter wanted: the connection cannot do without; a person at a terminal is asked.
  func secret(wanted: Bool) throws(Failure) -> String? {
    if clientSecretStdin || clientSecretFile == "-" { return try SecretReader.standardInput() }
    if let clientSecretFile { return try SecretReader.file(clientSecretFile) }
    guard clientSecretPrompt || (wanted && Console.inputIsTerminal) else { return nil }
    return try SecretReader.prompt()
  }
}

enum SecretReader {
  /// The longest secret that is read, in bytes: far above any real one.
  static let secretBytesMax = 16 << 10
  static let clientSecret = "client secret"

  /// - Parameter what: what is looked for, for sentences.
  static func file(_ path: String, what: String = clientSecret) throws(Failure) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else {
      throw .usage(
        "\(path) cannot be read: \(String(cString: strerror(errno)))", hint: "name a file that holds the \(what) alone")
    }
    defer { _ = close(descriptor) }
    var facts = stat()
    if fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, facts.st_mode & 0o077 != 0 {
      Console.complain("fhirctl: \(Text.printable(path)) holds a secret and can be opened by others\n")
      Console.complain("hint: chmod 600 \(Text.printable(path))\n")
    }
    return try secret(from: descriptor, name: path, what: what)
  }

  static func standardInput() throws(Failure) -> String {
    Console.inputIsTerminal ? try prompt() : try standardInput(what: clientSecret)
  }

  /// For what nobody types: a terminal is refused.
  static func standardInput(what: String) throws(Failure) -> String {
    guard !Console.inputIsTerminal else {
      throw .usage("standard input is a terminal", hint: "send the \(what) in: … < FILE, or name the file")
    }
    return try secret(from: STDIN_FILENO, name: "standard input", what: what)
  }

  static func prompt() throws(Failure) -> String {
    guard Console.inputIsTerminal else {
      throw .usage(
        "standard input is not a terminal, so nobody can be asked for the client secret",
        hint: "use --client-secret-file FILE or --client-secret-stdin")
    }
    var line = try HiddenInput.line(asking: "client secret: ", bytesMax: secretBytesMax)
    defer { wipe(&line) }
    return try text(line, name: "the terminal", what: clientSecret)
  }

  private static func secret(from descriptor: Int32, name: String, what: String) throws(Failure) -> String {
    var bytes = [UInt8](repeating: 0, count: secretBytesMax + 1)
    defer { wipe(&bytes) }
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + count, $0.count - count) }
      if got > 0 {
        count += got
      } else if got == 0 {
        break
      } else if errno != EINTR {
        throw .usage("\(name) cannot be read: \(String(cString: strerror(errno)))", hint: "try another file")
      }
    }
    guard count <= secretBytesMax else {
      throw .usage(
        "\(name) holds more than \(secretBytesMax) bytes, which is no \(what)",
        hint: "name a file that holds the \(what) alone")
    }
    // One line end is the editor's, not the secret's.
    if count > 0, bytes[count - 1] == UInt8(ascii: "\n") { count -= 1 }
    if count > 0, bytes[count - 1] == UInt8(ascii: "\r") { count -= 1 }
    return try text(Array(bytes[..<count]), name: name, what: what)
  }

  private static func text(_ bytes: [UInt8], name: String, what: String) throws(Failure) -> String {
    guard !bytes.isEmpty else {
      throw .usage("\(name) gave no \(what)", hint: "give it again, or leave out the option that reads it")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .usage("the \(what) from \(name) is not UTF-8 text", hint: "name a file that holds the \(what) alone")
    }
    return text
  }
}

/// Overwrites what held a secret. Best effort: the copies that Swift makes of a text are not reached.
func wipe(_ bytes: inout [UInt8]) {
  bytes.withUnsafeMutableBytes { buffer in
    if let base = buffer.baseAddress { explicit_bzero(base, buffer.count) }
  }
  bytes.removeAll()
}
