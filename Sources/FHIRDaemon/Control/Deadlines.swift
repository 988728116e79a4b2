/// What the control server must look at, and when: a heap of times. Pure: the caller brings the time.
import SMARTProtocol

/// Entries are not taken out when their reason goes; who takes one out looks whether it still matters.
struct Deadlines {
  struct Entry {
    let at: Instant
    let token: UInt64
    /// The request's number; 0: the client itself.
    let serial: UInt64
  }

  private var heap: [Entry] = []

  /// More entries than this, and more than twice the live ones, are swept. No number of finished requests fills memory.
  static let sweepFrom = 1024

  var next: Instant? { heap.first?.at }
  var count: Int { heap.count }

  mutating func insert(_ entry: Entry) {
    heap.append(entry)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].at < heap[parent].at else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  /// Takes out the earliest entry that is due.
  mutating func removeDue(at now: Instant) -> Entry? {
    guard let first = heap.first, first.at <= now else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      siftDown(from: 0)
    }
    return first
  }

  /// Drops the entries that no longer matter, once they are too many.
  mutating func sweep(live: Int, keep: (Entry) -> Bool) {
    guard heap.count > Self.sweepFrom, heap.count > 2 * live else { return }
    heap.removeAll { !keep($0) }
    for i in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(from: i) }
  }

  private mutating func siftDown(from index: Int) {
    var parent = index
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].at < heap[smallest].at {
        smallest = child
      }
      if smallest == parent { return }
      heap.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
