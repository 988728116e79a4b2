/// The settings in force: read by everybody, replaced by a reload.
import ConnectionCore
import SMARTProtocol
import Synchronization

final class SettingsBox: SettingsSource {
  private let box: Mutex<DaemonConfiguration>

  init(_ configuration: DaemonConfiguration) { box = Mutex(configuration) }

  var configuration: DaemonConfiguration {
    get { box.withLock { $0 } }
    set { box.withLock { $0 = newValue } }
  }

  var current: Settings { configuration.settings }
}

extension DaemonConfiguration {
  var settings: Settings {
    Settings(
      allowInsecureLoopback: allowInsecureLoopback, connectTimeout: connectTimeout, requestTimeout: requestTimeout,
      responseBytesMax: responseBytesMax, capabilityLifetime: capabilityTTL, healthInterval: healthInterval,
      callbackURL: publicURL.map { $0.appending("fhir-connections/callback") },
      keySetURL: publicURL.map { $0.appending(".well-known/jwks.json") })
  }

  var engineOptions: Engine.Options {
    Engine.Options(
      concurrency: refreshConcurrency, concurrencyPerHost: refreshConcurrencyPerHost, expiryBuffer: tokenExpiryBuffer)
  }

  /// Settings that differ in `other` and take effect with the next start only.
  func needingRestart(since other: DaemonConfiguration, startedInsecure: Bool) -> [ConfigurationKey] {
    var keys: [ConfigurationKey] = []
    if socketPath != other.socketPath { keys.append(.socket) }
    if allowInsecureLoopback, !startedInsecure { keys.append(.allowInsecureLoopback) }
    if clientsMax != other.clientsMax { keys.append(.clientsMax) }
    if storeBytesMax != other.storeBytesMax { keys.append(.storeBytesMax) }
    return keys
  }
}
