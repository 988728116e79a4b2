/// One thread with epoll that is also a serial executor: an actor on it handles readiness without a hop to another thread.
import CLinux
import Glibc
import Synchronization

/// Half of what a bare epoll loop answers is lost on dispatch sources, so the control server lives here.
///
/// Each turn of the loop runs the actor jobs that have arrived, then gives the turn handler everything that became
/// ready. The handler runs on the loop's thread (`assumeIsolated` holds) and returns when it wants to be called next.
/// The thread ends when the last reference to the loop goes.
package final class EventLoop: SerialExecutor {
  package struct Ready: Sendable {
    package let token: UInt64
    package let events: Events
  }

  package struct Events: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let input = Events(rawValue: UInt32(CLINUX_IN))
    package static let output = Events(rawValue: UInt32(CLINUX_OUT))
    package static let error = Events(rawValue: UInt32(CLINUX_ERR))
    /// Both directions are shut. Comes unasked.
    package static let hangUp = Events(rawValue: UInt32(CLINUX_HUP))
  }

  /// Called once a turn, on the loop's thread, with what became ready (possibly nothing). Returns the boot time in
  /// milliseconds at which to call again without an event; nil: no such time. It may be called earlier.
  package typealias Turn = @Sendable (Span<Ready>) -> Int64?

  private let core: Core

  /// - Parameter name: of the thread, at most 15 bytes (pthread_setname_np(3)).
  package init(name: String) throws(LinuxError) {
    core = try Core(name: name)
    try startThread()
  }

  deinit { core.wake() }

  /// From the next turn on, `turn` is called. It must not keep the loop or the actor alive.
  package func setTurn(_ turn: @escaping Turn) {
    core.inbox.withLock { $0.turn = turn }
    core.wake()
  }

  /// Tokens come back with the readiness; `UInt64.max` is the loop's own.
  package func add(_ descriptor: Int32, _ events: Events, token: UInt64) throws(LinuxError) {
    try check(clinux_epoll_add(core.epoll.number, descriptor, events.rawValue, token), "epoll_ctl")
  }

  package func change(_ descriptor: Int32, _ events: Events, token: UInt64) throws(LinuxError) {
    try check(clinux_epoll_change(core.epoll.number, descriptor, events.rawValue, token), "epoll_ctl")
  }

  package func remove(_ descriptor: Int32) throws(LinuxError) {
    try check(clinux_epoll_remove(core.epoll.number, descriptor), "epoll_ctl")
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let mustWake = core.inbox.withLock { inbox in
      inbox.jobs.append(job)
      defer { inbox.waiting = false }
      return inbox.waiting
    }
    if mustWake { core.wake() }
  }

  package func checkIsolated() {
    precondition(core.isCurrentThread, "this code must run on the loop's own thread")
  }

  package func isIsolatingCurrentContext() -> Bool? { core.isCurrentThread }

  private func startThread() throws(LinuxError) {
    let start = ThreadStart(core: core, loop: self)
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(start)
    let result = unsafe pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    unsafe pthread_attr_destroy(&attributes)
    guard result == 0 else {
      unsafe argument.release()
      throw LinuxError(operation: "pthread_create", number: result)
    }
  }
}

/// What the loop and its thread share; the descriptors live until both have let go.
private final class Core: Sendable {
  struct Inbox {
    var jobs: [UnownedJob] = []
    var turn: EventLoop.Turn?
    /// The thread waits in epoll, or is about to: who puts something in must wake it.
    var waiting = false
  }

  static let wakeToken = UInt64.max

  let name: String
  let epoll: Descriptor
  let inbox = Mutex(Inbox())
  private let wakeUp: Descriptor
  private let thread = Atomic<UInt>(0)

  init(name: String) throws(LinuxError) {
    self.name = name
    epoll = Descriptor(owning: try check(clinux_epoll_create(), "epoll_create1"))
    wakeUp = Descriptor(owning: try check(clinux_eventfd(), "eventfd"))
    try check(
      clinux_epoll_add(epoll.number, wakeUp.number, EventLoop.Events.input.rawValue, Self.wakeToken), "epoll_ctl")
  }

  func wake() { clinux_eventfd_signal(wakeUp.number) }
  func drainWakeUps() { clinux_eventfd_drain(wakeUp.number) }

  var isCurrentThread: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }
  func adoptCurrentThread() { thread.store(UInt(pthread_self()), ordering: .relaxed) }
}

/// The loop's thread. It holds the loop weakly, so that the loop can go.
private final class ThreadStart: Sendable {
  private let core: Core
  private weak let loop: EventLoop?

  /// What one wait brings at most; the rest is ready in the next turn.
  private static let readyMax = 256

  init(core: Core, loop: EventLoop) {
    self.core = core
    self.loop = loop
  }

  func run() {
    core.adoptCurrentThread()
    clinux_block_signals()
    unsafe core.name.withCString { unsafe clinux_name_thread($0) }
    var raw = [clinux_ready](repeating: clinux_ready(), count: Self.readyMax)
    var ready: [EventLoop.Ready] = []
    ready.reserveCapacity(Self.readyMax)
    var jobs: [UnownedJob] = []
    var deadline: Int64?
    while true {
      let timeout = timeout(until: deadline)
      let count = unsafe clinux_epoll_wait(core.epoll.number, &raw, Int32(Self.readyMax), timeout)
      precondition(count >= 0 || count == -EINTR, "epoll_wait fails only for a descriptor that is none")
      guard let loop else { return }
      ready.removeAll(keepingCapacity: true)
      for entry in raw.prefix(Int(max(0, count))) {
        if entry.token == Core.wakeToken {
          core.drainWakeUps()
        } else {
          ready.append(EventLoop.Ready(token: entry.token, events: EventLoop.Events(rawValue: entry.events)))
        }
      }
      let turn = core.inbox.withLock { inbox in
        inbox.waiting = false
        swap(&inbox.jobs, &jobs)
        return inbox.turn
      }
      for job in jobs { unsafe job.runSynchronously(on: loop.asUnownedSerialExecutor()) }
      jobs.removeAll(keepingCapacity: true)
      deadline = turn?(ready.span)
    }
  }

  private func timeout(until deadline: Int64?) -> Int32 {
    let hasJobs = core.inbox.withLock { inbox in
      let hasJobs = !inbox.jobs.isEmpty
      inbox.waiting = !hasJobs
      return hasJobs
    }
    if hasJobs { return 0 }
    guard let deadline else { return Int32(waitMillisecondsMax) }
    if deadline <= 0 { return 0 }
    return Int32(max(0, min(deadline - bootMilliseconds(), waitMillisecondsMax)))
  }
}
