/// Pages: one escaping function for everything foreign, one layout, no script, nothing loaded from anywhere.

enum HTML {
  /// The only way into a page for text that is not a literal of this target. Good for text and for quoted attributes.
  /// Control characters and those that reorder or hide text become spaces.
  static func escape(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(isInvisible(scalar) ? " " : scalar)  // everything else is itself
      }
    }
    return result
  }

  private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false  // a category of a later Unicode is text
    }
  }
}

/// One page. Texts are as they came; `html` escapes them.
struct Page: Hashable {
  enum Tone: String {
    case good, bad, neutral
  }
  struct Detail: Hashable {
    var name: String
    var value: String
    /// Shown as something to type or to quote.
    var isCode = false
  }

  var tone: Tone
  var title: String
  /// The first says what happened, the last what to do next.
  var paragraphs: [String]
  var details: [Detail] = []
  /// A button that posts hidden inputs; it works without a script.
  var form: Form?

  struct Form: Hashable {
    var action: String
    var parameters: [String: String]
    var button: String
    var html: String {
      let inputs = parameters.sorted { $0.key < $1.key }.map { name, value in
        "<input type=\"hidden\" name=\"\(HTML.escape(name))\" value=\"\(HTML.escape(value))\">\n"
      }
      return "<form method=\"post\" action=\"\(HTML.escape(action))\">\n\(inputs.joined())"
        + "<button>\(HTML.escape(button))</button>\n</form>\n"
    }
  }

  var html: String {
    let title = HTML.escape(title)
    var body = "<h1>\(title)</h1>\n"
    for text in paragraphs { body += "<p>\(HTML.escape(text))</p>\n" }
    if let form { body += form.html }
    if !details.isEmpty {
      body += "<dl>\n"
      for detail in details {
        let value = HTML.escape(detail.value)
        body += "<dt>\(HTML.escape(detail.name))</dt>"
        body += detail.isCode ? "<dd><code>\(value)</code></dd>\n" : "<dd>\(value)</dd>\n"
      }
      body += "</dl>\n"
    }
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="robots" content="noindex">
      <title>\(title)</title>
      <style>\(Page.style)</style>
      </head>
      <body class="\(tone.rawValue)">
      <main>
      <div class="mark" aria-hidden="true">\(mark)</div>
      \(body)</main>
      </body>
      </html>

      """
  }

  private var mark: String {
    switch tone {
    case .good: "&#10003;"
    case .bad: "!"
    case .neutral: "&#8230;"
    }
  }

  /// In the page, and allowed there by its hash alone. Every pair of colours has a contrast of 4.5 to 1 or more
  /// (WCAG 2.2, 1.4.3).
  static let style = """
    :root{color-scheme:light dark;--back:#f3f5f7;--card:#fff;--text:#1b232c;--quiet:#51606e;--line:#dde3e8;\
    --good:#17693a;--bad:#a3291f;--neutral:#3f5163}
    @media (prefers-color-scheme:dark){:root{--back:#12171c;--card:#1c232a;--text:#e8edf2;--quiet:#a5b2be;\
    --line:#33404b;--good:#79d69b;--bad:#ff9d91;--neutral:#b4c2cf}}
    *{box-sizing:border-box}
    body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--back);\
    color:var(--text);font:1.0625rem/1.55 system-ui,sans-serif}
    .good{--tone:var(--good)}.bad{--tone:var(--bad)}.neutral{--tone:var(--neutral)}
    main{width:100%;max-width:34rem;padding:2.25rem 2.5rem;background:var(--card);border:1px solid var(--line);\
    border-top:.3rem solid var(--tone);border-radius:.75rem}
    .mark{width:2.75rem;height:2.75rem;border:2px solid var(--tone);border-radius:50%;display:grid;\
    place-items:center;color:var(--tone);font-size:1.4rem;font-weight:700}
    h1{margin:1rem 0 .75rem;font-size:1.5rem;line-height:1.25;overflow-wrap:anywhere}
    p{margin:0 0 .75rem;overflow-wrap:anywhere}
    dl{margin:1.5rem 0 0;padding-top:1.25rem;border-top:1px solid var(--line);font-size:.95rem}
    dt{color:var(--quiet)}
    dd{margin:0 0 .75rem;overflow-wrap:anywhere}
    code{font:.95em/1.5 ui-monospace,monospace}
    button{margin:.5rem 0 0;padding:.65rem 1.4rem;border:0;border-radius:.5rem;background:var(--tone);\
    color:var(--card);font:inherit;font-weight:600;cursor:pointer}
    """

  /// Of `style`: `printf '%s' "$STYLE" | openssl dgst -sha256 -binary | base64`. A test computes it again.
  static let styleHash = "slKfAbUFa+6H6FWHZ9YHmmdo7zReubFIwY7lkpvuj68="
}
