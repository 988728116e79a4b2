/// Where the gateway listens when systemd passes no socket, and where it may.
import NIOCore

enum ListenAddress: Hashable, Sendable {
  /// A numeric address; port 0 lets the kernel choose.
  case network(address: String, port: Int)
  case unix(path: String)

  static let standard = ListenAddress.network(address: "127.0.0.1", port: 8480)

  /// `127.0.0.1:8480`, `[::1]:8480`, `localhost:8480` or `unix:/path`. Names are not looked up.
  init?(_ text: String) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      guard path.hasPrefix("/"), path.utf8.count < 108 else { return nil }
      self = .unix(path: path)
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = String(host.dropFirst().dropLast())
      guard host.contains(":") else { return nil }
    } else if host.contains(":") {
      return nil
    }
    if host == "localhost" { host = "127.0.0.1" }
    guard (try? SocketAddress(ipAddress: host, port: Int(port))) != nil else { return nil }
    self = .network(address: host, port: Int(port))
  }

  var isLocal: Bool {
    switch self {
    case .network(let address, _): Self.isLoopback(address)
    case .unix: true
    }
  }

  /// Of an address as NIO writes it.
  static func isLoopback(_ address: String) -> Bool {
    let bare = address.lowercased().hasPrefix("::ffff:") ? String(address.dropFirst(7)) : address
    return bare == "::1" || bare.hasPrefix("127.")
  }
}
