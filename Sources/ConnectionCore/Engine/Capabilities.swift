/// What a server says of itself, kept in the store: asked for by its tag, and as long as the server cannot be asked, told
/// from memory.
import FHIRControl
import FHIRSchema
import SMARTProtocol

/// The document that counts now.
struct CurrentCapabilities: Sendable {
  var document: CapabilityDocument
  var schema: Schema
  /// Why it is not of now.
  var stale: String?
}

extension Authorizer {
  /// - Parameter again: asks the server whatever is stored.
  /// - Throws: what keeps the server from being asked, when nothing is stored.
  func capabilities(_ id: ConnectionID, _ connection: ConnectionRecord, again: Bool) async throws(ControlError)
    -> CurrentCapabilities
  {
    var stored: CapabilityDocument?
    do { stored = try ledger.document(id) } catch { stored = nil }  // a cache: what does not open is asked for anew
    let url = connection.baseURL + "/metadata"
    if stored?.url != url { stored = nil }
    if !again, let stored, let schema = try? Schema(body: stored.body),
      clock.wall().milliseconds - stored.fetchedAt.milliseconds
        < exchange.settings.current.capabilityLifetime.milliseconds
    {
      return CurrentCapabilities(document: stored, schema: schema)
    }
    do throws(ControlError) {
      return try await fetchCapabilities(id, connection, url, stored)
    } catch {
      guard let stored, let schema = try? Schema(body: stored.body) else { throw error }
      return CurrentCapabilities(document: stored, schema: schema, stale: error.message)
    }
  }

  private func fetchCapabilities(
    _ id: ConnectionID, _ connection: ConnectionRecord, _ url: String, _ stored: CapabilityDocument?
  ) async throws(ControlError) -> CurrentCapabilities {
    let accept = Self.statementType(connection.fields.fhirVersion)
    var reply = try await ask(url, accept: accept, id, connection, stored)
    // R9.19: a few servers want a token for /metadata, too.
    if reply.status == 401 || reply.status == 403, let token = bearer(ledger.grantKey(id, subject: "")) {
      reply = try await ask(url, accept: accept, id, connection, stored, token: token)
    }
    if reply.status == 304, var stored, let schema = try? Schema(body: stored.body) {
      stored.fetchedAt = clock.wall()
      await keep(stored, id, previous: nil)
      return CurrentCapabilities(document: stored, schema: schema)
    }
    // R9.01: servers that do not know the type, and those that answer HTML or XML unless asked by _format.
    if (try? Schema(json: reply.body)) == nil || !(200...299).contains(reply.status) {
      let other = try? await ask(url + "?_format=json", accept: "application/json", id, connection, nil)
      if let other, (200...299).contains(other.status), (try? Schema(json: other.body)) != nil { reply = other }
    }
    guard (200...299).contains(reply.status) else {
      throw ControlError(
        reply.status == 401 ? .fhirAuthentication : reply.status == 403 ? .fhirAuthorization : .fhirAPIError,
        "the metadata: "
          + OperationOutcome.sentence(
            status: reply.status, header: { reply.header($0) }, body: reply.body),
        hint: "fhirctl connection test '\(connection.name)'")
    }
    let schema: Schema
    do { schema = try Schema(body: reply.body) } catch {
      throw ControlError(
        .serverAnswerUnusable, "the metadata \(error.sentence)", hint: "fhirctl connection test '\(connection.name)'")
    }
    var document = CapabilityDocument(url: url, at: clock.wall(), body: reply.body)
    document.entityTag = reply.header("etag").flatMap(Self.validator)
    document.lastModified = reply.header("last-modified").flatMap(Self.validator)
    // By what it says: some servers write the time of the request into it.
    let before = stored.flatMap { try? Schema(body: $0.body) }
    let hasChanged = before.map { !SchemaDiff(from: $0, to: schema).isEmpty } ?? true
    if let stored, !hasChanged { document.changedAt = stored.changedAt }
    await keep(document, id, previous: hasChanged ? stored : nil)
    return CurrentCapabilities(document: document, schema: schema)
  }

  /// R9.01: DSTU2 has a name of its own.
  static func statementType(_ version: String?) -> String {
    version == "DSTU2" || version?.hasPrefix("1.") == true
      ? "application/json+fhir, application/json;q=0.9" : "application/fhir+json, application/json;q=0.9"
  }

  /// What a server is shown again: printable, and not without end.
  static func validator(_ text: String) -> String? {
    text.utf8.count <= HealthProbe.validatorBytesMax && text.utf8.allSatisfy { (0x20...0x7E).contains($0) } ? text : nil
  }

  private func ask(
    _ url: String, accept: String, _ id: ConnectionID, _ connection: ConnectionRecord, _ stored: CapabilityDocument?,
    token: SharedSecret? = nil
  ) async throws(ControlError) -> HTTPReply {
    var request = exchange.request(.get, url, accept: accept, for: connection)
    request.redirects = .follow(max: Exchange.redirectsMax)
    request.responseBytesMax = exchange.settings.current.responseBytesMax
    if let tag = stored?.entityTag { request.headers.append(HTTPHeader("If-None-Match", tag)) }
    if let date = stored?.lastModified { request.headers.append(HTTPHeader("If-Modified-Since", date)) }
    if let token { request.secretHeaders = [token] }
    do { return try await exchange.http.send(request) } catch { throw ControlError(error, asking: url) }
  }

  /// A grant's token as a header, while it is good.
  func bearer(_ key: GrantKey) -> SharedSecret? {
    let token =
      (try? ledger.withToken(key) { (served, members) in
        served.remaining(now: clock.now(), wall: clock.wall(), bootID: clock.bootID) > .zero
          ? ServedToken.accessToken(in: members) : nil
      }) ?? nil
    guard var bytes = token ?? nil else { return nil }
    defer { wipe(&bytes) }
    return shared(Array("Authorization: Bearer ".utf8) + bytes)
  }

  private func keep(_ document: CapabilityDocument, _ id: ConnectionID, previous: CapabilityDocument?) async {
    guard document.body.count <= CapabilityDocument.bytesMax else { return }
    func put(_ document: CapabilityDocument, _ age: Ledger.DocumentAge) -> RecordBatch.Write {
      ledger.put(Ledger.documentAddress(id, age), document.encoded, CapabilityDocument.recordVersion, 1)
    }
    do {
      try await ledger.commit(
        RecordBatch(writes: [put(document, .present)] + (previous.map { [put($0, .previous)] } ?? [])))
    } catch {
      // It is a cache: the next one who asks has the server asked again.
    }
  }
}
