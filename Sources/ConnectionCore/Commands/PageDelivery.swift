/// A page's resources on their way to the caller, as they come from the server. When a page breaks off and is asked for
/// again, what has been delivered of it is not delivered twice.
import FHIRControl
import FHIRInteraction
import SMARTProtocol

/// A page that was asked for before its turn, and what came of it.
struct PageAhead {
  struct Asked {
    var url: String
    /// nil: it could not be asked for; whoever asks again hears why.
    var answer: Task<PageAhead?, Never>
  }
  var admission: FHIRAdmission
  var stream: Result<HTTPStream, HTTPFailure>
}

/// Of one search; not shared.
final class PageDelivery {
  /// Resources of so many bytes leave in one notification, the last one of them whole.
  private static let noticeBytes = 128 << 10
  /// A resource is carried whole.
  private static var limits: BundleReader.Limits {
    var limits = BundleReader.Limits()
    limits.resourceBytes = Commands.answerBytesMax
    return limits
  }

  private let progress: any ProgressSink
  private var resourcesLeft: Int
  /// The next page, asked for when the present one has arrived and is still being read.
  var ahead: PageAhead.Asked?
  private var isAheadDecided = false
  private var willWait: (PageAhead.Asked?) async -> Void = { _ in }
  /// From 1.
  private var number = 1
  private var reader = BundleReader(limits: PageDelivery.limits)
  private(set) var tally = PageTally()
  /// Fingerprints of the present page after each entry, as far as it was ever read.
  private var seen: [UInt64] = []
  private var fault: ControlError?
  private var lines: [[UInt8]] = []
  private var bytes = 0
  /// Matches of the present page that were more than was wanted.
  private(set) var surplus = 0

  init(to progress: any ProgressSink, resourcesMax: Int) {
    self.progress = progress
    resourcesLeft = resourcesMax
  }

  /// Of the page that has arrived; once for each.
  func nextLink() -> String? {
    guard !isAheadDecided, resourcesLeft > 0, let link = reader.nextLink else { return nil }
    isAheadDecided = true
    return link
  }

  /// The page that was asked for ahead, if it is this one; nil: it was not.
  func takeAhead(_ url: String) async -> PageAhead? {
    guard let asked = ahead, asked.url == url else { return nil }
    ahead = nil
    return await withTaskCancellationHandler {
      await asked.answer.value
    } onCancel: {
      asked.answer.cancel()
    }
  }

  /// What was asked for ahead and is not wanted gives its place back.
  func dropAhead(_ gates: RequestGates) async {
    guard let asked = ahead else { return }
    ahead = nil
    asked.answer.cancel()
    if let answer = await asked.answer.value { await gates.finished(answer.admission.pass) }
  }

  /// The page comes, for the first time or again.
  /// - Parameter willWait: called before the caller is waited for, with what was asked for ahead.
  func beginPage(willWait: @escaping (PageAhead.Asked?) async -> Void) {
    self.willWait = willWait
    reader = BundleReader(limits: Self.limits)
    tally = PageTally()
    fault = nil
    // What waits to leave stays: it is counted as seen.
    isAheadDecided = false
  }

  /// - Parameter moreIsHere: what these bytes bring may leave with the next ones.
  /// - Returns: false: no more of this page is wanted; `page` says why.
  /// - Throws: `.cancelled`: nobody waits for more.
  func take(_ bytes: [UInt8], moreIsHere: Bool = false) async throws(HTTPFailure) -> Bool {
    guard bytes.count > 2 * Self.noticeBytes else {
      guard try await takePart(bytes) else { return false }
      if !moreIsHere { try await flush() }
      return true
    }
    // Much has gathered while the caller was slow: it does not become twice as much here.
    for start in stride(from: 0, to: bytes.count, by: Self.noticeBytes) {
      guard try await takePart(Array(bytes[start..<min(start + Self.noticeBytes, bytes.count)])) else { return false }
      try await flush()
    }
    return true
  }

  private func takePart(_ bytes: [UInt8]) async throws(HTTPFailure) -> Bool {
    let entries: [BundleEntry]
    do { entries = try reader.feed(bytes) } catch {
      fault = Commands.noPage(error)
      return false
    }
    for entry in entries {
      tally.add(entry)
      if tally.entries <= seen.count {
        guard seen[tally.entries - 1] == tally.fingerprint else {
          fault = ControlError(
            .serverAnswerUnusable, "page \(number) broke off, and came back with other resources",
            hint: "begin the search again; what came so far is not all from one moment")
          return false
        }
        continue
      }
      seen.append(tally.fingerprint)
      try await put(entry)
    }
    return true
  }

  private func put(_ entry: BundleEntry) async throws(HTTPFailure) {
    guard entry.role != .outcome, let line = entry.line else { return }
    if entry.role != .include {
      guard resourcesLeft > 0 else {
        surplus += 1
        return
      }
      resourcesLeft -= 1
    }
    lines.append(line)
    bytes += line.count
    if bytes >= Self.noticeBytes { try await flush() }
  }

  private func flush() async throws(HTTPFailure) {
    guard !lines.isEmpty else { return }
    var members: [UInt8] = []
    members.reserveCapacity(bytes + lines.count * 8 + 64)
    members += Array("\"page\":\(number),\"lengths\":[".utf8)
    for (index, line) in lines.enumerated() { members += Array((index > 0 ? ",\(line.count)" : "\(line.count)").utf8) }
    members += Array("],\"resources\":[".utf8)
    for (index, line) in lines.enumerated() {
      if index > 0 { members.append(UInt8(ascii: ",")) }
      members += line
    }
    members.append(UInt8(ascii: "]"))
    lines.removeAll(keepingCapacity: true)
    bytes = 0
    try await send(members)
  }

  private func send(_ members: [UInt8]) async throws(HTTPFailure) {
    if !progress.hasRoom(for: members.count) { await willWait(ahead) }
    guard await progress.send(members) else {
      throw HTTPFailure(.cancelled, detail: "the caller has left", mayHaveBeenSent: true)
    }
  }

  /// The page is complete.
  func page() throws(ControlError) -> BundleSummary {
    if let fault { throw fault }
    do { return try reader.finish() } catch { throw Commands.noPage(error) }
  }

  /// - Parameter next: where a caller that is cut off goes on.
  func endPage(next: String) async throws(ControlError) {
    var members = Array("\"page\":\(number),\"next\":".utf8)
    JSON.appendLiteral(next.utf8, to: &members)
    number += 1
    seen.removeAll(keepingCapacity: true)
    do { try await send(members) } catch { throw ControlError.cancelled }
  }
}
