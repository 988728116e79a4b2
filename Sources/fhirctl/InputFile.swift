/// A file that a command reads as a whole; - is standard input.
import Glibc

enum InputFile {
  static func contents(of file: String, bytesMax: Int) throws(Failure) -> [UInt8] {
    func unreadable() -> Failure {
      .usage(
        "\(named(file)) cannot be read: \(String(cString: strerror(errno)))",
        hint: "name a file, or - for standard input")
    }
    let descriptor = file == "-" ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw unreadable() }
    defer { if file != "-" { close(descriptor) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= bytesMax {
      let count = read(descriptor, &buffer, buffer.count)
      if count == 0 { return bytes }
      guard count > 0 || errno == EINTR else { throw unreadable() }
      bytes += buffer.prefix(max(0, count))
    }
    throw .usage("\(named(file)) is longer than \(bytesMax >> 10) KiB", hint: "split it")
  }

  static func named(_ file: String) -> String { file == "-" ? "standard input" : file }
}
