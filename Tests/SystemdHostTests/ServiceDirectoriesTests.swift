/// Where files are, from the environment alone.
import Testing

@testable import SystemdHost

@Suite struct ServiceDirectoriesTests {
  private func places(_ environment: [String: String], home: String? = nil) -> ServiceDirectories {
    ServiceDirectories(environment: environment, pid: 42, uid: 1000, home: { _ in home })
  }

  @Test func `a service uses the directories that systemd made`() {
    let found = places([
      "STATE_DIRECTORY": "/var/lib/fhird", "RUNTIME_DIRECTORY": "/run/fhird", "CONFIGURATION_DIRECTORY": "/etc/fhird",
      "CREDENTIALS_DIRECTORY": "/run/credentials/fhird.service", "SYSTEMD_EXEC_PID": "42", "HOME": "/people/x",
      "XDG_RUNTIME_DIR": "/run/user/1000", "XDG_STATE_HOME": "/people/x/state",
    ])
    #expect(found.isService)
    #expect(found.state == "/var/lib/fhird")
    #expect(found.runtime == "/run/fhird")
    #expect(found.socketPath == "/run/fhird/fhird.sock")
    #expect(found.configuration == "/etc/fhird")
    #expect(found.credentials == "/run/credentials/fhird.service")
  }

  @Test func `of several directories the first counts`() {
    let found = places(["STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "RUNTIME_DIRECTORY": "/run/a:/run/b"])
    #expect(found.state == "/var/lib/a" && found.runtime == "/run/a")
  }

  @Test func `by hand the store is in the user's home and the socket where clients look`() {
    let found = places(["HOME": "/people/x", "XDG_RUNTIME_DIR": "/run/user/1000"])
    #expect(!found.isService)
    #expect(found.state == "/people/x/.local/state/fhird")
    #expect(found.runtime == "/run/user/1000/fhird")
    #expect(found.socketPath == "/run/user/1000/fhird.sock")
    #expect(found.credentials == nil && found.configuration == nil)
    #expect(places(["HOME": "/people/x", "XDG_STATE_HOME": "/data"]).state == "/data/fhird")
  }

  @Test func `without a runtime directory the socket is in a directory of the user's own`() {
    let found = places(["HOME": "/people/x"])
    #expect(found.runtime == "/tmp/fhird-1000")
    #expect(found.socketPath == "/tmp/fhird-1000/fhird.sock")
  }

  @Test func `without HOME the user database is asked; without a home there is no place for the store`() {
    #expect(places([:], home: "/people/db").state == "/people/db/.local/state/fhird")
    #expect(places([:]).state == nil)
    #expect(places(["HOME": ""], home: "/people/db").state == "/people/db/.local/state/fhird")
  }

  @Test func `paths that are not absolute are ignored`() {
    let found = places(["HOME": "/people/x", "XDG_STATE_HOME": "state", "XDG_RUNTIME_DIR": "run"])
    #expect(found.state == "/people/x/.local/state/fhird" && found.runtime == "/tmp/fhird-1000")
  }

  @Test func `a shell that systemd started does not make its children services`() {
    let inherited = ["INVOCATION_ID": "0123", "JOURNAL_STREAM": "8:1", "SYSTEMD_EXEC_PID": "41", "HOME": "/people/x"]
    #expect(!places(inherited).isService)
    #expect(places(inherited.merging(["SYSTEMD_EXEC_PID": "42"]) { $1 }).isService)
  }
}
