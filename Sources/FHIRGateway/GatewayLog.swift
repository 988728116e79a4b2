/// Fixed sentences with fields, one a line, to standard error; systemd puts them into the journal with their level.
import Glibc

/// No message is made of what a browser or a server sent: neither state nor code nor an address can get here.
struct GatewayLog: Sendable {
  /// The raw value is the journal's. Source: sd-daemon(3).
  enum Level: Int, Sendable, CaseIterable, Comparable {
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
    case debug = 7
    static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

    init?(name: String) {
      guard let level = Self.allCases.first(where: { "\($0)" == name }) else { return nil }
      self = level
    }
  }

  /// The longest value of a field, in characters.
  private static let valueMax = 200

  let level: Level
  private let write: @Sendable (String) -> Void

  init(level: Level, write: @escaping @Sendable (String) -> Void = GatewayLog.toStandardError) {
    self.level = level
    self.write = write
  }

  func tell(_ level: Level, _ sentence: StaticString, _ fields: KeyValuePairs<String, String?> = [:]) {
    guard level <= self.level else { return }
    var line = "<\(level.rawValue)>\(sentence)"
    for case (let name, let value?) in fields { line += " \(name)=\(Self.quoted(value))" }
    write(line + "\n")
  }

  /// Bare where no reader can misunderstand it, else in quotes; nothing that a terminal obeys.
  private static func quoted(_ value: String) -> String {
    let plain = String(
      String.UnicodeScalarView(
        value.unicodeScalars.prefix(valueMax).map { scalar in
          switch scalar.properties.generalCategory {
          case .control, .format, .lineSeparator, .paragraphSeparator: " "
          default: scalar  // a category of a later Unicode is text
          }
        }))
    let isBare = !plain.isEmpty && !plain.contains { $0 == " " || $0 == "\"" || $0 == "=" }
    return isBare ? plain : "\"\(plain.replacing("\"", with: "'"))\""
  }

  static let toStandardError: @Sendable (String) -> Void = { write($0, to: STDERR_FILENO) }

  static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}
