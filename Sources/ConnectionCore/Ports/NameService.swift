/// Users and groups of this machine, by name and by number. May be slow: asked by commands, never while a client waits
/// on the hot path.
package protocol NameService: Sendable {
  func uid(ofUser name: String) -> UInt32?
  func gid(ofGroup name: String) -> UInt32?
  func userName(of uid: UInt32) -> String?
  func groupName(of gid: UInt32) -> String?
}
