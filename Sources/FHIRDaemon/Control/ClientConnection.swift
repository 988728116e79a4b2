/// One client of the control socket: its buffers, its requests under way, and what it is waiting for.
import ConnectionCore
import DispatchSupport
import SMARTProtocol

/// Owned by the control server's actor. Can become: reading, paused (a limit is reached), half closed (the client sends
/// no more), closing (one last answer to flush), gone.
final class ClientConnection {
  /// A request that the commands work on.
  struct UnderWay {
    /// As written; nil: nobody waits for an answer.
    let id: [UInt8]?
    let task: Task<Void, Never>
    let timeoutSeconds: Double
    /// What it sends before its answer.
    let progress: ControlProgress?
    /// It has sent something: a reader that stops for a while is waited for.
    var isStreaming = false
  }

  let token: UInt64
  let descriptor: Descriptor
  let caller: Caller

  /// Bytes that are no whole line yet, or lines that must wait.
  var input = ByteBuffer()
  /// There is no LF in the first so many bytes of `input`.
  var searched = 0
  /// Whole lines may stand in `input`; it is not read on before they are answered.
  var hasBacklog = false
  /// The server will come back to the backlog in its next turn.
  var isQueued = false
  var output = ByteBuffer()
  /// Answers were added since the last flush.
  var isDirty = false
  /// When the client last took bytes, or answers began to wait.
  var lastProgress = Instant(milliseconds: 0)
  var isStallWatched = false
  /// Reads nothing more; goes when its output is flushed.
  var isClosing = false
  /// The client has shut down its sending side.
  var inputEnded = false
  /// What epoll watches now.
  var interest: EventLoop.Events = .input
  var underWay: [UInt64: UnderWay] = [:]
  /// Requests with more to send than there was room for.
  var stalled: Set<UInt64> = []
  var grants = GrantCache()
  /// What the server's sum of buffers counts for this client.
  var bufferedBytes = 0

  init(token: UInt64, descriptor: consuming Descriptor, caller: Caller) {
    self.token = token
    self.descriptor = descriptor
    self.caller = caller
  }
}
