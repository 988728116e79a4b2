/// `store.*`: what an operator does with the store as a whole.
import FHIRControl
import SMARTProtocol

extension Commands {
  func compactStore(_: NoParameters, _ caller: Caller) async throws(ControlError) -> StoreCompaction {
    // Everybody's writes wait for it.
    try directory.requireWhole(.storeCompact, caller)
    let begun = clock.now()
    let done: Compaction
    // A token that a server has given must not wait behind a copy: what is under way is settled first.
    await engine.holdAttempts()
    let outcome: Result<Compaction, StoreError>
    do { outcome = .success(try await store.compact()) } catch { outcome = .failure(error) }
    await engine.resumeAttempts()
    do { done = try outcome.get() } catch {
      // Where it cannot be read any more the cleanup loop tries to write until it can.
      if (try? store.facts()) == nil { await engine.noteStore(error) }
      log.record(
        .error, "the store could not be compacted",
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
