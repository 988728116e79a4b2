/// Standard output and error, and what is known about the terminal behind them.
import Glibc

enum Console {
  static func write(_ text: String) { write(Array(text.utf8)) }

  static func write(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

  static func complain(_ text: String) { write(Array(text.utf8), to: STDERR_FILENO) }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written) }
      if count > 0 {
        written += count
      } else if errno == EPIPE {
        // Whoever inherited SIGPIPE ignored gets what the signal would have given: a quiet end, status 128 + 13.
        exit(141)
      } else if errno == EAGAIN {
        waitUntilWritable(descriptor)
      } else if errno != EINTR {
        guard descriptor == STDOUT_FILENO else { return }
        complain("fhirctl: standard output cannot be written: \(String(cString: strerror(errno)))\n")
        exit(1)
      }
    }
  }

  /// Standard output may be a non-blocking pipe that somebody else set up.
  private static func waitUntilWritable(_ descriptor: Int32) {
    var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    _ = poll(&item, 1, 1000)
  }

  static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
  static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

  /// Colours are for terminals that have them, and for people who want them. Source: no-color.org.
  static var colours: Bool {
    outputIsTerminal && (environment("NO_COLOR") ?? "").isEmpty && ![nil, "", "dumb"].contains(environment("TERM"))
  }

  static func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    return String(cString: value)
  }

  /// Rows and columns of the terminal on standard output; nil where there is none or it does not say.
  static var size: (rows: Int, columns: Int)? {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else { return nil }
    return (Int(size.ws_row), Int(size.ws_col))
  }
}
