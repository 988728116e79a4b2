/// Users and groups that every Linux has, and names that none has.
import ConnectionCore
import Glibc
import Testing

@testable import SystemdHost

@Suite struct SystemNamesTests {
  private let names = SystemNames()

  @Test func `root is 0, and 0 is root, as a user and as a group`() {
    #expect(names.uid(ofUser: "root") == 0)
    #expect(names.gid(ofGroup: "root") == 0)
    #expect(names.userName(of: 0) == "root")
    #expect(names.groupName(of: 0) == "root")
  }

  @Test func `every name of the databases is found again by its number`() throws {
    // base-passwd of Debian; `daemon` has the same number as user and as group.
    #expect(names.uid(ofUser: "nobody") == 65534)
    #expect(names.userName(of: 65534) == "nobody")
    let number = try #require(names.gid(ofGroup: "daemon"))
    #expect(names.groupName(of: number) == "daemon")
  }

  @Test(arguments: ["", "no-such-name-here", "root\0", "root\0x", "0", "root ", "ROOT", "../root", "root:x"])
  func `what is not a name is nobody`(name: String) {
    #expect(names.uid(ofUser: name) == nil)
    #expect(names.gid(ofGroup: name) == nil)
  }

  @Test func `a number without a name has none`() {
    #expect(names.userName(of: 3_999_999_999) == nil)
    #expect(names.groupName(of: 3_999_999_999) == nil)
  }

  @Test func `the home is the user database's`() {
    #expect(names.home(of: 0) == "/root")
    #expect(names.home(of: 3_999_999_999) == nil)
  }
}
