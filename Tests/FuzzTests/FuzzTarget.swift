/// One parser of foreign bytes, and what must hold of it for any bytes at all.

package struct FuzzTarget: Sendable {
  /// `token-response`: as `make fuzz` and the folders of its findings name it.
  package let name: String
  /// Longest input that is tried, in bytes.
  package let bytesMax: Int
  /// What the mutations begin with; written by us.
  package let seeds: [[UInt8]]
  /// Pieces that the format is made of: the fuzzer's dictionary.
  package let words: [String]
  /// Folders below `$FHIRD_SHARED/data` whose files are seeds too, where they are there.
  package let folders: [String]
  /// Puts a file of these folders into the form of an input.
  package let wrap: @Sendable ([UInt8]) -> [UInt8]
  /// - Throws: `Violation`; a trap and a broken bound are found by themselves.
  package let check: @Sendable ([UInt8]) throws -> Void

  init(
    _ name: String, bytesMax: Int = 4096, seeds: [String] = [], bytes: [[UInt8]] = [], words: [String],
    folders: [String] = [], wrap: @escaping @Sendable ([UInt8]) -> [UInt8] = { $0 },
    check: @escaping @Sendable ([UInt8]) throws -> Void
  ) {
    self.name = name
    self.bytesMax = bytesMax
    self.seeds = seeds.map { Array($0.utf8) } + bytes
    self.words = words
    self.folders = folders
    self.wrap = wrap
    self.check = check
  }

  package static let all: [FuzzTarget] = [
    tokenResponse, neighbours, redaction, operationOutcome, discovery, capability, callback, idToken, keySet, keyImport,
    json, base64, challenge, times, urls, scopes, shellWord, controlLine, controlParameters, resultMember, httpAnswer,
    environmentFile, logText, records, fhirReply, bundle, pageLink,
  ]

  package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// What did not hold.
package struct Violation: Error, CustomStringConvertible {
  package let description: String
}

func hold(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
  if !condition { throw Violation(description: sentence()) }
}

func unwrap<Value>(_ value: Value?, _ sentence: @autoclosure () -> String) throws -> Value {
  guard let value else { throw Violation(description: sentence()) }
  return value
}

extension Collection<UInt8> {
  func contains(bytes needle: some Collection<UInt8>) -> Bool {
    guard let first = needle.first else { return true }
    var rest = self[...]
    while let at = rest.firstIndex(of: first) {
      rest = rest[at...]
      if rest.starts(with: needle) { return true }
      rest = rest.dropFirst()
    }
    return false
  }
}

/// Secrets in inputs begin like this, so that a sentence of ours is never taken for one.
enum Marked {
  static let prefix = "S3CR3T-"

  /// The words that begin with the mark: letters and digits behind it, four at least.
  static func secrets(in bytes: some Collection<UInt8>) -> Set<[UInt8]> {
    var found: Set<[UInt8]> = []
    var rest = bytes[...]
    while let at = rest.firstIndex(of: UInt8(ascii: "S")) {
      rest = rest[at...]
      if rest.starts(with: prefix.utf8) {
        let tail = rest.dropFirst(prefix.utf8.count).prefix { (48...57).contains($0) || (97...122).contains($0 | 0x20) }
        if tail.count >= 4 { found.insert(Array(prefix.utf8) + tail) }
      }
      rest = rest.dropFirst()
    }
    return found
  }
}

/// Sentences go to terminals and logs: one line, bounded, never empty.
func holdSentence(_ text: String, max: Int = 4096, _ what: String) throws {
  try hold(!text.isEmpty, "\(what): an empty sentence")
  try hold(text.utf8.count <= max, "\(what): a sentence of \(text.utf8.count) bytes")
  for scalar in text.unicodeScalars {
    try hold(
      scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value), "\(what): a control character in a sentence")
  }
}
