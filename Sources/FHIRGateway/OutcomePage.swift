/// The words for each outcome: what happened, and what to do next.
import FHIRControl

extension Outcome {
  var page: Page {
    var page = words
    if let connection { page.details.append(.init(name: "Connection", value: connection)) }
    if let serverError {
      let said = serverDescription.map { "\($0) (\(serverError))" } ?? serverError
      page.details.append(.init(name: "The authorization server said", value: said))
    }
    if let next { page.details.append(.init(name: "For the administrator", value: next, isCode: true)) }
    if let code, kind != .completed, kind != .running {
      page.details.append(.init(name: "Reference", value: code, isCode: true))
    }
    return page
  }

  private static let again = "Nothing was changed. Ask the administrator to start the login again."

  private var words: Page {
    switch kind {
    case .completed:
      Page(
        tone: .good, title: "You are connected",
        paragraphs: ["The login is complete, and the connection is ready to use.", "You can close this window."])
    case .running:
      Page(
        tone: .neutral, title: "Almost done",
        paragraphs: [
          "The login is being completed with the server.",
          "You can close this window; the administrator sees when it is done.",
        ])
    case .declined:
      Page(
        tone: .bad, title: "The login was declined",
        paragraphs: ["Access was not granted, so nothing was connected.", Self.again])
    case .refused:
      Page(
        tone: .bad, title: "The server refused the login",
        paragraphs: ["The authorization server did not accept the request.", Self.again])
    case .expired:
      Page(
        tone: .bad, title: "The login took too long",
        paragraphs: ["It had expired before you came back.", Self.again])
    case .cancelled:
      Page(
        tone: .bad, title: "The login was cancelled", paragraphs: ["It was ended before you came back.", Self.again])
    case .unknown:
      Page(
        tone: .bad, title: "No login is waiting for this",
        paragraphs: [
          "It has expired, was completed before, or was never started here.",
          "If you have just logged in, the connection may be ready already. If not, ask the administrator to start the "
            + "login again.",
        ])
    case .malformed:
      Page(
        tone: .bad, title: "This address is not complete",
        paragraphs: [
          "Something is missing from it, or is not as it should be. It may have been cut when it was copied.",
          Self.again,
        ])
    case .busy, .unavailable, .forbidden, .failed: troubleWords
    }
  }

  private var troubleWords: Page {
    switch kind {
    case .busy:
      Page(
        tone: .bad, title: "Too many requests at once",
        paragraphs: ["The login could not be completed just now.", "Wait a minute, then start it again."])
    case .unavailable:
      Page(
        tone: .bad, title: "The service is not available",
        paragraphs: [
          "The login could not be completed, because the service behind this page does not answer.",
          "Try again in a few minutes, or tell the administrator.",
        ])
    case .forbidden:
      Page(
        tone: .bad, title: "This page may not complete logins",
        paragraphs: ["It has not been given access to the service behind it.", "Tell the administrator."])
    case .failed, .completed, .running, .declined, .refused, .expired, .cancelled, .unknown, .malformed:
      Page(
        tone: .bad, title: "The login failed",
        paragraphs: ["The server was reached, but the login could not be completed.", Self.again])
    }
  }

  /// A command, where one helps.
  private var next: String? {
    switch kind {
    case .completed, .running, .malformed, .busy, .unknown: nil
    case .declined, .refused, .expired, .cancelled, .failed:
      connection.flatMap { Self.isPlain($0) ? "fhirctl login \($0)" : nil }
    case .unavailable: "systemctl status fhird"
    case .forbidden: GatewayUnit.grantCommand
    }
  }

  /// Whether a shell reads it as one word that means itself.
  private static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix("-")
      && name.unicodeScalars.allSatisfy { $0.properties.isAlphabetic || "0123456789._-".unicodeScalars.contains($0) }
  }
}

/// Where nobody waits for the end of a login.
extension Page {
  static let gone = Page(
    tone: .neutral, title: "Nothing to show here any more",
    paragraphs: [
      "Results of logins are shown for ten minutes.",
      "If you have just logged in, the connection is probably ready. The administrator sees it with the command below.",
    ], details: [.init(name: "For the administrator", value: "fhirctl status", isCode: true)])

  static let notFound = Page(
    tone: .neutral, title: "There is no such page",
    paragraphs: ["This address belongs to a service that completes logins; people come here by a link."])

  /// For requests that are too long for an address.
  static func forward(_ form: AuthorizationForm) -> Page {
    Page(
      tone: .neutral, title: "Go on to the login",
      paragraphs: ["The next page is the authorization server's own. It asks you to log in and to agree."],
      form: Form(action: form.url, parameters: form.parameters, button: "Go on"))
  }

  static func trouble(_ title: String, _ paragraph: String) -> Page {
    Page(tone: .bad, title: title, paragraphs: [paragraph])
  }
}

enum GatewayUnit {
  /// What the daemon must be told once, so that the gateway may do its work.
  static let grantCommand =
    "fhirctl access grant unit:fhird-gateway.service --method authorization.complete --method authorization.start "
    + "--method jwks.get --method health.get"
}
