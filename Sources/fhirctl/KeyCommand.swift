/// `fhirctl key`: client keys for servers that take signed assertions instead of a secret (`private_key_jwt`).
import ArgumentParser
import FHIRClient
import FHIRControl

struct KeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key",
    abstract: "Make, rotate and show client keys.",
    discussion: """
      With a key, a client proves itself by a signature (private_key_jwt) and no secret travels. fhird keeps the private \
      half sealed and never gives it out; the server gets the public half, the key set.
      """,
    subcommands: [KeyCreate.self, KeyRotate.self, KeyListCommand.self, KeyJWKS.self])
}

struct KeyCreate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Make a key for a connection, or import one.",
    discussion: """
      ES384 and RS384 are what SMART servers take; RS256 and ES256 are for servers that know nothing else. An imported \
      key is PEM (PKCS#8, PKCS#1 or SEC 1, without a passphrase) or a private JWK; RSA has 2048 bits at least.

      Examples:
        fhirctl key create epic
        fhirctl key create epic --algorithm RS384
        fhirctl key create epic --import client-key.pem --kid 2026-01
        fhirctl key jwks epic > jwks.json   # what the server wants to see
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(
    help: ArgumentHelp(
      "ES384, RS384, ES256 or RS256 (default: ES384, or by the kind of the imported key).", valueName: "name"),
    completion: .list(["ES384", "RS384", "ES256", "RS256"]))
  var algorithm: String?

  @Option(
    name: .customLong("import"),
    help: ArgumentHelp("Read a private key from a file; - is standard input.", valueName: "file"), completion: .file())
  var importFile: String?

  @Option(help: ArgumentHelp("With --import: what the server knows the key by; else its thumbprint.", valueName: "id"))
  var kid: String?

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    if kid != nil, importFile == nil { throw ValidationError("--kid goes with --import") }
  }

  func run() throws {
    let key = try globals.client.createKey(
      name, algorithm: algorithm, privateKey: try imported(), kid: kid, timeoutSeconds: globals.timeout)
    try globals.show(key) { key in
      var facts = Facts()
      facts.add("kid", key.kid)
      facts.add("connection", key.connectionName)
      facts.add("algorithm", key.algorithm)
      facts.add("state", key.state.cell)
      return facts.rendered() + "the server must know it: fhirctl key jwks \(Text.printable(key.connectionName))\n"
    }
  }

  private func imported() throws(Failure) -> String? {
    guard let importFile else { return nil }
    return importFile == "-"
      ? try SecretReader.standardInput(what: "private key") : try SecretReader.file(importFile, what: "private key")
  }
}

struct KeyRotate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate",
    abstract: "Replace a connection's keys.",
    discussion: """
      The new key is published at once and signs after the overlap, so that servers have the time to read the key set \
      again; until then the old one signs, and afterwards it stays published for an hour. With --overlap 0 the new key \
      signs at once; a rotation that is under way ends so.

      Examples:
        fhirctl key rotate epic
        fhirctl key rotate epic --overlap 2d
        fhirctl key rotate epic --overlap 0
      """)

  @Argument(help: "The connection's name or id.", completion: .connections)
  var name: String

  @Option(
    help: ArgumentHelp(
      "How long the old key signs on: seconds, or 90s, 30m, 12h, 7d at the most (default: 1d).", valueName: "time"))
  var overlap: TimeSpan?

  @OptionGroup var globals: GlobalOptions

  func validate() throws {
    if let overlap, overlap.seconds > KeyRotateParameters.overlapSecondsMax {
      throw ValidationError("--overlap is at most \(Int(KeyRotateParameters.overlapSecondsMax / 86_400)) days")
    }
  }

  func run() throws {
    let list = try globals.client.rotateKey(name, overlapSeconds: overlap?.seconds, timeoutSeconds: globals.timeout)
    try globals.show(list) { $0.keys.table }
  }
}

struct KeyListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List client keys.",
    discussion: """
      Examples:
        fhirctl key list
        fhirctl key list epic --json
      """)

  @Argument(help: "The connection's name or id; else all connections.", completion: .connections)
  var name: String?

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    let list = try globals.client.keys(name, timeoutSeconds: globals.timeout)
    try globals.show(list) { list in
      list.keys.isEmpty ? "no client keys: fhirctl key create NAME makes one\n" : list.keys.table
    }
  }
}

struct KeyJWKS: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "jwks", abstract: "Print the public keys as a JWK Set.",
    discussion: """
      This is what a server registers, or reads from the client's jwks_uri. It holds public keys only.

      Examples:
        fhirctl key jwks epic > jwks.json
        fhirctl key jwks | jq '.keys[].kid'
      """)

  @Argument(help: "The connection's name or id; else all connections.", completion: .connections)
  var name: String?

  @OptionGroup var globals: GlobalOptions

  func run() throws {
    // A JWK Set is JSON: with and without --json.
    Console.write(try JSONText.document(try globals.client.keySet(name, timeoutSeconds: globals.timeout)))
  }
}

extension [KeySummary] {
  fileprivate var table: String {
    let now = Moment.now
    let rows = map { key in
      [
        Cell(key.connectionName), Cell(key.kid), Cell(key.algorithm), key.state.cell,
        Cell(Moment.relative(key.signsFrom, to: now)),
        key.publishedUntil.map { Cell(Moment.relative($0, to: now)) } ?? Cell(""),
      ]
    }
    return Table(header: ["CONNECTION", "KID", "ALGORITHM", "STATE", "SIGNS FROM", "PUBLISHED UNTIL"], rows: rows)
      .rendered()
  }
}

extension KeyState {
  fileprivate var cell: Cell {
    switch self {
    case .next: Cell(rawValue, .warning)
    case .active: Cell(rawValue, .good)
    case .retired: Cell(rawValue, .quiet)
    }
  }
}

/// A length of time as people write it: `3600`, `90s`, `30m`, `12h`, `1d`.
struct TimeSpan: ExpressibleByArgument {
  let seconds: Double

  init?(argument: String) {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    let unit = argument.last.flatMap { units[$0] }
    let digits = unit == nil ? argument[...] : argument.dropLast()
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Double(digits) else {
      return nil
    }
    seconds = number * (unit ?? 1)
  }
}
