/// What the tests of the signer share: JSON, tokens, and openssl as the second implementation.
import ConnectionCore
import Foundation
import SMARTProtocol

@testable import JWTSigner

func json(_ value: some Encodable) -> [UInt8] { (try? JSONEncoder().encode(value)).map { Array($0) } ?? [] }

func jwks(_ keys: [String: String]...) -> [UInt8] { json(["keys": keys]) }

extension ClientSigner {
  /// A compact JWS by this key.
  func token(_ header: [String: String], _ material: ClientKeyMaterial) throws -> [UInt8] {
    let input = Array("\(Base64URL.encode(json(header))).\(Vectors.payload)".utf8)
    return input + Array(".\(Base64URL.encode(try signature(input, material)))".utf8)
  }

  func signature(_ input: [UInt8], _ material: ClientKeyMaterial) throws -> [UInt8] {
    try material.privateBytes.withUnsafeBytes { try sign(input, privateBytes: $0, material.algorithm) }
  }
}

/// A directory of its own, gone with the test; openssl works in it.
struct OpenSSL: ~Copyable {
  let directory: String

  init() throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("jwt-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  struct Failed: Error, CustomStringConvertible { var description: String }

  @discardableResult func run(_ arguments: String) throws -> [UInt8] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments.split(separator: " ").map(String.init)
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let bytes = Array(output.fileHandleForReading.readDataToEndOfFile())
    let words = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failed(description: "openssl \(arguments): \(String(decoding: words, as: UTF8.self))")
    }
    return bytes
  }

  func write(_ bytes: [UInt8], _ name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(directory)/\(name)"))
  }
  func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)")))
  }
}

/// Where the sample documents are: `$FHIRD_SHARED` alone.
let sharedFolder = ProcessInfo.processInfo.environment["FHIRD_SHARED"]
