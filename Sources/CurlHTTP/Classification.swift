/// Turns curl's result codes into failures: nobody else reads a code. Says what a person can act on and no secret.
import CCurl
import ConnectionCore
import Glibc
import SMARTProtocol

/// What is known when a transfer has failed.
struct Symptoms {
  var code: CURLcode
  var target: Target
  var proxy: String?
  var caFile: String?
  var certificateFile: String?
  /// The connection stood and the request's first byte was about to go out.
  var isRequestStarted: Bool
  var tooLarge: String?
  /// The server behind an `http:` URL turned out not to be this machine.
  var isNotLoopback: Bool
  var connectTimeout: Instant.Span
  var osError: Int32
  /// X509_V_ERR_…; 0: the chain was fine, or there was none.
  var verifyResult: Int
  /// curl's words.
  var problem: String
}

extension Symptoms {
  /// The kind, and what to say of it. Whether the request was sent is known by `isRequestStarted` alone.
  var verdict: (kind: HTTPFailure.Kind, detail: String) {
    let host = target.authority
    if isNotLoopback { return (.badRequest, "\(host) is not this machine: http is allowed to loopback only") }
    if let tooLarge { return (.tooLarge, "\(host) sent \(tooLarge)") }
    switch code {
    case CURLE_COULDNT_RESOLVE_HOST: return (.resolve, "the name \(target.host) cannot be resolved")
    case CURLE_COULDNT_RESOLVE_PROXY: return (.resolve, "the name of the proxy \(proxy ?? "") cannot be resolved")
    case CURLE_COULDNT_CONNECT, CURLE_INTERFACE_FAILED, CURLE_NO_CONNECTION_AVAILABLE, CURLE_PROXY:
      return (.connect, connectDetail)
    case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE,
      CURLE_SSL_CERTPROBLEM, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_PINNEDPUBKEYNOTMATCH,
      CURLE_SSL_CLIENTCERT, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_ENGINE_INITFAILED,
      CURLE_SSL_CRL_BADFILE, CURLE_USE_SSL_FAILED, CURLE_SSL_SHUTDOWN_FAILED:
      return tlsVerdict
    case CURLE_OPERATION_TIMEDOUT:
      return (.timeout, "no connection to \(host) within \(Self.text(connectTimeout))")
    case CURLE_GOT_NOTHING: return (.emptyReply, "\(host) closed the connection without an answer")
    // In TLS 1.3 the server's word about the client's certificate comes after the request.
    case CURLE_SEND_ERROR,
      CURLE_RECV_ERROR where problem.contains("alert") && problem.contains("certificate"):
      return tlsVerdict
    case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_SEND_FAIL_REWIND:
      // Before the request it is the proxy's refusal, or a connection that was lost on its way up.
      return isRequestStarted ? (.reset, "\(host) broke the connection off") : (.connect, connectDetail)
    case CURLE_PARTIAL_FILE: return (.reset, "\(host) broke its answer off")
    case CURLE_HTTP2, CURLE_HTTP2_STREAM: return (.reset, "\(host) broke the HTTP/2 stream off")
    case CURLE_OUT_OF_MEMORY where isRequestStarted:
      // curl's word for a header line beyond its own limit; memory that is really out ends the process.
      return (.tooLarge, "\(host) sent a header line that is too long")
    case CURLE_UNSUPPORTED_PROTOCOL where isRequestStarted, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING,
      CURLE_WRITE_ERROR:
      return (.badReply, "\(host) sent something that is not HTTP, or not in the encoding it names")
    default:
      let words = unsafe String(cString: curl_easy_strerror(code))
      return (isRequestStarted ? .badReply : .badRequest, "\(host): \(words)")
    }
  }

  private var connectDetail: String {
    let through = proxy.map { " through the proxy \($0)" } ?? ""
    if osError != 0 {
      return unsafe "no connection to \(target.authority)\(through): \(String(cString: strerror(osError)))"
    }
    return "no connection to \(target.authority)\(through)\(sanitizedProblem.isEmpty ? "" : ": \(sanitizedProblem)")"
  }

  private var tlsVerdict: (HTTPFailure.Kind, String) {
    let host = target.host
    if code == CURLE_SSL_CACERT_BADFILE {
      guard let caFile else { return (.tls, "the system's CA certificates cannot be read; install ca-certificates") }
      return (.tls, "ca_file \(caFile) cannot be used: it holds no certificate in PEM form")
    }
    if code == CURLE_SSL_CERTPROBLEM {
      return (
        .tls,
        "client_certificate_file \(certificateFile ?? "") cannot be used: it must hold a certificate and its key, "
          + "without a password, in PEM form"
      )
    }
    if code == CURLE_PEER_FAILED_VERIFICATION { return (.tls, certificateDetail) }
    let problem = sanitizedProblem
    // OpenSSL's words for a connection that ended in the middle of the handshake.
    if ["SSL_ERROR_SYSCALL", "reset by peer", "unexpected eof"].contains(where: problem.contains) {
      return (.reset, "\(target.authority) broke the connection off in the TLS handshake")
    }
    if ["protocol version", "unsupported protocol", "wrong ssl version"].contains(where: problem.contains) {
      return (.tls, "\(host) offers no TLS 1.2 or newer")
    }
    if problem.contains("certificate required") {
      return (.tls, "\(host) wants a client certificate; set client_certificate_file")
    }
    if problem.contains("wrong version number") { return (.tls, "\(target.authority) does not speak TLS") }
    return (.tls, "\(host): \(problem)")
  }

  private var certificateDetail: String {
    let host = target.host
    // curl looks at the name once the chain is good; its result of the chain is then 0, or 1 before it was asked for.
    if verifyResult <= 1, ["subject name", "does not match"].contains(where: problem.contains) {
      return "the certificate that \(host) showed is for another name"
    }
    // x509_vfy.h: X509_V_ERR_CERT_NOT_YET_VALID 9, X509_V_ERR_CERT_HAS_EXPIRED 10.
    switch verifyResult {
    case 9: return "the certificate of \(host) is not valid yet; look at the clocks of both machines"
    case 10: return "the certificate of \(host) has expired"
    default:
      let reason = sanitizedProblem.split(separator: ": ", maxSplits: 1).last.map(String.init) ?? "unknown CA"
      let cure =
        caFile.map { "\($0) does not hold the CA that signed it" } ?? "set ca_file to the CA that signed it"
      return "the certificate of \(host) is not trusted: \(reason); \(cure)"
    }
  }

  /// curl's words may quote the server; they are shown only where no request was sent, printable and short.
  private var sanitizedProblem: String {
    String(decoding: problem.utf8.prefix(200).filter { $0 >= 0x20 && $0 < 0x7f }, as: UTF8.self)
  }

  static func text(_ span: Instant.Span) -> String {
    span.milliseconds % 1000 == 0 ? "\(span.milliseconds / 1000) s" : "\(span.milliseconds) ms"
  }
}
