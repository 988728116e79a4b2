/// Says which socket a client uses when nobody names one.
import Glibc

extension FHIRClient {
  /// Where a daemon started by systemd listens.
  public static let systemSocketPath = "/run/fhird/fhird.sock"

  /// `FHIRD_SOCKET`; else the system's socket; else, where that does not exist and the one of a daemon run by hand
  /// does, `$XDG_RUNTIME_DIR/fhird.sock`.
  public static func defaultSocketPath() -> String {
    defaultSocketPath(environment: { environmentValue($0) }, exists: { unsafe access($0, F_OK) == 0 })
  }

  static func defaultSocketPath(environment: (String) -> String?, exists: (String) -> Bool) -> String {
    if let chosen = environment("FHIRD_SOCKET"), !chosen.isEmpty { return chosen }
    if exists(systemSocketPath) { return systemSocketPath }
    if let runtime = environment("XDG_RUNTIME_DIR"), !runtime.isEmpty {
      let own = "\(runtime)/fhird.sock"
      if exists(own) { return own }
    }
    return systemSocketPath
  }

  private static func environmentValue(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}
