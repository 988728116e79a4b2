/// The store from outside: one process at a time, its rights, its key, damaged records, a full disk.
import FHIRControl
import Glibc
import TestSupport
import Testing

@Suite("the store", .needs(.python3, .daemon))
struct StoreTests {
  @Test func `a second daemon on the same store is refused and the first goes on`() async throws {
    try await onStage { stage in
      var options = DaemonUnderTest.Options()
      options.stateDirectory = stage.daemon.stateDirectory
      options.masterKeyPath = stage.daemon.masterKeyPath
      let second = try DaemonUnderTest(options)
      let (end, said) = try await second.startRefused()
      #expect(end != .exited(0))
      if case .signalled = end { Issue.record("it crashed: \(said)") }
      #expect(said.contains(stage.daemon.stateDirectory), "\(said)")
      try await stage.control.result("server.info")
      await second.cleanUp()
    }
  }

  @Test func `what the store makes is nobody else's to read`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      var info = Glibc.stat()
      #expect(lstat(stage.daemon.stateDirectory, &info) == 0)
      #expect(info.st_mode & 0o077 == 0)
      for file in TestMachine.files(below: stage.daemon.stateDirectory) {
        #expect(lstat(file.path, &info) == 0)
        #expect(info.st_mode & 0o777 == 0o600, "\(file.path)")
      }
      #expect(lstat(stage.daemon.masterKeyPath, &info) == 0)
      #expect(info.st_mode & 0o377 == 0, "the master key's mode")
    }
  }

  @Test func `a state directory that others can write is refused with its path and the cure`() async throws {
    try await onStage { stage in
      #expect(try await stage.daemon.terminate() == .exited(0))
      chmod(stage.daemon.stateDirectory, 0o777)
      let (end, said) = try await stage.daemon.startRefused()
      guard case .exited(let status) = end, status != 0 else {
        Issue.record("it ended by \(end)")
        return
      }
      #expect(said.contains(stage.daemon.stateDirectory), "\(said)")
      #expect(said.contains("chmod") || said.contains("0700"), "\(said)")
      chmod(stage.daemon.stateDirectory, 0o700)
      try await stage.daemon.start()
    }
  }

  @Test func `a wrong master key is told, nothing is lost, and the right one opens again`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      let token = try await stage.token("c")
      #expect(try await stage.daemon.terminate() == .exited(0))
      let key = try #require(TestMachine.bytes(of: stage.daemon.masterKeyPath))
      // Another digit for a digit: a key of the same form, be it text or bytes.
      let wrong = key.map { (48...57).contains($0) ? 48 + ($0 - 48 + 1) % 10 : $0 == 10 ? $0 : $0 ^ 0x01 }
      try TestMachine.replace(stage.daemon.masterKeyPath, with: wrong, mode: 0o400)
      let (end, said) = try await stage.daemon.startRefused()
      guard case .exited(let status) = end, status != 0 else {
        Issue.record("it ended by \(end)")
        return
      }
      #expect(said.contains("key"), "\(said)")
      try TestMachine.replace(stage.daemon.masterKeyPath, with: key, mode: 0o400)
      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      #expect(try await control.result("token.get", ["connection": "c"])["access_token"] == .string(token))
    }
  }

  @Test func `a missing master key beside a store is not quietly replaced by a new one`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      #expect(try await stage.daemon.terminate() == .exited(0))
      let key = try #require(TestMachine.bytes(of: stage.daemon.masterKeyPath))
      unlink(stage.daemon.masterKeyPath)
      let (end, said) = try await stage.daemon.startRefused()
      guard case .exited(let status) = end, status != 0 else {
        Issue.record("it ended by \(end): \(said)")
        return
      }
      #expect(access(stage.daemon.masterKeyPath, F_OK) != 0, "a new key was made")
      try TestMachine.replace(stage.daemon.masterKeyPath, with: key, mode: 0o400)
      try await stage.daemon.start()
    }
  }

  @Test func `an altered record makes its connection unreadable by name of its id, and the others are served`()
    async throws
  {
    try await onStage { stage in
      let broken = try #require(try await stage.create("broken", tenant: "a")["id"].string)
      try await stage.create("whole", tenant: "b")
      let token = try await stage.token("whole")
      #expect(try await stage.daemon.terminate() == .exited(0))
      let altered = try LMDBDamage.flipValues(
        below: stage.daemon.stateDirectory, key: try #require(LMDBDamage.bytes(ofUUID: broken)))
      try #require(altered > 0, "no record with that key was found in the data file")

      try await stage.daemon.start()
      let control = try await stage.daemon.connect()
      #expect(try await control.result("token.get", ["connection": "whole"])["access_token"] == .string(token))
      let page = try await control.result("connection.list")
      #expect(page["connections"].array.map { $0["connection_name"] } == ["whole"])
      #expect(page["unreadable"][0]["id"] == .string(broken))
      #expect(page["unreadable"][0]["hint"].string?.isEmpty == false)
      let direct = try await control.call("connection.get", ["connection": .string(broken)])
      #expect(code(direct) == .storeCorrupt, "\(direct)")
      let health = try await control.result("health.get")
      #expect(health["state"] == "degraded", "\(health.text)")
      #expect(stage.daemon.standardError.contains(broken))
    }
  }

  @Test func `a data file that is cut off is refused with its path, not with a crash`() async throws {
    try await onStage { stage in
      try await stage.create("c")
      #expect(try await stage.daemon.terminate() == .exited(0))
      let data = try #require(LMDBDamage.dataFiles(below: stage.daemon.stateDirectory).first)
      #expect(truncate(data, 4096) == 0)
      let child = try stage.daemon.spawn()
      let end = try await eventually("it ends or answers", within: 30) { () -> ProcessEnd? in
        if let end = child.end() { return end }
        return (try? await stage.daemon.connect()) != nil ? .exited(0) : nil
      }
      if case .signalled(let signal) = end { Issue.record("it died of signal \(signal): \(stage.daemon.tail)") }
      #expect(end != .exited(0), "it serves a store that is cut off")
    }
  }

  @Test(.needs(.root), .timeLimit(.minutes(3)))
  func `on a full disk tokens are served, health says so, and it recovers`() async throws {
    let disk = try TestMachine.makeDirectory()
    defer {
      umount2(disk, Int32(MNT_DETACH))
      TestMachine.remove(disk)
    }
    try #require(
      mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=0700") == 0, "mount: \(String(cString: strerror(errno)))")
    try await onStage { options in
      options.stateDirectory = disk + "/state"
    } _: { stage in
      try await stage.create("kept")
      let token = try await stage.token("kept")
      let filler = try FullDisk(disk + "/filler")
      // A full disk has no page for one more connection, however many free ones the store still has inside.
      let refusal = try await eventually("STORE_FULL", within: 60, every: 0) { () -> Answer? in
        let name = "more-\(UInt64.random(in: 0...UInt64.max))"
        let answer = try await stage.control.call(
          "connection.create",
          stage.connection(name, ["additional_notes": .string(String(repeating: "n", count: 1500))]))
        return answer.succeeded ? nil : answer
      }
      #expect(code(refusal) == .storeFull, "\(refusal)")
      #expect(refusal.hint != nil)
      for _ in 0..<10 { #expect(try await stage.token("kept") == token) }
      let health = try await stage.control.result("health.get")
      #expect(health["state"] == "degraded" || health["state"] == "failed", "\(health.text)")
      #expect(health["components"].array.contains { $0["name"] == "store" && $0["state"] != "ok" })

      filler.remove()
      _ = try await eventually("the store is well again", within: 30) { () -> Bool? in
        let made = try await stage.control.call(
          "connection.create", stage.connection("after-\(UInt64.random(in: 0...UInt64.max))"))
        let health = try await stage.control.result("health.get")
        return made.succeeded && health["state"] == "ok" ? true : nil
      }
      let fresh = try await eventually("a refresh", within: 30) { () -> WireJSON? in
        let answer = try await stage.control.call("token.refresh", ["connection": "kept"])
        return answer.succeeded ? answer.result : nil
      }
      #expect(fresh["generation"].exists)
    }
  }
}

extension StoreTests {
  @Test(.needs(.root), .timeLimit(.minutes(3)))
  func `R7.03 a disk that fills up while a refresh is out loses no refresh token`() async throws {
    let disk = try TestMachine.makeDirectory()
    defer {
      umount2(disk, Int32(MNT_DETACH))
      TestMachine.remove(disk)
    }
    try #require(
      mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=0700") == 0, "mount: \(String(cString: strerror(errno)))")
    try await onStage { options in
      options.stateDirectory = disk + "/state"
    } _: { stage in
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app")
      try await stage.logIn("app")
      let token = try await stage.token("app")
      try await stage.server.rule(["path": "/token", "hold": "gate"])
      let (other, id) = try await stage.refreshUnderWay("app")
      let filler = try FullDisk(disk + "/filler")
      try await fill(stage)
      try await stage.server.release("gate")
      // The server has rotated. The caller is told that nothing is stored, and the token at hand is served on.
      let answer = try await other.answer(to: id)
      #expect(code(answer) == .storeFull, "\(answer)")
      #expect(try await stage.token("app") == token)

      filler.remove()
      _ = try await eventually("the new tokens are stored", within: 30) { () -> Bool? in
        try await stage.token("app") != token ? true : nil
      }
      try await stage.refresh("app")
      try await stage.expectGoodToken("app")
      #expect(try await stage.server.stats()["refresh_presented_max"] == 1)
    }
  }

  /// Writes records until the store has no page left, the smallest last.
  private func fill(_ stage: Stage) async throws {
    for notes in [1500, 10] {
      _ = try await eventually("STORE_FULL", within: 60, every: 0) { () -> Bool? in
        let name = "more-\(UInt64.random(in: 0...UInt64.max))"
        let notes = String(repeating: "n", count: notes)
        let answer = try await stage.control.call(
          "connection.create", stage.connection(name, ["additional_notes": .string(notes)]))
        guard !answer.succeeded else { return nil }
        #expect(code(answer) == .storeFull, "\(answer)")
        return true
      }
    }
  }
}

/// Takes all the room that is left on a file system, to the last byte.
private final class FullDisk: Sendable {
  private let path: String
  init(_ path: String) throws {
    self.path = path
    let fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    try #require(fd >= 0)
    defer { close(fd) }
    for size in [65536, 4096, 1] {
      let block = [UInt8](repeating: 0x55, count: size)
      while write(fd, block, size) > 0 {}
    }
  }
  func remove() { unlink(path) }
}
