/// Waits at a loopback redirect URI for the browser's return: one login answered, everything else sent away.
/// Source: RFC 8252 section 7.3.
import FHIRClient
import FHIRControl
import Glibc

struct LoopbackListener {
  private let socket: Int32
  private let path: String
  private let origin: String

  /// A request line and its headers; a browser sends less than a tenth.
  static let requestBytesMax = 64 << 10
  /// How long a browser may take to send its request.
  static let requestMilliseconds: Int32 = 5_000
  /// How long a browser may take to follow to the page without the code.
  static let resultMilliseconds = 3_000
  /// Where a browser begins when the request is too long for an address.
  static let startPath = "/fhirctl-login"
  /// Where the code has left the address bar.
  static let resultPath = "/fhirctl-result"

  /// The address to open instead of the server's own, for a request that must be posted.
  var startURL: String { origin + Self.startPath }

  /// nil: the redirect URI is not a loopback one; somebody else waits there.
  init?(redirectURI: String) throws(Failure) {
    let scheme = "http://"
    guard redirectURI.hasPrefix(scheme) else { return nil }
    let rest = redirectURI.dropFirst(scheme.count)
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    let target = rest.dropFirst(authority.count)
    path = String(target.prefix { $0 != "?" }).isEmpty ? "/" : String(target.prefix { $0 != "?" })
    origin = scheme + authority
    let isV6 = authority.hasPrefix("[")
    let host = isV6 ? String(authority.dropFirst().prefix { $0 != "]" }) : String(authority.prefix { $0 != ":" })
    let portText = isV6 ? authority.drop { $0 != "]" }.dropFirst(2) : authority.dropFirst(host.count + 1)
    guard let port = portText.isEmpty ? 80 : UInt16(portText) else {
      throw .usage("the redirect URI has no usable port: \(redirectURI)", hint: "fhirctl login NAME --paste")
    }
    let family = host == "::1" ? AF_INET6 : AF_INET
    guard ["127.0.0.1", "localhost", "::1"].contains(host) else { return nil }
    socket = Glibc.socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw Self.cannotListen(redirectURI) }
    var yes: Int32 = 1
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    guard Self.bind(socket, family, port) == 0, listen(socket, 8) == 0 else {
      let failure = Self.cannotListen(redirectURI)
      close(socket)
      throw failure
    }
  }

  private static func cannotListen(_ uri: String) -> Failure {
    Failure(
      "nobody can wait at \(uri): \(String(cString: strerror(errno)))",
      hint: "end the program that has the port, or use fhirctl login NAME --paste", exitStatus: 1)
  }

  private static func bind(_ socket: Int32, _ family: Int32, _ port: UInt16) -> Int32 {
    if family == AF_INET6 {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      address.sin6_addr = in6addr_loopback
      return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// Returns what the first real answer led to; the browser is told too. The port is free again afterwards.
  /// - Parameters:
  ///   - form: what the page at `startURL` posts.
  ///   - complete: takes the whole redirect URL.
  func answer(
    until deadline: Timestamp, form: AuthorizationForm?, _ complete: (String) throws -> AuthorizationStatus
  ) throws -> AuthorizationStatus {
    defer { close(socket) }
    while true {
      let left = deadline.milliseconds - Moment.now.milliseconds
      guard left > 0 else { throw Failure("the login has expired", hint: "begin again", exitStatus: 3) }
      guard let (client, target) = next(within: min(left, 60_000)) else { continue }
      defer { close(client) }
      if target == Self.startPath, let form {
        LoopbackPage.start(form).send(to: client)
        continue
      }
      guard target.prefix(while: { $0 != "?" }) == path, target.contains("?") else {
        // A favicon, a port scanner, half a request.
        LoopbackPage.nothingHere.send(to: client)
        continue
      }
      do {
        let status = try complete(origin + target)
        showResult(status.progress == .completed ? .loggedIn : .notLoggedIn, client)
        return status
      } catch {
        showResult(.notLoggedIn, client)
        throw error
      }
    }
  }

  /// R1.08: the code leaves the address bar; a browser that does not follow has seen an empty page.
  private func showResult(_ page: LoopbackPage, _ client: Int32) {
    LoopbackPage.redirect(to: Self.resultPath).send(to: client)
    shutdown(client, Int32(SHUT_WR))
    let end = Moment.now.milliseconds + Int64(Self.resultMilliseconds)
    while true {
      let left = end - Moment.now.milliseconds
      guard left > 0 else { return }
      guard let (other, target) = next(within: left) else { continue }
      defer { close(other) }
      guard target == Self.resultPath else {
        LoopbackPage.nothingHere.send(to: other)
        continue
      }
      return page.send(to: other)
    }
  }

  /// Somebody who has connected, and what they ask for; empty: half a request.
  private func next(within milliseconds: Int64) -> (client: Int32, target: String)? {
    var item = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    guard poll(&item, 1, Int32(milliseconds)) > 0 else { return nil }
    let client = accept(socket, nil, nil)
    return client < 0 ? nil : (client, Self.target(of: client) ?? "")
  }

  /// The target of a GET; nil: something else, or nothing in time.
  private static func target(of client: Int32) -> String? {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    let end = Array("\r\n\r\n".utf8)
    while bytes.count < requestBytesMax {
      var item = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
      guard poll(&item, 1, requestMilliseconds) > 0 else { return nil }
      let count = read(client, &buffer, buffer.count)
      guard count > 0 else { return nil }
      bytes += buffer.prefix(count)
      guard bytes.count >= 4, bytes.suffix(4).elementsEqual(end) else { continue }
      let line = bytes.prefix { $0 != UInt8(ascii: "\r") }
      let words = line.split(separator: UInt8(ascii: " "))
      guard words.count == 3, words[0].elementsEqual("GET".utf8) else { return nil }
      return String(decoding: words[1], as: UTF8.self)
    }
    return nil
  }
}
