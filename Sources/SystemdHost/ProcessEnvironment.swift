/// The environment of this process, read one variable at a time.
import Glibc

package enum ProcessEnvironment {
  /// nil: not set, or empty.
  package static func value(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }
}
