/// HTTP/1.1 on listening sockets: Hummingbird's channel under our own limits, so that a socket of systemd can be used.
import Glibc
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOExtras
import NIOHTTPTypes
import NIOPosix

/// One listening socket and its connections.
///
/// Hummingbird's own `Server` binds addresses and cannot adopt a descriptor; its `HTTP1Channel`, the parser, the limits
/// and the idle timeout are what is used here.
struct Server: Sendable {
  enum Place: Sendable {
    case address(ListenAddress)
    case descriptor(Int32)
  }

  typealias Listener = NIOAsyncChannel<HTTP1Channel.Value, Never>
  /// Hummingbird's log would quote requests, with codes in them.
  private static let quiet = Logger(label: "http") { _ in SwiftLogNoOpLogHandler() }

  private let listener: Listener
  private let quiescing: ServerQuiescingHelper
  private let channel: HTTP1Channel

  init(_ place: Place, gateway: Gateway, group: MultiThreadedEventLoopGroup) async throws {
    let quiescing = ServerQuiescingHelper(group: group)
    let channel = Self.channel(gateway)
    // Backlog and SO_REUSEADDR of a descriptor that systemd passes are as its unit says.
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let available = AvailableConnectionsChannelHandler(
            delegate: MaximumAvailableConnections(Limits.connectionsMax, logger: Self.quiet))
          try channel.pipeline.syncOperations.addHandler(available)
          try channel.pipeline.syncOperations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
        }
      }
      .childChannelOption(.allowRemoteHalfClosure, value: true)
    let bound =
      bootstrap
      .serverChannelOption(.backlog, value: Limits.backlog)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    let setUp: @Sendable (any Channel) -> EventLoopFuture<HTTP1Channel.Value> = { child in
      channel.setup(channel: child, logger: Self.quiet)
    }
    switch place {
    case .descriptor(let descriptor):
      listener = try await bootstrap.bind(descriptor, childChannelInitializer: setUp)
    case .address(.network(let address, let port)):
      listener = try await bound.bind(
        to: try SocketAddress(ipAddress: address, port: port), childChannelInitializer: setUp)
    case .address(.unix(let path)):
      listener = try await bound.bind(
        unixDomainSocketPath: path, cleanupExistingSocketFile: true, childChannelInitializer: setUp)
      // For a proxy of another user. Who may come in is decided for each request, as on loopback.
      _ = unsafe chmod(path, 0o666)
    }
    self.quiescing = quiescing
    self.channel = channel
  }

  /// For people: `127.0.0.1:8480`, or a path.
  var address: String {
    guard let local = listener.channel.localAddress else { return "?" }
    if let path = local.pathname { return path }
    let host = local.ipAddress ?? "?"
    return "\(host.contains(":") ? "[\(host)]" : host):\(local.port ?? 0)"
  }

  var port: Int? { listener.channel.localAddress?.port }

  var isLocal: Bool {
    listener.channel.localAddress?.ipAddress.map(ListenAddress.isLoopback) ?? true
  }

  /// Serves until `stop`, and until the last connection is gone.
  func run() async {
    await withDiscardingTaskGroup { group in
      _ = try? await listener.executeThenClose { inbound in
        for try await child in inbound {
          group.addTask { await channel.handle(value: child, logger: Self.quiet) }
        }
      }
    }
  }

  /// Takes no more connections, ends those that are idle, and the others after their answer.
  func stop() { quiescing.initiateShutdown(promise: nil) }

  private static func channel(_ gateway: Gateway) -> HTTP1Channel {
    HTTP1Channel(
      responder: { request, writer, channel in
        let answer = await gateway.answer(request.head, peer: channel.remoteAddress?.ipAddress)
        let head = answer.head(date: HTTPDate.now())
        if request.method == .head || answer.body.isEmpty {
          try await writer.writeResponse(head)
        } else {
          try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(string: answer.body)))
        }
        if answer.closes {
          channel.eventLoop.scheduleTask(in: .seconds(Limits.lingerSeconds)) { channel.close(promise: nil) }
        }
      },
      configuration: HTTP1Channel.Configuration(
        additionalChannelHandlers: [SecuringHandler()], idleTimeout: .seconds(Limits.idleSeconds),
        httpDecoderConfiguration: .init(
          maxHeaderFieldSize: Limits.headerFieldBytesMax, maxHeaderListSize: Limits.headerBytesMax,
          maxHeaderFieldCount: Limits.headerCountMax)))
  }
}

/// Adds the security headers to answers that are made below the gateway: the parser's bare 400.
private final class SecuringHandler: ChannelOutboundHandler, RemovableChannelHandler {
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard case .head(var head) = unwrapOutboundIn(data) else {
      context.write(data, promise: promise)
      return
    }
    head.headerFields = Answer.secured(head.headerFields)
    if head.headerFields[.date] == nil { head.headerFields[.date] = HTTPDate.now() }
    context.write(wrapOutboundOut(.head(head)), promise: promise)
  }
}

/// `Tue, 24 Nov 2026 22:00:00 GMT`. Source: RFC 9110 section 5.6.7.
enum HTTPDate {
  static func now() -> String {
    var seconds = time(nil)
    var parts = unsafe tm()
    _ = unsafe gmtime_r(&seconds, &parts)
    var text = [CChar](repeating: 0, count: 40)
    // The program never calls setlocale: names of days and months are the C locale's.
    let count = unsafe strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
