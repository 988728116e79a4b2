/// A serial executor over a serial dispatch queue: an actor on it runs on our threads, never on Swift's cooperative pool.
import Dispatch

/// `DispatchSerialQueue` does not exist on Linux; this is what an actor gets for its `unownedExecutor` instead.
package final class QueueExecutor: SerialExecutor {
  let queue: DispatchQueue

  package init(label: String) { queue = DispatchQueue(label: label) }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { unsafe job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }

  package func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
