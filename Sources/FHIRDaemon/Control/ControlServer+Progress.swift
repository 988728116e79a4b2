/// What a request sends before its answer: `progress` notifications, as fast as the client reads them.
import ConnectionCore
import FHIRControl

/// One request's way back to its client.
struct ControlProgress: ProgressSink {
  weak let server: ControlServer?
  let serial: UInt64
  let client: UInt64

  func send(_ members: [UInt8]) async -> Bool {
    await server?.progress(members, serial, of: client) ?? false
  }
}

extension ControlServer {
  fileprivate func progress(_ members: [UInt8], _ serial: UInt64, of token: UInt64) async -> Bool {
    guard let client = client(token), let id = client.underWay[serial]?.id else { return false }
    client.underWay[serial]?.isStreaming = true
    lendOutput(to: client)
    client.output.appendProgress(id: id, members)
    markDirty(client)
    guard client.output.count >= options.outputBytesHigh else { return true }
    return await withCheckedContinuation { continuation in
      // One task sends for one request; a second writer would have no place.
      guard client.underWay[serial]?.writer == nil else { return continuation.resume(returning: false) }
      client.underWay[serial]?.writer = continuation
      client.waitingWriters += 1
    }
  }

  /// Called when bytes have gone out.
  func wakeWriters(of client: ClientConnection) {
    guard client.waitingWriters > 0, client.output.count <= options.outputBytesHigh / 2 else { return }
    client.waitingWriters = 0
    for serial in client.underWay.keys {
      guard let writer = client.underWay[serial]?.writer else { continue }
      client.underWay[serial]?.writer = nil
      writer.resume(returning: true)
    }
  }

  /// Takes a request out that is over; whoever still writes for it hears so.
  func takeRequest(_ serial: UInt64, of client: ClientConnection) -> ClientConnection.UnderWay? {
    guard let request = client.underWay.removeValue(forKey: serial) else { return nil }
    dropWriter(of: request, client)
    return request
  }

  func dropWriter(of request: ClientConnection.UnderWay, _ client: ClientConnection) {
    guard let writer = request.writer else { return }
    client.waitingWriters -= 1
    writer.resume(returning: false)
  }
}
