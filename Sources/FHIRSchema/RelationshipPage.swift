/// A RelationshipGraph as one HTML page for a browser: a list to search, an overview, and each type with its neighbours.
/// The page loads nothing and sends nothing; its script and style stand in it and are named by their digests.
import SMARTProtocol

package enum RelationshipPage {
  /// - Parameter title: whose graph it is: the connection's name, or the software's.
  package static func html(_ graph: RelationshipGraph, title: String) -> String {
    let title = escaped(Words.clean(title, max: 200))
    let declared = graph.edges.count(where: \.isDeclared)
    let sentence =
      "\(counted(graph.nodes.count, "resource type")), \(counted(declared, "reference")) that the server declares, "
      + "\(graph.edges.count - declared) more by the specification (FHIR \(graph.specification))"
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="\(policy)">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(title): relationships</title>
      <style>\(style)</style>
      </head>
      <body>
      <header>
      <h1><a href="#">\(title)</a></h1>
      <p>\(escaped(sentence))</p>
      <p class="keys"><kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> move <kbd>Enter</kbd> select <kbd>Esc</kbd> overview</p>
      </header>
      \(frame)
      <noscript>The picture needs JavaScript; it runs in this page only.</noscript>
      <script type="application/json" id="graph">\(data(graph))</script>
      <script>\(script)</script>
      </body>
      </html>

      """
  }

  private static let frame = """
    <nav aria-label="Resource types">
    <input id="search" type="search" placeholder="Search types and parameters" autocomplete="off" spellcheck="false"
     aria-label="Search types and parameters" aria-controls="types">
    <p id="found" role="status"></p>
    <ul id="types"></ul>
    <label><input id="all" type="checkbox" checked> also what only the specification says</label>
    </nav>
    <main id="main" tabindex="-1">
    <p id="legend"><span class="key in">refers to it</span> <span class="key out">it refers to</span>
    <span class="key spec">by the specification only</span> <span class="key absent">not on this server</span></p>
    <svg id="picture" role="group" aria-label="Relationships"></svg>
    <section id="details" aria-live="polite"></section>
    </main>
    """

  /// Only what stands in this page runs, and nothing is fetched.
  private static let policy =
    "default-src 'none'; script-src \(digest(script)); style-src \(digest(style)); base-uri 'none'; form-action 'none'"

  private static func digest(_ text: String) -> String {
    var result = Array("'sha256-".utf8)
    Base64.append(PageDigest.sha256(Array(text.utf8)), to: &result)
    return String(decoding: result, as: UTF8.self) + "'"
  }

  private static func counted(_ count: Int, _ word: String) -> String { "\(count) \(word)\(count == 1 ? "" : "s")" }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.append(character)
      }
    }
    return result
  }

  /// The graph as JSON that cannot leave its element: no `<` in it. Types are numbered, since they stand in every edge.
  private static func data(_ graph: RelationshipGraph) -> String {
    var numbers: [String: Int64] = [:]
    for (i, node) in graph.nodes.enumerated() { numbers[node.type] = Int64(i) }
    func evidence(_ list: [RelationshipGraph.Evidence]) -> JSON { .array(list.map { .string($0.rawValue) }) }
    let json = JSON.object([
      "types": .array(graph.nodes.map { .array([.string($0.type), .bool($0.isServed)]) }),
      "edges": .array(
        graph.edges.map { edge in
          .array([
            .integer(numbers[edge.source] ?? 0), .integer(numbers[edge.target] ?? 0), .string(edge.parameter),
            evidence(edge.evidence),
          ])
        }),
      "open": .array(
        graph.open.map { item in
          .array([
            .integer(numbers[item.source] ?? 0), .string(item.parameter), .bool(item.isAny), evidence(item.evidence),
          ])
        }),
    ])
    var text = ""
    for scalar in json.text.unicodeScalars {
      switch scalar {
      case "<": text += "\\u003c"
      case ">": text += "\\u003e"
      case "&": text += "\\u0026"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
