/// A heap of deadlines with an index: says what is due and when to look again. Pure: the caller brings the time.
package import SMARTProtocol

/// One deadline a key at the most. 100,000 grants cost about ten megabytes here and no timer.
package struct DeadlinePlanner<Key: Hashable & Sendable>: Sendable {
  private struct Entry {
    var at: Instant
    var key: Key
  }
  private var heap: [Entry] = []
  private var positions: [Key: Int] = [:]

  package init() {}

  package var count: Int { heap.count }

  package var next: Instant? { heap.first?.at }

  package func deadline(of key: Key) -> Instant? { positions[key].map { heap[$0].at } }

  /// Sets, moves or (nil) takes away the deadline of a key.
  package mutating func set(_ key: Key, at deadline: Instant?) {
    guard let deadline else {
      remove(key)
      return
    }
    if let position = positions[key] {
      let earlier = deadline < heap[position].at
      heap[position].at = deadline
      if earlier { siftUp(position) } else { siftDown(position) }
    } else {
      heap.append(Entry(at: deadline, key: key))
      positions[key] = heap.count - 1
      siftUp(heap.count - 1)
    }
  }

  package mutating func remove(_ key: Key) {
    guard let position = positions.removeValue(forKey: key) else { return }
    let last = heap.removeLast()
    guard position < heap.count else { return }
    heap[position] = last
    positions[last.key] = position
    siftUp(position)
    siftDown(position)
  }

  /// Takes out what is due, at most `limit` keys, earliest first.
  package mutating func due(at now: Instant, limit: Int) -> (now: [Key], next: Instant?) {
    var keys: [Key] = []
    while keys.count < limit, let first = heap.first, first.at <= now {
      keys.append(first.key)
      remove(first.key)
    }
    return (keys, heap.first?.at)
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].at < heap[parent].at else { return }
      swap(child, parent)
      child = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      let left = 2 * parent + 1
      guard left < heap.count else { return }
      let right = left + 1
      let child = right < heap.count && heap[right].at < heap[left].at ? right : left
      guard heap[child].at < heap[parent].at else { return }
      swap(child, parent)
      parent = child
    }
  }

  private mutating func swap(_ a: Int, _ b: Int) {
    heap.swapAt(a, b)
    positions[heap[a].key] = a
    positions[heap[b].key] = b
  }
}
