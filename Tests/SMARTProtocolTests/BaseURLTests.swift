/// Base URLs, endpoints, origins and references.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct BaseURLTests {
  private func base(_ text: String, loopback: Bool = false) throws -> FHIRBaseURL {
    try FHIRBaseURL(text, allowInsecureLoopback: loopback)
  }

  @Test(arguments: [
    ("https://h/a/fhir", "https://h/a/fhir"), ("HTTPS://Fhir.Example.ORG:443/R4/", "https://fhir.example.org/R4"),
    ("https://h", "https://h"), ("https://h///", "https://h"), ("https://h:8443/x//", "https://h:8443/x"),
    ("https://h:/x", "https://h/x"), ("https://[2001:DB8::1]:443/f", "https://[2001:db8::1]/f"),
    ("https://10.1.2.3/fhir", "https://10.1.2.3/fhir"), ("https://h/a%2Fb/Tenant-1/", "https://h/a%2Fb/Tenant-1"),
    ("https://my_host.local/fhir", "https://my_host.local/fhir"),
  ])
  func `R9.04 a base URL is normalized once`(text: String, expected: String) throws {
    let url = try base(text)
    #expect(url.text == expected)
    #expect(try base(url.text) == url)
  }

  @Test func `R2.01 the path of the base is kept and exactly one slash follows`() throws {
    for text in ["https://h/a/fhir", "https://h/a/fhir/", "https://h/a/fhir//"] {
      #expect(
        try base(text).appending(".well-known/smart-configuration")
          == "https://h/a/fhir/.well-known/smart-configuration")
    }
    #expect(try base("https://h").appending("/metadata") == "https://h/metadata")
  }

  @Test(arguments: [
    ("", URLProblem.empty), ("fhir.example.org/r4", .notAbsolute), ("/r4", .notAbsolute), ("https:/h/x", .notAbsolute),
    ("ftp://h/x", .scheme("ftp")), ("javascript://h/x", .scheme("javascript")),
    ("http://h/x", .insecure(loopback: false)),
    ("http://127.0.0.1/x", .insecure(loopback: true)), ("https://u:p@h/x", .userInformation),
    ("https://u@h/x", .userInformation), ("https:///x", .host), ("https://-h/x", .host), ("https://a..b/x", .host),
    ("https://h./x", .host), ("https://127.1/x", .host), ("https://0x7f.0.0.1/x", .host),
    ("https://2130706433/x", .host),
    ("https://0177.0.0.1/", .host), ("https://1.2.3.256/", .host), ("https://[::1/x", .host),
    ("https://[::1]x/", .host),
    ("https://[1:2:3:4:5:6:7]/", .host), ("https://[fe80::1%25eth0]/", .host), ("https://h%2e/x", .host),
    ("https://h:0/x", .port), ("https://h:65536/x", .port), ("https://h:8a/x", .port), ("https://h:-1/x", .port),
    ("https://h/a/../b", .dotSegments), ("https://h/./b", .dotSegments), ("https://h/%2E%2e/b", .dotSegments),
    ("https://h/x?a=b", .query), ("https://h/x?", .query), ("https://h/x#f", .fragment),
    ("https://h/x y", .badCharacter(offset: 11)), (" https://h/x", .badCharacter(offset: 0)),
    ("https://h/x\n", .badCharacter(offset: 11)), ("https://h\\@evil/x", .badCharacter(offset: 9)),
    ("https://bücher.example/", .badCharacter(offset: 9)), ("https://h/%zz", .badEscape(offset: 10)),
    ("https://h/%2", .badEscape(offset: 10)), ("https://h/{tenant}", .badCharacter(offset: 10)),
  ])
  func `R1.01 what is not one clear https URL is refused by name`(text: String, problem: URLProblem) {
    #expect(throws: problem) { try base(text) }
  }

  @Test func `R1.01 http is for loopback addresses only, and only when allowed`() throws {
    for host in ["127.0.0.1", "127.8.9.10", "localhost", "LOCALHOST", "[::1]"] {
      #expect(try base("http://\(host):8080/fhir", loopback: true).origin.port == 8080)
      #expect(throws: URLProblem.insecure(loopback: true)) { try base("http://\(host):8080/fhir") }
    }
    for host in ["128.0.0.1", "localhost.example.org", "127.0.0.1.example.org", "[::2]", "10.0.0.1"] {
      #expect(throws: URLProblem.insecure(loopback: false)) { try base("http://\(host)/", loopback: true) }
    }
    #expect(try base("http://localhost:80/", loopback: true).text == "http://localhost")
  }

  @Test func `a URL that is too long is refused`() {
    #expect(throws: URLProblem.tooLong(limit: 2048)) { try base("https://h/" + String(repeating: "a", count: 2048)) }
  }

  @Test func `no sentence repeats what may be a password`() {
    do {
      _ = try base("https://user:hunter2@h/x")
      Issue.record("user information was taken")
    } catch let problem as URLProblem {
      #expect(!problem.sentence.contains("hunter2"))
    } catch {
      Issue.record("another error: \(error)")
    }
  }

  @Test func `R5.07 an endpoint is kept byte by byte, its query too`() throws {
    let url = try EndpointURL("https://Auth.Example.org/token?p=B2C_1/", allowInsecureLoopback: false)
    #expect(url.text == "https://Auth.Example.org/token?p=B2C_1/")
    #expect(url.origin.host == "auth.example.org")
    #expect(throws: URLProblem.fragment) { try EndpointURL("https://h/t#x", allowInsecureLoopback: false) }
    #expect(throws: URLProblem.insecure(loopback: false)) { try EndpointURL("http://h/t", allowInsecureLoopback: true) }
  }

  @Test func `R1.03 origins differ by scheme, host or port and not by spelling`() {
    #expect(Origin(of: "https://H:443/a") == Origin(of: "https://h/b?c"))
    #expect(Origin(of: "https://h:8443/") != Origin(of: "https://h/"))
    #expect(Origin(of: "http://h/") != Origin(of: "https://h/"))
    #expect(Origin(of: "https://h.evil/") != Origin(of: "https://h/"))
    #expect(Origin(of: "mailto:x") == nil)
    #expect(Origin(of: "https://h:8443/")?.description == "https://h:8443")
  }

  @Test(arguments: [
    ("g:h", "g:h"), ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"),
    ("//g", "http://g"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"), ("#s", "http://a/b/c/d;p?q#s"),
    ("g#s", "http://a/b/c/g#s"), ("g?y#s", "http://a/b/c/g?y#s"), (";x", "http://a/b/c/;x"), ("", "http://a/b/c/d;p?q"),
    (".", "http://a/b/c/"), ("./", "http://a/b/c/"), ("..", "http://a/b/"), ("../", "http://a/b/"),
    ("../g", "http://a/b/g"),
    ("../..", "http://a/"), ("../../g", "http://a/g"), ("../../../g", "http://a/g"), ("/./g", "http://a/g"),
    ("/../g", "http://a/g"), ("g.", "http://a/b/c/g."), (".g", "http://a/b/c/.g"), ("..g", "http://a/b/c/..g"),
    ("./../g", "http://a/b/g"), ("./g/.", "http://a/b/c/g/"), ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
    ("g;x=1/./y", "http://a/b/c/g;x=1/y"), ("g;x=1/../y", "http://a/b/c/y"), ("g?y/../x", "http://a/b/c/g?y/../x"),
    ("g#s/../x", "http://a/b/c/g#s/../x"), ("http:g", "http:g"),
  ])
  func `R2.03 references resolve as the examples of RFC 3986 section 5-4`(reference: String, expected: String) {
    #expect(URLReference.resolve(reference, against: "http://a/b/c/d;p?q") == expected)
  }

  @Test func `of ten thousand damaged URLs none crashes, and what is taken is https and stable`() {
    let originals = [
      "https://fhir.example.org:8443/tenant/a%2Fb/r4", "https://[2001:db8::1.2.3.4]:443/x", "http://127.0.0.1:80/fhir",
    ]
    var mutator = Mutator(seed: 2)
    for i in 0..<10_000 {
      let text = String(decoding: mutator.mutate(Array(originals[i % 3].utf8)), as: UTF8.self)
      _ = URLReference.resolve(text, against: originals[i % 3])
      guard let url = try? FHIRBaseURL(text, allowInsecureLoopback: true) else { continue }
      #expect(url.origin.scheme == "https" || url.origin.isLoopback)
      #expect(!url.text.hasSuffix("/"))
      #expect((try? FHIRBaseURL(url.text, allowInsecureLoopback: true)) == url)
    }
  }
}
