/// An answer before it is HTTP: a status, a body, and the headers that every answer has.
import HTTPTypes

struct Answer: Sendable {
  var status: HTTPResponse.Status
  var headers = HTTPFields()
  var body = ""
  /// The connection ends after it: what else comes on it is a body that nobody reads.
  var closes = false

  /// Only what a page of ours holds may take effect in a browser: its one style sheet, no script, no frame, no form.
  static let pagePolicy = policy(formAction: "'none'")

  /// - Parameter formAction: where the page's form may go. Servers redirect from there, and browsers hold redirects against
  ///   it too: a page with a form names schemes and no origin.
  static func policy(formAction: String) -> String {
    "default-src 'none'; style-src 'sha256-\(Page.styleHash)'; base-uri 'none'; form-action \(formAction); "
      + "frame-ancestors 'none'"
  }

  static func page(_ page: Page, status: HTTPResponse.Status = .ok) -> Answer {
    var answer = Answer(status: status, body: page.html)
    answer.headers[.contentType] = "text/html; charset=utf-8"
    if page.form != nil { answer.headers[.contentSecurityPolicy] = policy(formAction: "https: http:") }
    return answer
  }

  static func text(_ text: String, status: HTTPResponse.Status = .ok) -> Answer {
    var answer = Answer(status: status, body: text)
    answer.headers[.contentType] = "text/plain; charset=utf-8"
    return answer
  }

  /// 303: whatever the method was, the next is a GET, and the address bar holds the new address alone.
  static func redirect(to location: String) -> Answer {
    var answer = Answer(status: .seeOther)
    answer.headers[.location] = location
    return answer
  }

  func retryAfter(_ seconds: Int) -> Answer {
    var answer = self
    answer.headers[.retryAfter] = "\(max(1, seconds))"
    return answer
  }

  /// As it goes out. Never `Set-Cookie`, never `Server`.
  func head(date: String) -> HTTPResponse {
    var fields = headers
    fields[.date] = date
    fields[.contentLength] = status == .notModified ? nil : "\(body.utf8.count)"
    if closes { fields[.connection] = "close" }
    return HTTPResponse(status: status, headerFields: Self.secured(fields))
  }

  /// With the headers that no answer goes without, also one that is made below this program.
  static func secured(_ given: HTTPFields) -> HTTPFields {
    var fields = given
    if fields[.contentSecurityPolicy] == nil { fields[.contentSecurityPolicy] = pagePolicy }
    fields[.xContentTypeOptions] = "nosniff"
    if let name = HTTPField.Name("Referrer-Policy") { fields[name] = "no-referrer" }
    if fields[.cacheControl] == nil { fields[.cacheControl] = "no-store" }
    return fields
  }
}
