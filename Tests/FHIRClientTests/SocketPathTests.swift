/// Which socket is taken when nobody names one.
import Testing

@testable import FHIRClient

@Suite struct SocketPathTests {
  private func path(_ environment: [String: String], existing: Set<String> = []) -> String {
    FHIRClient.defaultSocketPath(environment: { environment[$0] }, exists: existing.contains)
  }

  @Test func `the environment's socket wins, whether it exists or not`() {
    #expect(path(["FHIRD_SOCKET": "/a"], existing: [FHIRClient.systemSocketPath]) == "/a")
  }

  @Test func `the system's socket wins over that of a daemon run by hand`() {
    let own = "/run/user/1000/fhird.sock"
    #expect(
      path(["XDG_RUNTIME_DIR": "/run/user/1000"], existing: [FHIRClient.systemSocketPath, own])
        == FHIRClient.systemSocketPath)
    #expect(path(["XDG_RUNTIME_DIR": "/run/user/1000"], existing: [own]) == own)
  }

  @Test func `where there is none the system's socket is named`() {
    #expect(path(["FHIRD_SOCKET": "", "XDG_RUNTIME_DIR": "/run/user/1000"]) == "/run/fhird/fhird.sock")
  }
}
