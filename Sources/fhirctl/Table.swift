/// Aligned tables and lists of facts, by display width, with colour where the terminal has it.

/// How good the news in a cell is.
enum Tone {
  case plain, good, warning, bad, quiet

  /// Select Graphic Rendition. Source: ECMA-48, 8.3.117.
  var code: String? {
    switch self {
    case .plain: nil
    case .good: "32"
    case .warning: "33"
    case .bad: "31"
    case .quiet: "2"
    }
  }
}

struct Cell: ExpressibleByStringInterpolation {
  /// Safe to print.
  let text: String
  let tone: Tone

  init(_ text: String, _ tone: Tone = .plain) {
    self.text = Text.printable(text)
    self.tone = tone
  }

  init(stringLiteral value: String) { self.init(value) }

  func rendered(colours: Bool) -> String {
    guard colours, let code = tone.code, !text.isEmpty else { return text }
    return "\u{1b}[\(code)m\(text)\u{1b}[0m"
  }
}

struct Table {
  var header: [String]
  var rows: [[Cell]]

  /// Lines that end in a newline; two spaces between columns, none at the end of a line.
  func rendered(colours: Bool = Console.colours) -> String {
    let lines = [header.map { Cell($0, .quiet) }] + rows
    let widths = header.indices.map { column in lines.map { Text.width($0[column].text) }.max() ?? 0 }
    return lines.map { Self.line($0, widths, colours) }.joined()
  }

  private static func line(_ cells: [Cell], _ widths: [Int], _ colours: Bool) -> String {
    let last = cells.lastIndex { !$0.text.isEmpty } ?? -1
    var line = ""
    for (column, cell) in cells.enumerated() where column <= last {
      line += cell.rendered(colours: colours)
      if column < last {
        line += String(repeating: " ", count: widths[column] - Text.width(cell.text) + 2)
      }
    }
    return line + "\n"
  }
}

/// One fact a line: its name, then its value.
struct Facts {
  private var rows: [(name: String, value: Cell)] = []

  mutating func add(_ name: String, _ value: Cell?) {
    if let value, !value.text.isEmpty { rows.append((name, value)) }
  }

  mutating func add(_ name: String, _ value: String?) {
    add(name, value.map { Cell($0) })
  }

  func rendered(colours: Bool = Console.colours) -> String {
    let width = rows.map { Text.width($0.name) }.max() ?? 0
    return rows.map { row in
      let gap = String(repeating: " ", count: width - Text.width(row.name) + 2)
      return Cell(row.name, .quiet).rendered(colours: colours) + gap + row.value.rendered(colours: colours) + "\n"
    }.joined()
  }
}
