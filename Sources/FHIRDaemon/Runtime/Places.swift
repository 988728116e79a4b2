/// Where this daemon keeps its state, finds its key and listens: as systemd says, or by hand in the user's own places.
import ConnectionCore
import Glibc
import LMDBStore
import SodiumVault
import SystemdHost

struct Places: Sendable {
  let directories: ServiceDirectories
  let configuration: DaemonConfiguration
  /// The control sockets that systemd passed.
  let passedSockets: [Int32]

  func stateDirectory() throws(StartFailure) -> String {
    if let path = configuration.stateDirectory ?? directories.state { return path }
    throw StartFailure(
      "there is no place for the store: neither HOME nor XDG_STATE_HOME is set", cure: "give --state-dir",
      status: EX_USAGE)
  }

  /// The key that is made where there is none, beside the store; nil: a service, whose key must be there.
  var madeKeyPath: String? {
    guard !directories.isService else { return nil }
    return configuration.masterKeyFile
      ?? (configuration.stateDirectory ?? directories.state).map { "\($0)-keys/master.key" }
  }

  /// A store that has records keeps its key: a lost one is not quietly replaced.
  func keySource(_ store: LMDBStore) throws(VaultError) -> MasterKeySource {
    if let path = configuration.masterKeyFile, directories.isService { return .file(path: path) }
    if configuration.masterKeyFile == nil, let credentials = directories.credentials,
      unsafe access("\(credentials)/\(MasterKey.credentialName)", F_OK) == 0
    {
      return .credential(directory: credentials)
    }
    guard let path = madeKeyPath else {
      throw VaultError.masterKey(
        detail: "systemd passed no credential \(MasterKey.credentialName)",
        cure: "run fhird-make-key as root, then systemctl restart fhird; for a store that exists bring its key back "
          + "with fhird-make-key --import")
    }
    let isFresh = (try? SodiumVault.hasKeyRing(store)) == false
    return isFresh ? .createIfMissing(path: path) : .file(path: path)
  }

  func listeners() throws(StartFailure) -> [ControlListener] {
    do throws(ControlListener.Failure) {
      var listeners: [ControlListener] = []
      for number in passedSockets { listeners.append(try ControlListener(adopting: number)) }
      if passedSockets.isEmpty {
        if configuration.socketPath == nil { unsafe mkdir(directories.runtime, 0o755) }
        listeners.append(try ControlListener(path: configuration.socketPath ?? directories.socketPath))
      }
      return listeners
    } catch {
      throw StartFailure(error.detail, cure: error.cure, status: EX_CONFIG)
    }
  }
}
