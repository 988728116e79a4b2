/// Completes the names of connections by asking the daemon: quietly, and only as long as a person waits for a Tab.
import ArgumentParser
import FHIRClient
import FHIRControl

extension CompletionKind {
  static var connections: CompletionKind {
    .custom { words, _, prefix in ConnectionNames.starting(with: prefix, words: words) }
  }
}

enum ConnectionNames {
  private static let timeoutSeconds: Double = 1
  /// More would not help a person; also one page of the daemon's.
  private static let namesMax = 1000

  static func starting(with prefix: String, words: [String]) -> [String] {
    let client = FHIRClient(socketPath: socket(in: words))
    let page: ConnectionPage? = try? client.call(
      .connectionList, ConnectionListParameters(limit: namesMax), timeoutSeconds: timeoutSeconds)
    return (page?.connections ?? []).compactMap(\.fields.connectionName).filter {
      $0.lowercased().hasPrefix(prefix.lowercased()) && Text.printable($0) == $0
    }
  }

  /// `--socket` as typed so far.
  private static func socket(in words: [String]) -> String? {
    if let word = words.last(where: { $0.hasPrefix("--socket=") }) { return String(word.dropFirst(9)) }
    guard let flag = words.lastIndex(of: "--socket"), flag + 1 < words.count else { return nil }
    return words[flag + 1]
  }
}
