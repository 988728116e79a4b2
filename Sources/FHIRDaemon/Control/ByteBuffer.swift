/// Bytes on their way in or out of a client. They may hold a secret, so whatever is dropped is overwritten first.
import CLinux
package import FHIRControl

/// Appended at the end, taken from the front. Owns no memory until the first byte, so an idle client costs nothing here.
@safe package struct ByteBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer?
  package private(set) var capacity = 0
  private var start = 0
  private var end = 0

  /// The first allocation: a request, or a served token of usual size.
  private static let bytesMin = 4 << 10

  package init() { unsafe base = nil }

  deinit {
    guard let base = unsafe base else { return }
    unsafe clinux_wipe(base + start, end - start)
    unsafe base.deallocate()
  }

  package var count: Int { end - start }
  package var isEmpty: Bool { end == start }

  /// What is in the buffer; valid until the next change.
  package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: base.map { unsafe UnsafeRawPointer($0 + start) }, count: count)
  }

  /// Room for `count` more bytes behind the last one; `advance` says how many were written.
  package mutating func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if end + count > capacity { makeRoom(count) }
    return unsafe UnsafeMutableRawBufferPointer(start: base.map { unsafe $0 + end }, count: capacity - end)
  }

  package mutating func advance(_ count: Int) {
    precondition(count >= 0 && end + count <= capacity, "more bytes than there was room for")
    end += count
  }

  private mutating func makeRoom(_ more: Int) {
    let needed = count + more
    if let base = unsafe base, needed <= capacity {
      let rest = count
      unsafe base.copyMemory(from: base + start, byteCount: rest)
      unsafe clinux_wipe(base + rest, end - rest)
      (start, end) = (0, rest)
      return
    }
    var size = max(capacity, Self.bytesMin)
    while size < needed { size *= 2 }
    let larger = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
    let rest = count
    if let base = unsafe base {
      unsafe larger.copyMemory(from: base + start, byteCount: rest)
      unsafe clinux_wipe(base + start, rest)
      unsafe base.deallocate()
    }
    unsafe base = larger
    capacity = size
    (start, end) = (0, rest)
  }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, bytes.count > 0 else { return }
    guard let target = unsafe room(bytes.count).baseAddress else { return }
    unsafe target.copyMemory(from: source, byteCount: bytes.count)
    end += bytes.count
  }

  package mutating func append(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe append($0) }
  }

  package mutating func append(_ bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBytes { unsafe append($0) }
  }

  package mutating func append(_ text: StaticString) {
    unsafe append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// The text of a time, without quotes.
  package mutating func append(_ time: Timestamp) {
    unsafe time.write(into: room(Timestamp.textBytes))
    end += Timestamp.textBytes
  }

  package mutating func append(decimal number: Int64) {
    let digitsMax = 20
    let target = unsafe room(digitsMax)
    var rest = number.magnitude
    var digits = 1
    while rest >= 10 {
      rest /= 10
      digits += 1
    }
    var at = 0
    if number < 0 {
      unsafe target[0] = UInt8(ascii: "-")
      at = 1
    }
    rest = number.magnitude
    for place in stride(from: at + digits - 1, through: at, by: -1) {
      unsafe target[place] = UInt8(truncatingIfNeeded: 48 + rest % 10)
      rest /= 10
    }
    end += at + digits
  }

  /// Drops bytes from the front.
  package mutating func consume(_ count: Int) {
    precondition(count <= self.count, "more bytes than there are")
    guard let base = unsafe base else { return }
    unsafe clinux_wipe(base + start, count)
    start += count
    if start == end { (start, end) = (0, 0) }
  }

  /// Drops bytes from the end until `count` are left.
  package mutating func truncate(to count: Int) {
    guard let base = unsafe base, count < self.count else { return }
    unsafe clinux_wipe(base + start + count, self.count - count)
    end = start + count
    if start == end { (start, end) = (0, 0) }
  }

  /// Drops everything and gives the memory back.
  package mutating func release() {
    self = ByteBuffer()
  }
}
