/// The bytes of small records: fields with a tag and a length, so that a later version can add a field and an earlier
/// one skip it. A hundred thousand grants are read at start; this costs a microsecond each where JSON costs twenty.

package struct RecordWriter {
  package private(set) var bytes: [UInt8] = []
  package init() {}

  package mutating func put(_ tag: UInt8, _ value: [UInt8]) {
    bytes.append(tag)
    bytes += UInt32(value.count).littleEndianBytes
    bytes += value
  }
  /// A secret that is lent: into memory that was reserved for it, so that no half-filled copy stays behind.
  package mutating func put(_ tag: UInt8, lent value: UnsafeRawBufferPointer) {
    bytes.reserveCapacity(bytes.count + 5 + value.count)
    bytes.append(tag)
    bytes += UInt32(value.count).littleEndianBytes
    bytes += value
  }
  package mutating func put(_ tag: UInt8, _ value: String) { put(tag, Array(value.utf8)) }
  package mutating func put(_ tag: UInt8, _ value: UInt64) { put(tag, value.littleEndianBytes) }
  package mutating func put(_ tag: UInt8, _ value: Int64) { put(tag, UInt64(bitPattern: value)) }
}

/// What is wrong with an opened record. The record was written by this program (the seal held), so this is a newer
/// version's record or a defect.
package struct RecordMalformed: Error, Sendable, Equatable {
  package var detail: String
  package init(_ detail: String) { self.detail = detail }
}

package struct RecordReader {
  private var fields: [UInt8: Range<Int>] = [:]
  private let bytes: UnsafeRawBufferPointer

  /// - Parameter bytes: must outlive the reader.
  package init(_ bytes: UnsafeRawBufferPointer) throws(RecordMalformed) {
    self.bytes = bytes
    var at = 0
    while at < bytes.count {
      guard at + 5 <= bytes.count else { throw RecordMalformed("a field is cut off") }
      let tag = bytes[at]
      let count = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 1, as: UInt32.self)))
      guard at + 5 + count <= bytes.count else { throw RecordMalformed("field \(tag) is cut off") }
      fields[tag] = at + 5..<at + 5 + count
      at += 5 + count
    }
  }

  package func bytes(_ tag: UInt8) -> [UInt8]? { fields[tag].map { Array(bytes[$0]) } }
  /// The field where it lies, for a secret that must not be copied.
  package func lent(_ tag: UInt8) -> UnsafeRawBufferPointer? {
    fields[tag].map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
  }
  package func text(_ tag: UInt8) -> String? { fields[tag].map { String(decoding: bytes[$0], as: UTF8.self) } }
  package func word(_ tag: UInt8) -> UInt64? {
    guard let range = fields[tag], range.count == 8 else { return nil }
    return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: UInt64.self))
  }
  /// Milliseconds; nil also for what no clock says.
  package func milliseconds(_ tag: UInt8) -> Int64? {
    word(tag).flatMap { Self.isTime(Int64(bitPattern: $0)) ? Int64(bitPattern: $0) : nil }
  }
  package func count(_ tag: UInt8) -> Int { Int(clamping: word(tag) ?? 0) }

  /// Milliseconds within some 280,000 years of zero: sums of a few such times do not overflow.
  package static func isTime(_ milliseconds: Int64) -> Bool { milliseconds.magnitude <= 1 << 53 }

  package func required<T>(_ value: T?, _ name: String) throws(RecordMalformed) -> T {
    guard let value else { throw RecordMalformed("the field \(name) is missing") }
    return value
  }
}
