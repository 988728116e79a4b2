/// Readiness of a descriptor and arrival of a signal, told on an actor's queue. The only place with a `DispatchSource`.
import CLinux
import Dispatch
import Glibc

/// `DispatchSource.setEventHandler` is not `@Sendable`: a handler formed in an actor would compile and trap when it runs.
/// Here it is, so isolation that does not fit is an error of the compiler.
package struct ReadSource: ~Copyable {
  private let source: any DispatchSourceRead

  /// - Parameters:
  ///   - descriptor: closed when the source is gone and the last handler has returned.
  ///   - handler: runs on the executor's queue as long as there is something to read.
  package init(
    owning descriptor: consuming Descriptor, on executor: QueueExecutor, _ handler: @escaping @Sendable () -> Void
  ) {
    let number = descriptor.release()
    source = DispatchSource.makeReadSource(fileDescriptor: number, queue: executor.queue)
    source.setEventHandler(handler: handler)
    // dispatch_source_cancel(3): a descriptor may only be closed in the cancellation handler.
    source.setCancelHandler { close(number) }
    source.resume()
  }

  deinit { source.cancel() }
}

/// A signal as an event. Its default action is gone from the moment this is made, in every thread, whatever their masks.
///
/// Made of a handler that counts in an eventfd: masks would have to be set before the first thread, and children of this
/// process would inherit them; handlers are reset by `execve`.
package struct SignalSource: ~Copyable {
  private let source: ReadSource
  private let signal: Int32

  /// - Parameter handler: runs on the executor's queue; signals that arrive together may be told once.
  package init(_ signal: Int32, on executor: QueueExecutor, _ handler: @escaping @Sendable () -> Void)
    throws(LinuxError)
  {
    let counter = Descriptor(owning: try check(clinux_eventfd(), "eventfd"))
    let number = counter.number
    try check(clinux_catch_signal(signal, number), "sigaction")
    self.signal = signal
    source = ReadSource(owning: counter, on: executor) {
      clinux_eventfd_drain(number)
      handler()
    }
  }

  /// The signal is ignored from now on; its default action does not come back.
  deinit { _ = clinux_catch_signal(signal, -1) }
}
