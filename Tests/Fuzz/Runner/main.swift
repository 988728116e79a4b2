/// Runs one fuzz target: `fuzz NAME [libFuzzer's options]`. `fuzz` alone lists the targets; `fuzz NAME --write DIR` writes
/// its seeds and its dictionary there.
import CFuzzer
import FoundationEssentials
import FuzzProperties
import Glibc

/// Written here, read by the callback, which cannot capture.
nonisolated(unsafe) var target: FuzzTarget?

func write(_ target: FuzzTarget, to folder: String) throws {
  try FileManager.default.createDirectory(atPath: folder + "/seeds", withIntermediateDirectories: true)
  var seeds = target.seeds
  if let shared = ProcessInfo.processInfo.environment["FHIRD_SHARED"] {
    for place in target.folders.map({ shared + "/data/" + $0 }) {
      for name in ((try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []).sorted() {
        seeds += FileManager.default.contents(atPath: place + "/" + name).map { [target.wrap(Array($0))] } ?? []
      }
    }
  }
  for (number, seed) in seeds.enumerated() where seed.count <= target.bytesMax {
    try Data(seed).write(to: URL(filePath: folder + "/seeds/\(number)"))
  }
  let words = target.words.map { word in
    "\"" + word.utf8.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\"\n"
  }
  try Data(words.joined().utf8).write(to: URL(filePath: folder + "/dictionary"))
  print(target.bytesMax)
}

let arguments = CommandLine.arguments
guard arguments.count > 1 else {
  for target in FuzzTarget.all { print(target.name) }
  exit(0)
}
target = FuzzTarget.named(arguments[1])
guard let chosen = target else {
  print("there is no fuzz target \(arguments[1])")
  exit(2)
}
if arguments.count == 4, arguments[2] == "--write" {
  try write(chosen, to: arguments[3])
  exit(0)
}

// libFuzzer reads its options behind the program's name.
var count = CommandLine.argc - 1
var options: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
exit(
  LLVMFuzzerRunDriver(&count, &options) { data, size in
    do {
      try target?.check(Array(UnsafeBufferPointer(start: data, count: size)))
    } catch {
      fatalError("\(error)")
    }
    return 0
  })
