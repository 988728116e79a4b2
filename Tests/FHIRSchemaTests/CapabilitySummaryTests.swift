/// CapabilityStatements of live servers, and what becomes of damaged ones.
import FHIRSchema
import Foundation
import SMARTProtocol
import TestSupport
import Testing

@Suite struct CapabilitySummaryTests {
  private func summary(_ text: String) throws -> CapabilitySummary { try CapabilitySummary(json: Array(text.utf8)) }

  @Test func `R9.16 a plain statement is read`() throws {
    let summary = try summary(
      """
      {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","kind":"instance","format":["json"],
      "software":{"name":"X","version":"1"},"rest":[{"mode":"server","interaction":[{"code":"transaction"}],"resource":[
      {"type":"Patient","interaction":[{"code":"search-type"},{"code":"read"}]},{"type":"Binary"}]},
      {"mode":"client","resource":[{"type":"Slot"}]},{"resource":[{"type":"Patient","interaction":[{"code":"vread"}]}]}]}
      """)
    #expect(summary.sentence == "FHIR R4 (4.0.1), X 1, 2 resource types")
    #expect(summary.resources.map(\.type) == ["Binary", "Patient"])
    #expect(summary.resource("Patient")?.interactions == ["read", "search-type", "vread"])
    #expect(summary.resource("Patient")?.offersSearch == true)
    #expect(summary.resource("Binary")?.offersRead == false)
    #expect(summary.systemInteractions == ["transaction"])
    #expect(summary.findings.isEmpty)
  }

  @Test(arguments: [
    ("", CapabilitySummary.Problem.empty), (" \n", .empty), ("<CapabilityStatement/>", .xml), ("<html></html>", .html),
    ("{}", .otherResource(found: nil)), ("[]", .otherResource(found: nil)),
    ("{\"resourceType\":7}", .otherResource(found: nil)),
    ("{\"resourceType\":\"OperationOutcome\"}", .otherResource(found: "OperationOutcome")),
  ])
  func `R9.03 what is no statement is refused by name`(text: String, problem: CapabilitySummary.Problem) {
    #expect(throws: problem) { try summary(text) }
  }

  @Test func `half a statement is not JSON`() {
    #expect(throws: CapabilitySummary.Problem.notJSON("the JSON ends in the middle")) {
      try summary("{\"resourceType\":\"CapabilityStatement\",")
    }
  }

  @Test func `R9.16 odd shapes become findings`() throws {
    let summary = try summary(
      """
      {"resourceType":"Conformance","fhirVersion":["1.0.2"],"kind":7,"format":66,"software":"x","rest":{"resource":[
      7,{"type":""},{"type":"Patient","interaction":{"code":"read"}},{"type":"Group","interaction":[{"code":1},"read"]}]}}
      """)
    #expect(summary.resources.map(\.type) == ["Group", "Patient"])
    #expect(summary.resource("Patient")?.offersRead == true)
    #expect(summary.fhirVersion == nil)
    #expect(
      Set(summary.findings.map(\.id)).isSuperset(of: [
        "fhirVersion-type", "kind-type", "format-type", "rest-type", "rest.resource-type", "resource-no-type",
        "interaction-type", "interaction-no-code",
      ]))
  }

  @Test(arguments: [
    ("0.0.82", FHIRRelease.dstu1), ("0.5.0", .dstu2), ("1.0.2", .dstu2), ("1.6.0", .stu3), ("3.0.1", .stu3),
    ("3.5.0", .r4),
    ("4.0.0", .r4), ("4.0.1", .r4), ("4.1.0", .r4b), ("4.3.0", .r4b), ("4.2.0", .r5), ("5.0.0", .r5),
    ("6.0.0-ballot2", .r6),
  ])
  func `a version belongs to a release`(version: String, release: FHIRRelease) {
    #expect(FHIRRelease(version: version) == release)
  }

  @Test func `a version that never was belongs to none`() {
    for version in ["", "4", "x.y", "2.0.0", "-1.0", "."] {
      #expect(FHIRRelease(version: version) == nil, "\(version)")
    }
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `R9.16 every real statement is read, and says what Foundation reads there`() throws {
    var read = 0
    for (name, bytes) in try SharedData.all("capability") where name.hasSuffix(".json") {
      let summary = try CapabilitySummary(json: bytes)
      let root = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
      let resources = ((root["rest"] as? [[String: Any]]) ?? []).flatMap { ($0["resource"] as? [[String: Any]]) ?? [] }
      #expect(Set(summary.resources.map(\.type)) == Set(resources.compactMap { $0["type"] as? String }), "\(name)")
      #expect(summary.fhirVersion == root["fhirVersion"] as? String, "\(name)")
      #expect(summary.kind == root["kind"] as? String, "\(name)")
      #expect(summary.softwareName == (root["software"] as? [String: Any])?["name"] as? String, "\(name)")
      #expect(summary.fhirVersion == nil || summary.release != nil, "\(name)")
      read += 1
    }
    #expect(read >= 20)
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `R9.03 a statement in XML says that JSON must be asked for`() throws {
    let bytes = try SharedData.bytes("capability/dpc-bfd-stu3.xml")
    #expect(throws: CapabilitySummary.Problem.xml) { try CapabilitySummary(json: bytes) }
  }

  @Test func `of five thousand damaged statements none crashes`() throws {
    var originals = [
      Array(
        """
        {"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"resource":[{"type":"Patient",
        "interaction":[{"code":"read"}]}]}]}
        """.utf8)
    ]
    if SharedData.isPresent {
      for name in ["clientpy-invalid.json", "ab2d-bfd-r4.json", "fhirclient-r5.json", "inferno-bulk-conformance.json"] {
        originals.append(try SharedData.bytes("capability/\(name)"))
      }
    }
    var mutator = Mutator(seed: 7)
    for i in 0..<5000 {
      guard let summary = try? CapabilitySummary(json: mutator.mutate(originals[i % originals.count])) else { continue }
      #expect(!summary.sentence.isEmpty)
      #expect(summary.findings.count <= 50)
    }
  }
}
