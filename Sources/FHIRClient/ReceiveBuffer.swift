/// Bytes that were received and not yet handed out. They may hold a token, so what is dropped is overwritten first.
import Glibc

@safe final class ReceiveBuffer {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private var end = 0

  deinit {
    guard let base = unsafe base else { return }
    unsafe explicit_bzero(base + start, end - start)
    unsafe base.deallocate()
  }

  var count: Int { end - start }

  /// Valid until the next change.
  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: base.map { unsafe UnsafeRawPointer($0 + start) }, count: count)
  }

  /// Where the first LF stands that is not in the first `searched` bytes.
  func lineEnd(from searched: Int) -> Int? {
    guard let base = unsafe base, searched < count,
      let found = unsafe memchr(base + start + searched, Int32(UInt8(ascii: "\n")), count - searched)
    else { return nil }
    return unsafe found - (base + start)
  }

  /// Room for `least` bytes or more behind the last one; `advance` says how many were written.
  func room(_ least: Int) -> UnsafeMutableRawBufferPointer {
    if start > 0, capacity - end < least, let base = unsafe base {
      unsafe base.copyMemory(from: base + start, byteCount: count)
      let dropped = max(count, start)..<end
      if !dropped.isEmpty { unsafe explicit_bzero(base + dropped.lowerBound, dropped.count) }
      (start, end) = (0, count)
    }
    if capacity - end < least { grow(least) }
    return unsafe UnsafeMutableRawBufferPointer(start: base.map { unsafe $0 + end }, count: capacity - end)
  }

  private func grow(_ least: Int) {
    var larger = max(capacity * 2, least)
    while larger - end < least { larger *= 2 }
    let fresh = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    if let base = unsafe base {
      unsafe fresh.copyMemory(from: base, byteCount: end)
      unsafe explicit_bzero(base, end)
      unsafe base.deallocate()
    }
    unsafe base = fresh
    capacity = larger
  }

  func advance(_ count: Int) { end += count }

  /// Drops bytes from the front.
  func consume(_ count: Int) {
    guard let base = unsafe base else { return }
    unsafe explicit_bzero(base + start, count)
    start += count
    if start == end { (start, end) = (0, 0) }
  }
}
