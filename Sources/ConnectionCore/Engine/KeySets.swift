/// The issuer's published keys, kept in the store: asked for when they are old, and once more when a token is not verified
/// by them.
import FHIRControl
import SMARTProtocol

extension Authorizer {
  /// The key set, and whether the issuer was asked for it just now.
  func keySet(of issuer: String, _ id: ConnectionID, _ connection: ConnectionRecord) async -> (
    set: KeySetRecord, wasAsked: Bool
  )? {
    // A cache: what does not open, and what was another issuer's, is asked for anew.
    var stored = (try? ledger.keySet(id)) ?? nil
    if stored?.issuer != issuer { stored = nil }
    if let stored, stored.isFresh(at: clock.wall()) { return (stored, false) }
    if let fetched = await fetchKeySet(of: issuer, id, connection, stored) {
      await keep(fetched, id)
      return (fetched, true)
    }
    guard let stored, stored.isUsable(at: clock.wall()) else { return nil }
    return (stored, true)
  }

  /// The set as the issuer has it now, because a token speaks against `stored`; nil: it has not changed, cannot be had, or
  /// was asked for a moment ago.
  func renewedKeySet(_ stored: KeySetRecord, _ id: ConnectionID, _ connection: ConnectionRecord) async -> KeySetRecord?
  {
    let now = clock.wall()
    guard stored.mayBeDoubted(at: now) else { return nil }
    var renewed = await fetchKeySet(of: stored.issuer, id, connection, stored) ?? stored
    renewed.doubtedAt = now
    await keep(renewed, id)
    return renewed.body == stored.body ? nil : renewed
  }

  /// Asks where discovery found the set, else where OpenID Connect Discovery says (R2.10).
  private func fetchKeySet(
    of issuer: String, _ id: ConnectionID, _ connection: ConnectionRecord, _ stored: KeySetRecord?
  ) async -> KeySetRecord? {
    if let discovery = (try? ledger.discovery(id)) ?? nil, discovery.fits(connection),
      discovery.issuer == nil || discovery.issuer == issuer, let known = discovery.endpoints["jwks_uri"]?.url,
      let set = await fetchKeySet(of: issuer, at: known, connection, stored)
    {
      return set
    }
    let bare = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
    let configuration = bare + "/.well-known/openid-configuration"
    guard isAllowed(configuration),
      let reply = try? await exchange.get(configuration, accept: "application/json", for: connection),
      (200...299).contains(reply.status),
      let document = try? JSONDocument(reply.body, limits: .small).root,
      // OpenID Connect Discovery 4.3.
      document["issuer"]?.string == issuer, let url = document["jwks_uri"]?.string
    else { return nil }
    return await fetchKeySet(of: issuer, at: url, connection, stored)
  }

  private func fetchKeySet(
    of issuer: String, at url: String, _ connection: ConnectionRecord, _ stored: KeySetRecord?
  ) async -> KeySetRecord? {
    guard isAllowed(url) else { return nil }
    let stored = stored?.url == url ? stored : nil
    var request = exchange.request(
      .get, url, accept: "application/jwk-set+json, application/json;q=0.9", for: connection)
    request.redirects = .follow(max: Exchange.redirectsMax)
    request.responseBytesMax = KeySetRecord.bytesMax
    if let tag = stored?.entityTag { request.headers.append(HTTPHeader("If-None-Match", tag)) }
    if let date = stored?.lastModified { request.headers.append(HTTPHeader("If-Modified-Since", date)) }
    guard let reply = try? await exchange.http.send(request) else { return nil }
    let lifetime = KeySetRecord.lifetime(cacheControl: reply.header("cache-control"))
    if reply.status == 304, var stored {
      stored.fetchedAt = clock.wall()
      stored.lifetime = lifetime
      return stored
    }
    // An error page must not take the place of keys.
    guard (200...299).contains(reply.status),
      (try? JSONDocument(reply.body, limits: .small))?.root["keys"]?.elements != nil
    else { return nil }
    var set = KeySetRecord(issuer: issuer, url: url, at: clock.wall(), lifetime: lifetime, body: reply.body)
    set.doubtedAt = stored?.doubtedAt
    set.entityTag = reply.header("etag").flatMap(Self.validator)
    set.lastModified = reply.header("last-modified").flatMap(Self.validator)
    return set
  }

  private func isAllowed(_ url: String) -> Bool {
    (try? EndpointURL(url, allowInsecureLoopback: exchange.settings.current.allowInsecureLoopback)) != nil
  }

  private func keep(_ set: KeySetRecord, _ id: ConnectionID) async {
    do {
      try await ledger.commit(
        RecordBatch(writes: [ledger.put(Ledger.keySetAddress(id), set.encoded, KeySetRecord.recordVersion, 1)]))
    } catch {
      // It is a cache: the next login asks again.
    }
  }
}
