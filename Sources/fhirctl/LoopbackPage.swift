/// The pages at a loopback redirect URI: fixed words, no script, nothing loaded from anywhere (R1.08).
import FHIRControl
import Glibc

struct LoopbackPage {
  private var status: String
  private var title: String
  /// Markup.
  private var body: String
  private var headers: [String] = []
  /// Where a form of the page may go.
  private var formAction = "'none'"

  static let nothingHere = LoopbackPage(
    status: "404 Not Found", title: "Nothing here", body: "<p>This address is for the end of a login.</p>")
  static let loggedIn = LoopbackPage(
    status: "200 OK", title: "Logged in", body: "<p>The login worked. You can close this window.</p>")
  static let notLoggedIn = LoopbackPage(
    status: "400 Bad Request", title: "Not logged in", body: "<p>The login did not work. The terminal says why.</p>")

  static func redirect(to path: String) -> LoopbackPage {
    LoopbackPage(
      status: "303 See Other", title: "Go on", body: "<p><a href=\"\(path)\">Go on</a></p>",
      headers: ["Location: \(path)"])
  }

  /// Posts what is too long for an address. Its values come from the daemon and are escaped all the same.
  static func start(_ form: AuthorizationForm) -> LoopbackPage {
    let inputs = form.parameters.sorted { $0.key < $1.key }.map { name, value in
      "<input type=\"hidden\" name=\"\(escape(name))\" value=\"\(escape(value))\">"
    }
    // Servers redirect from there, and browsers hold redirects against the policy too: schemes and no origin.
    return LoopbackPage(
      status: "200 OK", title: "Go on to the login",
      body: "<form method=\"post\" action=\"\(escape(form.url))\">\(inputs.joined())<button>Go on</button></form>",
      formAction: "https: http:")
  }

  private static func escape(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.unicodeScalars.append(character)  // everything else is itself
      }
    }
    return result
  }

  func send(to client: Int32) {
    let page = """
      <!doctype html><html lang="en"><head><meta charset="utf-8"><title>\(title)</title></head>
      <body><main><h1>\(title)</h1>\(body)</main></body></html>

      """
    let head =
      [
        "HTTP/1.1 \(status)", "Content-Type: text/html; charset=utf-8", "Content-Length: \(page.utf8.count)",
        "Content-Security-Policy: default-src 'none'; form-action \(formAction); frame-ancestors 'none'",
        "Referrer-Policy: no-referrer", "Cache-Control: no-store", "Connection: close",
      ] + headers
    let bytes = Array((head.joined(separator: "\r\n") + "\r\n\r\n" + page).utf8)
    _ = Glibc.send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }
}
