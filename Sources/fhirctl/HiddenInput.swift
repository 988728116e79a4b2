/// Asks a person at the terminal: for a line that is not shown, or for a yes.
import Glibc

enum HiddenInput {
  /// How often a waiting prompt looks whether it was interrupted, in milliseconds.
  private static let lookMilliseconds: Int32 = 100

  /// One line from standard input, which must be a terminal; what is typed is not shown. The terminal is itself again
  /// afterwards, also when a signal ends the program.
  static func line(asking question: String, bytesMax: Int) throws(Failure) -> [UInt8] {
    var before = termios()
    guard tcgetattr(STDIN_FILENO, &before) == 0 else {
      throw .usage("the terminal does not answer", hint: "use --client-secret-file FILE or --client-secret-stdin")
    }
    // Held back while the echo is off, so that no way out leaves the terminal mute.
    var held = sigset_t()
    sigemptyset(&held)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP] { sigaddset(&held, number) }
    var mask = sigset_t()
    sigprocmask(SIG_BLOCK, &held, &mask)
    var hidden = before
    hidden.c_lflag &= ~tcflag_t(ECHO)
    // termios(3): ECHONL shows the newline although nothing else is.
    hidden.c_lflag |= tcflag_t(ECHONL)
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
    Console.complain(question)
    let outcome = read(bytesMax: bytesMax, interruptedBy: held)
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before)
    if case .interrupted(let signal) = outcome {
      Console.complain("\n")
      // The signal does what it would have done.
      raise(signal)
    }
    sigprocmask(SIG_SETMASK, &mask, nil)
    switch outcome {
    case .line(let bytes): return bytes
    case .interrupted: throw Failure("interrupted", exitStatus: 1)
    case .tooLong: throw .usage("that is longer than \(bytesMax) bytes", hint: "use --client-secret-file FILE")
    }
  }

  private enum Outcome {
    case line([UInt8]), interrupted(Int32), tooLong
  }

  private static func read(bytesMax: Int, interruptedBy signals: sigset_t) -> Outcome {
    var line: [UInt8] = []
    line.reserveCapacity(bytesMax)
    var chunk = [UInt8](repeating: 0, count: 1024)
    defer {
      wipe(&chunk)
    }
    while true {
      if let signal = pending(signals) {
        wipe(&line)
        return .interrupted(signal)
      }
      var item = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      guard poll(&item, 1, lookMilliseconds) > 0 else { continue }
      let count = Glibc.read(STDIN_FILENO, &chunk, chunk.count)
      if count < 0, errno == EINTR || errno == EAGAIN { continue }
      guard count > 0 else { return .line(line) }
      let end = chunk[..<count].firstIndex(of: UInt8(ascii: "\n"))
      line += chunk[..<(end ?? count)]
      guard line.count <= bytesMax else {
        wipe(&line)
        return .tooLong
      }
      if end != nil { return .line(line) }
    }
  }

  private static func pending(_ signals: sigset_t) -> Int32? {
    var set = signals
    var none = timespec()
    while true {
      let signal = sigtimedwait(&set, nil, &none)
      // A stop in the middle of a secret would leave the terminal mute in the shell's hands.
      if signal != SIGTSTP { return signal > 0 ? signal : nil }
    }
  }

  /// Anything but `y` or `yes` is a no.
  static func confirmed(_ question: String) -> Bool {
    Console.complain("\(Text.printable(question)) [y/N] ")
    let answer = (readLine() ?? "").lowercased()
    return answer == "y" || answer == "yes"
  }
}
