/// The source tree as the tidiness rules see it: Swift files by target, lines without their comments.
import Foundation

struct SourceLine: CustomStringConvertible {
  let file: String
  let number: Int
  let text: String
  /// The text without a comment at its end, and with what stands in string literals taken out.
  let code: String
  var description: String { "\(file):\(number): \(text.trimmingCharacters(in: .whitespaces))" }
}

struct SourceFile {
  /// From the top of the tree: `Sources/FHIRControl/Timestamp.swift`.
  let path: String
  let text: String
  let lines: [SourceLine]
  /// The directory below Sources or Tests.
  var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
  var isSource: Bool { path.hasPrefix("Sources/") }

  init(path: String, text: String) {
    self.path = path
    self.text = text
    var lines = text.components(separatedBy: "\n")
    if lines.last == "" { lines.removeLast() }
    var inLongLiteral = false
    self.lines = lines.enumerated().map { index, line in
      SourceLine(file: path, number: index + 1, text: line, code: Self.code(of: line, &inLongLiteral))
    }
  }

  /// Good enough for tidy files: no block comments (the formatter forbids them), `"""` alone at the ends of a literal.
  private static func code(of line: String, _ inLongLiteral: inout Bool) -> String {
    let fences = line.components(separatedBy: "\"\"\"").count - 1
    if inLongLiteral {
      if fences % 2 == 1 { inLongLiteral = false }
      return ""
    }
    if fences % 2 == 1 {
      inLongLiteral = true
      return line.components(separatedBy: "\"\"\"")[0]
    }
    var result = ""
    var inLiteral = false
    var previous: Character = " "
    for character in line {
      if inLiteral {
        if character == "\"" && previous != "\\" { inLiteral = false }
        previous = previous == "\\" ? " " : character
        continue
      }
      if character == "\"" {
        inLiteral = true
      } else if character == "/" && previous == "/" {
        return String(result.dropLast())
      } else {
        result.append(character)
      }
      previous = character
    }
    return result
  }

  var imports: [String] {
    lines.compactMap { line in
      let words = line.code.split(separator: " ").map(String.init)
      guard let at = words.firstIndex(of: "import"), words.count > at + 1,
        words[..<at].allSatisfy({ $0.hasPrefix("@") || ["package", "public", "internal", "private"].contains($0) })
      else { return nil }
      // `import struct Module.Name` names the module before the point.
      let name =
        ["struct", "class", "enum", "protocol", "func"].contains(words[at + 1]) ? words[at + 2] : words[at + 1]
      return name.split(separator: ".").first.map(String.init)
    }
  }
}

enum SourceTree {
  static let root: URL = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url
  }()

  /// Directories that are not ours to judge: what was built, fetched or made by a run.
  private static let foreign: Set<String> = [".git", ".demo", ".peers", "__pycache__", "node_modules"]

  /// Paths of all files of the tree, from its top.
  static let paths: [String] = {
    var result: [String] = []
    func walk(_ directory: String) {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path + "/" + directory)) ?? []
      for name in names.sorted() where !foreign.contains(name) && !name.hasPrefix(".build") {
        let path = directory.isEmpty ? name : "\(directory)/\(name)"
        // What a link leads to is looked at where it lies.
        let attributes = try? FileManager.default.attributesOfItem(atPath: root.path + "/" + path)
        if attributes?[.type] as? FileAttributeType == .typeSymbolicLink { continue }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: root.path + "/" + path, isDirectory: &isDirectory) else {
          continue
        }
        if isDirectory.boolValue { walk(path) } else { result.append(path) }
      }
    }
    walk("")
    return result
  }()

  static func text(of path: String) -> String? {
    FileManager.default.contents(atPath: root.path + "/" + path).flatMap { String(data: $0, encoding: .utf8) }
  }

  static let swift: [SourceFile] = paths.filter {
    $0.hasSuffix(".swift") && ($0.hasPrefix("Sources/") || $0.hasPrefix("Tests/"))
  }.compactMap { path in text(of: path).map { SourceFile(path: path, text: $0) } }

  static let sources = swift.filter(\.isSource)
}
