/// What stands between the control server (bytes, clients, deadlines) and the commands (meaning). The control server
/// knows the protocol's envelope and the hot path; everything else goes through `CommandHandler`.
package import FHIRControl
package import SMARTProtocol

/// Who sits at the other end of a client connection, told by the kernel when it connected. Numbers only: names are
/// resolved when rules are loaded, so that a slow name service never delays a client.
package struct Caller: Sendable, Hashable {
  package var uid: UInt32
  package var gid: UInt32
  package var pid: Int32
  /// Primary and supplementary groups.
  package var groups: [UInt32]
  /// The systemd unit, or nil: none, or not certain (the process was gone before the lookup was confirmed).
  package var unit: String?
  package init(uid: UInt32, gid: UInt32, pid: Int32, groups: [UInt32], unit: String?) {
    self.uid = uid
    self.gid = gid
    self.pid = pid
    self.groups = groups
    self.unit = unit
  }
}

/// One request that is not answered on the hot path.
package struct ControlCall: Sendable {
  package var method: ControlMethod
  /// The bytes of the `params` object as they came; empty: none given.
  package var parameters: [UInt8]
  package var caller: Caller
  /// When the answer must be out; the control server answers TIMEOUT by itself after it.
  package var deadline: Instant
  /// Where what comes before the answer goes; nil: a request without `id`, which hears nothing.
  package var progress: (any ProgressSink)?
  package init(
    method: ControlMethod, parameters: [UInt8], caller: Caller, deadline: Instant, progress: (any ProgressSink)? = nil
  ) {
    self.method = method
    self.parameters = parameters
    self.caller = caller
    self.deadline = deadline
    self.progress = progress
  }
}

/// The `progress` notifications of one request.
package protocol ProgressSink: Sendable {
  /// Returns when there is room for more: a caller that reads slowly is waited for.
  /// - Parameter members: JSON members of `params`, without the braces; the request's id is put before them.
  /// - Returns: false: nobody waits for more.
  func send(_ members: [UInt8]) async -> Bool
  /// Whether `send` would not wait for so many bytes.
  func hasRoom(for bytes: Int) -> Bool
}

package protocol CommandHandler: Sendable {
  /// The `result` object as JSON bytes. Checks access itself. Observes task cancellation (client gone, deadline over).
  func result(of call: ControlCall) async throws(ControlError) -> [UInt8]
}

/// What the hot path needs to know before it reads a record: rare lookups, remembered per client until `epoch` moves.
package protocol HotPathDirectory: Sendable {
  /// Grows with every change of rules, connection names and connections. Loaded on every request.
  var epoch: UInt64 { get }
  /// The grant's key if this caller may call `token.get` for it; nil: let the commands answer (and explain).
  func tokenKey(caller: Caller, connection: String, subject: String) -> GrantKey?
}
