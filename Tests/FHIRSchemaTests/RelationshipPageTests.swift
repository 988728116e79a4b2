/// The page of relationships: nothing of a document becomes markup, and in a browser a type can be selected.
import FHIRSchema
import Foundation
import SMARTProtocol
import Testing

@Suite struct RelationshipPageTests {
  private static let browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }

  private func graph(_ resources: String) throws -> RelationshipGraph {
    RelationshipGraph(
      try Schema(
        json: Array(
          #"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","resource":[\#(resources)]}]}"#
            .utf8)))
  }

  @Test func `the page loads nothing and trusts nothing`() throws {
    let evil = #"</script><img src=x onerror=alert(1)>"#
    let page = RelationshipPage.html(
      try graph(#"{"type":"\#(evil)","searchParam":[{"name":"\#(evil)","type":"reference","target":["\#(evil)"]}]}"#),
      title: "<b>\(evil)&\"'")
    #expect(!page.contains("<img"))
    #expect(!page.contains("<b>"))
    #expect(page.components(separatedBy: "</script>").count == 3)
    #expect(page.contains("default-src 'none'; script-src 'sha256-"))
    #expect(!page.contains("unsafe-inline"))
    // The one address is the name of SVG.
    #expect(page.components(separatedBy: "http").filter { !$0.hasPrefix("-equiv") }.dropFirst().count == 1)
    #expect(!page.contains("innerHTML"))
  }

  /// What the browser makes of the page with a fragment.
  private func dom(_ page: String, fragment: String) async throws -> String {
    let browser = try #require(Self.browser)
    let folder = FileManager.default.temporaryDirectory.appending(path: "fhird-page-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "page.html")
    try page.write(to: file, atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/timeout")
    process.arguments = [
      "60", browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=\(folder.path)/profile",
      "--dump-dom", "--virtual-time-budget=2000", "--window-size=1400,900", "file://\(file.path)#\(fragment)",
    ]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return String(decoding: output, as: UTF8.self)
  }

  @Test(.enabled(if: browser != nil, "no Chromium"), .timeLimit(.minutes(3)))
  func `in a browser the fragment selects a type, and its neighbours stand around it`() async throws {
    let page = RelationshipPage.html(
      try graph(
        #"{"type":"Observation","searchParam":[{"name":"subject","type":"reference"}]},{"type":"Patient"},{"type":"Slot"}"#
      ),
      title: "x")
    let overview = try await dom(page, fragment: "")
    #expect(overview.contains(#"data-selected="""#))
    #expect(overview.contains(#"class="web""#))
    let patient = try await dom(page, fragment: "Patient")
    #expect(patient.contains(#"data-selected="Patient""#))
    #expect(patient.contains(#"aria-label="Observation refers to Patient by patient, performer, subject""#))
    #expect(patient.contains("FHIR's definition"))
    let unknown = try await dom(page, fragment: "Nobody%")
    #expect(unknown.contains(#"data-selected="""#))
  }

  @Test(.enabled(if: browser != nil, "no Chromium"), .timeLimit(.minutes(3)))
  func `in a browser a click selects, and a hostile name stays a text`() async throws {
    let evil = #"<img src=x onerror=document.title='broken'>"#
    let page = RelationshipPage.html(
      try graph(
        #"{"type":"Patient"},{"type":"\#(evil)","searchParam":[{"name":"p","type":"reference","target":["Patient"]}]}"#),
      title: "x")
    // The test's own script clicks, for which the policy has to be off.
    let click = """
      <script>setTimeout(() => [...document.querySelectorAll("#types button")]
      .find(b => b.textContent.startsWith("Patient")).click(), 50)</script></body>
      """
    let driven = page.replacingOccurrences(
      of: "<meta http-equiv=\"Content-Security-Policy\"", with: "<meta name=\"off\""
    )
    .replacingOccurrences(of: "</body>", with: click)
    let result = try await dom(driven, fragment: "")
    #expect(result.contains(#"data-selected="Patient""#))
    #expect(!result.contains("<img"))
    #expect(!result.contains("<title>broken"))
  }
}
