/// The limits of the control server, each with its unit and reason, and what it counts.
package import SMARTProtocol

#if FAULT_POINTS
  package import FHIRControl
#else
  import FHIRControl
#endif

package struct ControlOptions: Sendable {
  /// Clients at once (`FHIRD_CLIENTS_MAX`). The next one is told OVERLOADED and closed.
  package var clientsMax = 10_240
  /// Of these, so many only for root and the daemon's own user: who floods the socket cannot lock the operator out.
  package var clientsReserved = 16
  /// Of one client under way at once; its further lines wait in the socket until one is done.
  package var requestsPerClientMax = 128
  /// Of all clients under way at once; more are answered OVERLOADED.
  package var requestsMax = 4096
  /// One request line; a longer one ends the connection.
  package var lineBytesMax = LineFramer.requestBytesMax
  /// Answers that wait for one client, in bytes: beyond it no more of its lines are taken until it reads.
  package var outputBytesHigh = 256 << 10
  /// Answers that wait for one client, in bytes: beyond it the client is cut off.
  package var outputBytesMax = 24 << 20
  /// How long answers may wait without the client reading a byte of them; then it is cut off, unless it has a stream.
  package var stallMax = Instant.Span.seconds(30)
  /// Input and output buffers of all clients together, in bytes; beyond it clients with large ones are cut off.
  package var bufferedBytesMax = 256 << 20
  /// Lines of one client answered in one turn of the loop; the others' turn comes then.
  package var linesPerTurn = 64
  #if FAULT_POINTS
    /// Called when a command's result has been written to its caller.
    package var answered: (@Sendable (ControlMethod) -> Void)?
  #endif
  package init() {}

  /// One read, in bytes.
  static let readBytes = 64 << 10
  /// New clients taken in one turn of the loop.
  static let acceptsPerTurn = 64
  /// Such turns when the server stops: as many clients as its queue can hold (listen's backlog of 4096).
  static let acceptTurnsAtEnd = 64
  /// How long nobody is accepted when the system has no memory or descriptors left.
  static let acceptPause = Instant.Span.seconds(1)
  /// When every client is over a limit, those with buffers up to this many bytes stay.
  static let bufferAlwaysAllowed = 64 << 10
  /// What an OVERLOADED client is told to wait, in seconds.
  static let retryAfterSeconds: Double = 1
}

package struct ControlStatistics: Sendable, Equatable {
  /// Connected now.
  package var clients = 0
  package var clientsAccepted: UInt64 = 0
  /// Turned away at once: too many clients, no descriptors.
  package var clientsRefused: UInt64 = 0
  /// Closed by the daemon: did not read, sent a line without end, took too much memory.
  package var clientsCutOff: UInt64 = 0
  /// Lines that were read as requests, good or bad.
  package var requests: UInt64 = 0
  /// `token.get` answered without leaving the control queue.
  package var hotHits: UInt64 = 0
  /// Handed to the commands.
  package var slowPath: UInt64 = 0
  /// Answered with an error of the envelope, OVERLOADED or SHUTTING_DOWN.
  package var refused: UInt64 = 0
  package var timeouts: UInt64 = 0
  /// Handed to the commands and not done yet.
  package var underWay = 0
  package init() {}
}
