/// What a caller gets when a call fails: a code, what failed, what to do, and the exit status for a command line.
public import FHIRControl

/// A failed call. `message` and `hint` are for people and never hold a secret; `code` is for programs.
public struct ClientError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// Nothing listens on the socket.
    case daemonUnreachable = "DAEMON_UNREACHABLE"
    /// The socket's file mode or a directory above it keeps the caller out.
    case socketPermission = "SOCKET_PERMISSION"
    /// The daemon went away between request and answer; whether the request took effect is not known.
    case connectionLost = "CONNECTION_LOST"
    /// No answer within the deadline; whether the request takes effect is not known.
    case timedOut = "TIMED_OUT"
    /// What answers on the socket does not speak the protocol.
    case protocolViolation = "PROTOCOL_VIOLATION"
    /// The request cannot be sent as it is: too long a path or line, a timeout out of range.
    case unsendable = "UNSENDABLE"
    /// The daemon answered with an error; `controlError` has it.
    case refused = "REFUSED"
  }

  public let code: Code
  /// What failed: one sentence, lower case, no full stop.
  public let message: String
  /// What to do about it.
  public let hint: String?
  /// The daemon's own error. Nil also for a refusal whose `data.code` this version does not know.
  public let controlError: ControlError?

  public init(_ code: Code, _ message: String, hint: String? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
    controlError = nil
  }

  public init(_ error: ControlError) {
    code = .refused
    message = error.message
    hint = error.data.hint
    controlError = error
  }

  public var description: String {
    hint.map { "\(message) (\($0))" } ?? message
  }

  /// The exit status of a command that ends with this error.
  /// 64, 69, 75 and 77 are `EX_USAGE`, `EX_UNAVAILABLE`, `EX_TEMPFAIL` and `EX_NOPERM` of sysexits.h.
  public var exitStatus: Int32 {
    switch code {
    case .daemonUnreachable, .connectionLost: 69
    case .socketPermission: 77
    case .timedOut: 75
    case .unsendable: 64
    case .protocolViolation: 1
    case .refused: controlError?.data.code.exitStatus ?? 1
    }
  }
}
