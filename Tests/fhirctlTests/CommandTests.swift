/// Each command of the built program against a scripted daemon: what it asks, what it prints, how it ends.
import FHIRControl
import FakeDaemon
import Foundation
import Testing

@Suite struct CommandTests {
  @Test func `status shows the daemon and a line for each connection`() throws {
    let trouble = LastError(
      code: .invalidClient, message: "the server refuses the client", at: Samples.fromNow(-130), attempts: 3)
    let daemon = FakeDaemon([
      "health.get": .result(Samples.json(Samples.health)),
      "connection.list": .result(
        Samples.page(
          Samples.connection("epic"),
          Samples.connection("宿題", state: .misconfigured, health: .down, error: trouble))),
    ])
    let run = try Child.run(daemon.path, "status")
    #expect(run.status == 0)
    #expect(run.errors.isEmpty)
    #expect(run.lines.first?.hasPrefix("fhird 0.1.0 is degraded, started 2 h ago: 2 connections, 3 grants") == true)
    #expect(run.output.contains("store: degraded: the disk is nearly full"))
    #expect(run.output.contains("warning: http:// to loopback is allowed"))
    let epic = try #require(run.lines.first { $0.hasPrefix("epic") })
    #expect(epic.contains("active"))
    #expect(epic.contains("in 4 min"))
    #expect(epic.contains("healthy"))
    let other = try #require(run.lines.first { $0.hasPrefix("宿題") })
    #expect(other.contains("INVALID_CLIENT 2 min ago, 3 attempts: the server refuses the client"))
    // Aligned by columns on the screen: the wide name takes four of them.
    let header = try #require(run.lines.first { $0.hasPrefix("NAME") })
    let column = try #require(header.range(of: "STATE")).lowerBound.utf16Offset(in: header)
    #expect(epic.dropFirst(column).hasPrefix("active"))
    #expect(other.dropFirst(column - 2).hasPrefix("misconfigured"))
  }

  @Test func `status as JSON is one document with the daemon and the connections`() throws {
    let daemon = FakeDaemon([
      "health.get": .result(Samples.json(Samples.health)),
      "connection.list": .result(Samples.page(Samples.connection("epic"))),
    ])
    for arguments in [["--json", "status"], ["status", "--json"]] {
      let run = try Child.run(Child.process(daemon.path, arguments, [:]))
      let report = try #require(try object(run.output))
      #expect((report["daemon"] as? [String: Any])?["state"] as? String == "degraded")
      #expect((report["connections"] as? [[String: Any]])?.first?["connection_name"] as? String == "epic")
    }
  }

  @Test func `connection list shows names, states and servers, and tells what does not open`() throws {
    let page = ConnectionPage(
      connections: [Samples.connection("epic")],
      unreadable: [UnreadableRecord(id: "77", detail: "the record does not open", hint: "restore it")])
    let daemon = FakeDaemon(["connection.list": .result(Samples.json(page))])
    let run = try Child.run(daemon.path, "connection", "list", "--filter", "e*")
    #expect(run.status == 0)
    #expect(run.output.contains("https://fhir.example.org/R4"))
    #expect(run.output.contains("unreadable: 77: the record does not open"))
    #expect(daemon.requests.first?.parameter("filter") == #""e*""#)
  }

  @Test func `connection show tells fields, endpoints with their sources, token and server`() throws {
    let daemon = FakeDaemon(["connection.get": .result(Samples.json(Samples.connection("epic")))])
    let run = try Child.run(daemon.path, "connection", "show", "epic")
    #expect(run.status == 0)
    for part in [
      "https://as.example.org/token (smart-configuration)", "client id", "ward 7", "client secret", "stored",
      "system/*.rs", "healthy since 2 h ago, 12 ms", "finding: grant_types_supported is missing",
    ] {
      #expect(run.output.contains(part), "\(part)")
    }
    let json = try Child.run(daemon.path, "connection", "show", "epic", "--json")
    #expect(try object(json.output)?["client_id"] as? String == "abc")
  }

