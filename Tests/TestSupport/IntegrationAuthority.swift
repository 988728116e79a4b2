/// A CA and one certificate of it, made by the `openssl` command, for servers that tests talk TLS to.
import FoundationEssentials

package struct Authority: Sendable {
  package static let openssl = TestMachine.program("openssl")

  package let directory: String
  package var caFile: String { directory + "/ca.pem" }
  package var certificate: String { directory + "/server.pem" }
  package var key: String { directory + "/server.key" }

  /// - Parameter days: how long from now the certificate is good; less than 0: it has expired so long ago.
  package static func make(names: String = "IP:127.0.0.1,DNS:localhost", days: Int = 30) async throws -> Authority {
    let directory = try TestMachine.makeDirectory()
    guard let openssl else { throw IntegrationFailure("no openssl on this machine") }
    func run(_ arguments: [String]) async throws {
      let result = try await runProgram(openssl, arguments)
      guard result.succeeded else { throw IntegrationFailure("openssl: \(result.error)") }
    }
    let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    try await run(
      ["req", "-x509"] + newKey + [
        "-days", "30", "-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
        "keyUsage=critical,keyCertSign,cRLSign", "-keyout", directory + "/ca.key", "-out", directory + "/ca.pem",
      ])
    try await run(
      ["req"] + newKey + [
        "-subj", "/CN=server", "-keyout", directory + "/server.key", "-out", directory + "/server.csr",
      ])
    let extensions = "subjectAltName=\(names)\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
    try extensions.write(toFile: directory + "/extensions", atomically: true, encoding: .utf8)
    try await run([
      "x509", "-req", "-in", directory + "/server.csr", "-CA", directory + "/ca.pem", "-CAkey", directory + "/ca.key",
      "-CAcreateserial", "-days", "\(days)", "-extfile", directory + "/extensions", "-out", directory + "/server.pem",
    ])
    return Authority(directory: directory)
  }
}
