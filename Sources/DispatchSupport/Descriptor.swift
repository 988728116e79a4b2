/// A file descriptor with one owner, and the one reader of system call results.
import CLinux
import Glibc

/// A system call that failed: which, and with what number.
package struct LinuxError: Error, Sendable, Hashable, CustomStringConvertible {
  package let operation: String
  package let number: Int32

  package init(operation: String, number: Int32) {
    self.operation = operation
    self.number = number
  }

  package var description: String {
    let text = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
    return "\(operation): \(text)"
  }
}

/// The only reader of results: CLinux answers 0 or more, or a negative errno.
@discardableResult
func check(_ result: Int32, _ operation: String) throws(LinuxError) -> Int32 {
  guard result >= 0 else { throw LinuxError(operation: operation, number: -result) }
  return result
}

/// Owns a descriptor and closes it.
package struct Descriptor: ~Copyable, Sendable {
  package let number: Int32

  package init(owning number: Int32) { self.number = number }

  /// Gives the descriptor away; nobody here closes it any more.
  package consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }

  deinit { close(number) }
}

/// The kernel's boot clock in milliseconds (CLOCK_BOOTTIME): goes on in suspend, is set by nobody.
package func bootMilliseconds() -> Int64 { clinux_boot_ms() }

/// No wait is longer, in milliseconds: timeouts of epoll stop in suspend, so the waiter looks at the clock again.
/// 37 s is odd on purpose: loops that wait for ever do not wake together with those of a round minute.
package let waitMillisecondsMax: Int64 = 37_000
