/// Logins on the stage: a connection of people at the scripted server, and a browser that always agrees.
import FHIRControl
import TestSupport
import Testing

extension Stage {
  static let redirectURI = "http://127.0.0.1:8765/callback"
  static let appID = "test-app"

  /// A connection with logins; `fields` go on top.
  @discardableResult
  func createApp(_ name: String, tenant: String = "", _ fields: WireJSON = [:]) async throws -> WireJSON {
    try await server.register(
      client: Self.appID, secret: Self.clientSecret, ["redirect_uris": [.string(Self.redirectURI)]])
    let app: WireJSON = [
      "auth_method": "authorization_code", "client_id": .string(Self.appID),
      "scope": "launch/patient patient/*.rs offline_access", "redirect_uri": .string(Self.redirectURI),
    ]
    return try await create(name, tenant: tenant, app.merging(fields))
  }

  /// Where the server sends the browser after somebody has logged in and agreed.
  func agree(_ authorizationURL: String) async throws -> String {
    let path = String(authorizationURL.dropFirst(server.origin.count))
    let reply = try await LoopbackHTTP.head(port: UInt16(server.port), path: path)
    return try #require(reply["location"], "no redirect from \(path): \(reply)")
  }

  /// A whole login.
  @discardableResult
  func logIn(_ name: String, subject: String = "", over other: ControlConnection? = nil) async throws -> WireJSON {
    let control = other ?? self.control
    let login = try await control.result(
      "authorization.start", ["connection": .string(name), "subject": .string(subject)])
    let back = try await agree(try #require(login["authorization_url"].string))
    let status = try await control.result("authorization.complete", ["redirect_url": .string(back)])
    #expect(status["progress"] == "completed", "\(status.text)")
    return status
  }

  /// Every record opens, and the store is well.
  func expectWholeStore() async throws {
    let page = try await control.result("connection.list", ["limit": 1000])
    #expect(page["unreadable"].array.isEmpty, "\(page["unreadable"].text)")
    let health = try await control.result("health.get")
    #expect(health["state"] == "ok", "\(health.text)")
  }

  /// A refresh that works, once the floor between refreshes has passed.
  @discardableResult
  func refresh(_ name: String) async throws -> WireJSON {
    try await eventually("a refresh of \(name)", every: 0.1) { () -> WireJSON? in
      let answer = try await control.call("token.refresh", ["connection": .string(name)])
      if answer.succeeded { return answer.result }
      guard code(answer) == .throttled else { throw IntegrationFailure("a refresh failed: \(answer)") }
      return nil
    }
  }

  /// A refresh that the server has and does not answer, for it was told to hold it. On a connection of its own.
  /// - Returns: that connection, and the id of the request.
  @discardableResult
  func refreshUnderWay(_ name: String) async throws -> (control: ControlConnection, id: Int) {
    let other = try await daemon.connect()
    let id = try await eventually("a refresh is under way", every: 0.1) { () -> Int? in
      let id = try await other.begin("token.refresh", ["connection": .string(name)])
      _ = try await other.result("server.info")
      if try await status(name)["refresh_under_way"] == true { return id }
      #expect(code(try await other.answer(to: id)) == .throttled)
      return nil
    }
    _ = try await eventually("it is at the server") { try await server.inFlight(path: "/token") == 1 ? true : nil }
    return (other, id)
  }

  /// What the server makes of the token that is served.
  func expectGoodToken(_ name: String) async throws {
    #expect(try await server.read("/fhir/Patient/1", token: try await token(name, ["min_valid_seconds": 0])) == 200)
  }
}

enum FormText {
  /// Percent-encoded, for a form.
  static func encode(_ text: String) -> String {
    text.utf8.map { byte in
      let plain = byte < 0x80 && (Character(Unicode.Scalar(byte)).isLetter || Character(Unicode.Scalar(byte)).isNumber)
      let hex = String(byte, radix: 16, uppercase: true)
      return plain ? String(Unicode.Scalar(byte)) : "%" + (hex.count < 2 ? "0" : "") + hex
    }.joined()
  }
}

extension LoopbackHTTP {
  /// The header fields of an answer to GET, by name in lower case; `status` beside them.
  static func head(port: UInt16, path: String, posting form: String? = nil) async throws -> [String: String] {
    var request = "\(form == nil ? "GET" : "POST") \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n"
    if let form {
      request += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: \(form.utf8.count)\r\n"
    }
    request += "\r\n" + (form ?? "")
    let bytes = Array(request.utf8)
    let answer = try await blockingWork {
      let socket = try TestSocket(.loopback(port))
      try socket.write(bytes)
      return try socket.readToEnd()
    }
    var fields: [String: String] = [:]
    for (i, line) in String(decoding: answer, as: UTF8.self).split(separator: "\r\n").enumerated() {
      if i == 0 {
        fields["status"] = line.split(separator: " ").dropFirst().first.map(String.init)
      } else if let colon = line.firstIndex(of: ":") {
        let value = line[line.index(after: colon)...].drop { $0 == " " }
        fields[line[..<colon].lowercased()] = String(value)
      }
    }
    return fields
  }
}
