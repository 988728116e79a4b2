/// Random bytes from the kernel.
import CSystemd
import ConnectionCore
import Glibc

package struct KernelEntropy: Entropy {
  package init() {}

  package func bytes(_ count: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
      while written < count {
        let rest = unsafe UnsafeMutableBufferPointer(rebasing: buffer[written...])
        // getrandom(2): more than 256 bytes may be cut short by a signal.
        let got = unsafe getrandom(rest.baseAddress, count - written, 0)
        precondition(got >= 0 || errno == EINTR, "the kernel has no random numbers")
        written += max(0, got)
      }
    }
  }
}
