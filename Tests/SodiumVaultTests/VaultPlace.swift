/// A store and a master key for one test, gone with it.
import ConnectionCore
import Foundation
import LMDBStore
import SodiumVault
import Testing

final class VaultPlace {
  let root: String
  private var opened: LMDBStore?

  init() throws {
    var template = Array((NSTemporaryDirectory() + "fhird-vault-XXXXXX").utf8CString)
    let made = try #require(mkdtemp(&template))
    root = String(cString: made)
  }

  deinit {
    close()
    try? FileManager.default.removeItem(atPath: root)
  }

  var keyPath: String { root + "/keys/master.key" }

  func store() throws -> LMDBStore {
    if let opened { return opened }
    var options = LMDBStore.Options()
    options.mapBytes = 1 << 20
    let store = try LMDBStore.open(directory: root + "/state", options: options)
    opened = store
    return store
  }

  func close() {
    opened?.close()
    opened = nil
  }

  func vault() async throws -> SodiumVault {
    try await SodiumVault.open(store: store(), masterKey: try MasterKey.load(.createIfMissing(path: keyPath)))
  }

  /// Writes a key file of any content and mode.
  func write(_ bytes: [UInt8], mode: mode_t = 0o400, to name: String = "given.key") throws -> String {
    let path = "\(root)/\(name)"
    unlink(path)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    chmod(path, mode)
    return path
  }

  /// The error with which a key does not load.
  static func failure(_ source: MasterKeySource) -> (detail: String, cure: String)? {
    do throws(VaultError) {
      _ = try MasterKey.load(source)
      return nil
    } catch {
      guard case .masterKey(let detail, let cure) = error else { return nil }
      return (detail, cure)
    }
  }

  func openFailure(_ source: MasterKeySource) async throws -> VaultOpenError? {
    let store = try store()
    let key = try MasterKey.load(source)
    do throws(VaultOpenError) {
      _ = try await SodiumVault.open(store: store, masterKey: key)
      return nil
    } catch {
      return error
    }
  }
}
