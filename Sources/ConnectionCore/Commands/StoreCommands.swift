/// `store.*`: what an operator does with the store as a whole.
import FHIRControl
import SMARTProtocol

extension Commands {
  func compactStore(_: NoParameters, _ caller: Caller) async throws(ControlError) -> StoreCompaction {
    // Everybody's writes wait for it.
    try directory.requireWhole(.storeCompact, caller)
    let begun = clock.now()
    let done: Compaction
    do { done = try await store.compact() } catch {
      log.record(
        .error, "the store could not be compacted; it is as it was",
        [.event: "compaction_failed", .detail: error.sentence, .cure: error.cure])
      throw ControlError(error)
    }
    let span = clock.now() - begun
    log.record(
      .notice, "the store was compacted",
      [
        .event: "store_compacted", .caller: "uid:\(caller.uid)", .count: "\(done.records)",
        .durationMilliseconds: "\(span.milliseconds)",
        .detail: "\(done.bytesBefore) bytes before, \(done.bytesAfter) after",
      ])
    return StoreCompaction(
      bytesBefore: done.bytesBefore, bytesAfter: done.bytesAfter, records: done.records,
      seconds: Double(span.milliseconds) / 1000)
  }
}
