/// A RelationshipGraph as text for other programs: DOT for Graphviz, Mermaid for Markdown. What only the specification
/// says is dashed. Names come from a server's document, so nothing of them is trusted.

extension RelationshipGraph {
  /// For `dot -Tsvg`. One arrow from type to type, labelled with the parameters.
  package var dot: String {
    var lines = ["digraph relationships {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    for node in nodes {
      lines.append("  \(Self.quoted(node.type))\(node.isServed ? "" : " [style=\"rounded,dotted\"]");")
    }
    for arrow in arrows {
      let style = arrow.isDeclared ? "" : ", style=dashed"
      lines.append(
        "  \(Self.quoted(arrow.source)) -> \(Self.quoted(arrow.target)) "
          + "[label=\(Self.quoted(arrow.parameters.joined(separator: ", ")))\(style)];")
    }
    return lines.joined(separator: "\n") + "\n}\n"
  }

  /// A Mermaid flowchart. Nodes have numbers for names, since a type may be called `end`.
  package var mermaid: String {
    var lines = ["flowchart LR"]
    var numbers: [String: Int] = [:]
    for (i, node) in nodes.enumerated() {
      numbers[node.type] = i
      lines.append("  n\(i)[\"\(Self.entities(node.type))\"]")
    }
    for arrow in arrows {
      guard let source = numbers[arrow.source], let target = numbers[arrow.target] else { continue }
      let label = Self.entities(arrow.parameters.joined(separator: ", "))
      lines.append("  n\(source) \(arrow.isDeclared ? "-->" : "-.->")|\"\(label)\"| n\(target)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private struct Arrow {
    var source: String
    var target: String
    var parameters: [String]
    var isDeclared: Bool
  }

  /// Edges between the same two types in the same direction as one.
  private var arrows: [Arrow] {
    var result: [Arrow] = []
    for edge in edges {
      if let last = result.last, last.source == edge.source, last.target == edge.target {
        result[result.count - 1].parameters.append(edge.parameter)
        result[result.count - 1].isDeclared = last.isDeclared || edge.isDeclared
      } else {
        result.append(
          Arrow(
            source: edge.source, target: edge.target, parameters: [edge.parameter], isDeclared: edge.isDeclared))
      }
    }
    return result
  }

  /// DOT: in a quoted text the quotation mark is escaped; so is the backslash, which begins escapes of labels.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for character in text {
      if character == "\"" || character == "\\" { result.append("\\") }
      result.append(character.isNewline ? " " : character)
    }
    return result + "\""
  }

  /// Mermaid reads `#` with a number and a semicolon as a character; whatever is more than a word is written so.
  private static func entities(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "a"..."z", "A"..."Z", "0"..."9", "_", "-", ".", ",", " ", ":": result.unicodeScalars.append(scalar)
      default: result += "#\(scalar.value);"
      }
    }
    return result
  }
}