  @Test func `connection create sends every field under its own name`() throws {
    let daemon = FakeDaemon(["connection.create": .result(Samples.json(Samples.connection("epic")))])
    let run = try Child.run(
      daemon.path, "connection", "create", "epic", "--url", "https://h/R4", "--auth-method", "client_credentials",
      "--client-authentication", "client_secret_post", "--client-id", "abc", "--auth-url", "https://a/1", "--token-url",
      "https://a/2", "--issuer", "https://a", "--revocation-url", "https://a/3", "--introspection-url", "https://a/4",
      "--scope", "system/*.rs", "--aud", "https://h", "--basic-encoding", "raw", "--extra-parameter", "a=b=c",
      "--extra-parameter", "d=", "--extra-header", "Epic-Client-ID: x:y", "--ca-file", "ca.pem", "--proxy",
      "http://p:3128", "--allowed-origin", "https://o1", "--allowed-origin", "https://o2", "--link-rewrite",
      "http://in:8080=https://h", "--refresh-mode",
      "on_demand",
      "--refresh-margin-seconds", "60", "--refresh-min-interval-seconds", "30.5", "--health-interval-seconds", "20",
      "--health-maintenance", "Sun 02:00-04:00", "--health-maintenance", "daily 23:30-00:30",
      "--no-health", "--fhir-version", "4.0.1", "--sends-fhir-version", "--search-method", "post",
      "--requests-per-second", "2.5", "--requests-burst", "5", "--requests-concurrency", "3", "--redirect-uri",
      "http://127.0.0.1:8765/cb", "--pkce", "none",
      "--signing-algorithm", "RS384", "--sends-client-id", "--authorization-parameter", "prompt=login",
      "--refresh-replay", "never", "--refresh-replay-within-seconds", "20", "--refresh-keep-alive-seconds", "7200",
      "--registration", "dynamic", "--scope-version", "as_written", "--client-certificate-file", "/c.pem", "--label",
      "ward=7", "--additional-notes",
      "-- call Ann",
      "--client-secret-stdin", input: "s3cret\n")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("created connection epic"))
    let request = try #require(daemon.requests.first)
    let expected = [
      "connection_name": #""epic""#, "fhir_base_url": #""https://h/R4""#, "auth_method": #""client_credentials""#,
      "client_authentication": #""client_secret_post""#, "client_id": #""abc""#, "client_secret": #""s3cret""#,
      "auth_url": #""https://a/1""#, "token_url": #""https://a/2""#, "issuer": #""https://a""#,
      "revocation_url": #""https://a/3""#, "introspection_url": #""https://a/4""#, "scope": #""system/*.rs""#,
      "aud": #""https://h""#, "basic_encoding": #""raw""#, "extra_parameters": #"{"a":"b=c","d":""}"#,
      "extra_headers": #"{"Epic-Client-ID":"x:y"}"#, "proxy": #""http://p:3128""#,
      "ca_file": "\"\(FileManager.default.currentDirectoryPath)/ca.pem\"",
      "allowed_origins": #"["https://o1","https://o2"]"#, "link_rewrites": #"{"http://in:8080":"https://h"}"#,
      "refresh":
        #"{"keep_alive_seconds":7200,"margin_seconds":60,"min_interval_seconds":30.5,"mode":"on_demand","replay":"never","replay_within_seconds":20}"#,
      "health": #"{"enabled":false,"interval_seconds":20,"maintenance":["Sun 02:00-04:00","daily 23:30-00:30"]}"#,
      "fhir_version": #""4.0.1""#, "sends_fhir_version": "true",
      "search_method": #""post""#, "requests": #"{"burst":5,"concurrency":3,"per_second":2.5}"#,
      "labels": #"{"ward":"7"}"#,
      "redirect_uri": #""http://127.0.0.1:8765/cb""#, "pkce": #""none""#, "signing_algorithm": #""RS384""#,
      "registration": #""dynamic""#, "scope_version": #""as_written""#, "client_certificate_file": #""/c.pem""#,
      "sends_client_id": "true",
      "authorization_parameters": #"{"prompt":"login"}"#,
      "additional_notes": #""-- call Ann""#,
    ]
    for (name, value) in expected { #expect(request.parameter(name) == value, "\(name)") }
    #expect(Set(expected.keys) == ConnectionFields.parameterNames)
  }

