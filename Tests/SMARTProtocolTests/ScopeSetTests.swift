/// Scopes: grammar, comparison by coverage, what an operator may ask for.
import SMARTProtocol
import TestSupport
import Testing

@Suite struct ScopeSetTests {
  private func missing(_ wanted: String, _ granted: String) -> [String] {
    ScopeSet(wanted).missing(from: ScopeSet(granted))
  }

  @Test(arguments: [
    "system/Patient.rs", "patient/*.cruds", "user/Observation.c", "system/*.read", "user/*.*", "patient/Patient.write",
    "patient/Observation.rs?category=laboratory", "patient/Observation.rs?category=http://x|y&status=final",
  ])
  func `R3.01 the grammar of both versions is read`(text: String) {
    #expect(ResourceScope(text) != nil)
    #expect(ScopeSet.problems(in: text).isEmpty)
  }

  @Test(arguments: [
    "system/Patient.dus", "system/Patient.sr", "system/Patient.rr", "system/Patient.", "system/Patient", "system/.rs",
    "system/patient.rs", "system/Patient.x", "system/Patient.rs?", "system/Patient.rs?x", "system/Patient.rs?=y",
    "patient/Pat1ent.rs", "user/**.rs", "patient/Patient.Read",
  ])
  func `R3.01 what is not in the grammar is refused here, with the scope named`(text: String) {
    #expect(ResourceScope(text) == nil)
    let problems = ScopeSet.problems(in: "openid \(text)")
    #expect(problems.count == 1)
    #expect(problems.first?.hasPrefix(text) == true)
  }

  @Test func `R3.03 scopes are written in the spelling that the server names alone`() {
    let mixed = "openid launch/patient patient/Patient.read patient/*.rs system/*.* user/Observation.cud patient/A.r"
    #expect(
      ScopeVersion(capabilities: ["permission-v2", "sso-openid-connect"])?.spelling(mixed)
        == "openid launch/patient patient/Patient.rs patient/*.rs system/*.cruds user/Observation.cud patient/A.r")
    #expect(
      ScopeVersion(capabilities: ["permission-v1"])?.spelling(mixed)
        == "openid launch/patient patient/Patient.read patient/*.read system/*.* user/Observation.write patient/A.r")
    let narrow = "patient/Observation.rs?category=http://x|y"
    #expect(ScopeVersion.v1.spelling(narrow) == narrow)
    #expect(ScopeVersion(capabilities: ["permission-v1", "permission-v2"]) == nil)
    #expect(ScopeVersion(capabilities: []) == nil)
  }

  @Test func `R3.01 letters in a wrong order are told in the right one`() {
    #expect(
      ScopeSet.problems(in: "system/Patient.dus")
        == ["system/Patient.dus: the letters must stand once each in the order cruds: write system/Patient.uds"])
  }

  @Test func `a scope's control characters do not come back in what is said of it`() {
    let told = ScopeSet.problems(in: "system/P\u{85}\u{202E}.sr").joined()
    #expect(!told.isEmpty && !told.unicodeScalars.contains("\u{85}") && !told.unicodeScalars.contains("\u{202E}"))
  }

  @Test func `scopes of other grammars are nobody's business but the server's`() {
    for text in [
      "openid fhirUser launch/patient offline_access", "api://x/.default", "https://h/user_impersonation", "",
    ] {
      #expect(ScopeSet.problems(in: text).isEmpty)
    }
    #expect(ScopeSet.problems(in: "a\"b").count == 1)
    #expect(ScopeSet.problems(in: "a\\b").first?.contains("U+005C") == true)
    #expect(ScopeSet.problems(in: "openid\tprofile").first?.contains("U+0009") == true)
    #expect(ScopeSet.problems(in: String(repeating: "a", count: 20_000)).count == 1)
  }

  @Test func `R3.02 version 1 and version 2 mean the same`() {
    #expect(ScopeSet("system/Patient.read") == ScopeSet("system/Patient.rs"))
    #expect(ScopeSet("system/Patient.write") == ScopeSet("system/Patient.cud"))
    #expect(ScopeSet("system/Patient.*") == ScopeSet("system/Patient.cruds"))
    #expect(missing("system/Patient.read", "system/Patient.rs").isEmpty)
    #expect(missing("system/*.*", "system/*.cruds").isEmpty)
  }

  @Test func `R3.04 order and division of letters have no meaning`() {
    #expect(ScopeSet("a b c") == ScopeSet("c  a b a"))
    #expect(ScopeSet("patient/Patient.r patient/Patient.s") == ScopeSet("patient/Patient.rs"))
    #expect(ScopeSet("patient/Patient.rs?a=1&b=2") == ScopeSet("patient/Patient.rs?b=2&a=1"))
    #expect(ScopeSet("patient/Patient.rs") != ScopeSet("patient/*.rs"))
    #expect(missing("patient/Patient.rs", "patient/Patient.s patient/Patient.r").isEmpty)
    #expect(missing("patient/Patient.rs", "patient/*.rs").isEmpty)
  }

  @Test func `R3.05 what is wanting is listed, letter by letter`() {
    #expect(missing("system/Patient.cruds openid", "system/Patient.rs") == ["system/Patient.cud", "openid"])
    #expect(missing("system/*.rs", "system/Patient.rs") == ["system/*.rs"])
    #expect(missing("system/Patient.rs", "") == ["system/Patient.rs"])
    #expect(missing("patient/Patient.rs", "user/Patient.rs") == ["patient/Patient.rs"])
    #expect(missing("system/Observation.rs", "system/Observation.rs?category=laboratory") == ["system/Observation.rs"])
    #expect(missing("system/Observation.rs?category=a", "system/Observation.rs").isEmpty)
  }

  @Test func `R3.06 more or other scopes than asked are accepted`() {
    #expect(missing("system/Patient.r", "system/*.cruds openid profile").isEmpty)
    #expect(missing("", "anything").isEmpty)
  }

  @Test func `R3.08 a refresh token is offline access, whatever the scope says`() {
    let wanted = ScopeSet("offline_access launch/patient launch/encounter?role=x")
    #expect(wanted.missing(from: ScopeSet("")) == ["offline_access", "launch/patient", "launch/encounter?role=x"])
    #expect(
      wanted.missing(from: ScopeSet(""), hasRefreshToken: true, context: ["patient"]) == ["launch/encounter?role=x"])
  }

  @Test func `of ten thousand damaged scopes none crashes and each covers itself`() {
    let original = Array("patient/Observation.rs?category=laboratory system/*.read launch/patient openid user/*.*".utf8)
    var mutator = Mutator(seed: 4)
    for _ in 0..<10_000 {
      let text = String(decoding: mutator.mutate(original), as: UTF8.self)
      let scopes = ScopeSet(text)
      #expect(scopes.missing(from: scopes).isEmpty)
      #expect(scopes == ScopeSet(scopes.description))
      _ = ScopeSet.problems(in: text)
    }
  }
}