  @Test func `connection update sends only what changes, and says what became of the tokens`() throws {
    let result = ConnectionUpdateResult(connection: Samples.connection("epic"), grantsToRenew: 2, grantsNeedingLogin: 1)
    let daemon = FakeDaemon(["connection.update": .result(Samples.json(result))])
    let run = try Child.run(
      daemon.path, "connection", "update", "epic", "--connection-name", "epic2", "--proxy", "", "--label", "",
      "--if-generation", "7")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("2 tokens to obtain anew"))
    #expect(run.output.contains("1 grant must be authorized again"))
    let request = try #require(daemon.requests.first)
    #expect(request.parameter("connection") == #""epic""#)
    #expect(request.parameter("if_generation") == "7")
    #expect(request.parameter("connection_name") == #""epic2""#)
    #expect(request.parameter("proxy") == "\"\"")
    #expect(request.parameter("labels") == "{}")
    for absent in ["scope", "client_secret", "health", "refresh"] { #expect(request.parameter(absent) == nil) }
    #expect(try Child.run(daemon.path, "connection", "update", "epic").status == 64)
  }

  @Test func `connection delete asks nobody when told yes, and refuses where nobody can be asked`() throws {
    let result = ConnectionDeleteResult(
      id: "1", connectionName: "epic", grantsErased: 2, revocation: "not_supported_by_server")
    let daemon = FakeDaemon(["connection.delete": .result(Samples.json(result))])
    let refused = try Child.run(daemon.path, "connection", "delete", "epic")
    #expect(refused.status == 64)
    #expect(refused.errors.contains("--yes"))
    #expect(daemon.requests.isEmpty)
    let run = try Child.run(daemon.path, "connection", "delete", "epic", "--yes", "--no-revoke")
    #expect(run.status == 0)
    #expect(run.output.contains("2 grants erased; revocation at the server: not supported by server"))
    #expect(daemon.requests.first?.parameter("revoke") == "false")
  }

  @Test func `connection test prints the steps and ends with 2 when one failed`() throws {
    let daemon = FakeDaemon(["connection.test": .result(Samples.json(Samples.test))])
    let run = try Child.run(daemon.path, "connection", "test", "epic")
    #expect(run.status == 2)
    #expect(run.errors.isEmpty)
    #expect(run.lines.contains { $0.hasPrefix("token") && $0.contains("failed") && $0.contains("250 ms") })
    #expect(run.lines.contains { $0.hasPrefix("authorized read") && $0.contains("skipped") })
    #expect(run.lines.last == "epic: 1 step failed")
    let passed = ConnectionTestResult(connectionName: nil, fhirBaseURL: "https://h", steps: [Samples.test.steps[0]])
    let second = FakeDaemon(["connection.test": .result(Samples.json(passed))])
    let unsaved = try Child.run(second.path, "connection", "test", "--url", "https://h", "--auth-method", "none")
    #expect(unsaved.status == 0)
    #expect(second.requests.first?.parameter("fhir_base_url") == #""https://h""#)
    #expect(second.requests.first?.parameter("connection") == nil)
    #expect(try Child.run(second.path, "connection", "test").status == 64)
    #expect(try Child.run(second.path, "connection", "test", "epic", "--url", "https://h").status == 64)
  }

  @Test func `token get prints the token alone, a header, or all of it`() throws {
    let daemon = FakeDaemon(["token.get": .result(Samples.token)])
    #expect(try Child.run(daemon.path, "token", "get", "epic").output == "at-s3cret\n")
    let header = try Child.run(
      daemon.path, "token", "get", "epic", "--subject", "p1", "--min-valid", "120", "--header", "--timeout", "9")
    #expect(header.output == "Authorization: Bearer at-s3cret\n")
    #expect(daemon.requests.last?.parameter("min_valid_seconds") == "120")
    #expect(daemon.requests.last?.parameter("subject") == #""p1""#)
    #expect(daemon.requests.last?.parameter("timeout_seconds") == "9")
    let json = try #require(try object(Child.run(daemon.path, "token", "get", "epic", "--json").output))
    #expect(json["access_token"] as? String == "at-s3cret")
    #expect((json["context"] as? [String: Any])?["patient"] as? String == "p1")
    #expect(try Child.run(daemon.path, "token", "get", "epic", "--json", "--header").status == 64)
  }

  @Test func `a token that would forge a header is not printed`() throws {
    let forged = Samples.token.replacingOccurrences(of: "at-s3cret", with: #"a\r\nX: y"#)
    let daemon = FakeDaemon(["token.get": .result(forged)])
    for arguments in [["token", "get", "e"], ["token", "get", "e", "--header"], ["exec", "e", "--", "true"]] {
      let run = try Child.run(Child.process(daemon.path, arguments, [:]))
      #expect(run.status == 1)
      #expect(run.output.isEmpty)
    }
  }

  @Test func `token status and refresh say how the token is, without it`() throws {
    var status = Samples.connection("epic", state: .degraded).token
    status.missingScope = ["system/Patient.r"]
    let daemon = FakeDaemon([
      "token.status": .result(Samples.json(status)),
      "token.refresh": .result(
        Samples.json(TokenRefreshResult(expiresAt: Samples.fromNow(3590), expiresIn: 3590, generation: 8))),
    ])
    let run = try Child.run(daemon.path, "token", "status", "epic")
    #expect(run.output.contains("degraded"))
    #expect(run.output.contains("not granted"))
    #expect(run.output.contains("system/Patient.r"))
    let refreshed = try Child.run(daemon.path, "token", "refresh", "epic")
    #expect(refreshed.output.hasPrefix("refreshed: expires in 59 min, generation 8"))
  }

  @Test func `health shows every part, and of every connection the server, its metadata, its token and its grants`()
    throws
  {
    var all = Samples.health
    all.connectionHealth = [Samples.connectionHealth("epic", server: .down), Samples.connectionHealth("宿題")]
    let daemon = FakeDaemon(["health.get": .result(Samples.json(all))])
    let run = try Child.run(daemon.path, "health")
    #expect(run.status == 2, "\(run.errors)")
    #expect(run.lines.contains { $0.hasPrefix("engine") && $0.hasSuffix("ok") })
    #expect(run.lines.contains { $0.hasPrefix("store") && $0.hasSuffix("the disk is nearly full") })
    #expect(run.output.contains("servers: 1 healthy, 1 down"))
    let row = try #require(run.lines.first { $0.hasPrefix("epic") })
    #expect(row.split(separator: " ").prefix(5) == ["epic", "down", "healthy", "healthy", "degraded"])
    #expect(row.hasSuffix("2 h ago  connection refused"))
    #expect(run.lines.contains { $0.hasPrefix("宿題") && $0.contains("less scope") })
  }

  @Test func `health of all comes in pages, and well is exit status 0`() throws {
    var first = Samples.health
    first.state = "ok"
    first.connectionHealth = [Samples.connectionHealth("epic", grants: .healthy)]
    first.nextCursor = "1"
    var last = first
    last.connectionHealth = [Samples.connectionHealth("cerner", grants: .healthy)]
    last.nextCursor = nil
    let daemon = FakeDaemon { [first, last] request in
      [.result(Samples.json(request.parameter("cursor") == nil ? first : last))]
    }
    let run = try Child.run(daemon.path, "health", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let list = try #require(try object(run.output)?["connection_health"] as? [[String: Any]])
    #expect(list.compactMap { $0["connection_name"] as? String } == ["epic", "cerner"])
  }

  @Test func `health of one connection says why, what was probed and what to do, and its history`() throws {
    var one = Samples.health
    one.connectionHealth = [Samples.connectionHealth("epic", server: .down)]
    var told = one
    told.history = Samples.history
    let daemon = FakeDaemon([
      "health.get": .result(Samples.json(told)), "health.check": .result(Samples.json(one)),
    ])
    let run = try Child.run(daemon.path, "health", "epic", "--check")
    #expect(run.status == 2)
    #expect(daemon.requests.map(\.method) == ["health.check"])
    for words in [
      "down since 2 h ago: connection refused", "smart-configuration: discovery found it", "granted less scope",
      "fhirctl token list 'epic'",
    ] { #expect(run.output.contains(words), "\(words)") }
    let history = try Child.run(daemon.path, "health", "epic", "--history", "--days", "7")
    #expect(daemon.requests.last?.parameter("history_days") == "7")
    #expect(history.lines.contains { $0.contains("server") && $0.hasSuffix("connection refused") })
    #expect(history.output.contains("4 older changes not kept"))
    #expect(history.lines.contains { $0.hasPrefix("2026-11-25") && $0.contains("3/5/9 ms") })
    #expect(try Child.run(daemon.path, "health", "--check").status == 64)
    #expect(try Child.run(daemon.path, "health", "epic", "--days", "91").status == 64)
  }

  @Test func `access rules are listed, granted to each kind of principal, and revoked`() throws {
    let daemon = FakeDaemon([
      "access.list": .result(Samples.json(AccessRuleList(rules: [Samples.rule]))),
      "access.grant": .result(Samples.json(Samples.rule)),
      "access.revoke": .result(Samples.json(AccessRevokeResult(revoked: Samples.rule))),
    ])
    let list = try Child.run(daemon.path, "access", "list")
    #expect(list.lines.contains { $0.contains("user:lab") && $0.contains("token.get") && $0.contains("nightly") })
    let grant = try Child.run(
      daemon.path, "access", "grant", "user:lab", "--uid", "7", "--group", "g", "--unit", "u@*.service", "--everyone",
      "--method", "token.get", "-m", "fhir.*", "-c", "epic", "-s", "p*", "--note", "n")
    #expect(grant.status == 0, "\(grant.errors)")
    let asked = daemon.requests.filter { $0.method == "access.grant" }
    #expect(
      asked.compactMap { $0.parameter("principal") }
        == [#""user:lab""#, #""uid:7""#, #""group:g""#, #""unit:u@*.service""#, #""everyone""#])
    #expect(asked.first?.parameter("methods") == #"["token.get","fhir.*"]"#)
    #expect(asked.first?.parameter("connections") == #"["epic"]"#)
    #expect(asked.first?.parameter("subjects") == #"["p*"]"#)
    let one = try Child.run(daemon.path, "access", "grant", "user:lab", "--method", "token.get", "--json")
    #expect(try object(one.output)?["id"] as? String == "7")
    let revoke = try Child.run(daemon.path, "access", "revoke", "7")
    #expect(revoke.output.contains("user:lab"))
    #expect(daemon.requests.last?.parameter("rule") == #""7""#)
    #expect(try Child.run(daemon.path, "access", "grant", "user:lab").status == 64)
    #expect(try Child.run(daemon.path, "access", "grant", "--method", "token.get").status == 64)
    #expect(try Child.run(daemon.path, "access", "grant", "lab", "--method", "token.get").status == 64)
  }

  @Test func `server info says who the caller is taken for`() throws {
    let daemon = FakeDaemon(["server.info": .result(Samples.json(Samples.info))])
    let run = try Child.run(daemon.path, "server", "info")
    #expect(run.output.contains("uid 1000 (lab)"))
    #expect(run.output.contains("unit lab.service"))
    #expect(run.output.contains("http:// to loopback is allowed"))
  }

  @Test func `server compact says what the store has now and had before`() throws {
    let done = StoreCompaction(bytesBefore: 1_288_490_189, bytesAfter: 12_582_912, records: 4321, seconds: 3.5)
    let daemon = FakeDaemon(["store.compact": .result(Samples.json(done))])
    let run = try Child.run(daemon.path, "server", "compact")
    #expect(run.output == "the store has 12 MiB, before 1.2 GiB; 4321 records, 3 s\n")
    let json = try Child.run(daemon.path, "server", "compact", "--json")
    #expect(try object(json.output)?["bytes_after"] as? Int == 12_582_912)
    let refusing = FakeDaemon([:])
    #expect(try Child.run(refusing.path, "server", "compact").status != 0)
  }

  @Test func `health shows how large the store is and may become`() throws {
    var health = Samples.health
    health.store = StoreFacts(bytes: 1_300_000, bytesFree: 800, bytesMax: 64 << 30, records: 1)
    let daemon = FakeDaemon(["health.get": .result(Samples.json(health))])
    let run = try Child.run(daemon.path, "health")
    #expect(
      run.output.contains("store: 1.2 MiB, 800 bytes of it free, 1 record; the limit is 64 GiB\n"), "\(run.output)")
  }
}
